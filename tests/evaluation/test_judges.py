"""The judges of the LM scores: distributions, on one vocabulary whatever they read."""

import itertools

import numpy as np
import pytest

from gentext.evaluation.judges import KneserNeyJudge, TransformerJudge
from gentext.metrics.lm_score import LMScore, Scorer
from gentext.models.ngram.model import NGram
from gentext.types import Samples, pad

pytestmark = pytest.mark.filterwarnings("ignore")


def texts(seed: int, n: int, words: str = "abcdefgh") -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list(words), rng.integers(2, 8))) for _ in range(n)]


def test_it_is_a_scorer_and_gives_unknown_words_one_probability():
    judge = KneserNeyJudge(texts(0, 200), str.split, order=2)
    assert isinstance(judge, Scorer)
    assert judge.signature == "lm:kn2|vocab:8"
    judge.fit(texts(1, 200))
    known, x, y = judge.log_prob(["a b", "x b", "y b"])
    assert x == y < known


def test_all_texts_of_a_small_vocabulary_have_probability_one_together():
    judge = KneserNeyJudge(["a a b", "b a", "a"], str.split, order=2)
    judge.fit(["a b", "b b a", "a"])
    every = [" ".join(words) for length in range(8) for words in itertools.product("ab?", repeat=length)]
    assert 0.95 < np.exp(judge.log_prob(every)).sum() < 1


def test_fitting_anew_forgets():
    judge, other = (KneserNeyJudge(texts(0, 200), str.split) for _ in range(2))
    judge.fit(texts(1, 200))
    judge.fit(texts(2, 300))
    other.fit(texts(2, 300))
    np.testing.assert_array_equal(judge.log_prob(texts(3, 9)), other.log_prob(texts(3, 9)))
    assert judge.log_prob([]).shape == (0,)
    with pytest.raises(ValueError, match="call fit"):
        KneserNeyJudge(["a"], str.split).log_prob(["a"])


def test_a_collapsed_generator_wins_one_lm_score_and_loses_the_other():
    human = texts(0, 900)
    found = {}
    for name, samples in {"honest": texts(5, 300), "collapsed": ["a b c"] * 300}.items():
        metric = LMScore(words="whitespace", lowercase=False, resamples=0)
        judge = KneserNeyJudge(human[:600], str.split, order=3)
        metric.update({"kneser_ney": judge}, *(Samples(tuple(part)) for part in (samples, human[600:], human[:600])))
        found[name] = metric.compute()
    assert found["collapsed"]["lm_score"] < found["honest"]["lm_score"]
    assert found["collapsed"]["reverse_lm_score"] > found["honest"]["reverse_lm_score"]


def frames(seed: int, n: int) -> list[str]:
    """Texts that end as they began, whatever stands between: four words that an n-gram of order 3 cannot look over."""
    rng = np.random.default_rng(seed)
    return [f"{end} {' '.join(rng.choice(list('xyz'), 4))} {end}" for end in rng.choice(list("abcd"), n).tolist()]


@pytest.mark.slow
def test_a_transformer_judge_sees_what_an_n_gram_cannot():
    attentive = TransformerJudge(frames(0, 400), str.split, width=64, steps=250)
    counts = KneserNeyJudge(frames(0, 400), str.split, order=3)
    right = frames(2, 200)
    wrong = [text[:-1] + "abcda"["abcd".index(text[-1]) + 1] for text in right]
    gain = {}
    for judge in (attentive, counts):
        judge.fit(frames(1, 1500))
        gain[judge] = (judge.log_prob(right) - judge.log_prob(wrong)).mean()
    assert gain[attentive] > 1.5
    assert abs(gain[counts]) < 0.2
    assert attentive.log_prob(right).mean() > 1.1 * np.log(1 / 4 / 3**4)  # near the truth
    assert attentive.signature == "lm:transformer2x64|steps:250x64|seed:0|vocab:7"


def test_a_transformer_judge_learns_the_same_twice_and_forgets():
    first, second = (TransformerJudge(texts(0, 90), str.split, width=32, steps=20) for _ in range(2))
    first.fit(texts(1, 90))
    for judge in (first, second):
        judge.fit(texts(2, 90))
    np.testing.assert_array_equal(first.log_prob(texts(3, 9)), second.log_prob(texts(3, 9)))
    assert first.log_prob(["a q"])[0] == first.log_prob(["a r"])[0]


def test_what_a_judge_warns_of_is_the_judges_and_said_once(caplog):
    judge = KneserNeyJudge(texts(0, 200), str.split)
    for seed in range(3):
        judge.fit(texts(seed, 20))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("the judge KneserNeyJudge, not the model: n-grams of order")
    model = NGram(12, order=5)  # and a model's stay its own
    model.accumulate(pad([[4, 5, 2]]))
    model.maximize()
    assert caplog.records[-1].getMessage().startswith("n-grams of order")
