"""Posteriors and priors: densities, divergences and draws agree with each other and with closed forms."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import special

from gentext.models.vae.posteriors import Gaussian, Normal, Sphere, between


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def toy():
    """x = A z + noise, with z standard normal and the columns of A orthogonal, so that q can be the true posterior."""
    torch.manual_seed(0)
    loading = torch.linalg.qr(torch.randn(5, 2)).Q * torch.tensor([1.5, 0.7])
    spread, x = 0.6, torch.randn(4, 5)

    def log_likelihood(z):
        square = (x[:, None] - z @ loading.T).square().sum(-1) / spread**2
        return -0.5 * square - 5 * math.log(spread * math.sqrt(2 * math.pi))

    return x, loading, spread, log_likelihood


def test_the_bound_of_a_linear_gaussian_model_equals_its_closed_form(toy):
    _, loading, spread, log_likelihood = toy
    q = Normal(torch.randn(4, 2), torch.randn(4, 2))
    space = Gaussian(3, 2, None)
    z = q.sample(200_000, rng())
    drawn = (log_likelihood(z) + space.log_prior(z) - q.log_prob(z)).mean(1)
    trace = (q.log_var.exp() * loading.square().sum(0)).sum(1) / (2 * spread**2)
    closed = log_likelihood(q.mean[:, None])[:, 0] - trace - q.kl().sum(1)
    assert torch.allclose(drawn, closed, atol=0.08)


def test_under_the_true_posterior_every_draw_says_the_exact_evidence(toy):
    x, loading, spread, log_likelihood = toy
    variance = 1 / (1 + loading.square().sum(0) / spread**2)
    q = Normal(x @ loading / spread**2 * variance, variance.log().expand(4, 2))
    space = Gaussian(3, 2, None)
    z = q.sample(50, rng())
    weights = log_likelihood(z) + space.log_prior(z) - q.log_prob(z)
    covariance = loading @ loading.T + spread**2 * torch.eye(5)
    exact = torch.distributions.MultivariateNormal(torch.zeros(5), covariance).log_prob(x)
    assert torch.allclose(weights, exact[:, None].expand(4, 50), atol=1e-4)


def test_the_gradient_of_the_kl_equals_finite_differences():
    mean = torch.randn(3, 2, dtype=torch.double, generator=rng(), requires_grad=True)
    log_var = torch.randn(3, 2, dtype=torch.double, generator=rng(), requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, v: Normal(m, v).kl().sum(), (mean, log_var))


def test_the_kl_equals_torchs():
    mean, log_var = torch.randn(2, 3, 4).unbind()
    one = torch.distributions.Normal(mean, (0.5 * log_var).exp())
    other = torch.distributions.Normal(torch.zeros(3, 4), torch.ones(3, 4))
    assert torch.allclose(Normal(mean, log_var).kl(), torch.distributions.kl_divergence(one, other), atol=1e-5)


@pytest.mark.parametrize("space", [Gaussian(3, 4, None), Sphere(3, 4, 9.0)])
def test_every_text_crossed_with_itself_is_its_own_density(space):
    q = space(torch.randn(6, 3))
    z = q.sample(1, rng())
    assert torch.allclose(q.crossed(z[:, 0]).diagonal().float(), q.log_prob(z)[:, 0], atol=1e-4)


@pytest.mark.parametrize(("latent", "concentration"), [(2, 3.0), (3, 5.0), (8, 20.0), (32, 30.0)])
def test_draws_on_the_sphere_have_its_density_mean_and_divergence(latent, concentration):
    torch.manual_seed(0)
    space = Sphere(3, latent, concentration)
    with torch.no_grad():
        q = space(torch.randn(2, 3))
        z = q.sample(40_000, rng())
    assert torch.allclose(z.norm(dim=-1), torch.ones(2, 40_000), atol=1e-4)
    ratio = special.ive(latent / 2, concentration) / special.ive(latent / 2 - 1, concentration)
    assert torch.allclose(z.mean(1), ratio * q.mean, atol=0.01)
    log_ratio = q.log_prob(z) - space.log_prior(z)
    assert torch.allclose(log_ratio.mean(1), q.kl()[:, 0], rtol=0.01)
    uniform = space.prior(40_000, rng()).expand(2, -1, -1)
    if latent < 8:  # beyond, a uniform draw hardly ever comes near the mean
        covered = (q.log_prob(uniform) - space.log_prior(uniform)).exp().mean(1)
        assert torch.allclose(covered, torch.ones(2), atol=0.05)


@pytest.mark.parametrize(("latent", "concentration"), [(2, 3.0), (32, 30.0), (32, 300.0)])
def test_heights_on_the_sphere_have_the_density_into_its_lower_tail(latent, concentration):
    space, n = Sphere(3, latent, concentration), 200_000
    with torch.no_grad():
        q = space(torch.randn(1, 3))
        z = q.sample(n, rng())
    height = (z[0] @ q.mean[0]).double().numpy()
    angle = np.linspace(0, math.pi, 400_001)[1:-1]
    log_mass = (latent - 2) * np.log(np.sin(angle)) + concentration * np.cos(angle)
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    for power in (1, 2, 3):
        seen, expected = height**power, float((mass * np.cos(angle) ** power).sum())
        assert seen.mean() == pytest.approx(expected, abs=5 * seen.std() / math.sqrt(n) + 1e-6)
    below = 1 - np.cumsum(mass)
    for share in (1e-3, 1e-2, 0.3):
        edge = math.cos(angle[np.searchsorted(-below, -share)])
        assert (height < edge).mean() == pytest.approx(share, abs=5 * math.sqrt(share / n) + 1e-6)


def test_importance_weights_on_the_sphere_are_one_on_average():
    """Over all heights the mean is 1, but rests on draws that never come; above a height it is the prior's share."""
    space, n, edge = Sphere(3, 32, 30.0), 200_000, 0.35
    with torch.no_grad():
        q = space(torch.randn(1, 3))
        z = q.sample(n, rng())
        weight = (space.log_prior(z) - q.log_prob(z)).double().exp()[0]
    assert float(weight.mean()) < 1.1
    kept = torch.where(z[0] @ q.mean[0] > edge, weight, 0.0)
    share = 0.5 * special.betainc(31 / 2, 1 / 2, 1 - edge**2)
    assert float(kept.mean()) == pytest.approx(share, abs=5 * float(kept.std()) / math.sqrt(n))


@pytest.mark.parametrize(("latent", "concentration"), [(2, 0.1), (32, 30.0), (700, 30.0), (700, 5_000.0)])
def test_densities_on_the_sphere_are_exact_in_any_dimension(latent, concentration):
    space, half = Sphere(3, latent, concentration), mpmath.mpf(latent) / 2
    with mpmath.workdps(40):
        bessel = mpmath.besseli(half - 1, concentration)
        area = mpmath.log(2 * mpmath.pi**half / mpmath.gamma(half))
        log_normaliser = (half - 1) * mpmath.log(concentration) - half * mpmath.log(2 * mpmath.pi) - mpmath.log(bessel)
        divergence = concentration * mpmath.besseli(half, concentration) / bessel + log_normaliser + area
    assert space.log_normaliser == pytest.approx(float(log_normaliser), rel=1e-10, abs=1e-9)
    assert space.divergence == pytest.approx(float(divergence), rel=1e-8, abs=1e-8)
    assert space(torch.randn(2, 3)).sample(3, rng()).isfinite().all()


@pytest.mark.parametrize("off", [0.0, 1e-9, 1e-6, 1e-5, 1e-3])
def test_a_way_round_the_sphere_joins_opposite_places(off):
    one = torch.tensor([1.0, 0.0, 0.0])
    other = torch.tensor([-1.0, off, 0.0])
    way = between(one, other, 9, "sphere")
    assert torch.allclose(way.norm(dim=1), torch.ones(9), atol=1e-5)
    assert torch.allclose(way[0], one, atol=1e-5)
    assert torch.allclose(way[-1], other, atol=2e-4)
    cosines = (way[1:] * way[:-1]).sum(1)
    assert torch.allclose(cosines, torch.full((8,), math.cos(math.pi / 8)), atol=1e-3)
    with pytest.raises(ValueError, match="path=line"):
        between(one[:1], -one[:1], 9, "sphere")


def test_the_prior_has_its_own_density():
    for space in (Gaussian(3, 2, None), Sphere(3, 2, 1.0)):
        z = space.prior(20_000, rng())
        assert torch.allclose(z.mean(0), torch.zeros(2), atol=0.03)
    z = torch.cartesian_prod(torch.linspace(-7, 7, 281), torch.linspace(-7, 7, 281))
    assert float(Gaussian(3, 2, None).log_prior(z[:, None]).exp().sum() * 0.05**2) == pytest.approx(1, abs=1e-3)
