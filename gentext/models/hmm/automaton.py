"""Patterns of tokens, gaps and blanks as one automaton: it reads a text token by token and knows whether all fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gentext.types import ANY, GAP, RESERVED, UNK

MOST = 20_000  # places of an automaton

Places = frozenset[int]  # where in a pattern a text may stand


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton over tokens. It begins in place 0; in the last place nothing fits any more.

    It tells tokens apart as far as its patterns name them: kind 0 is every other word, kind i is `words[i - 1]`.
    """

    words: Int[Tensor, " c"]
    moves: Int[Tensor, "q c_and_1"]  # from a place, by the kind of the token that is read
    final: Bool[Tensor, " q"]  # where a text may end

    @property
    def dead(self) -> int:
        return len(self.moves) - 1

    def read(self, places: Int[Tensor, " n"], tokens: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The places after a token each. Nothing fits after EOS."""
        named = tokens[:, None] == self.words
        kind = torch.where(named.any(1), named.long().argmax(1) + 1, 0) if len(self.words) else torch.zeros_like(tokens)
        word = (tokens >= RESERVED) | (tokens == UNK)
        return torch.where(word, self.moves[places, kind], self.dead)


def automaton(patterns: Sequence[Sequence[int]]) -> Automaton:
    """The automaton of the texts that fit every pattern of tokens, `ANY` (one token) and `GAP` (any number of them).

    Raises ValueError where it would be too large. Source: Rabin and Scott 1959 (subsets of places, and pairs of them).
    Differs: of the places in a pattern, those before the last gap reached are dropped; all that fits from there fits
    from the gap, which keeps the subsets few.
    """
    words = sorted({item for pattern in patterns for item in pattern if item >= 0})
    begin = tuple(_closed(pattern, {0}) for pattern in patterns)
    numbers, waiting, moves = {begin: 0}, [begin], []
    for places in waiting:  # grows as it is read
        row = []
        for word in (None, *words):
            after = tuple(_read(pattern, at, word) for pattern, at in zip(patterns, places, strict=True))
            if not all(after):
                row.append(-1)
                continue
            if after not in numbers:
                numbers[after] = len(numbers)
                waiting.append(after)
            row.append(numbers[after])
        moves.append(row)
        if len(numbers) > MOST:
            raise ValueError(f"the conditions make more than {MOST:,} cases together; give fewer words to contain")
    final = [all(len(pattern) in at for pattern, at in zip(patterns, places, strict=True)) for places in waiting]
    table = torch.tensor([*moves, [-1] * (len(words) + 1)])
    return Automaton(
        torch.tensor(words, dtype=torch.long), table.where(table >= 0, len(waiting)), torch.tensor([*final, False])
    )


def shortest(machine: Automaton) -> int | None:
    """The tokens of the shortest text that fits, EOS included; None where none does."""
    reached, length = {0}, 1
    seen = set(reached)
    while reached:
        if machine.final[list(reached)].any():
            return length
        reached = set(machine.moves[list(reached)].flatten().tolist()) - seen
        seen |= reached
        length += 1
    return None


def _read(pattern: Sequence[int], places: Places, word: int | None) -> Places:
    """Where a text may stand after one more token (None: a word that no pattern names)."""
    after = set()
    for place in places:
        if place < len(pattern):
            item = pattern[place]
            if item == GAP:
                after.add(place)
            elif item in (ANY, word):
                after.add(place + 1)
    return _closed(pattern, after)


def _closed(pattern: Sequence[int], places: set[int]) -> Places:
    """With the places behind the gaps, and without those before the last gap."""
    gaps, places = [], set(places)
    for place in range(len(pattern)):
        if place in places and pattern[place] == GAP:
            places.add(place + 1)
            gaps.append(place)
    return frozenset(place for place in places if not gaps or place >= gaps[-1])
