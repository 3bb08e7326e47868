"""One categorical draw per row, exact to the far tail of a large vocabulary."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

SLAB = 2**18  # logits whose sums stay in a core's cache: four times faster than all rows at once at v = 33,000


def draw(logits: Float[Tensor, "n v"], rng: torch.Generator) -> Int[Tensor, " n"]:
    """A token per row, drawn from softmax(logits) by one uniform number each.

    The numbers come from `rng`'s own device, so that a draw is the same wherever the logits lie.
    Raises: ValueError where a row has no token left.
    """
    uniform = torch.rand(len(logits), generator=rng, dtype=torch.float64, device=rng.device)
    return invert(logits, uniform.to(logits.device))


def invert(logits: Float[Tensor, "n v"], uniform: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The token of each row at which the cumulative distribution of softmax(logits) passes `uniform`.

    Sums and numbers are of double precision: in single precision a tail of 50,000 tokens would be unreachable, or
    drawn too often. torch.multinomial draws one exponential variate per token and is ten times slower at v = 5,000.
    """
    rows = max(1, SLAB // logits.shape[1]) if logits.is_cpu else len(logits)
    if len(logits) <= rows:
        return _invert(logits, uniform)
    parts = zip(logits.split(rows), uniform.split(rows), strict=True)
    return torch.cat([_invert(*part) for part in parts])


def _invert(logits: Tensor, uniform: Tensor) -> Tensor:
    peak = finite(logits.amax(-1, keepdim=True))
    mass = (logits - peak).exp_().cumsum(-1, dtype=torch.float64)
    total = mass[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # a product rounded up to `total` would fall off the end
    return torch.searchsorted(mass, torch.minimum(uniform[:, None] * total, below), right=True)[:, 0]


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
