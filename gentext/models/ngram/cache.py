"""A unigram history cache: what was said lately is likely to be said again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.types import PAD


@dataclass(frozen=True)
class UnigramCache:
    """A mixture of a model with the relative frequencies of the last `size` tokens of the same row.

    The model alone speaks while there is no history. `weight` is the share of the history, 0 for none.
    Source: Kuhn and De Mori 1990; Grave et al. 2017, section 2 (unigram cache).
    """

    weight: float
    size: int

    def start(self, n: int, device: torch.device) -> Int[Tensor, "n k"]:
        """An empty history for each of `n` rows: PAD, and the latest token last."""
        return torch.full((n, self.size), PAD, device=device)

    def read(self, history: Int[Tensor, "n k"], tokens: Int[Tensor, " n"]) -> Int[Tensor, "n k"]:
        """The histories after one token more."""
        return torch.cat([history, tokens[:, None]], 1)[:, 1:]

    def mix(self, log_p: Float[Tensor, "n v"], history: Int[Tensor, "n k"]) -> Float[Tensor, "n v"]:
        """The mixture over the whole vocabulary, nats."""
        real = history != PAD
        seen = real.sum(1, keepdim=True)
        share = torch.where(seen > 0, self.weight, 0.0)
        p = log_p.exp() * (1 - share)
        return p.scatter_add(1, history, real * share / seen.clamp_min(1)).log()

    def draw(self, history: Int[Tensor, "n k"], rng: torch.Generator) -> Int[Tensor, " n"]:
        """A token out of each history with probability `weight`, else -1."""
        u, v = torch.rand(2, len(history), generator=rng, dtype=torch.float64, device=rng.device).to(history.device)
        seen = (history != PAD).sum(1)
        token = history.gather(1, self.size - 1 - (v * seen).long().clamp_max(self.size - 1)[:, None])[:, 0]
        return torch.where((u < self.weight) & (seen > 0), token, -1)

    def score(
        self, log_p: Float[Tensor, " n"], tokens: Int[Tensor, " n"], rows: Int[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """The mixture at tokens that lie row after row: how often each was said among the `size` before it, at once."""
        at = torch.arange(len(tokens), device=tokens.device)
        begin = torch.maximum(at - self.size, torch.searchsorted(rows, rows))
        keys, order = (tokens * len(tokens) + at).sort()  # the places of every token, in order
        place = torch.empty_like(at).index_copy_(0, order, at)
        count = place - torch.searchsorted(keys, tokens * len(tokens) + begin)
        seen = at - begin
        mixed = torch.log((1 - self.weight) * log_p.exp() + self.weight * count / seen.clamp_min(1))
        return torch.where(seen > 0, mixed, log_p)
