"""Arrays of n-grams against Counter over tuples."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.data import ngram_arrays

CORPORA = st.lists(st.lists(st.sampled_from("abc"), max_size=9), max_size=8)


def tuples(sentence, order):
    return [tuple(sentence[i : i + order]) for i in range(len(sentence) - order + 1)]


@settings(deadline=None)
@given(CORPORA)
def test_ranks_are_the_n_grams(corpus):
    for grams in ngram_arrays.orders(ngram_arrays.hashed(corpus), 4):
        expected = [(i, gram) for i, sentence in enumerate(corpus) for gram in tuples(sentence, grams.order)]
        assert grams.sentence.tolist() == [i for i, _ in expected]
        names = {}
        for rank, (_, gram) in zip(grams.rank.tolist(), expected, strict=True):
            assert names.setdefault(rank, gram) == gram
        assert sorted(names) == list(range(grams.size))
        assert len(set(names.values())) == grams.size
        counts = Counter(gram for _, gram in expected)
        assert {names[rank]: count for rank, count in enumerate(grams.counts())} == counts


@settings(deadline=None)
@given(CORPORA)
def test_units_in_common_are_the_clipped_counts(corpus):
    for grams in ngram_arrays.orders(ngram_arrays.hashed(corpus), 3):
        units = grams.units()
        bags = [Counter(tuples(sentence, grams.order)) for sentence in corpus]
        sets = [set(units.unit[units.sentence == i].tolist()) for i in range(len(corpus))]
        assert units.unit.max(initial=-1) < units.size
        for i, a in enumerate(bags):
            assert len(sets[i]) == a.total()
            for j, b in enumerate(bags):
                assert len(sets[i] & sets[j]) == (a & b).total()


def test_longer_keeps_only_what_both_parts_keep():
    grams = ngram_arrays.unigrams(ngram_arrays.hashed(["abab", "ab"]))
    kept = grams.longer(np.array([1, 1, 0, 1, 1, 1], dtype=bool))
    assert kept.place.tolist() == [0, 5]
    assert kept.size == 1


def test_slices_and_sums_of_sentences():
    a = ngram_arrays.hashed([["a", "b"], [], ["c"]])
    assert (a[1:].lengths.tolist(), a[1:].words.tolist()) == ([0, 1], a.words[2:].tolist())
    assert len(a[2:1]) == 0 == len(a[2:1].words)
    whole = a[:1] + a[1:]
    assert whole.words.tolist() == a.words.tolist()
    assert whole.lengths.tolist() == a.lengths.tolist()
    with pytest.raises(ValueError, match="contiguous"):
        a[::2]


def test_hashes_are_the_same_in_every_process():
    """Golden: Python's own hash() differs from process to process."""
    assert ngram_arrays.hashed([["brown", "чай"], [""]]).words.tolist() == [
        4785146062709808474,
        1651244953552964854,
        8238016292129134938,
    ]
