"""What a truncation leaves of a distribution: each filter sets to -inf the logits that it takes away.

Every filter keeps the most probable token at least, and takes and returns unnormalised log-probabilities.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def top_k(logits: Float[Tensor, "n v"], k: int) -> Float[Tensor, "n v"]:
    """The `k` most probable tokens. Source: Fan et al. 2018, section 5.4."""
    if k >= logits.shape[-1]:
        return logits
    values, index = logits.topk(k, -1)
    return torch.full_like(logits, -torch.inf).scatter(-1, index, values)


def top_p(logits: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The fewest most probable tokens whose mass reaches `p`. Source: Holtzman et al. 2020, eq. 2."""
    return _nucleus(logits, logits, p)


def min_p(logits: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The tokens at least `p` times as probable as the most probable one. Source: Nguyen et al. 2024, section 3."""
    floor = logits.amax(-1, keepdim=True) + torch.tensor(p).log()
    return logits.masked_fill(logits < floor, -torch.inf)


def typical(logits: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The fewest tokens whose surprisal lies nearest the entropy and whose mass reaches `p`.

    Source: Meister et al. 2023, eq. 10.
    """
    log_prob = logits.log_softmax(-1)
    entropy = -(log_prob.exp() * log_prob.clamp_min(-1e4)).sum(-1, keepdim=True)
    return _nucleus(logits, -(log_prob + entropy).abs(), p)


def _nucleus(logits: Float[Tensor, "n v"], rank: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The first tokens by falling `rank` whose mass reaches `p`.

    A few hundred tokens nearly always hold the mass, and to find them is far cheaper than to sort the vocabulary.
    """
    v = logits.shape[-1]
    norm = logits.logsumexp(-1, keepdim=True)
    k = min(256, v)
    while True:
        index = rank.topk(k, -1).indices
        values = logits.gather(-1, index)
        mass = (values - norm).exp().cumsum(-1, dtype=torch.float64)
        if k == v or bool((mass[:, -1] >= p).all()):
            break
        k = min(8 * k, v)
    before = torch.nn.functional.pad(mass[:, :-1], (1, 0))
    kept = values.masked_fill(before >= p, -torch.inf)
    return torch.full_like(logits, -torch.inf).scatter(-1, index, kept)
