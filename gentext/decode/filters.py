"""What a truncation leaves of a distribution: each filter sets to -inf the logits that it takes away.

Every filter keeps the most probable token at least, and takes and returns unnormalised log-probabilities.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

CELLS = 2**17  # logits that a CPU works on at once, so that they stay in its cache
BINS, BINS_A_NAT = 512, 32  # a nucleus is found among tokens of like rank: 16 nats below the first, and all others


def top_k(logits: Float[Tensor, "n v"], k: int) -> Float[Tensor, "n v"]:
    """The `k` most probable tokens. Source: Fan et al. 2018, section 5.4."""
    if k >= logits.shape[-1]:
        return logits
    values, index = logits.topk(k, -1)
    return torch.full_like(logits, -torch.inf).scatter(-1, index, values)


def top_p(logits: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The fewest most probable tokens whose mass reaches `p`. Source: Holtzman et al. 2020, eq. 2."""
    return nucleus(logits, logits, p)


def min_p(logits: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The tokens at least `p` times as probable as the most probable one. Source: Nguyen et al. 2024, section 3."""
    floor = logits.amax(-1, keepdim=True) + torch.tensor(p).log()
    return logits.masked_fill(logits < floor, -torch.inf)


def typical(logits: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The fewest tokens whose surprisal lies nearest the entropy and whose mass reaches `p`.

    Source: Meister et al. 2023, eq. 10.
    """
    return nucleus(logits, typicality(logits, logits.softmax(-1)), p)


def typicality(logits: Float[Tensor, "n v"], mass: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
    """How near each token's surprisal lies to the entropy: 0, or below it by so many nats. `mass`: softmax(logits)."""
    finite = logits.clamp_min(-1e9)  # a banned token has mass 0, and 0 times infinity is no number
    mean = torch.linalg.vecdot(mass, finite)[:, None]  # as far from a logit as the entropy from its surprisal
    return finite.sub_(mean).abs_().neg_()


def nucleus(logits: Float[Tensor, "n v"], rank: Float[Tensor, "n v"], p: float) -> Float[Tensor, "n v"]:
    """The first tokens by falling `rank` (nats) whose mass reaches `p`; of equal ones those of lower ids first.

    Their mass is summed in bins of rank, and only the tokens of the bin in which it reaches `p` are sorted: sorting the
    vocabulary takes several times as long as a step of a small model.
    """
    rows = max(1, CELLS // logits.shape[1]) if logits.is_cpu else len(logits)
    kept = torch.empty_like(logits)
    for part in range(0, len(logits), rows):
        each = slice(part, part + rows)
        # adding 0 or -inf, 1 - 1/1 or 1 - 1/0: a masked fill waits for every branch that it cannot predict
        keeps = _in_nucleus(logits[each], rank[each], p).to(logits.dtype)
        torch.add(logits[each], 1 - keeps.reciprocal_(), out=kept[each])
    return kept


def _in_nucleus(logits: Float[Tensor, "n v"], rank: Float[Tensor, "n v"], p: float) -> Bool[Tensor, "n v"]:
    mass = (logits - logits.logsumexp(-1, keepdim=True)).exp_().double()
    below = (rank.amax(-1, keepdim=True) - rank).mul_(BINS_A_NAT).nan_to_num_(nan=BINS, posinf=BINS)
    bins = below.clamp_max_(BINS - 1).long()
    total = mass.new_zeros(len(mass), BINS).scatter_add_(1, bins, mass).cumsum(1)
    before = torch.nn.functional.pad(total[:, :-1], (1, 0))  # each bin
    last = (before < p).sum(1, keepdim=True) - 1
    row, token = (bins == last).nonzero(as_tuple=True)
    order = rank[row, token].argsort(descending=True, stable=True)
    order = order[row[order].argsort(stable=True)]
    row, token = row[order], token[order]
    likelier = mass[row, token].cumsum(0) - mass[row, token]  # over all rows: less what stands before each row's first
    first = torch.searchsorted(row, row)
    likelier = likelier - likelier[first] + before.gather(1, last)[row, 0]
    inside = bins <= last
    inside[row, token] = likelier < p
    return inside
