"""The inside algorithm over many sentences at once, on charts that hold only what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gentext.truth.binarised import ChartTable, Closure, ranges
from gentext.truth.pcfg import PCFG

Rows = Sequence[Sequence[int]]  # sentences as numbers of words

_CELLS = 1 << 20  # spans in one chunk of sentences: bounds the memory


class Inside:
    """Exact log-probabilities of sentences, ambiguous derivations summed, and the expected uses of rules in them.

    Source: Lari and Young, The estimation of stochastic context-free grammars (1990).
    Differs: in log space; only constituents that exist are stored and joined, so the cost follows the number of
    constituents and not the number of symbols.
    """

    def __init__(self, rules: PCFG) -> None:
        self._closure = Closure(rules)

    def log_prob(self, rows: Rows) -> np.ndarray:
        """log p of each row in nats, float64 [n]; -inf where there is no derivation."""
        scores = np.full(len(rows), -np.inf)
        for index in _chunks(rows):
            scores[index] = _Chart(self._closure, [rows[i] for i in index]).log_prob
        return scores

    def rule_uses(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """log p of each row, and the expected uses of each rule [r] given the rows, summed over those accepted."""
        scores = np.full(len(rows), -np.inf)
        words, pairs = (np.zeros(len(table.head)) for table in (self._closure.words, self._closure.pairs))
        for index in _chunks(rows):
            chart = _Chart(self._closure, [rows[i] for i in index], trace=True)
            scores[index] = chart.log_prob
            chart.credit(words, pairs)
        return scores, self._closure.rule_uses(words, pairs)


def _chunks(rows: Rows) -> Iterator[np.ndarray]:
    """Indices of all rows, like lengths together, few enough at a time to bound the memory."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    chunk = np.cumsum(lengths[order] ** 2) // _CELLS
    yield from np.split(order, np.flatnonzero(np.diff(chunk)) + 1) if len(rows) else ()


class _Parts(NamedTuple):
    """Constituents of one width that can be left parts, or right parts, in the order of where they start."""

    start: np.ndarray
    symbol: np.ndarray
    value: np.ndarray  # log inside probability
    number: np.ndarray  # among all constituents of the chart
    first: np.ndarray  # those that start at x are first[x] up to first[x + 1]


class _Ways(NamedTuple):
    """Every way to make every constituent of one width."""

    entry: np.ndarray  # of the table of words or of pairs
    parent: np.ndarray  # number of what it makes
    share: np.ndarray  # log of its share of the parent's inside probability
    parts: tuple[np.ndarray, ...]  # numbers of the left and of the right part; none for words


class _Chart:
    """The constituents of several sentences, found width by width.

    Sentences lie one after the other with a gap between them, so that a place and a width name a span of one sentence.
    """

    def __init__(self, closure: Closure, rows: Rows, *, trace: bool = False) -> None:
        self._closure = closure
        self._lengths = np.array([len(row) for row in rows])
        self._sentence = np.cumsum(self._lengths + 1) - self._lengths - 1  # where each begins
        self._places = int(self._lengths.sum()) + len(rows)
        self._lefts: dict[int, _Parts] = {}
        self._rights: dict[int, _Parts] = {}
        self._size = 0
        self._ways: list[_Ways] | None = [] if trace else None
        self._root = np.full(len(rows), -1)  # number of the start symbol over the whole sentence
        self.log_prob = np.full(len(rows), -np.inf)
        self._read(rows)
        width = 2
        while self._lefts and self._rights and width <= min(max(self._lefts) + max(self._rights), self._lengths.max()):
            self._combine(width)
            width += 1

    def _read(self, rows: Rows) -> None:
        place, _ = ranges(self._sentence, self._lengths)
        words = np.fromiter((word for row in rows for word in row), dtype=np.int64, count=len(place))
        entry, which = self._closure.words.over(words)
        self._add(1, place[which], self._closure.words, entry, self._closure.words.weight[entry], ())

    def _combine(self, width: int) -> None:
        """Joins neighbours that are `width` wide together, at every place and for every cut at once."""
        found = []
        table = self._closure.pairs
        for near, left in self._lefts.items():
            if (right := self._rights.get(width - near)) is None:
                continue
            border = left.start + near
            j, i = ranges(right.first[border], right.first[border + 1] - right.first[border])
            pair = self._closure.pair[left.symbol[i], right.symbol[j]]
            fits = np.flatnonzero(pair >= 0)
            entry, which = table.over(pair[fits])
            i, j = i[fits[which]], j[fits[which]]
            value = left.value[i] + right.value[j] + table.weight[entry]
            found.append((left.start[i], entry, value, left.number[i], right.number[j]))
        if found:
            start, entry, value, *parts = (np.concatenate(column) for column in zip(*found, strict=True))
            self._add(width, start, table, entry, value, tuple(parts))

    def _add(
        self,
        width: int,
        start: np.ndarray,
        table: ChartTable,
        entry: np.ndarray,
        value: np.ndarray,
        parts: tuple[np.ndarray, ...],
    ) -> None:
        """Sums all ways to make one constituent, and files the constituents by what they can be part of."""
        if not len(start):
            return
        key = start * len(self._closure.pair) + table.head[entry]
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        fresh = np.concatenate([[True], key[1:] != key[:-1]])
        total = np.logaddexp.reduceat(value, np.flatnonzero(fresh))
        start, symbol = np.divmod(key[fresh], len(self._closure.pair))
        number = self._size + np.arange(len(total))
        self._size += len(total)
        if self._ways is not None:
            group = np.cumsum(fresh) - 1
            ways = _Ways(entry[order], number[group], value - total[group], tuple(part[order] for part in parts))
            self._ways.append(ways)
        for can, side in ((self._closure.is_left, self._lefts), (self._closure.is_right, self._rights)):
            chosen = np.flatnonzero(can[symbol])
            if len(chosen):
                first = np.concatenate([[0], np.cumsum(np.bincount(start[chosen], minlength=self._places))])
                side[width] = _Parts(start[chosen], symbol[chosen], total[chosen], number[chosen], first)
        self._finish(width, start, symbol, total, number)

    def _finish(self, width: int, start: np.ndarray, symbol: np.ndarray, value: np.ndarray, number: np.ndarray) -> None:
        """Notes the start symbol wherever it spans a whole sentence."""
        top = np.flatnonzero(symbol == 0)
        sentence = np.searchsorted(self._sentence, start[top], side="right") - 1
        whole = (self._sentence[sentence] == start[top]) & (self._lengths[sentence] == width)
        self.log_prob[sentence[whole]] = value[top[whole]]
        self._root[sentence[whole]] = number[top[whole]]

    def credit(self, words: np.ndarray, pairs: np.ndarray) -> None:
        """Adds the expected uses of each table's entries, given the sentences: from the roots down, share by share."""
        assert self._ways is not None, "a chart without trace"
        uses = np.zeros(self._size)
        uses[self._root[self._root >= 0]] = 1.0
        for ways in reversed(self._ways):
            flow = uses[ways.parent] * np.exp(ways.share)
            np.add.at(pairs if ways.parts else words, ways.entry, flow)
            for part in ways.parts:
                np.add.at(uses, part, flow)
