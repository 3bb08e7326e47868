import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import wasserstein_distance, zipfian

from gentext.metrics.base import Absent
from gentext.metrics.text_profile import TextProfile, wasserstein, zipf_exponent
from gentext.types import Samples

counts = st.lists(st.integers(1, 200), min_size=2, max_size=30)
lengths = st.lists(st.integers(0, 30), min_size=1, max_size=30)


def values(samples, references, **options):
    metric = TextProfile(words="whitespace", **{"groups": 0, **options})
    metric.update(samples=Samples(tuple(samples)), references=Samples(tuple(references)))
    return metric.values()


@given(lengths, lengths)
def test_the_wasserstein_distance_is_scipys(one, two):
    assert wasserstein(np.array(one), np.array(two)) == pytest.approx(wasserstein_distance(one, two), abs=1e-9)


@settings(deadline=None)
@given(counts, st.randoms())
def test_the_exponent_is_the_likeliest(counts, draw):
    counts = np.array(draw.sample(counts, len(counts)))
    ordered = np.sort(counts)[::-1]
    log_rank = np.log(np.arange(1, len(counts) + 1))

    def nats(s):
        return s * ordered @ log_rank + counts.sum() * np.log(np.exp(-s * log_rank).sum())

    best = minimize_scalar(nats, bounds=(0, 64), method="bounded", options={"xatol": 1e-10})
    found = zipf_exponent(counts)
    assert found >= 0
    assert nats(found) <= best.fun * (1 + 1e-9) + 1e-9


def test_the_exponent_of_zipfian_text_is_found():
    ranks = zipfian.rvs(1.2, 50, size=40_000, random_state=0)
    assert zipf_exponent(np.bincount(ranks)) == pytest.approx(1.2, abs=0.02)
    assert zipf_exponent(np.array([7, 7, 7])) == 0
    assert np.isnan(zipf_exponent(np.array([5])))


def test_lengths_and_words_are_compared():
    found = values(["a b", "a b c d"], ["a b c", "b a a", "a"])
    assert found["length"].value == 3
    assert found["length_references"].value == pytest.approx(7 / 3)
    assert found["length_w1"].value == pytest.approx(wasserstein_distance([2, 4], [3, 3, 1]))
    assert found["zipf_gap"].value == pytest.approx(abs(found["zipf"].value - found["zipf_references"].value))
    assert found["length"].per_sequence.tolist() == [2, 4]


def test_a_text_beside_itself_has_no_gap():
    texts = ["a b a", "c a b b d", ""]
    found = values(texts, texts[::-1])
    assert found["length_w1"].value == found["zipf_gap"].value == 0


def test_golden_and_parts():
    whole, parts = TextProfile(groups=0), TextProfile(groups=0)
    samples, references = ("A cat sat.", "the dog sat."), ("the cat sat.", "a dog ran off.")
    whole.update(samples=Samples(samples), references=Samples(references))
    for i in range(2):
        parts.update(samples=Samples(samples[i : i + 1]), references=Samples(references[i : i + 1]))
    found = whole.values()
    assert parts.compute() == whole.compute()
    assert found["zipf"].signature == "zipf|fit:mle|hyps:2|tok:treebank+lower|v:1"
    assert found["length_w1"].signature == "length_w1|refs:2|hyps:2|tok:treebank+lower|v:1"
    assert {name: round(value.value, 6) for name, value in found.items()} == GOLDEN


GOLDEN = {
    "length": 4.0,
    "length_references": 4.5,
    "zipf_references": 0.31585,
    "length_w1": 0.5,
    "zipf": 0.473783,
    "zipf_gap": 0.157933,
}


def test_what_cannot_be_computed_is_absent():
    found = values(["a a a"], ["a b"])
    assert isinstance(found["zipf"], Absent)
    assert isinstance(found["zipf_gap"], Absent)
    assert found["length"].interval is None
    assert found["zipf_references"].value == 0
    metric = TextProfile()
    metric.update(references=Samples(("a",)))
    with pytest.raises(Absent, match="1 or more samples"):
        metric.values()


def test_empty_texts_have_no_words():
    found = values(["", ""], ["a b", "c d"])
    assert found["length"].value == 0
    assert found["length_w1"].value == 2
    assert isinstance(found["zipf"], Absent)
