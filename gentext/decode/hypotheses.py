"""The finished hypotheses of a beam search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.types import PAD


class Finished(NamedTuple):
    """The k best finished sequences of each of n rows, best first."""

    tokens: Int[Tensor, "n k t"]
    scores: Float[Tensor, "n k"]  # nats over length ** penalty; -inf where there is none


@dataclass
class Pool:
    """The best `b` finished hypotheses of every group of every row."""

    tokens: Int[Tensor, "n g b t"]
    scores: Float[Tensor, "n g b"]

    @classmethod
    def empty(cls, n: int, groups: int, width: int, max_len: int, device: torch.device) -> Pool:
        tokens = torch.full((n, groups, width, max_len), PAD, device=device)
        return cls(tokens, torch.full((n, groups, width), -torch.inf, device=device))

    def add(
        self, line: Tensor, tokens: Tensor, log_prob: Tensor, length: int, penalty: float, group: int | None = None
    ) -> None:
        """Offer hypotheses of `length` tokens to rows `line`, to one group or to each its own; the worst fall out."""
        groups = slice(None) if group is None else slice(group, group + 1)
        width = self.scores.shape[-1]
        scores = torch.cat([self.scores[line, groups], log_prob / length**penalty], -1)
        kept = scores.topk(width, -1)
        every = torch.cat([self.tokens[line, groups], tokens], -2)
        self.scores[line, groups] = kept.values
        self.tokens[line, groups] = every.gather(-2, kept.indices[..., None].expand(-1, -1, -1, every.shape[-1]))

    def worst(self, line: Tensor) -> Float[Tensor, "n g"]:
        """The score that a newcomer has to beat: -inf where a place is free."""
        return self.scores[line].amin(-1)

    def best(self, k: int) -> Finished:
        """The best `k` of every row over all of its groups, best first."""
        scores, index = self.scores.flatten(1).topk(k, -1)
        tokens = self.tokens.flatten(1, 2)
        return Finished(tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1])), scores)
