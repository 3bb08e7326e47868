"""Whole sentences and their suffixes as integers: which are equal, which one word apart, what spans they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pydivsufsort
from jaxtyping import Bool, Int, UInt64
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

    By a suffix array of both, in which a sign below all words ends each sentence: a suffix's longest match is with the
    nearest suffix of `among` above or below it, as long as the least common prefix of neighbours on the way there.
    Sources: Manber and Myers 1993; Kasai et al. 2001; Fischer and Kurpicz 2017 (divsufsort).
    """
    both = sentences + among
    mine = len(sentences.words) + len(sentences)  # places of the text that are theirs who ask
    if not len(sentences.words) or not len(among.words):
        return np.zeros(len(sentences.words), dtype=np.int64)
    words = ranked(both.words)[0] + 1
    text = np.insert(words.astype(np.uint16 if int(words.max()) < 2**16 else np.uint32), both.lengths.cumsum(), 0)
    del words
    order = pydivsufsort.divsufsort(text)
    common = pydivsufsort.kasai(text, order)[len(both) :]  # with the next suffix; first come those of no word
    order = order[len(both) :]
    theirs = order >= mine
    found = np.zeros(mine, dtype=np.int64)
    for way, step in ((slice(None), np.append(0, common[:-1])), (slice(None, None, -1), common[::-1])):
        least = _least_since(theirs[way], step)
        asks = ~theirs[way]
        at = order[way][asks]
        found[at] = np.maximum(found[at], least[asks])
    place = np.arange(len(sentences.words)) + sentences.sentence
    left = np.repeat(sentences.lengths.cumsum(), sentences.lengths) - np.arange(len(sentences.words))
    return np.minimum(found[place], left)


def _least_since(marked: Bool[ndarray, " t"], step: Int[ndarray, " t"]) -> Int[ndarray, " t"]:
    """At each place the least step after the last mark, that place's own included; 0 before the first mark."""
    since = marked.cumsum()
    lift = since * (int(step.max(initial=0)) + 1)  # makes all of a stretch less than what came before
    least = np.minimum.accumulate(np.where(marked, step.max(initial=0), step) - lift) + lift
    return np.where(since > 0, least, 0)
