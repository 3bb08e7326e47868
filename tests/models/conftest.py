"""Tiny texts of nine tokens, and n-grams fitted to them."""

from __future__ import annotations

import random

import pytest
import torch

from gentext.models.ngram.model import NGram
from gentext.types import EOS, Batch, pad

V = 9


@pytest.fixture(scope="session")
def texts():
    """`n` rows of ids below 9, drawn with a few tokens common and the others rare, without EOS."""

    def draw(seed: int, n: int, longest: int = 12) -> list[list[int]]:
        rng = random.Random(seed)
        weights = [rng.random() ** 3 + 0.01 for _ in range(4, V)]
        return [rng.choices(range(4, V), weights, k=rng.randint(0, longest)) for _ in range(n)]

    return draw


@pytest.fixture(scope="session")
def fitted():
    """An n-gram fitted to rows, three at a time."""

    def fit(rows: list[list[int]], v: int = V, **settings) -> NGram:
        family = NGram(v, **settings)
        for i in range(0, len(rows), 3):
            family.accumulate(pad([[*row, EOS] for row in rows[i : i + 3]]))
        family.maximize()
        return family

    return fit


@pytest.fixture(scope="session")
def windows():
    """A stream of tokens as windows of one row."""

    def cut(tokens: list[int], length: int) -> list[Batch]:
        parts = [torch.tensor([tokens[i : i + length]]) for i in range(0, len(tokens), length)]
        return [Batch(part, torch.ones_like(part, dtype=torch.bool), carry=i > 0) for i, part in enumerate(parts)]

    return cut
