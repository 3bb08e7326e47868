"""Batched, scaled forward-backward: one matrix product a step over rows sorted by length.

One engine serves expectation-maximisation and autograd. The gradient of the log-likelihood with respect to the
*logarithms* of the parameters is the expected counts (Fisher's identity; Eisner 2016), so the backward recursion that
counts for EM is the one that differentiates for gradient descent; only the weight of each token differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.models.hmm.parameters import Groups, HMMParameters

CHUNK = 8192  # rows whose expected transitions are summed by one matrix product


@dataclass(frozen=True)
class Packed:
    """Ragged rows laid out time-major, longest row first: step t holds the first `sizes[t]` of the sorted rows."""

    tokens: Int[Tensor, " tokens"]
    sizes: list[int]
    rows: Int[Tensor, " n"]  # the batch's row of each sorted row; rows without a token are left out
    cells: Int[Tensor, " tokens"]  # where each token stands in the flattened [n, t] batch
    following: Int[Tensor, " tokens"]  # the next token of the row, -1 at its end
    last: Int[Tensor, " n"]  # where each sorted row ends

    @property
    def offsets(self) -> list[int]:
        """Where each step begins, and the end."""
        return [0, *accumulate(self.sizes)]


def pack(tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"]) -> Packed:
    """The rows of a batch, longest first, time-major."""
    lengths, rows = mask.sum(1).sort(descending=True, stable=True)
    sizes = (lengths[:, None] > torch.arange(mask.shape[1], device=mask.device)).sum(0).tolist()
    sizes = [size for size in sizes if size]
    if not sizes:
        raise ValueError("a batch without a single token was given; every row needs at least its EOS")
    rows, lengths = rows[: sizes[0]], lengths[: sizes[0]]
    step, row = mask[rows].T.nonzero(as_tuple=True)
    cells = rows[row] * mask.shape[1] + step
    flat = tokens.reshape(-1)
    following = torch.where(step + 1 < lengths[row], flat[(cells + 1).clamp(max=len(flat) - 1)], -1)
    last = (step + 1 == lengths[row]).nonzero()[:, 0]
    return Packed(flat[cells], sizes, rows, cells, following, last[row[last].argsort()])


@dataclass(frozen=True)
class Messages:
    """What a backward pass leaves: gradients with respect to logarithms, which are expected counts."""

    posterior: Float[Tensor, "tokens k"]  # weighted p(state | whole row), packed: of log emission; step 0: of log start
    factors: list[Tensor]  # of the logarithm of each transition factor


class Trellis:
    """An HMM's probabilities laid over a packed batch."""

    def __init__(self, tables: HMMParameters, packed: Packed) -> None:
        self.packed, self.tables, self.emission, self.banks = packed, tables, tables.emission, tables.banks
        self.tokens = packed.tokens.split(packed.sizes)
        self.routes = [self._route(here[: len(there)], there) for here, there in pairwise(self.tokens)]

    def _route(self, here: Int[Tensor, " m"], there: Int[Tensor, " m"]) -> list[Groups | None]:
        """Which part of each factor takes a row from token `here` to token `there`."""
        return [bank.groups(self.tables.block, here, there) for bank in self.banks]

    def forward(self, start: Float[Tensor, "n k"]) -> tuple[Float[Tensor, "tokens k"], Float[Tensor, " tokens"]]:
        """The filtered beliefs p(state | tokens so far) and the scales p(token | tokens before), packed.

        `start` is the first step's predictive distribution over the states of the first token's block. A row whose
        scale underflows turns to NaN from there on, and only that row.
        """
        sizes, steps = self.packed.sizes, len(self.packed.sizes)
        beliefs = self.emission.new_empty(len(self.packed.tokens), self.emission.shape[1])
        scales = self.emission.new_empty(len(beliefs))
        gathered, moved = torch.empty_like(start), torch.empty_like(start)  # reused: fresh pages cost more than sums
        predicted = start
        for t, (belief, scale) in enumerate(zip(beliefs.split(sizes), scales.split(sizes), strict=True)):
            likelihood = torch.index_select(self.emission, 0, self.tokens[t], out=gathered[: sizes[t]])
            torch.mul(predicted, likelihood, out=belief)
            torch.sum(belief, 1, out=scale)
            belief.div_(scale[:, None])
            if t + 1 < steps:
                predicted = self._move(belief[: sizes[t + 1]], t, moved[: sizes[t + 1]])
        return beliefs, scales

    def backward(
        self,
        beliefs: Float[Tensor, "tokens k"],
        scales: Float[Tensor, " tokens"],
        weights: Float[Tensor, " tokens"] | None = None,
    ) -> Messages:
        """The gradients of sum(weights * log scales); `beliefs` is overwritten by the posteriors.

        With g_t the gradient with respect to belief t: scaling that belief scales p(token t+1 | ...) alone, hence
        <g_t, belief_t> = weight_{t+1}, and beta_t = g_t + weight_t - weight_{t+1} is all that the recursion needs.
        With weights of one it is the textbook's scaled beta.
        """
        sizes, offsets = self.packed.sizes, self.packed.offsets
        scale = scales.split(sizes)
        weight = (torch.ones_like(scales) if weights is None else weights).split(sizes)
        uneven = weights is not None and bool((weights != weights[0]).any())
        factors = [torch.zeros_like(bank.matrix) for bank in self.banks]
        beta, there = self.emission.new_empty(0, self.emission.shape[1]), 0
        for first, last in _chunks(sizes):
            low, high = offsets[first], offsets[last]
            message_of, beta_of = self.emission.new_empty(2, high - low, self.emission.shape[1]).unbind()
            for t in range(last - 1, first - 1, -1):
                at = slice(offsets[t] - low, offsets[t + 1] - low)
                message, after, beta = message_of[at], beta, beta_of[at]
                message[there:] = 0.0  # rows that end here
                beta[there:] = weight[t][there:, None]
                if there:
                    torch.index_select(self.emission, 0, self.tokens[t + 1], out=message[:there])
                    message[:there].mul_(after).div_(scale[t + 1][:, None])
                    self._move_back(message[:there], t, beta[:there])
                    if uneven:
                        beta[:there] += (weight[t][:there] - weight[t + 1])[:, None]
                there = sizes[t]
            self._count(beliefs[low:high], message_of, first, last, factors)
            beliefs[low:high].mul_(beta_of)
        return Messages(beliefs, [grad.mul_(bank.matrix) for grad, bank in zip(factors, self.banks, strict=True)])

    def _move(self, x: Float[Tensor, "m k"], t: int, out: Tensor) -> Float[Tensor, "m k"]:
        """Beliefs at step t, one step on."""
        for bank, groups in zip(self.banks, self.routes[t], strict=True):
            x = bank.apply(x, groups, out if bank is self.banks[-1] else None)
        return x

    def _move_back(self, e: Float[Tensor, "m k"], t: int, out: Tensor) -> Float[Tensor, "m k"]:
        """Messages from step t + 1, one step back."""
        for bank, groups in zip(reversed(self.banks), reversed(self.routes[t]), strict=True):
            e = bank.apply_transposed(e, groups, out if bank is self.banks[0] else None)
        return e

    def _count(self, x: Tensor, e: Tensor, first: int, last: int, into: list[Tensor]) -> None:
        """Add the outer products of some steps' beliefs and messages to the gradients of the factors."""
        at = slice(self.packed.offsets[first], self.packed.offsets[last])
        alive = self.packed.following[at] >= 0
        here, there = self.packed.tokens[at][alive], self.packed.following[at][alive]
        route = self._route(here, there)
        if any(groups is not None for groups in route):
            x, e = x[alive], e[alive]  # else the rows that end count for nothing: their message is zero
        inputs = [x]
        for bank, groups in zip(self.banks[:-1], route[:-1], strict=True):
            inputs.append(bank.apply(inputs[-1], groups))
        for i in range(len(self.banks) - 1, -1, -1):
            self.banks[i].count(inputs[i], e, route[i], into[i])
            if i:
                e = self.banks[i].apply_transposed(e, route[i])


def _chunks(sizes: list[int]) -> list[tuple[int, int]]:
    """Runs of steps, last first, of about CHUNK rows each."""
    chunks, last, rows = [], len(sizes), 0
    for t in range(len(sizes) - 1, -1, -1):
        rows += sizes[t]
        if rows >= CHUNK or t == 0:
            chunks.append((t, last))
            last, rows = t, 0
    return chunks
