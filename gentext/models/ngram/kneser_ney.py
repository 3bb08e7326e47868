"""Counts of interpolated modified Kneser-Ney: every distinct n-gram of a text, its adjusted count, and the discounts.

The text is one array in which BOS opens every sentence. An n-gram goes by its number: those of one order are sorted by
(the number of their first tokens, the last token), so that the successors of a context lie side by side.
Sources: Chen and Goodman 1998, section 3 and equation 26; Heafield et al. 2013, whose lmplz is matched to the digit.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.data.ngram_arrays import sort
from gentext.models.ngram.smoothing import Smoothing
from gentext.types import BOS, EOS

log = logging.getLogger("gentext")
CHUNK = 2**18  # occurrences sorted at once: bounds the working memory to some tens of MiB
FALLBACK = (0.5, 1.0, 1.5)  # as lmplz --discount_fallback


@dataclass(frozen=True)
class Counts:
    """The n-grams of one order: the successors of context c lie at starts[c]:starts[c + 1]."""

    starts: Int[Tensor, " p"]  # one per context, one for a context that is absent, and the end
    words: Int[Tensor, " n"]  # the last token of each n-gram
    counts: Int[Tensor, " n"]  # its adjusted count
    totals: Int[Tensor, " z"]  # the adjusted counts of a context's successors, pruned ones included; 0 for the absent


@dataclass(frozen=True)
class _Seen:
    """All n-grams of one order as they occur."""

    contexts: int  # how many n-grams there are of the order below
    parents: Tensor  # the number of the first k-1 tokens
    words: Tensor  # the last token
    raw: Tensor  # occurrences
    opening: int  # the first so many begin with BOS


def thresholds(prune: Sequence[int], order: int) -> tuple[int, ...]:
    """A threshold for each order, the last one repeated. Raises: ValueError where they are none."""
    given = tuple(prune) or (0,)
    advice = "give for example prune=[0,0,1], which drops n-grams of order 3 and above that occur once"
    if any(not isinstance(threshold, int) or threshold < 0 for threshold in given):
        raise ValueError(f"prune is {list(given)}; thresholds are whole numbers, 0 or more: {advice}")
    if given[0] != 0 or any(low > high for low, high in pairwise(given)):
        raise ValueError(f"prune is {list(given)}; it begins with 0 and never falls from order to order: {advice}")
    if len(given) > order:
        raise ValueError(f"prune is {list(given)}, more thresholds than the {order} orders of the model: {advice}")
    return given + given[-1:] * (order - len(given))


def estimate(
    text: Int[Tensor, " n"], vocab_size: int, order: int, prune: tuple[int, ...], smoothing: Smoothing
) -> tuple[list[Counts], Float[Tensor, "k d"]]:
    """The counts of orders 1 to `order`, adjusted or as they are, and the discounts of each: D1, D2, D3+.

    prune: a threshold per order; an n-gram that occurs no more often is left out (order 1 never is). As in lmplz its
    count still shapes the discounts, and its mass goes to the back-off.
    """
    seen, contexts = _words(text, vocab_size), torch.ones(1, dtype=torch.bool)
    places = positions(text, seen.raw)
    final = _final(text, places, seen.raw, order)
    text = rank = torch.cat([text, text.new_tensor([BOS])])  # so that a token follows every n-gram
    levels, discounts = [], []
    for k in range(1, order + 1):
        longer, adjusted, last = seen, seen.raw, int(rank[final + 1 - k]) if k <= min(final + 1, order - 1) else -1
        if k < order:
            longer, places, rank, preceding = _extend(text, places, rank, seen, k, vocab_size, k + 1 == order)
            release()
            if smoothing.adjusts:
                adjusted = preceding
                adjusted[: seen.opening] = seen.raw[: seen.opening]  # nothing stands to the left of BOS
        if k == 1:
            adjusted = adjusted.index_fill(0, torch.tensor([BOS]), 0)  # BOS is given, never predicted
        own = _discounts(_tally(adjusted, seen.raw, last), k) if smoothing.adjusts else smoothing.discounts(adjusted, k)
        discounts.append(own)
        kept = seen.raw > prune[k - 1] if k > 1 else torch.ones_like(seen.raw, dtype=torch.bool)
        levels.append(_prune(seen, adjusted, contexts, kept))
        seen, contexts = longer, kept
        del longer, adjusted, kept  # nothing of an order outlives it but its counts: the peak is that of one order
    return levels, torch.tensor(discounts, dtype=torch.float64)


def release() -> None:
    """Give freed memory back to the system, which the C library would rather keep in pieces for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc has it
        trim(0)


def nothing(vocab_size: int, order: int) -> list[Counts]:
    """What orders 1 to `order` hold before anything was counted: every token has a number, and no longer n-gram."""
    words, contexts, levels = torch.arange(vocab_size, dtype=torch.int32), 1, []
    for _ in range(order):
        starts = torch.full((contexts + 2,), len(words), dtype=torch.int32)
        starts[0] = 0
        levels.append(Counts(starts, words, torch.zeros_like(words), torch.zeros(contexts + 1, dtype=torch.int32)))
        words, contexts = words[:0].clone(), len(words)
    return levels


def _words(text: Tensor, vocab_size: int) -> _Seen:
    """Order 1: a token is its own number, seen or not; the only context is the empty one."""
    words = torch.arange(vocab_size, dtype=torch.int32)
    nothing = torch.zeros_like(words)
    return _Seen(1, nothing, words, torch.bincount(text, minlength=vocab_size).int(), opening=BOS + 1)


def positions(text: Int[Tensor, " n"], raw: Int[Tensor, " v"]) -> Int[Tensor, " n"]:
    """Where each number occurs, number by number: a counting sort, a chunk at a time.

    Args:
        text: numbers from 0 to v - 1.
        raw: how often each occurs.
    """
    found, free = torch.empty_like(text, dtype=torch.int32), raw.cumsum(0) - raw
    for begin in range(0, len(text), CHUNK):
        token, order = text[begin : begin + CHUNK].sort(stable=True)
        many = torch.bincount(token, minlength=len(raw))
        before = torch.arange(len(token), device=text.device) - (many.cumsum(0) - many).index_select(0, token.int())
        found[free.index_select(0, token.int()) + before] = (order + begin).int()
        free += many
    return found


def _final(text: Tensor, positions: Tensor, raw: Tensor, order: int) -> int:
    """Where the n-gram ends that lmplz meets last: the greatest read backwards, tokens in order of first appearance.

    lmplz takes it, alone, into the discounts of the lower orders at its raw count, and not at its adjusted count
    (the last lines of its AdjustCounts). Kept, so that discounts agree to all digits.
    """
    first = positions.index_select(0, (raw.cumsum(0) - raw).clamp_max(len(text) - 1))
    age = torch.where(raw > 0, first, -3)
    age[BOS], age[EOS] = -2, -1  # lowest of all that is seen
    ends = (text == age.argmax()).nonzero()[:, 0]
    at = ends
    for _ in range(order - 1):
        at = torch.where(text[at] == BOS, at, at - 1)
        ages = age[text[at].long()]
        at, ends = at[ages == ages.max()], ends[ages == ages.max()]
    return int(ends[0])


def _extend(
    text: Tensor, positions: Tensor, rank: Tensor, seen: _Seen, length: int, vocab_size: int, last: bool
) -> tuple[_Seen, Tensor, Tensor, Tensor]:
    """The n-grams one token longer than `seen`, where they begin in order of number, and the number at each position.

    `positions` and `rank` say the same of `seen`, whose n-grams have `length` tokens; `positions` is overwritten. Of
    the last order nobody asks for them, and they are empty. Beside them how many different tokens stand before each
    n-gram of `seen`.
    """
    ends = torch.nn.functional.pad(seen.raw.cumsum(0, dtype=torch.int32), (1, 0))
    cuts = torch.searchsorted(ends, torch.arange(0, len(positions), CHUNK, dtype=torch.int32)).tolist()
    numbers = torch.full_like(text[:0] if last else text, -1, dtype=torch.int32)
    preceding = torch.zeros_like(seen.raw)
    columns: list[list[Tensor]] = [[], [], []]
    found, written = 0, 0
    for begin, end in pairwise(ends[[0, *cuts, len(seen.raw)]].tolist()):  # n-gram g: positions[ends[g]:ends[g + 1]]
        at = positions[begin:end]
        word = text.index_select(0, at + length)
        inside = (word != BOS).nonzero()[:, 0]  # an n-gram ends with its sentence
        at, word = at.index_select(0, inside), word.index_select(0, inside)
        key, index = _sorted(rank.index_select(0, at).long() * vocab_size + word)
        at = at.index_select(0, index)
        key, number, raw = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
        suffixes = rank.index_select(0, at.index_select(0, raw.cumsum(0) - raw) + 1).int()
        preceding.index_add_(0, suffixes, torch.ones_like(suffixes))
        for column, values in zip(columns, (key // vocab_size, key % vocab_size, raw), strict=True):
            column.append(values.int())
        if not last:
            numbers[at.long()] = (number + found).int()
            positions[written : written + len(at)] = at
        found, written = found + len(key), written + len(at)
    parents, words, raw = (torch.cat(columns.pop(0)) for _ in range(3))  # each part is freed once it is joined
    opening = int(torch.searchsorted(parents, seen.opening))
    rest = positions[: 0 if last else written]
    return _Seen(len(seen.words), parents, words, raw, opening), rest, numbers, preceding


def _sorted(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Keys in ascending order, and where each stood."""
    if not len(keys):
        return keys, keys
    above, order = sort(keys.numpy())
    return torch.from_numpy(above.view(np.int64)) + keys.min(), torch.from_numpy(order)


def _prune(seen: _Seen, adjusted: Tensor, contexts: Tensor, kept: Tensor) -> Counts:
    """The kept n-grams under the kept contexts, which are numbered anew; a kept n-gram's context is always kept."""
    totals = torch.zeros(seen.contexts + 1, dtype=torch.int32).index_add_(0, seen.parents, adjusted)
    parents, words = seen.parents, seen.words
    if not bool(kept.all()):  # seldom: else nothing is copied
        parents, words, adjusted = parents[kept], words[kept], adjusted[kept]
    starts = torch.zeros(seen.contexts + 2, dtype=torch.int32)
    starts[1:-1].index_add_(0, parents, torch.ones(1, dtype=torch.int32).expand(len(parents)))
    if not bool(contexts.all()):
        there = torch.nn.functional.pad(contexts, (0, 1), value=True)  # and that which is absent
        totals, starts = totals[there], torch.cat([starts[:1], starts[1:][there]])
    starts.cumsum_(0)
    return Counts(starts, words, narrowed(adjusted), narrowed(totals))


def narrowed(counts: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The counts in two bytes each where that is enough, as it is of all but the shortest n-grams."""
    return counts.short() if int(counts.max() if len(counts) else 0) < 2**15 else counts


def _tally(adjusted: Tensor, raw: Tensor, last: int) -> list[int]:
    """How many n-grams have the adjusted counts 0, 1, 2, 3, 4, and 5 or more; `last` counts as often as it occurs."""
    tally = torch.bincount(adjusted.clamp_max(5), minlength=6)
    if last >= 0:
        tally[adjusted[last].clamp_max(5)] -= 1
        tally[raw[last].clamp_max(5)] += 1
    return tally.tolist()


def _discounts(n: list[int], k: int) -> tuple[float, ...]:
    """D1, D2 and D3+ by the closed form where the tally `n` of order k allows it, else the fallback.

    Differs: from lmplz, which accepts a discount of exactly 0; a context could then leave nothing to unseen tokens.
    """
    if all(n[1:4]):
        y = n[1] / (n[1] + 2 * n[2])
        discounts = tuple(j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3))
        if all(0 < discount <= j for j, discount in enumerate(discounts, 1)):
            return discounts
    log.warning(
        "n-grams of order %d are too few or too regular to estimate discounts (%d, %d, %d and %d of them have the "
        "adjusted counts 1, 2, 3 and 4): the fallback discounts %s, %s and %s are used",
        *(k, *n[1:5], *FALLBACK),
    )
    return FALLBACK
