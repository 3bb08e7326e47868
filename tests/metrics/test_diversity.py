"""Diversity against brute force over sets, counters and edit distances."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.metrics import edit_distance

from gentext.metrics.base import Absent
from gentext.metrics.diversity import Diversity
from gentext.types import Samples, Value

TEXTS = st.lists(st.text("abc ", max_size=10), min_size=1, max_size=8)


def values(texts, **options):
    metric = Diversity(words="whitespace", lowercase=False, **{"groups": 0, **options})
    metric.update(Samples(tuple(texts)))
    return metric.values()


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.randoms())
def test_all_figures_equal_brute_force_in_any_order(texts, draw):
    found = values(draw.sample(texts, len(texts)))
    words = [text.split() for text in texts]
    for order in range(1, 5):
        grams = [tuple(s[i : i + order]) for s in words for i in range(len(s) - order + 1)]
        if not grams:
            assert isinstance(found[f"distinct{order}"], Absent)
            assert isinstance(found[f"entropy{order}"], Absent)
            continue
        assert found[f"distinct{order}"].value == pytest.approx(len(set(grams)) / len(grams))
        entropy = scipy.stats.entropy(list(Counter(grams).values()))
        assert found[f"entropy{order}"].value == pytest.approx(entropy, abs=1e-12)
    assert found["unique"].value == pytest.approx(len({tuple(s) for s in words}) / len(words))
    near = [any(i != j and edit_distance(a, b) <= 1 for j, b in enumerate(words)) for i, a in enumerate(words)]
    assert found["near_duplicates"].value == pytest.approx(np.mean(near))
    again = [1 - len(set(pairwise(s))) / (len(s) - 1) if len(s) > 1 else 0 for s in words]
    assert found["repetition"].value == pytest.approx(np.mean(again))
    shares = [value.value for name, value in found.items() if isinstance(value, Value) and "entropy" not in name]
    assert all(0 <= share <= 1 for share in shares)


def test_golden_and_signature():
    metric = Diversity()
    metric.update(Samples(("A cat sat.", "a cat sat.", "the cat sat.", "a a a a a")))
    found = metric.values()
    assert found["distinct2"].signature == "distinct2|seqs:4|tok:treebank+lower|v:1"
    assert found["repetition"].signature == "repetition|order:2|seqs:4|tok:treebank+lower|v:1"
    figures = {name: round(value.value, 6) for name, value in found.items()}
    assert figures == GOLDEN


GOLDEN = {
    "distinct1": 0.294118,
    "entropy1": 1.450338,
    "distinct2": 0.384615,
    "entropy2": 1.524707,
    "distinct3": 0.444444,
    "entropy3": 1.310784,
    "distinct4": 0.6,
    "entropy4": 1.05492,
    "unique": 0.75,
    "near_duplicates": 0.75,
    "repetition": 0.1875,
}


def test_intervals_come_from_a_jackknife():
    rng = np.random.default_rng(0)
    found = values([" ".join(rng.choice(list("abcdefgh"), 6)) for _ in range(200)], groups=10)
    value = found["distinct3"]
    assert value.interval_kind == "jackknife:10+clopper-pearson"
    assert value.interval[0] < value.value < value.interval[1]
    assert found["repetition"].interval_kind.startswith("delta")


def test_missing_evidence_is_absent():
    with pytest.raises(Absent, match="1 or more samples, and there are 0"):
        Diversity().values()
    with pytest.raises(ValueError, match="repeats is 0; it must be 1 or more"):
        Diversity(repeats=0)
