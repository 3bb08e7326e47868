"""LM score with a judge whose every probability can be worked out by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.metrics.base import Absent, pack, unpack
from gentext.metrics.intervals import standard_error
from gentext.metrics.lm_score import LMScore, Scorer
from gentext.types import Samples


class Unigram:
    """Words and ends of lines by their share, one added to each of a vocabulary of ten."""

    signature = "unigram|vocab:10"

    def fit(self, texts):
        self.counts = Counter(word for text in texts for word in [*text.split(), "\n"])

    def log_prob(self, texts):
        total = self.counts.total() + 10
        return np.array([sum(math.log((self.counts[w] + 1) / total) for w in [*t.split(), "\n"]) for t in texts])


def judged(samples, references, training, **options) -> dict[str, float]:
    metric = LMScore(**{"resamples": 50, **options})
    metric.update({"kneser_ney": Unigram()}, *(Samples(tuple(texts)) for texts in (samples, references, training)))
    return metric.values()


def test_both_directions_by_hand():
    found = judged(["a a", "b"], ["a c"], ["a b", "a"])
    forward = -np.mean([math.log(p / 15) for p in (3, 3, 3, 2, 3)])  # a a . b . of: a 2, b 1, ends 2, and ten added
    reverse = -np.mean([math.log(p / 15) for p in (3, 1, 3)])  # a c . of: a 2, b 1, ends 2
    assert found["lm_score"].value == pytest.approx(forward)
    assert found["reverse_lm_score"].value == pytest.approx(reverse)
    assert found["lm_score"].signature == "lm_score|unigram|vocab:10|fit:2|seqs:2|tok:treebank+lower|v:1"
    assert found["lm_score"].interval[0] <= found["lm_score"].value <= found["lm_score"].interval[1]
    assert found["lm_score"].per_sequence.mean() == pytest.approx(forward)
    assert isinstance(Unigram(), Scorer)


def test_the_figures_of_each_sample_have_the_error_of_leaving_samples_out():
    rng = np.random.default_rng(0)
    samples = [" ".join(rng.choice(list("aab"), rng.integers(1, 60))) for _ in range(400)]
    value = judged(samples, ["a"], ["a a a b"])["lm_score"]
    judge = Unigram()
    judge.fit(["a a a b"])
    nats, words = -judge.log_prob(samples), np.array([len(text.split()) + 1 for text in samples])
    without = (nats.sum() - nats) / (words.sum() - words)
    assert standard_error(value.per_sequence) == pytest.approx(np.sqrt(399 * without.var()), rel=0.02)


def test_a_collapsed_generator_wins_one_and_loses_the_other():
    rng = np.random.default_rng(0)
    human = [" ".join(rng.choice(list("aaabbcde"), 5)) for _ in range(300)]
    honest, collapsed = human[200:], ["a a a a a"] * 100
    good, bad = judged(honest, human[:100], human[100:200]), judged(collapsed, human[:100], human[100:200])
    assert bad["lm_score"].value < good["lm_score"].value
    assert bad["reverse_lm_score"].value > good["reverse_lm_score"].value


def test_parts_make_the_whole_and_missing_evidence_is_absent():
    metric = LMScore(resamples=0)
    with pytest.raises(Absent, match="needs a scorer"):
        metric.values()
    with pytest.raises(ValueError, match="one of kneser_ney, transformer"):
        LMScore(judge="oracle")
    metric.update({"kneser_ney": Unigram()}, samples=Samples(("a a",)))
    metric.update({"kneser_ney": Unigram()}, samples=Samples(("b",)), references=Samples(("a c",)))
    found = metric.values()
    assert found["reverse_lm_score"].value == judged(["a a", "b"], ["a c"], ["a"])["reverse_lm_score"].value
    assert isinstance(found["lm_score"], Absent)
    metric.reset()
    with pytest.raises(Absent, match="needs samples"):
        metric.values()


@settings(deadline=None, max_examples=20)
@given(*[st.lists(st.text("abc ", max_size=9), min_size=1, max_size=6)] * 3, st.randoms())
def test_order_of_texts_does_not_matter(samples, references, training, draw):
    def figures(*parts):
        return {name: value.value for name, value in judged(*parts, resamples=0).items()}

    shuffled = (draw.sample(part, len(part)) for part in (samples, references, training))
    assert figures(*shuffled) == pytest.approx(figures(samples, references, training))


@settings(deadline=None)
@given(st.lists(st.text(max_size=9), max_size=9))
def test_packed_texts_come_back(texts):
    assert unpack(*pack(texts)) == texts
