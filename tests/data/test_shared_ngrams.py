"""Shared n-grams against Counter over tuples, in parts of any size."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.data import shared_ngrams
from gentext.data.ngram_arrays import hashed

CORPORA = st.lists(st.lists(st.sampled_from("abc"), max_size=9), max_size=8)


@pytest.fixture(scope="module", params=[2, shared_ngrams.PART])
def part(request):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shared_ngrams, "PART", request.param)
        yield request.param


def grams_of(sentence, order):
    return [tuple(sentence[i : i + order]) for i in range(len(sentence) - order + 1)]


def members(groups):
    return sorted(part.tolist() for part in np.split(groups.member, groups.begin[1:]) if len(part))


@settings(deadline=None, max_examples=50)
@given(corpus=CORPORA, ours=st.none() | st.sets(st.integers(0, 7)))
def test_places_and_holders_are_those_of_tuples(part, corpus, ours):
    texts = hashed(corpus)
    side = np.array([i in (ours or ()) for i in range(len(corpus))], dtype=bool)
    sides = None if ours is None else np.stack([side, ~side], 1)
    of_place = shared_ngrams.sentence_of_place(texts)
    begin = np.cumsum([0, *(len(sentence) + 1 for sentence in corpus)])
    assert part == shared_ngrams.PART
    for order, found in enumerate(shared_ngrams.shared_ngrams(texts, 4, sides), 1):
        places, holders = defaultdict(list), defaultdict(list)
        for i, sentence in enumerate(corpus):
            for at, gram in enumerate(grams_of(sentence, order)):
                places[gram].append(int(begin[i]) + at)
            for gram, count in Counter(grams_of(sentence, order)).items():
                for occurrence in range(count):
                    holders[gram, occurrence].append(i)
        if sides is None:
            shared = {gram for gram in places if len(holders[gram, 0]) > 1}
        else:
            shared = {gram for gram in places if len({bool(side[i]) for i in holders[gram, 0]}) == 2}
        assert members(found) == sorted(places[gram] for gram in shared)
        units = shared_ngrams.units_of(found, of_place)
        assert members(units) == sorted(held for (gram, _), held in holders.items() if gram in shared)
        for groups in (found, units):
            parts = list(groups.parts())
            assert all(len(each.member) for each in parts)
            assert (
                np.concatenate([groups.member[:0], *(each.member for each in parts)]).tolist() == groups.member.tolist()
            )
