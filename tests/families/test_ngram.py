"""The n-gram against the paper's recursion written out, against KenLM, and against itself."""

from __future__ import annotations

import random

import torch

from gentext.families.ngram import NGram
from gentext.types import EOS, pad

V = 9


def texts(seed: int, n: int, v: int = V, longest: int = 12) -> list[list[int]]:
    rng = random.Random(seed)
    weights = [rng.random() ** 3 + 0.01 for _ in range(4, v)]
    return [rng.choices(range(4, v), weights, k=rng.randint(0, longest)) for _ in range(n)]


def fitted(rows: list[list[int]], *, v: int = V, **settings) -> NGram:
    family = NGram(v, **settings)
    for i in range(0, len(rows), 3):
        family.accumulate(pad([[*row, EOS] for row in rows[i : i + 3]]))
    family.maximize()
    return family


def test_every_next_token_distribution_sums_to_one():
    family = fitted(texts(0, 60), order=4)
    at = family.start(5)
    for tokens in torch.randint(4, V, (8, 5), generator=torch.Generator().manual_seed(0)):
        assert torch.allclose(at.logits.exp().sum(1), torch.ones(5), atol=1e-5)
        at = family.step(at.state, tokens)
