"""Whole sentences and their suffixes as integers: which are equal, which one word apart, what spans they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt64
from numpy import ndarray

from gentext.data.ngram_arrays import Sentences, ranked

FACTOR = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
INVERSE = np.uint64(pow(FACTOR, -1, 1 << 64))


@dataclass(frozen=True)
class Fingerprints:
    """64-bit sums that tell sentences apart: equal where the words are, and only there but for one chance in 2^63."""

    whole: UInt64[ndarray, " n"]
    without: UInt64[ndarray, " t"]  # of its sentence, without this one word
    position: Int[ndarray, " t"]  # of the word in its sentence


def fingerprints(sentences: Sentences) -> Fingerprints:
    """The sum over a sentence of each word's integer times FACTOR to its position, and what it is without each word."""
    starts = sentences.lengths.cumsum() - sentences.lengths
    position = np.arange(len(sentences.words)) - np.repeat(starts, sentences.lengths)
    powers = np.cumprod(np.full(int(sentences.lengths.max(initial=0)) + 1, FACTOR, np.uint64))
    terms = (sentences.words.view(np.uint64) | np.uint64(1 << 63)) * powers[position]
    before = np.concatenate([np.zeros(1, np.uint64), terms.cumsum(dtype=np.uint64)])  # wraps around, as it should
    ends = starts + sentences.lengths
    head = before[:-1] - np.repeat(before[starts], sentences.lengths)
    tail = np.repeat(before[ends], sentences.lengths) - before[1:]
    return Fingerprints(before[ends] - before[starts], head + tail * INVERSE, position)


def longest_matches(sentences: Sentences, among: Sentences) -> Int[ndarray, " t"]:
    """For each word, the words of the longest span from there on in its sentence that stands in a sentence of `among`.

    By a suffix array of both, made by doubling: a suffix's longest match is with the nearest suffix of `among` above or
    below it, and the ranks of spans of 1, 2, 4, ... words tell the length of that match.
    Source: Manber and Myers 1993.
    """
    both = sentences + among
    t = len(both.words)
    left = np.repeat(both.lengths.cumsum(), both.lengths) - np.arange(t)  # words to the end of the sentence
    levels, order = _double(both.words, left)
    theirs = order >= len(sentences.words)
    found = np.zeros(t, dtype=np.int64)
    for way in (slice(None), slice(None, None, -1)):
        suffixes, theirs_first = order[way], theirs[way]
        nearest = np.maximum.accumulate(np.where(theirs_first, np.arange(t), -1))
        asks = (nearest >= 0) & ~theirs_first
        mine = suffixes[asks]
        found[mine] = np.maximum(found[mine], _common(levels, left, mine, suffixes[nearest[asks]]))
    return found[: len(sentences.words)]


def _double(words: Int[ndarray, " t"], left: Int[ndarray, " t"]) -> tuple[list[ndarray], Int[ndarray, " t"]]:
    """The ranks of the spans of 1, 2, 4, ... words at each place, cut at the sentence's end; the suffixes in order."""
    ranks, order, size = ranked(words)
    levels, longest, span = [ranks], int(left.max(initial=0)), 1
    while span < longest and size < len(words):
        after = np.zeros_like(ranks)  # nothing follows: before every word
        inside = np.flatnonzero(left > span)
        after[inside] = ranks[inside + span] + 1
        ranks, order, size = ranked(ranks * (size + 1) + after)
        levels.append(ranks)
        span *= 2
    return levels, order


def _common(
    levels: list[ndarray], left: Int[ndarray, " t"], a: Int[ndarray, " n"], b: Int[ndarray, " n"]
) -> Int[ndarray, " n"]:
    """How many words the suffixes at a and at b begin with in common."""
    most = np.minimum(left[a], left[b])
    length = np.zeros_like(a)
    for level in range(len(levels) - 1, -1, -1):
        fits = np.flatnonzero(length + (1 << level) <= most)
        at = length[fits]
        same = levels[level][a[fits] + at] == levels[level][b[fits] + at]
        length[fits[same]] += 1 << level
    return length
