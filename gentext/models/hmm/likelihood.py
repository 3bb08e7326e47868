"""log p(token | the tokens before it) under an HMM: differentiable, safe from underflow, its state carried on."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from gentext.models.hmm.forward_backward import Messages, Packed, Trellis, pack
from gentext.models.hmm.log_space import log_forward
from gentext.models.hmm.parameters import HMMParameters


class Belief(NamedTuple):
    """p(state | tokens so far) over the states of the last token's block; no other state has any."""

    probabilities: Float[Tensor, "n k"]
    block: Int[Tensor, " n"]

    def among(self, kept: Int[Tensor, "c j"]) -> Belief:
        """What some states of each block have of it; evenly where they have nothing."""
        p = self.probabilities.gather(1, kept[self.block])
        p = torch.where(p.sum(1, keepdim=True) > 0, p, 1.0)
        return Belief(p / p.sum(1, keepdim=True), self.block)

    def over(self, kept: Int[Tensor, "c j"], states: int) -> Belief:
        """Over all the states of a block again."""
        p = self.probabilities.new_zeros(len(self.block), states)
        return Belief(p.scatter(1, kept[self.block], self.probabilities), self.block)


def log_conditionals(
    tables: HMMParameters,
    probabilities: HMMParameters,
    tokens: Int[Tensor, "n t"],
    mask: Bool[Tensor, "n t"],
    belief: Belief | None = None,
) -> tuple[Float[Tensor, "n t"], Belief]:
    """log p(token | before), nats, zero where the mask is false, and the belief after each row's last token.

    `tables` holds log-probabilities, in which the result is differentiable; `probabilities` are their exponentials,
    without gradient. A row goes on from `belief`, or begins with the initial distribution. Rows that the scaled pass
    loses to underflow are done again in log space. A row is -inf from its first impossible token on.
    """
    block = tables.block[tokens]
    start = _start(tables, block[:, 0], belief)
    log_prob, last = _scaled(tables, probabilities, tokens, mask, start)
    lost = ~(log_prob > math.log(torch.finfo(log_prob.dtype).tiny) + 20.0).all(1)  # NaN is lost too
    if lost.any():
        keep, redo = (~lost).nonzero()[:, 0], lost.nonzero()[:, 0]
        # The kept rows once more, alone: the NaN of the others must not reach the gradient.
        kept = _scaled(tables, probabilities, tokens[keep], mask[keep], start[keep])
        redone = log_forward(tables, tokens[redo], mask[redo], start[redo])
        place = torch.cat([keep, redo]).argsort()
        log_prob, last = (torch.cat([a, b.to(a)])[place] for a, b in zip(kept, redone, strict=True))
    ends = (mask.sum(1) - 1).clamp(min=0)
    after = Belief(last.detach(), block.gather(1, ends[:, None])[:, 0])
    if belief is not None:  # a row that has ended stands where it stood
        over = ~mask.any(1)
        after = Belief(
            *(torch.where(over.view(-1, *[1] * (b.dim() - 1)), b, a) for a, b in zip(after, belief, strict=True))
        )
    return log_prob, after


def _start(tables: HMMParameters, block: Int[Tensor, " n"], belief: Belief | None) -> Float[Tensor, "n k"]:
    """log p(state) before the first token, over the states of the first token's block."""
    if belief is None:
        return tables.initial.view(tables.blocks, -1)[block]
    x = belief.probabilities[:, None]
    for part in tables.parts(belief.block, block):
        x = x @ part.exp()
    return x[:, 0].log()


def _scaled(
    tables: HMMParameters, probabilities: HMMParameters, tokens: Tensor, mask: Tensor, start: Tensor
) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n k"]]:
    """`log_conditionals` by the scaled pass; a row that underflows holds NaN or -inf."""
    flat, last = torch.zeros_like(mask, dtype=start.dtype).view(-1), torch.zeros_like(start)
    if mask.any():
        packed = pack(tokens, mask)
        log_scales, ends = _Conditionals.apply(
            packed, probabilities, start[packed.rows], tables.emission, *tables.factors
        )
        flat, last = flat.index_copy(0, packed.cells, log_scales), last.index_copy(0, packed.rows, ends)
    return flat.view(mask.shape), last


class _Conditionals(torch.autograd.Function):
    """The scaled forward pass, whose gradient is the scaled backward pass.

    The inputs are log-probabilities: a gradient with respect to a logarithm is an expected count, and no count is
    divided by a probability that may be zero.
    """

    @staticmethod
    def forward(
        ctx: Any, packed: Packed, probabilities: HMMParameters, start: Tensor, emission: Tensor, *factors: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.trellis = Trellis(probabilities, packed)
        ctx.start = start.exp()
        beliefs, scales = ctx.trellis.forward(ctx.start)
        last = beliefs[packed.last]
        ctx.mark_non_differentiable(last)
        if any(ctx.needs_input_grad):
            ctx.beliefs, ctx.scales = beliefs, scales
        return scales.log(), last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.beliefs is None:
            raise ValueError("an HMM's likelihood was differentiated twice; compute it again before the second time")
        trellis, packed = ctx.trellis, ctx.trellis.packed
        messages = trellis.backward(ctx.beliefs, ctx.scales, weights)
        ctx.beliefs = None
        first = messages.posterior[: packed.sizes[0]]
        if not torch.allclose(first.sum(1), weights[: len(first)], rtol=1e-3, atol=1e-3 * float(weights.abs().max())):
            messages = _in_double(trellis, ctx.start, weights)
            first = messages.posterior[: packed.sizes[0]].to(weights)
        emission = _sum_by(packed.tokens, messages.posterior, len(trellis.emission)).to(weights)
        return None, None, first.clone(), emission, *(factor.to(weights) for factor in messages.factors)


def _in_double(trellis: Trellis, start: Tensor, weights: Tensor) -> Messages:
    """The gradients in float64.

    In float32 the probability of a path may underflow though it is the likely one after all: its messages then
    overflow, and the posteriors do not sum to the weights.
    """
    wide = Trellis(trellis.tables.map(torch.Tensor.double), trellis.packed)
    messages = wide.backward(*wide.forward(start.double()), weights.double())
    if not torch.isfinite(messages.posterior).all():
        raise ValueError(
            "an HMM's expected counts overflow even in float64: its transitions hold zeros that cut off likely paths. "
            "Give transition_prior above 0"
        )
    return messages


def _sum_by(tokens: Int[Tensor, " m"], rows: Float[Tensor, "m k"], size: int) -> Float[Tensor, "v k"]:
    """The sum of the rows of each token."""
    counts = tokens.bincount(minlength=size)
    return torch.nn.functional.embedding_bag(tokens.argsort(), rows, counts.cumsum(0) - counts, mode="sum")
