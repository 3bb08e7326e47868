"""The forward pass in log space and float64: slow, for the few rows that the scaled pass loses to underflow."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from gentext.models.hmm.parameters import HMMParameters

NOTHING = -1e30  # stands for log 0: finite, so that no gradient is inf - inf
CELLS = 2**24  # entries of the largest intermediate


def log_forward(
    tables: HMMParameters, tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"], start: Float[Tensor, "n k"]
) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n k"]]:
    """log p(token | before), differentiable in `tables` and `start`, and the belief after each row's last token.

    `tables` and `start` hold log-probabilities. A row is -inf from its first impossible token on.
    """
    tables = tables.map(lambda table: table.double().clamp(min=NOTHING))
    size = max(CELLS // (tables.per_block * max(tables.per_block, min(map(min, (f.shape for f in tables.factors))))), 1)
    parts = [
        _rows(tables, *part)
        for part in zip(
            tokens.split(size), mask.split(size), start.double().clamp(min=NOTHING).split(size), strict=True
        )
    ]
    log_prob, belief = map(torch.cat, zip(*parts, strict=True))
    return log_prob, belief


def _rows(tables: HMMParameters, tokens: Tensor, mask: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    joint = start + tables.emission[tokens[:, 0]]
    totals = [joint.logsumexp(1)]
    for t in range(1, tokens.shape[1]):
        moved = joint
        for part in tables.parts(tables.block[tokens[:, t - 1]], tables.block[tokens[:, t]]):
            moved = _LogProduct.apply(moved, part)
        joint = torch.where(mask[:, t, None], moved + tables.emission[tokens[:, t]], joint)
        totals.append(joint.logsumexp(1))
    total = torch.stack(totals, 1)
    belief = (joint - total[:, -1:]).exp()
    log_prob = torch.cat([total[:, :1], total.diff(dim=1)], 1)
    return torch.where(mask, torch.where(total > NOTHING / 2, log_prob, -torch.inf), 0.0), belief


class _LogProduct(torch.autograd.Function):
    """log sum_a exp(x_a + factor_ab), whose n x a x b terms are made again for the gradient and not kept."""

    @staticmethod
    def forward(ctx: Any, x: Float[Tensor, "n a"], factor: Float[Tensor, "_ a b"]) -> Float[Tensor, "n b"]:
        out = (x[:, :, None] + factor).logsumexp(1)
        ctx.save_for_backward(x, factor, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, factor, out = ctx.saved_tensors
        share = (x[:, :, None] + factor - out[:, None]).exp_().mul_(grad[:, None])
        return share.sum(2), share.sum_to_size(factor.shape)
