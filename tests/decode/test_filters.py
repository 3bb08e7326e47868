"""Filters keep exactly what a sort over the whole vocabulary keeps, and what transformers' warpers keep."""

import pytest
import torch

from gentext.decode import filters
from gentext.decode.sampling import draw

P = [0.05, 0.5, 0.9, 0.999]


def _logits(v, scale=2.0):
    return scale * torch.randn(16, v, generator=torch.Generator().manual_seed(v))


def _naive(logits, rank, p):
    """Keep by falling rank until the mass is reached, one row at a time."""
    out = torch.full_like(logits, -torch.inf)
    for i, row in enumerate(logits):
        mass = 0.0
        for j in rank[i].argsort(descending=True):
            out[i, j] = row[j]
            mass += float(row.double().softmax(0)[j])
            if mass >= p:
                break
    return out


@pytest.mark.parametrize("p", P)
@pytest.mark.parametrize("v", [7, 600])
def test_top_p_and_typical_equal_the_naive_sort(v, p):
    logits = _logits(v)
    torch.testing.assert_close(filters.top_p(logits, p), _naive(logits, logits, p))
    log_prob = logits.log_softmax(-1)
    distance = (log_prob + (-(log_prob.exp() * log_prob).sum(-1, keepdim=True))).abs()
    torch.testing.assert_close(filters.typical(logits, p), _naive(logits, -distance, p))


def test_top_p_reaches_past_its_first_guess():
    logits = _logits(5_000, scale=0.1)
    kept = filters.top_p(logits, 0.99).isfinite()
    assert (kept.sum(1) > 2_048).all()
    mass = (logits.softmax(-1) * kept).sum(1)
    assert (mass >= 0.99).all()
    assert (mass < 0.9902).all()


@pytest.mark.parametrize("v", [7, 600])
def test_filters_equal_those_of_transformers(v):
    warp = pytest.importorskip("transformers.generation.logits_process")
    logits = _logits(v)
    for ours, theirs in [
        (filters.top_k(logits, 5), warp.TopKLogitsWarper(5)),
        *((filters.top_p(logits, p), warp.TopPLogitsWarper(p)) for p in P),
        *((filters.min_p(logits, p), warp.MinPLogitsWarper(p)) for p in P),
        *((filters.typical(logits, p), warp.TypicalLogitsWarper(p)) for p in P),
    ]:
        torch.testing.assert_close(ours, theirs(None, logits.clone()), msg=str(theirs))


def test_banned_tokens_stay_banned():
    logits = _logits(9)
    logits[:, :3] = -torch.inf
    for kept in (
        filters.top_k(logits, 8),
        filters.top_p(logits, 0.9999),
        filters.min_p(logits, 1e-6),
        filters.typical(logits, 0.9999),
    ):
        assert (kept[:, :3] == -torch.inf).all()
        assert kept.isfinite().any(1).all()


@pytest.mark.parametrize("v", [7, 600, 5_000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_draws_equal_those_of_a_whole_sort(v, scale):
    logits = _logits(v, scale)
    logits[3, 4:] = -torch.inf
    logits[:, 5] = logits[:, 6]  # of equal ones the first is kept
    mass = logits.double().softmax(-1)
    order = logits.sort(dim=-1, descending=True, stable=True).indices
    for p in (0.05, 0.45, 0.9, 0.999):
        sums = mass.gather(1, order).cumsum(1)
        beyond = torch.zeros_like(mass, dtype=torch.bool).scatter(1, order, sums - mass.gather(1, order) >= p)
        naive, ours = (torch.Generator().manual_seed(7) for _ in range(2))
        expected = draw(logits.masked_fill(beyond, -torch.inf), naive)
        assert torch.equal(draw(filters.top_p(logits, p), ours), expected)
