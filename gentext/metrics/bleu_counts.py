"""The arithmetic of BLEU: clipped matches of many hypotheses against many references at once, lengths, scores.

Source: Papineni et al. 2002, section 2; smoothing: Chen and Cherry 2014, method 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Integer
from numpy import ndarray

from gentext.data.ngram_arrays import Sentences
from gentext.data.shared_ngrams import Groups, sentence_of_place, shared_ngrams, starts, units_of

SMOOTHINGS = ("method1", "floor", "method0", "skip")
EPSILON = 0.1
BLOCK = 1 << 15  # sentences that are scored at a time, in arrays that stay in the cache


def overlap(sentences: Sentences, largest: int, sides: Bool[ndarray, "n 2"] | None = None) -> Overlap:
    """The n-grams that could match: those in two sentences at least; with `sides`, in one of each side at least."""
    sentence = sentence_of_place(sentences)
    found = shared_ngrams(sentences, largest, sides)
    return Overlap(sentences.lengths, tuple(units_of(ngrams, sentence) for ngrams in found))


@dataclass(frozen=True)
class Overlap:
    """Sentences with those of their n-grams that more than one of them holds, order by order."""

    lengths: Int[ndarray, " n"]
    orders: tuple[Groups, ...]  # of each unit, the sentences that hold it

    def bleu(
        self,
        hypotheses: Bool[ndarray, " n"],
        references: Bool[ndarray, " n"],
        smoothing: str,
        leave_one_out: bool = False,
    ) -> Float[ndarray, "k p"]:
        """BLEU-1..k of every hypothesis against all references; with leave_one_out, against all but itself."""
        own = references & leave_one_out
        closest = closest_lengths(self._counts(references, np.zeros_like(self.lengths), 1)[0])
        return self._scores(hypotheses, own, self._matches(references, own), closest, smoothing)

    def bleu_without(
        self,
        group: Int[ndarray, " n"],
        hypotheses: Bool[ndarray, " n"],
        references: Bool[ndarray, " n"],
        smoothing: str,
        leave_one_out: bool = False,
    ) -> tuple[Float[ndarray, "k p"], Float[ndarray, "g k"]]:
        """The same, and its means without each group of sentences in turn, hypotheses and references alike.

        Without a group an n-gram matches no longer only where all others that hold it are of that group. Such matches
        are looked for once, and the sentences that have some are scored anew. NaN where no hypothesis is left.
        """
        groups = int(group.max()) + 1
        own = references & leave_one_out
        matches, counts = self._matches(references, own), self._counts(references, group, groups)
        closest = closest_lengths(counts.sum(0))
        without = np.stack([closest_lengths(counts.sum(0) - each) for each in counts])
        values = self._scores(hypotheses, own, matches, closest, smoothing)

        of = group[hypotheses]
        sums = values.sum(1) - np.stack([np.bincount(of, row, groups) for row in values], 1)
        column = np.cumsum(hypotheses) - 1
        changed = [*self._farther(hypotheses, own, group, closest, without)]
        changed += [*self._unmatched(hypotheses, references, own, group)]
        for left_out, sentence, fewer in self._by_pair(np.concatenate([np.zeros(0, np.int64), *changed])):
            lengths = self.lengths[sentence]
            near = without[left_out, own[sentence].astype(np.intp), lengths]
            anew = scores(matches[:, sentence] - fewer, lengths, near, smoothing)
            for order, change in enumerate(anew - values[:, column[sentence]]):
                sums[:, order] += np.bincount(left_out, change, groups)
        with np.errstate(divide="ignore", invalid="ignore"):
            return values, sums / (len(of) - np.bincount(of, minlength=groups))[:, None]

    def _counts(self, references: Bool[ndarray, " n"], group: Int[ndarray, " n"], groups: int) -> Int[ndarray, "g w"]:
        """How many references of each group have each length."""
        width = int(self.lengths.max(initial=0)) + 1
        cell = group[references] * width + self.lengths[references]
        return np.bincount(cell, minlength=groups * width).reshape(groups, width)

    def _matches(self, references: Bool[ndarray, " n"], own: Bool[ndarray, " n"]) -> Integer[ndarray, "k n"]:
        """How many units of each sentence a reference holds; where it is `own`, another reference."""
        longest = self.lengths.max(initial=0)
        matches = np.zeros((len(self.orders), len(own)), dtype=np.min_scalar_type(longest))
        for row, units in zip(matches, self.orders, strict=True):
            for part in units.parts():
                member = part.member.astype(np.intp)  # for this type np.add.at is fast
                holders = np.add.reduceat(references[member], part.begin, dtype=np.int32)
                found = np.repeat(holders, part.count) > own[member]
                np.add.at(row, member[found], row.dtype.type(1))
        return matches

    def _scores(
        self,
        hypotheses: Bool[ndarray, " n"],
        own: Bool[ndarray, " n"],
        matches: Integer[ndarray, "k n"],
        closest: Int[ndarray, "2 w"],
        smoothing: str,
    ) -> Float[ndarray, "k p"]:
        at = np.flatnonzero(hypotheses)
        values = np.empty((len(matches), len(at)))
        for begin in range(0, len(at), BLOCK):
            some = at[begin : begin + BLOCK]
            near = closest[own[some].astype(np.intp), self.lengths[some]]
            values[:, begin : begin + BLOCK] = scores(matches[:, some], self.lengths[some], near, smoothing)
        return values

    def _unmatched(
        self,
        hypotheses: Bool[ndarray, " n"],
        references: Bool[ndarray, " n"],
        own: Bool[ndarray, " n"],
        group: Int[ndarray, " n"],
    ) -> Iterator[Int[ndarray, " s"]]:
        """The key of each match that a hypothesis loses without a group."""
        small = group.astype(np.min_scalar_type(group.max()))  # one byte each: they stay in the cache
        for order, units in enumerate(self.orders):
            for part in units.parts():
                if references.all():
                    part = _nearly_of_one(part, small)
                member, of = part.member, group[part.member]
                # of the other references that hold the unit: how many, and the sums of their groups and of the squares
                holds = references[member].astype(np.int64)
                many, total, squares = (
                    np.repeat(np.add.reduceat(each, part.begin), part.count)
                    for each in (holds, holds * of, holds * of**2)
                )
                alone = own[member]
                many, total, squares = many - alone, total - alone * of, squares - alone * of**2
                left_out = total // np.maximum(many, 1)
                one = (many > 0) & (left_out * many == total) & (left_out * total == squares)
                at = np.flatnonzero(one & (left_out != of) & hypotheses[member])
                yield self._key(left_out[at], member[at], order)

    def _farther(
        self,
        hypotheses: Bool[ndarray, " n"],
        own: Bool[ndarray, " n"],
        group: Int[ndarray, " n"],
        closest: Int[ndarray, "2 w"],
        without: Int[ndarray, "g 2 w"],
    ) -> Iterator[Int[ndarray, " s"]]:
        """The key of each hypothesis whose closest length is another without a group; of an order that there is not."""
        at = np.flatnonzero(hypotheses)
        cell = own[at] * closest.shape[1] + self.lengths[at]
        there = np.bincount(cell, minlength=closest.size) > 0
        for left_out, each in enumerate(without):
            other = there & (each != closest).ravel()
            if other.any():
                moved = at[other[cell] & (group[at] != left_out)]
                yield self._key(left_out, moved, len(self.orders))

    def _key(self, left_out: Int[ndarray, " s"] | int, sentence: Int[ndarray, " s"], order: int) -> Int[ndarray, " s"]:
        """A group, a hypothesis that changes without it, and the order of the match that it loses, as one number."""
        return (left_out * len(self.lengths) + sentence) * (len(self.orders) + 1) + order

    def _by_pair(
        self, key: Int[ndarray, " t"]
    ) -> Iterator[tuple[Int[ndarray, " p"], Int[ndarray, " p"], Int[ndarray, "k p"]]]:
        """Groups, hypotheses that change without them, and how many matches these lose by order; some at a time."""
        slots = len(self.orders) + 1
        pair, order = np.divmod(np.sort(key), slots)
        begin = starts(pair)
        cell = np.repeat(np.arange(len(begin)), np.diff(begin, append=len(pair))) * slots + order
        fewer = np.bincount(cell, minlength=len(begin) * slots).reshape(-1, slots)[:, :-1].T
        for first in range(0, len(begin), BLOCK):
            left_out, sentence = np.divmod(pair[begin[first : first + BLOCK]], len(self.lengths))
            yield left_out, sentence, fewer[:, first : first + BLOCK]


def _nearly_of_one(units: Groups, group: Integer[ndarray, " n"]) -> Groups:
    """Without most of those units whose sentences are of two groups and more even if one of them is left out.

    Where a single one is of another group than the rest, neighbours differ twice at most.
    """
    of = group[units.member]
    differ = np.zeros(len(of), dtype=np.int32)
    np.not_equal(of[1:], of[:-1], out=differ[1:], casting="unsafe")
    differ[units.begin] = 0
    few = np.add.reduceat(differ, units.begin) <= 2
    return Groups(units.member[np.repeat(few, units.count)], units.count[few])


def closest_lengths(counts: Int[ndarray, " w"]) -> Int[ndarray, "2 w"]:
    """The reference length closest to each length, the shorter of two; then that to a reference's own, itself left out.

    `counts`: how many references have each length.
    """
    length = np.arange(len(counts))
    far = 3 * len(counts)
    below = np.maximum.accumulate(np.where(counts > 0, length, -far))
    above = np.minimum.accumulate(np.where(counts > 0, length, far)[::-1])[::-1]
    below, above = np.append(-far, below[:-1]), np.append(above[1:], far)
    other = np.where(length - below <= above - length, below, above)
    return np.stack([np.where(counts > own, length, other) for own in (0, 1)])


def scores(
    matches: Integer[ndarray, "k n"], lengths: Int[ndarray, " n"], closest: Int[ndarray, " n"], smoothing: str
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
