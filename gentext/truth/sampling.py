"""Sentences drawn from a grammar, all expanded at once, level by level."""

from __future__ import annotations

import numpy as np
import torch

from gentext.truth.binarised import ranges
from gentext.truth.pcfg import PCFG

_CHUNK = 1 << 13  # sentences expanded together: bounds the memory


class Expander:
    """Draws independent sentences of a grammar, as texts."""

    def __init__(self, rules: PCFG) -> None:
        self._k = len(rules.nonterminals)
        self._words = np.array(rules.words, dtype=object)
        sizes = np.array([len(rhs) for rhs in rules.rhs])
        self._sizes = sizes
        self._first = np.cumsum(sizes) - sizes
        self._rhs = np.concatenate([np.array(rhs, dtype=np.int64) for rhs in rules.rhs])
        # the rules of symbol a share the stretch from a to a + 1, so that one search over all bounds finds the rule
        groups = np.split(rules.prob, np.flatnonzero(np.diff(rules.lhs)) + 1)
        self._bounds = np.concatenate([a + np.append(np.cumsum(group)[:-1], 1.0) for a, group in enumerate(groups)])

    def draw(self, n: int, rng: torch.Generator) -> list[str]:
        """`n` sentences, words with one space between."""
        return [text for at in range(0, n, _CHUNK) for text in self._chunk(min(_CHUNK, n - at), rng)]

    def _chunk(self, n: int, rng: torch.Generator) -> list[str]:
        symbols = np.zeros(n, dtype=np.int64)
        owner = np.arange(n)
        while len(at := np.flatnonzero(symbols < self._k)):
            spin = torch.rand(len(at), generator=rng, dtype=torch.float64).numpy()
            point = np.minimum(symbols[at] + spin, np.nextafter(symbols[at] + 1.0, 0.0))  # never rounds up to the next
            rule = np.searchsorted(self._bounds, point, side="right")
            sizes = np.ones(len(symbols), dtype=np.int64)
            sizes[at] = self._sizes[rule]
            pool = np.concatenate([self._rhs, symbols])
            first = len(self._rhs) + np.arange(len(symbols))
            first[at] = self._first[rule]
            index, which = ranges(first, sizes)
            symbols, owner = pool[index], owner[which]
        words = self._words[symbols - self._k].tolist()
        ends = np.cumsum(np.bincount(owner, minlength=n)).tolist()
        return [" ".join(words[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
