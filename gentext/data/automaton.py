"""Conditions on a text as one automaton: it reads the text token by token and knows whether all of them hold."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gentext.types import ANY, GAP, RESERVED, UNK

MOST = 20_000  # places of an automaton
FAR = 2**31  # tokens: no text fits

PARTS = re.compile(r"[()|*+?]|(?:(?![()|*+?])\S)+")  # of an expression
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


def automaton(patterns: Sequence[Pattern], forbidden: Sequence[Pattern] = ()) -> Automaton:
    """The automaton of the texts that fit every pattern, and of which no beginning fits a forbidden one.

    A pattern is a list of tokens, `ANY` (one token) and `GAP` (any number of them), or an `Expression`.
    Raises ValueError where it would be too large. Source: Rabin and Scott 1959 (subsets of places, and pairs of them).
    Differs: of the places in a list, those before the last gap reached are dropped; all that fits from there fits
    from the gap, which keeps the subsets few.
    """
    wanted, banned = ([_matcher(pattern) for pattern in given] for given in (patterns, forbidden))
    matchers = [*wanted, *banned]
    words = sorted({word for matcher in matchers for word in matcher.words})
    begin = tuple(matcher.begin for matcher in matchers)
    numbers, waiting, moves = {begin: 0}, [begin], []
    for places in waiting:  # grows as it is read
        row = []
        for word in (None, *words):
            after = tuple(matcher.read(at, word) for matcher, at in zip(matchers, places, strict=True))
            found = any(matcher.fits(at) for matcher, at in zip(banned, after[len(wanted) :], strict=True))
            if found or not all(after[: len(wanted)]):
                row.append(-1)
                continue
            if after not in numbers:
                numbers[after] = len(numbers)
                waiting.append(after)
            row.append(numbers[after])
        moves.append(row)
        if len(numbers) > MOST:
            raise ValueError(f"the conditions make more than {MOST:,} cases together; give fewer words to contain")
    final = [all(matcher.fits(at) for matcher, at in zip(wanted, places, strict=False)) for places in waiting]
    table = torch.tensor([*moves, [-1] * (len(words) + 1)])
    return Automaton(
        torch.tensor(words, dtype=torch.long), table.where(table >= 0, len(waiting)), torch.tensor([*final, False])
    )


def distances(machine: Automaton) -> Int[Tensor, " q"]:
    """The tokens of the shortest rest, EOS included, from each place; `FAR` where none fits."""
    found = torch.where(machine.final, 1, FAR)
    while True:
        nearer = torch.minimum(found, found[machine.moves].amin(1) + 1).clamp(max=FAR)
        if torch.equal(nearer, found):
            return found
        found = nearer


def no_text(machine: Automaton, max_len: int) -> ValueError:
    """Why no text of at most `max_len` tokens, EOS included, fits."""
    least = int(distances(machine)[0])
    if least == FAR:
        return ValueError("no text can meet all the conditions: they contradict each other; give fewer")
    return ValueError(
        f"the conditions need a text of {least - 1} tokens or more, and max_len allows {max_len - 1}; "
        "give fewer words or a smaller length"
    )


class _Matcher(ABC):
    """A nondeterministic automaton of one pattern."""

    words: set[int]  # that it tells apart
    begin: Places

    @abstractmethod
    def read(self, places: Places, word: int | None) -> Places:
        """Where a text may stand after one more token (None: a word that no pattern names)."""

    @abstractmethod
    def fits(self, places: Places) -> bool:
        """Whether a text that ends here fits."""


def _matcher(pattern: Pattern) -> _Matcher:
    return pattern if isinstance(pattern, Expression) else _Listed(pattern)


class _Listed(_Matcher):
    """A list of tokens, `ANY` and `GAP`; a place is how many of them are read."""

    def __init__(self, pattern: Sequence[int]) -> None:
        self.pattern, self.words = pattern, {item for item in pattern if item >= 0}
        self.begin = self._closed({0})

    def read(self, places: Places, word: int | None) -> Places:
        after = set()
        for place in places:
            if place < len(self.pattern):
                item = self.pattern[place]
                if item == GAP:
                    after.add(place)
                elif item in (ANY, word):
                    after.add(place + 1)
        return self._closed(after)

    def fits(self, places: Places) -> bool:
        return len(self.pattern) in places

    def _closed(self, places: set[int]) -> Places:
        """With the places behind the gaps, and without those before the last gap."""
        gaps, places = [], set(places)
        for place in range(len(self.pattern)):
            if place in places and self.pattern[place] == GAP:
                places.add(place + 1)
                gaps.append(place)
        return frozenset(place for place in places if not gaps or place >= gaps[-1])


class Expression(_Matcher):
    """A regular expression over words, such as `a (man|woman) ___* dog+ .` of captions.

    Its parts are words, `___` for any one, and the signs ( ) | * + ? of regular expressions, each for the word or the
    group before it; what stands side by side follows one on the other.

    Args:
        text: the expression.
        encode: the ids of a word.

    Source: Thompson 1968. Raises: ValueError where it cannot be read.

    Example:
        >>> ids = {"a": 4, "man": 5, "dog": 6}
        >>> machine = automaton([Expression("a (man|dog)+", lambda word: [ids[word]])])
        >>> places = torch.zeros(1, dtype=torch.long)
        >>> for token in (4, 6, 5):
        ...     places = machine.read(places, torch.tensor([token]))
        >>> bool(machine.final[places])
        True
    """

    def __init__(self, text: str, encode: Callable[[str], Sequence[int]]) -> None:
        self._text, self._encode = text, encode
        self._parts = PARTS.findall(text)
        self._at = 0
        self._edges: list[tuple[int, int | None, int]] = []  # from, what is read (None: nothing), to
        self._places = 0
        first, self._last = self._either()
        if self._at < len(self._parts):
            raise self._wrong(f"{self._parts[self._at]!r} closes no group")
        self.words = {item for _, item, _ in self._edges if item is not None and item >= 0}
        self.begin = self._closed({first})

    def read(self, places: Places, word: int | None) -> Places:
        """The places after a token."""
        steps = (to for at, item, to in self._edges if at in places and item is not None and item in (ANY, word))
        return self._closed(set(steps))

    def fits(self, places: Places) -> bool:
        """Whether a text that ends in one of these places fits."""
        return self._last in places

    def _closed(self, places: set[int]) -> Places:
        waiting = list(places)
        while waiting:
            at = waiting.pop()
            free = {to for start, item, to in self._edges if start == at and item is None} - places
            places |= free
            waiting += free
        return frozenset(places)

    def _either(self) -> tuple[int, int]:
        first, last = self._place(), self._place()
        while True:
            start, end = self._sequence()
            self._edges += [(first, None, start), (end, None, last)]
            if self._next() != "|":
                return first, last
            self._at += 1

    def _sequence(self) -> tuple[int, int]:
        first = last = self._place()
        while self._next() not in (None, "|", ")"):
            start, end = self._repeated()
            self._edges.append((last, None, start))
            last = end
        return first, last

    def _repeated(self) -> tuple[int, int]:
        start, end = self._one()
        while (sign := self._next()) in ("*", "+", "?"):
            self._at += 1
            first, last = self._place(), self._place()
            self._edges += [(first, None, start), (end, None, last)]
            if sign != "+":
                self._edges.append((first, None, last))
            if sign != "?":
                self._edges.append((end, None, start))
            start, end = first, last
        return start, end

    def _one(self) -> tuple[int, int]:
        part = self._parts[self._at]
        self._at += 1
        if part == "(":
            inside = self._either()
            if self._next() != ")":
                raise self._wrong("a group is not closed")
            self._at += 1
            return inside
        if part in ("*", "+", "?"):
            raise self._wrong(f"{part!r} follows on nothing that it could repeat")
        first = at = self._place()
        for item in [ANY] if part == "___" else self._encode(part):
            to = self._place()
            self._edges.append((at, item, to))
            at = to
        return first, at

    def _next(self) -> str | None:
        return self._parts[self._at] if self._at < len(self._parts) else None

    def _place(self) -> int:
        self._places += 1
        return self._places - 1

    def _wrong(self, why: str) -> ValueError:
        return ValueError(f"the expression {self._text!r} cannot be read: {why}")


Pattern = Sequence[int] | Expression
