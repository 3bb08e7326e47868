"""The parameters of an HMM as tables, and the products that one step takes, for any block structure and rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.types import Tokens

PREPACK = 512  # from this width on, a weight that oneDNN has packed once beats BLAS by a fifth on a CPU


@dataclass(frozen=True)
class HMMParameters:
    """The parameters of an HMM whose s states lie in blocks of k.

    A word is emitted by the states of its block only (Chiu and Rush 2020), so a step works on one block's states. A
    plain HMM has one block.

    `factors` is (A,) or, for low rank, (leave, enter) with A = leave @ enter. They hold log-probabilities, or
    probabilities after `map(torch.exp)`.
    """

    initial: Float[Tensor, " s"]
    factors: tuple[Tensor, ...]
    emission: Float[Tensor, "v k"]  # word-major: p(word | the i-th state of the word's block)
    block: Int[Tensor, " v"]

    @property
    def per_block(self) -> int:
        return self.emission.shape[1]

    @property
    def blocks(self) -> int:
        return len(self.initial) // self.per_block

    def map(self, act: Callable[[Tensor], Tensor]) -> HMMParameters:
        """The same tables with `act` applied to every parameter: `tables.map(torch.exp)`."""
        return HMMParameters(act(self.initial), tuple(map(act, self.factors)), act(self.emission), self.block)

    def keep(self, kept: Int[Tensor, "c j"]) -> HMMParameters:
        """Of log-probabilities: the tables of some states of each block alone, as if nothing led to the others."""
        states = (kept + torch.arange(self.blocks, device=kept.device)[:, None] * self.per_block).view(-1)
        *leave, enter = self.factors
        enter = enter[:, states].log_softmax(1)
        factors = (*(factor[states] for factor in leave), enter) if leave else (enter[states],)
        emission = self.emission.gather(1, kept[self.block])
        return HMMParameters(self.initial[states].log_softmax(0), factors, emission, self.block)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        """In how many parts each factor falls, down and across."""
        last = len(self.factors) - 1
        return [(self.blocks if i == 0 else 1, self.blocks if i == last else 1) for i in range(last + 1)]

    @cached_property
    def banks(self) -> list[Bank]:
        """The factors in the order of a step: the first knows the block that it leaves, the last the one it enters."""
        return [Bank(factor, *shape) for factor, shape in zip(self.factors, self._shapes, strict=True)]

    def parts(self, source: Int[Tensor, " n"], target: Int[Tensor, " n"]) -> list[Float[Tensor, "_ a b"]]:
        """The part of each factor that leads from one block to another, row by row; one for all where there is one."""
        parts = []
        for factor, (rows, columns) in zip(self.factors, self._shapes, strict=True):
            if rows * columns == 1:
                parts.append(factor[None])
                continue
            view = factor.view(rows, factor.shape[0] // rows, columns, factor.shape[1] // columns)
            parts.append(view[source * (rows > 1), :, target * (columns > 1)])
        return parts

    def words(self, predicted: Float[Tensor, "n s"]) -> Float[Tensor, "n v"]:
        """p(next word), of a distribution over the next state."""
        if self.blocks == 1:
            return predicted @ self.emission.T
        order, counts = self._by_block
        parts = zip(predicted.chunk(self.blocks, 1), self.emission[order].split(counts), strict=True)
        return torch.cat([p @ emission.T for p, emission in parts], 1)[:, order.argsort()]

    def read(self, predicted: Float[Tensor, "n s"], tokens: Tokens) -> Float[Tensor, "n s"]:
        """The distribution over the next state once a word was read (an impossible word is passed over)."""
        if tokens.is_floating_point():
            x, block = predicted * self._expected(tokens), None
        else:
            block = self.block[tokens]
            at = torch.arange(len(tokens), device=tokens.device)
            x = predicted.view(len(tokens), self.blocks, -1)[at, block] * self.emission[tokens]
        total = x.sum(1, keepdim=True)
        x = x / total.clamp(min=torch.finfo(x.dtype).tiny)
        first, *rest = self.factors
        x = x @ first if block is None or self.blocks == 1 else self._leave(x, block)
        for factor in rest:
            x = x @ factor
        return torch.where(total > 0, x, predicted)

    def _leave(self, x: Float[Tensor, "n k"], block: Int[Tensor, " n"]) -> Float[Tensor, "n a"]:
        """Each row times the rows of the first factor that belong to its block."""
        order, counts = block.argsort(stable=True), block.bincount(minlength=self.blocks).tolist()
        parts = zip(x[order].split(counts), self.factors[0].chunk(self.blocks, 0), strict=True)
        return torch.cat([a @ factor for a, factor in parts])[order.argsort()]

    def _expected(self, tokens: Float[Tensor, "n v"]) -> Float[Tensor, "n s"]:
        """p(a relaxed word | state)."""
        if self.blocks == 1:
            return tokens @ self.emission
        order, counts = self._by_block
        parts = zip(tokens[:, order].split(counts, 1), self.emission[order].split(counts), strict=True)
        return torch.cat([p @ emission for p, emission in parts], 1)

    @cached_property
    def _by_block(self) -> tuple[Int[Tensor, " v"], list[int]]:
        """The words, block by block, and how many each has."""
        return self.block.argsort(stable=True), self.block.bincount(minlength=self.blocks).tolist()


class Groups(NamedTuple):
    """Rows sorted so that those which use one part of a matrix are neighbours."""

    order: Int[Tensor, " n"]
    parts: list[int]
    counts: list[int]


class Bank:
    """A matrix seen as `rows` x `columns` equal parts; each row of an operand is multiplied by one of them."""

    def __init__(self, matrix: Float[Tensor, "a b"], rows: int, columns: int) -> None:
        self.matrix, self.rows, self.columns = matrix, rows, columns
        parts = self._parts(matrix)
        self.products = [Product(part) for part in parts]
        self.transposed = [Product(part.T) for part in parts]

    def _parts(self, matrix: Tensor) -> list[Tensor]:
        return [part for row in matrix.chunk(self.rows, 0) for part in row.chunk(self.columns, 1)]

    def groups(self, block: Int[Tensor, " v"], here: Int[Tensor, " n"], there: Int[Tensor, " n"]) -> Groups | None:
        """Who uses which part on the way from token `here` to token `there`; None where there is one part."""
        if self.rows * self.columns == 1:
            return None
        source, target = block[here] * (self.rows > 1), block[there] * (self.columns > 1)
        parts, order = (source * self.columns + target).sort(stable=True)
        parts, counts = parts.unique_consecutive(return_counts=True)
        return Groups(order, parts.tolist(), counts.tolist())

    def apply(self, x: Float[Tensor, "n a"], groups: Groups | None, out: Tensor | None = None) -> Float[Tensor, "n b"]:
        """Each row times its part, in `out` where that spares an allocation."""
        return _multiply(x, self.products, groups, out)

    def apply_transposed(
        self, e: Float[Tensor, "n b"], groups: Groups | None, out: Tensor | None = None
    ) -> Float[Tensor, "n a"]:
        """Each row times its part, transposed."""
        return _multiply(e, self.transposed, groups, out)

    def count(self, x: Float[Tensor, "n a"], e: Float[Tensor, "n b"], groups: Groups | None, into: Tensor) -> None:
        """Add the rows' outer products to their parts of `into`."""
        if groups is None:
            into.addmm_(x.T, e)
            return
        parts = self._parts(into)
        xs, es = x[groups.order].split(groups.counts), e[groups.order].split(groups.counts)
        for i, a, b in zip(groups.parts, xs, es, strict=True):
            parts[i].addmm_(a.T, b)


class Product:
    """x @ matrix for many x."""

    def __init__(self, matrix: Float[Tensor, "a b"]) -> None:
        self.matrix, self.packed = matrix, None
        onednn = matrix.device.type == "cpu" and torch.backends.mkldnn.is_available()
        if onednn and matrix.dtype == torch.float32 and min(matrix.shape) >= PREPACK:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(matrix.T, PREPACK)

    def __call__(self, x: Tensor, out: Tensor) -> Tensor:
        """`out`, filled with x @ matrix."""
        if self.packed is None:
            return torch.mm(x, self.matrix, out=out)
        return out.copy_(torch.ops.mkldnn._linear_pointwise(x, self.packed, None, "none", [], ""))


def _multiply(x: Tensor, products: list[Product], groups: Groups | None, out: Tensor | None) -> Tensor:
    out = x.new_empty(len(x), products[0].matrix.shape[1]) if out is None else out
    if groups is None:
        return products[0](x, out)
    xs = x[groups.order]
    ys = torch.empty_like(out)
    for i, a, y in zip(groups.parts, xs.split(groups.counts), ys.split(groups.counts), strict=True):
        products[i](a, y)
    return out.index_copy_(0, groups.order, ys)
