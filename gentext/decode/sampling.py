"""One categorical draw per row, exact to the far tail of a large vocabulary."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

SLAB = 2**22  # logits that are worked on at once on a CPU: above twice that malloc maps fresh pages for each of them
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


def invert(logits: Float[Tensor, "n v"], uniform: Float[Tensor, "n k"]) -> Int[Tensor, "n k"]:
    """The tokens of each row at which the cumulative distribution of softmax(logits) passes `uniform`.

    Sums over blocks and numbers are of double precision: in single precision a tail of 50,000 tokens would be
    unreachable, or drawn too often. torch.multinomial draws one exponential variate per token and is twenty times
    slower at v = 5,000.
    """
    rows = max(1, SLAB // logits.shape[1]) if logits.is_cpu else len(logits)
    if len(logits) <= rows:
        return _invert(logits, uniform)
    parts = zip(logits.split(rows), uniform.split(rows), strict=True)
    return torch.cat([_invert(*part) for part in parts])


def _invert(logits: Tensor, uniform: Tensor) -> Tensor:
    mass = logits.softmax(1)
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
