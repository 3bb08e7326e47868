"""The n-grams that several sentences hold, order by order, of however many sentences.

Most n-grams of many texts occur once, and one can be shared only where both its parts are, so that each order looks at
what the one before has left. The n-grams that begin with the same shorter one stand together then: some of these are
sorted at a time, in arrays that stay in the cache and in memory that the process holds, so that time and memory are
linear in the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int, Shaped
from numpy import ndarray

from gentext.data.ngram_arrays import Sentences, sort

PART = 1 << 18  # members that are worked on at a time


@dataclass(frozen=True)
class Groups:
    """Members of groups, one group's after another's: the places of each n-gram, the sentences that hold each unit."""

    member: Int[ndarray, " t"]
    count: Int[ndarray, " g"]  # of each group's members, one or more

    @property
    def begin(self) -> Int[ndarray, " g"]:
        """Where each group begins."""
        return np.cumsum(self.count) - self.count

    def parts(self) -> Iterator[Groups]:
        """Whole groups at a time, of PART members together where a single group has no more."""
        begin = np.append(self.begin, len(self.member))
        cuts = np.searchsorted(begin, np.arange(0, len(self.member), PART))
        for first, last in pairwise(np.unique(np.append(cuts, len(self.count)))):
            yield Groups(self.member[begin[first] : begin[last]], self.count[first:last])


def joined(parts: Iterable[Groups], largest: int, kind: np.dtype) -> Groups:
    """The groups of all parts, which have at most so many members: memory that none takes is never touched."""
    member, done, counts = np.empty(largest, kind), 0, [np.zeros(0, np.int64)]
    for part in parts:
        member[done : done + len(part.member)] = part.member
        done += len(part.member)
        counts.append(part.count)
    return Groups(member[:done], np.concatenate(counts))


def sentence_of_place(sentences: Sentences) -> Int[ndarray, " p"]:
    """The sentence of each place: each sentence's words, and after them one place where no n-gram begins."""
    n = len(sentences)
    small = np.int32 if len(sentences.words) + n < 2**31 else np.int64  # half the memory
    return np.repeat(np.arange(n, dtype=small), sentences.lengths + 1)


def shared_ngrams(sentences: Sentences, largest: int, sides: Bool[ndarray, "n 2"] | None = None) -> Iterator[Groups]:
    """The places, ascending, of each n-gram of order 1 .. `largest` that two sentences hold.

    With `sides`: that a sentence of each side holds.
    """
    sentence = sentence_of_place(sentences)
    number = np.empty_like(sentence)  # of the shared n-gram that begins at a place
    found = None
    for _ in range(largest):
        ahead = _words(sentences, sentence) if found is None else _pairs(found, number)
        most = len(sentences.words) if found is None else len(found.member)
        found = joined((_shared(place, key, sentence, sides) for place, key in ahead), most, sentence.dtype)
        yield found
        number.fill(-1)
        done = 0
        for part in found.parts():
            number[part.member] = np.repeat(np.arange(done, done + len(part.count), dtype=number.dtype), part.count)
            done += len(part.count)


def _shared(
    place: Int[ndarray, " t"],
    key: Int[ndarray, " t"],
    sentence: Int[ndarray, " p"],
    sides: Bool[ndarray, "n 2"] | None,
) -> Groups:
    """Those of equal keys that two sentences, or one of each side, hold."""
    ordered, order = sort(key)
    place = place[order]
    begin = starts(ordered)
    holder = sentence[place]
    if sides is None:
        last = np.append(begin[1:], len(place)) - 1
        shared = holder[begin] != holder[last]
    else:
        ours, theirs = (np.logical_or.reduceat(side[holder], begin) for side in sides.T)
        shared = ours & theirs
    count = np.diff(begin, append=len(place))
    return Groups(place[np.repeat(shared, count)], count[shared])


def _words(
    sentences: Sentences, sentence: Int[ndarray, " p"]
) -> Iterator[tuple[Int[ndarray, " t"], Int[ndarray, " t"]]]:
    """The places of all words and the words, those of one remainder at a time."""
    kinds = 1 << min((len(sentences.words) // (8 * PART)).bit_length(), 7)
    kind = np.full(len(sentence), kinds, dtype=np.uint8)  # the places behind sentences are of a kind of their own
    inside = np.ones(len(sentence), dtype=bool)
    inside[np.cumsum(sentences.lengths + 1) - 1] = False
    kind[inside] = sentences.words.astype(np.uint8) & np.uint8(kinds - 1)
    for each in range(kinds):
        place = np.flatnonzero(kind == each).astype(sentence.dtype)
        if len(place):
            yield place, sentences.words[place - sentence[place]]


def _pairs(found: Groups, number: Int[ndarray, " p"]) -> Iterator[tuple[Int[ndarray, " t"], Int[ndarray, " t"]]]:
    """The places where a shared n-gram is followed by the next, and what tells the pairs of the two apart."""
    size = len(found.count)
    for part in found.parts():
        after = number[part.member + 1]  # the last place of all is behind a sentence, where no n-gram begins
        there = np.flatnonzero(after >= 0)
        if len(there):
            begun = np.repeat(np.arange(len(part.count)), part.count)
            yield part.member[there], begun[there] * size + after[there]


def starts(ordered: Shaped[ndarray, " t"]) -> Int[ndarray, " g"]:
    """Where each of the different keys begins, that stand in order."""
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)


def units_of(ngrams: Groups, sentence: Int[ndarray, " p"]) -> Groups:
    """The sentences, ascending, that hold an n-gram once or more, those that hold it twice or more, ...

    A sentence holds each unit at most once, so that the clipped counts of BLEU, and the minimum of two multisets in
    general, become membership: of c and c' occurrences of one n-gram, min(c, c') units are the same.
    """
    found = (units for part in ngrams.parts() for units in _units(part, sentence[part.member]))
    return joined(found, len(ngrams.member), sentence.dtype)


def _units(ngrams: Groups, holder: Int[ndarray, " t"]) -> Iterator[Groups]:
    again = np.zeros(len(holder), dtype=bool)
    again[1:] = holder[1:] == holder[:-1]
    again[ngrams.begin] = False
    repeats = np.flatnonzero(again)
    if not len(repeats):
        yield Groups(holder, ngrams.count)
        return
    yield Groups(holder[~again], np.add.reduceat(~again, ngrams.begin, dtype=np.int64))
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))[repeats]
    ngram = np.repeat(np.arange(len(ngrams.count)), ngrams.count)[repeats]
    ordered, order = sort(ngram * len(holder) + repeats - first)
    begin = starts(ordered)
    yield Groups(holder[repeats[order]], np.diff(begin, append=len(repeats)))
