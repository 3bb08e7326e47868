"""Draws are exact: frequencies, and the far tail of a large vocabulary."""

import numpy as np
import pytest
import torch
from scipy import stats

from gentext.decode import filters
from gentext.decode.sampling import BLOCK, draw, draw_within, draws, invert, likeliest


def test_every_token_of_a_tail_of_50_000_is_reached_by_its_own_share_of_the_numbers():
    v = 50_000
    logits = torch.full((v,), -17.0)
    logits[0] = 0.0  # one token holds 99.8 %, the others 4e-8 each: a single-precision sum would stop at the first
    exact = np.exp(logits.double().numpy())
    edges = np.cumsum(exact) / exact.sum()
    chosen = [1, 2, 3, 1_000, 25_000, 49_998, 49_999]
    middle = torch.tensor([(edges[i - 1] + edges[i]) / 2 for i in chosen])
    assert invert(logits.expand(len(chosen), v), middle[:, None])[:, 0].tolist() == chosen
    tail = invert(logits.expand(1, v), torch.linspace(edges[0], 1, 200, dtype=torch.float64)[None])[0]
    expected = 1 + (torch.linspace(0, 1, 200) * (v - 1)).long().clamp_max(v - 2)
    assert (tail - expected).abs().max() <= 1


def test_frequencies_match_the_distribution(rng):
    logits = torch.tensor([-torch.inf, 0.0, 1.0, -2.0, 3.0])
    n = 40_000
    counts = torch.bincount(draw(logits.expand(n, 5), rng), minlength=5).double()
    share = logits.double().softmax(0)
    chi2 = ((counts - n * share) ** 2 / (n * share))[1:].sum()
    assert counts[0] == 0
    assert chi2 < 16.3  # the 0.1 % point of three degrees of freedom


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_never_yield_a_banned_token(uniform):
    logits = torch.tensor([[-torch.inf, -torch.inf, 0.3, 1e-3, -torch.inf]])
    assert invert(logits, torch.tensor([[uniform]], dtype=torch.float64)).item() == (2 if uniform == 0 else 3)


def test_a_row_without_tokens_or_with_nan_is_an_error(rng):
    banned = torch.full((2, 3), -torch.inf)
    with pytest.raises(ValueError, match="no token left"):
        draw(banned, rng)
    with pytest.raises(ValueError, match="no token left"):
        likeliest(banned)
    with pytest.raises(ValueError, match="diverged"):
        draw(torch.tensor([[0.0, torch.nan]]), rng)


@pytest.mark.parametrize("v", [3, BLOCK, 4 * BLOCK, 4 * BLOCK + 7])
def test_the_blocks_of_the_vocabulary_are_one_cumulative_sum(v, rng):
    logits = 3 * torch.randn(20, v, generator=rng)
    logits[:, torch.rand(v, generator=rng) < 0.3] = -torch.inf
    logits[:, v // 2] = 0.0
    uniform = torch.rand(20, 200, generator=rng, dtype=torch.float64)
    whole = torch.searchsorted(logits.double().softmax(1).cumsum(1), uniform, right=True)
    assert (invert(logits, uniform) == whole).double().mean() > 0.999  # single precision moves an edge by a rounding


def test_many_draws_of_a_row_are_independent(rng):
    found = draws(torch.zeros(1, 4).expand(5, 4), 2_000, rng)
    assert found.shape == (5, 2_000)
    share = torch.bincount(found[:, ::2].flatten() * 4 + found[:, 1::2].flatten(), minlength=16) / found[:, ::2].numel()
    assert (share - 1 / 16).abs().max() < 0.02


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["top_p", "typical"])
def test_draws_within_a_nucleus_follow_the_distribution_that_its_filter_leaves(kind, p, rng):
    """Under ties and a banned token, too."""
    row = torch.tensor([2.0, 1.0, 1.0, 1.0, 0.0, -1.0, -torch.inf, 0.5, 0.5, -3.0])
    kept = getattr(filters, kind)(row[None], p).softmax(1)[0].double()
    n = 20_000
    drawn = draw_within(row.expand(n, -1), filters.typicality if kind == "typical" else None, p, rng)
    counts = drawn.bincount(minlength=len(row)).double()
    assert (counts[kept == 0] == 0).all()
    expected = n * kept[kept > 0]
    statistic = float(((counts[kept > 0] - expected) ** 2 / expected).sum())
    assert statistic < stats.chi2.ppf(0.9999, max(1, len(expected) - 1))


def test_a_row_that_is_banned_whole_is_an_error_within_a_nucleus_too(rng):
    with pytest.raises(ValueError, match="no token left"):
        draw_within(torch.full((2, 8), -torch.inf), None, 0.9, rng)
