"""One categorical draw per row, exact to the far tail of a large vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.decode.filters import CELLS, nucleus

SLAB = 2**22  # logits that are worked on at once on a CPU: above twice that malloc maps fresh pages for each of them
TRIES = 4  # draws until a token lies in its nucleus
BLOCK = 50  # tokens whose mass is summed first, and looked into only where the draw falls among them


def draw(logits: Float[Tensor, "n v"], rng: torch.Generator) -> Int[Tensor, " n"]:
    """A token per row, drawn from softmax(logits) by one uniform number each."""
    return draws(logits, 1, rng)[:, 0]


def draws(logits: Float[Tensor, "n v"], k: int, rng: torch.Generator) -> Int[Tensor, "n k"]:
    """`k` independent tokens per row.

    The numbers come from `rng`'s own device, so that a draw is the same wherever the logits lie.
    Raises: ValueError where a row has no token left.
    """
    uniform = torch.rand(len(logits), k, generator=rng, dtype=torch.float64, device=rng.device)
    return invert(logits, uniform.to(logits.device))


def draw_within(
    logits: Float[Tensor, "n v"], rank: Callable[[Tensor, Tensor], Tensor] | None, p: float, rng: torch.Generator
) -> Int[Tensor, " n"]:
    """A token per row, drawn from what a nucleus of mass `p` leaves (see filters), without looking for the nucleus.

    A draw from the whole distribution stands where the tokens that rank before it have a mass below `p`, as it does
    with probability `p` at least; else it is drawn again. Only rows that are never so lucky get their nucleus.

    rank: of logits and probabilities, what orders the tokens; None: the logits themselves.
    """
    mass, order = _ranked(logits, rank)
    tokens = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    rows = torch.arange(len(logits), device=logits.device)
    for _ in range(TRIES):
        uniform = torch.rand(len(rows), 1, generator=rng, dtype=torch.float64, device=rng.device).to(logits.device)
        drawn = _invert(logits, mass, uniform)[:, 0]
        outside = ~_is_within(mass, order, drawn, p)
        tokens[rows] = drawn
        if not outside.any():
            return tokens
        rows, logits, mass, order = rows[outside], logits[outside], mass[outside], order[outside]
    tokens[rows] = draw(nucleus(logits, order, p), rng)
    return tokens


def _ranked(
    logits: Float[Tensor, "n v"], rank: Callable[[Tensor, Tensor], Tensor] | None
) -> tuple[Float[Tensor, "n v"], Float[Tensor, "n v"]]:
    """The probability of every token, and what orders them."""
    mass = logits.softmax(1)
    if rank is None:
        return mass, logits
    order = torch.empty_like(logits)
    rows = max(1, CELLS // logits.shape[1]) if logits.is_cpu else len(logits)
    for part in range(0, len(logits), rows):
        each = slice(part, part + rows)
        order[each] = rank(logits[each], mass[each])
    return mass, order


def _is_within(
    mass: Float[Tensor, "n v"], order: Float[Tensor, "n v"], tokens: Int[Tensor, " n"], p: float
) -> Bool[Tensor, " n"]:
    """Whether the tokens before this one, of equal ones those of lower ids, have a mass below `p`."""
    at, within = order.gather(1, tokens[:, None]), torch.empty_like(tokens, dtype=torch.bool)
    rows = max(1, CELLS // mass.shape[1]) if mass.is_cpu else len(mass)
    for part in range(0, len(mass), rows):
        each = slice(part, part + rows)
        upto = torch.empty_like(mass[each])  # 0 or 1 as a number: a choice by truth values takes five times as long
        upto = torch.ge(order[each], at[each], out=upto).mul_(mass[each]).sum(1)
        within[each] = upto - mass[each].gather(1, tokens[each, None])[:, 0] < p
    doubtful = (~within).nonzero()[:, 0]  # as are those with equals
    if len(doubtful):
        ids, token, last = torch.arange(mass.shape[1], device=mass.device), tokens[doubtful, None], at[doubtful]
        before = (order[doubtful] > last) | ((order[doubtful] == last) & (ids < token))
        within[doubtful] = torch.where(before, mass[doubtful], 0.0).sum(1) < p
    return within


def invert(logits: Float[Tensor, "n v"], uniform: Float[Tensor, "n k"]) -> Int[Tensor, "n k"]:
    """The tokens of each row at which the cumulative distribution of softmax(logits) passes `uniform`.

    Sums over blocks and numbers are of double precision: in single precision a tail of 50,000 tokens would be
    unreachable, or drawn too often. torch.multinomial draws one exponential variate per token and is twenty times
    slower at v = 5,000.
    """
    rows = max(1, SLAB // logits.shape[1]) if logits.is_cpu else len(logits)
    if len(logits) <= rows:
        return _invert(logits, logits.softmax(1), uniform)
    parts = zip(logits.split(rows), uniform.split(rows), strict=True)
    return torch.cat([_invert(part, part.softmax(1), numbers) for part, numbers in parts])


def _invert(logits: Tensor, mass: Tensor, uniform: Tensor) -> Tensor:
    v = mass.shape[1]
    whole = v - v % BLOCK
    sums = mass[:, :whole].unflatten(1, (v // BLOCK, BLOCK)).sum(2)
    if whole < v:
        sums = torch.cat([sums, mass[:, whole:].sum(1, keepdim=True)], 1)
    blocks = sums.cumsum(1, dtype=torch.float64)
    if not torch.isfinite(blocks[:, -1]).all():
        finite(logits.amax(1))
    goal = uniform * blocks[:, -1:]
    block = _passed(blocks, goal)
    goal = goal - torch.where(block > 0, blocks.gather(1, (block - 1).clamp_min(0)), 0.0)
    first = (block * BLOCK)[..., None]
    inside = (first + torch.arange(BLOCK, device=mass.device)).flatten(1)  # the last block may end early
    tokens = mass.gather(1, inside.clamp_max(v - 1)).masked_fill_(inside >= v, 0.0)
    tokens = tokens.view(*block.shape, BLOCK).cumsum(2, dtype=torch.float64)
    return first[..., 0] + _passed(tokens, goal[..., None])[..., 0]


def _passed(mass: Float[Tensor, "*n v"], goal: Float[Tensor, "*n k"]) -> Int[Tensor, "*n k"]:
    """Where a cumulative mass passes `goal`, which may lie beyond either end by a rounding: never where none is."""
    last = mass[..., -1:]
    below = torch.nextafter(last, torch.zeros_like(last))
    return torch.searchsorted(mass, goal.clamp_min(0.0).minimum(below), right=True)


def likeliest(logits: Float[Tensor, "n v"]) -> Int[Tensor, " n"]:
    """The most probable token of each row. Raises: ValueError where a row has no token left."""
    best = logits.max(-1)
    finite(best.values)
    return best.indices


def finite(peak: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The rows' best log-probabilities as they are. Raises: ValueError where a row has none."""
    if torch.isfinite(peak).all():
        return peak
    if (peak == -torch.inf).any():
        raise ValueError(
            "a sequence has no token left that it may go on with: every one is banned; "
            "loosen no_repeat_ngram, min_len or ban_unk, or lower max_len"
        )
    raise ValueError("the family's logits are NaN or infinite: its training diverged; train it at a lower rate")
