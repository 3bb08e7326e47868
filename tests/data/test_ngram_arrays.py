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
def test_repeats_are_what_a_sentence_holds_beyond_once(corpus):
    for grams in ngram_arrays.orders(ngram_arrays.hashed(corpus), 3):
        bags = [Counter(tuples(sentence, grams.order)) for sentence in corpus]
        expected = [i for i, bag in enumerate(bags) for _ in range(bag.total() - len(bag))]
        assert sorted(grams.repeats().tolist()) == expected


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2), max_size=20))
def test_ranks_follow_the_keys_and_equal_ones_their_order(keys):
    rank, by_rank, size = ngram_arrays.ranked(np.array(keys, dtype=np.int64))
    assert rank.tolist() == [sorted(set(keys)).index(key) for key in keys]
    assert by_rank.tolist() == sorted(range(len(keys)), key=keys.__getitem__)
    assert size == len(set(keys))


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
