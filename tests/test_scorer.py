"""The judge of the LM scores: a distribution, on one vocabulary whatever it reads."""

import itertools

import numpy as np
import pytest

from gentext.metrics.lm_score import LMScore, Scorer
from gentext.scorer import KneserNey
from gentext.types import Samples

pytestmark = pytest.mark.filterwarnings("ignore")


def texts(seed: int, n: int, words: str = "abcdefgh") -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list(words), rng.integers(2, 8))) for _ in range(n)]


def test_it_is_a_scorer_and_gives_unknown_words_one_probability():
    judge = KneserNey(texts(0, 200), str.split, order=2)
    assert isinstance(judge, Scorer)
    assert judge.signature == "lm:kn2|vocab:8"
    judge.fit(texts(1, 200))
    known, x, y = judge.log_prob(["a b", "x b", "y b"])
    assert x == y < known


def test_all_texts_of_a_small_vocabulary_have_probability_one_together():
    judge = KneserNey(["a a b", "b a", "a"], str.split, order=2)
    judge.fit(["a b", "b b a", "a"])
    every = [" ".join(words) for length in range(8) for words in itertools.product("ab?", repeat=length)]
    assert 0.95 < np.exp(judge.log_prob(every)).sum() < 1


def test_fitting_anew_forgets():
    judge, other = (KneserNey(texts(0, 200), str.split) for _ in range(2))
    judge.fit(texts(1, 200))
    judge.fit(texts(2, 300))
    other.fit(texts(2, 300))
    np.testing.assert_array_equal(judge.log_prob(texts(3, 9)), other.log_prob(texts(3, 9)))
    assert judge.log_prob([]).shape == (0,)
    with pytest.raises(ValueError, match="call fit"):
        KneserNey(["a"], str.split).log_prob(["a"])


def test_a_collapsed_generator_wins_one_lm_score_and_loses_the_other():
    human = texts(0, 900)
    found = {}
    for name, samples in {"honest": texts(5, 300), "collapsed": ["a b c"] * 300}.items():
        metric = LMScore(words="whitespace", lower=False, resamples=0)
        judge = KneserNey(human[:600], str.split, order=3)
        metric.update(judge, *(Samples(tuple(part)) for part in (samples, human[600:], human[:600])))
        found[name] = metric.compute()
    assert found["collapsed"]["lm_score"] < found["honest"]["lm_score"]
    assert found["collapsed"]["reverse_lm_score"] > found["honest"]["reverse_lm_score"]
