"""Every path of hidden states of a tiny HMM, by enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from gentext.models.hmm.parameters import HMMParameters


def dense(tables: HMMParameters) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Initial, transition [s, s] and emission [v, s] probabilities without structure."""
    transition = tables.factors[0].exp()
    for factor in tables.factors[1:]:
        transition = transition @ factor.exp()
    emission = torch.zeros(len(tables.emission), tables.blocks, tables.per_block, dtype=torch.float64)
    emission[torch.arange(len(emission)), tables.block] = tables.emission.exp()
    return tables.initial.exp(), transition, emission.flatten(1)


def enumerate_paths(tables: HMMParameters, row: list[int]) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every path of hidden states of a row, with its joint probability."""
    initial, transition, emission = (table.tolist() for table in dense(tables))
    for path in itertools.product(range(len(initial)), repeat=len(row)):
        p = initial[path[0]] * emission[row[0]][path[0]]
        for a, b, word in zip(path, path[1:], row[1:], strict=False):
            p *= transition[a][b] * emission[word][b]
        if p:
            yield path, p
