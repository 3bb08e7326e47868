"""The arithmetic of BLEU: clipped matches of many hypotheses against many references at once, lengths, scores.

Source: Papineni et al. 2002, section 2; smoothing: Chen and Cherry 2014, method 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gentext.data.ngram_arrays import Sentences, Units, unigrams

SMOOTHINGS = ("method1", "floor", "method0", "skip")
EPSILON = 0.1


@dataclass(frozen=True)
class Overlap:
    """Sentences with those of their n-grams that more than one of them holds, order by order."""

    lengths: Int[ndarray, " n"]
    orders: tuple[Units, ...]

    def bleu(
        self,
        hypotheses: Bool[ndarray, " n"],
        references: Bool[ndarray, " n"],
        smoothing: str,
        leave_one_out: bool = False,
    ) -> Float[ndarray, "k p"]:
        """BLEU-1..k of every hypothesis against all references; with leave_one_out, against all but itself."""
        at = np.flatnonzero(hypotheses)
        own = references & leave_one_out  # such a sentence is among the holders of each of its own n-grams
        matches = np.zeros((len(self.orders), len(at)), dtype=np.int64)
        for row, units in zip(matches, self.orders, strict=True):
            holders = np.bincount(units.unit[references[units.sentence]], minlength=units.size)
            some = np.minimum(holders, 2).astype(np.uint8)  # none, one or more: small enough to stay in the cache
            found = some[units.unit] > own[units.sentence]
            row[:] = np.bincount(units.sentence[found], minlength=len(own))[at]
        closest = closest_lengths(self.lengths[at], self.lengths[references], own[at])
        return scores(matches, self.lengths[at], closest, smoothing)


def overlap(sentences: Sentences, largest: int, sides: Bool[ndarray, "n 2"] | None = None) -> Overlap:
    """The n-grams that could match: those in two sentences at least; with `sides`, in one of each side at least.

    An n-gram can match only where both its parts do, so that each order looks at what the one before has left.
    """
    grams = unigrams(sentences)
    orders = []
    for order in range(1, largest + 1):
        units = grams.units()
        first = units.unit == grams.rank
        if sides is None:
            shared = np.bincount(grams.rank[first], minlength=grams.size) > 1
        else:
            held = [np.bincount(grams.rank[side[grams.sentence]], minlength=grams.size) > 0 for side in sides.T]
            shared = held[0] & held[1]
        keep = shared[grams.rank]
        orders.append(_numbered_anew(Units(units.unit[keep], units.sentence[keep], units.size)))
        if order < largest:
            grams = grams.longer(keep)
    return Overlap(sentences.lengths, tuple(orders))


def _numbered_anew(units: Units) -> Units:
    """The units by numbers without gaps: most n-grams occur once, and counts by unit shall stay in the cache."""
    there = np.zeros(units.size, dtype=bool)
    there[units.unit] = True
    numbers = np.cumsum(there) - 1
    return Units(numbers[units.unit], units.sentence, int(there.sum()))


def closest_lengths(
    hypotheses: Int[ndarray, " n"], references: Int[ndarray, " k"], own: Bool[ndarray, " n"]
) -> Int[ndarray, " n"]:
    """Of each hypothesis the reference length closest to its own, the shorter of two; its own text left out.

    `own` says which hypotheses stand among the references. At least one other reference must be left to each.
    """
    lengths, counts = np.unique(references, return_counts=True)
    at = np.searchsorted(lengths, hypotheses)
    last = len(lengths) - 1
    here = np.minimum(at, last)
    exact = (lengths[here] == hypotheses) & (counts[here] > own)
    below = lengths[np.maximum(at - 1, 0)]
    up = np.where(own, at + 1, at)  # the length at `at` is then the hypothesis's own, and nobody else's
    above = lengths[np.minimum(up, last)]
    take_below = (at > 0) & ((up > last) | (hypotheses - below <= above - hypotheses))
    return np.where(exact, hypotheses, np.where(take_below, below, above))


def scores(
    matches: Int[ndarray, "k n"], lengths: Int[ndarray, " n"], closest: Int[ndarray, " n"], smoothing: str
) -> Float[ndarray, "k n"]:
    """BLEU-1..k: brevity penalty times the geometric mean of the precisions, zero without a matching word.

    method1 puts 0.1 for a match count of zero (NLTK); floor does so for words too (TaylorGAN); method0 puts the
    smallest float for a precision of zero (NLTK since 3.3); skip leaves such an order out of the sum (NLTK before).
    """
    places = np.maximum(lengths - np.arange(len(matches))[:, None], 1)
    found = matches > 0
    precision = np.where(found, matches, EPSILON) / places
    if smoothing == "method0":
        precision = np.where(found, precision, np.finfo(float).tiny)
    elif smoothing == "skip":
        precision = np.where(found, precision, 1.0)
    mean = np.log(precision).cumsum(0) / np.arange(1, len(matches) + 1)[:, None]
    penalty = np.exp(np.minimum(0.0, 1 - closest / np.maximum(lengths, 1)))
    bleu = penalty * np.exp(mean)
    return bleu * (lengths > 0) if smoothing == "floor" else bleu * found[0]
