"""The latent space of a VAE: what the encoder says of a text, and what is thought of z before any text is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy import special
from torch import Tensor, nn

from gentext import checks
from gentext.language_model import Posterior

CELLS = 1 << 22  # densities held at once, of every draw under every text


class Normal(NamedTuple):
    """A normal distribution for each text, with a diagonal covariance."""

    mean: Float[Tensor, "n z"]
    log_var: Float[Tensor, "n z"]

    def sample(self, k: int, rng: torch.Generator | None = None) -> Float[Tensor, "n k z"]:
        n, z = self.mean.shape
        noise = torch.randn(n, k, z, generator=rng, device=self.mean.device)
        return self.mean[:, None] + (0.5 * self.log_var).exp()[:, None] * noise

    def log_prob(self, z: Float[Tensor, "n k z"]) -> Float[Tensor, "n k"]:
        square = (z - self.mean[:, None]).square() * (-self.log_var).exp()[:, None]
        return -0.5 * (square + self.log_var[:, None] + math.log(2 * math.pi)).sum(-1)

    def crossed(self, z: Float[Tensor, "m z"]) -> Float[Tensor, "m n"]:
        mean, log_var, z = self.mean.double(), self.log_var.double(), z.double()  # a difference of large squares
        precision = (-log_var).exp()
        square = z.square() @ precision.T - 2 * z @ (mean * precision).T + (mean.square() * precision).sum(1)
        return -0.5 * (square + log_var.sum(1) + z.shape[1] * math.log(2 * math.pi))

    def kl(self) -> Float[Tensor, "n z"]:
        return 0.5 * (self.mean.square() + self.log_var.exp() - 1 - self.log_var)


class Gaussian(nn.Module):
    """Normal posteriors and a standard normal prior (Kingma and Welling 2014).

    spread: the standard deviation of each unit's mean over a batch, which keeps the KL above
      z * spread**2 / 2 nats; None: free. Source: Zhu et al. 2020 (BN-VAE), section 4: batch normalisation of the
      means with a fixed scale and a learned shift.
    """

    def __init__(self, width: int, latent: int, spread: float | None) -> None:
        super().__init__()
        self.latent = latent
        self.mean, self.log_var = nn.Linear(width, latent), nn.Linear(width, latent)
        self.norm = None
        if spread is not None:
            self.norm = nn.BatchNorm1d(latent, eps=1e-10)  # the usual 1e-5 lets small means shrink to nothing
            nn.init.constant_(self.norm.weight, spread).requires_grad_(False)

    def forward(self, hidden: Float[Tensor, "n d"]) -> Normal:
        mean = self.mean(hidden)
        if self.norm is not None:
            norm, by_batch = self.norm, self.training and len(mean) > 1  # one text has no spread
            held = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            mean = F.batch_norm(mean, *held, by_batch, cast(float, norm.momentum), norm.eps)
        return Normal(mean, self.log_var(hidden))

    def prior(self, n: int, rng: torch.Generator | None = None) -> Float[Tensor, "n z"]:
        return torch.randn(n, self.latent, generator=rng, device=self.mean.weight.device)

    def log_prior(self, z: Float[Tensor, "n k z"]) -> Float[Tensor, "n k"]:
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


class VonMisesFisher(NamedTuple):
    """A distribution on the unit sphere around each text's mean direction, all of one concentration."""

    mean: Float[Tensor, "n z"]  # of length 1
    concentration: float
    log_normaliser: float
    divergence: float  # from the uniform distribution, the same for every mean

    def sample(self, k: int, rng: torch.Generator | None = None) -> Float[Tensor, "n k z"]:
        n, z = self.mean.shape
        height = self._heights(n * k, rng).view(n, k, 1)
        noise = torch.randn(n, k, z, generator=rng, device=self.mean.device)
        mean = self.mean[:, None]
        aside = F.normalize(noise - (noise * mean).sum(-1, keepdim=True) * mean, dim=-1)
        onward, sideward = height.to(mean.dtype), (1 - height.square()).clamp_min(0).sqrt().to(mean.dtype)
        return F.normalize(onward * mean + sideward * aside, dim=-1)

    def _heights(self, m: int, rng: torch.Generator | None) -> Float[Tensor, " m"]:
        """Cosines w between draws and their mean: density (1 - w^2)^((z - 3) / 2) exp(concentration w).

        By rejection, exactly: a uniform point's height, moved towards the mean, is proposed and most often kept.
        Source: Wood 1994, algorithm VM*.
        """
        z, device = self.mean.shape[1], self.mean.device
        b = (z - 1) / (2 * self.concentration + math.hypot(2 * self.concentration, z - 1))
        x = (1 - b) / (1 + b)
        peak = self.concentration * x + (z - 1) * math.log1p(-x * x)
        heights = torch.empty(m, dtype=torch.double, device=device)
        left = torch.arange(m, device=device)
        while len(left):
            noise = torch.randn(len(left), z, generator=rng, device=device, dtype=torch.double)
            u = F.normalize(noise, dim=1)[:, 0]
            w = (u + x) / (1 + x * u)
            luck = torch.rand(len(left), generator=rng, device=device, dtype=torch.double).log()
            keep = luck <= self.concentration * w + (z - 1) * (-x * w).log1p() - peak
            heights[left[keep]] = w[keep]
            left = left[~keep]
        return heights

    def log_prob(self, z: Float[Tensor, "n k z"]) -> Float[Tensor, "n k"]:
        return self.concentration * (z * self.mean[:, None]).sum(-1) + self.log_normaliser

    def crossed(self, z: Float[Tensor, "m z"]) -> Float[Tensor, "m n"]:
        return self.concentration * (z @ self.mean.T) + self.log_normaliser

    def kl(self) -> Float[Tensor, "n 1"]:
        return self.mean.new_full((len(self.mean), 1), self.divergence)


class Sphere(nn.Module):
    """Von Mises-Fisher posteriors of one fixed concentration, and a uniform prior: the KL is a constant.

    Source: Xu and Durrett 2018, section 3; Davidson et al. 2018 for the densities.
    """

    def __init__(self, width: int, latent: int, concentration: float) -> None:
        super().__init__()
        if latent < 2:
            raise ValueError(f"latent is {latent}, and a sphere of one number has two points; give latent=2 or more")
        checks.between(1e-3, 1e5, concentration=concentration)  # above, a draw is the mean in float32
        self.latent, self.concentration = latent, concentration
        self.mean = nn.Linear(width, latent)
        half = latent / 2
        bessel = _log_bessel(half - 1, concentration)
        self.log_area = math.log(2) + half * math.log(math.pi) - special.gammaln(half)
        self.log_normaliser = (half - 1) * math.log(concentration) - half * math.log(2 * math.pi) - bessel
        ratio = math.exp(_log_bessel(half, concentration) - bessel)
        self.divergence = float(concentration * ratio + self.log_normaliser + self.log_area)

    def forward(self, hidden: Float[Tensor, "n d"]) -> VonMisesFisher:
        mean = F.normalize(self.mean(hidden), dim=-1)
        return VonMisesFisher(mean, self.concentration, self.log_normaliser, self.divergence)

    def prior(self, n: int, rng: torch.Generator | None = None) -> Float[Tensor, "n z"]:
        return F.normalize(torch.randn(n, self.latent, generator=rng, device=self.mean.weight.device), dim=-1)

    def log_prior(self, z: Float[Tensor, "n k z"]) -> Float[Tensor, "n k"]:
        return z.new_full(z.shape[:2], -self.log_area)


def _log_bessel(order: float, x: float) -> float:
    """log I_order(x), by the terms of its power series around the largest: those left out are below rounding.

    scipy's own, scaled or not, is zero from orders of some hundreds on.
    """
    peak = (math.hypot(order, x) - order) / 2
    wide = 40 * math.sqrt(peak + 1) + 40
    k = np.arange(max(0, math.floor(peak - wide)), math.ceil(peak + wide))
    terms = (2 * k + order) * math.log(x / 2) - special.gammaln(k + 1) - special.gammaln(k + order + 1)
    return float(special.logsumexp(terms))


def aggregate(posteriors: Sequence[Posterior], z: Float[Tensor, "m z"]) -> Float[Tensor, " m"]:
    """log q(z) of every draw, in nats, where q is the mean of all the texts' posteriors."""
    texts = sum(len(q.mean) for q in posteriors)
    found = []
    for part in z.split(max(1, CELLS // texts)):
        crossed = torch.cat([q.crossed(part) for q in posteriors], 1).double()
        found.append(crossed.logsumexp(1) - math.log(texts))
    return torch.cat(found)


def between(one: Float[Tensor, " z"], other: Float[Tensor, " z"], steps: int, path: str) -> Float[Tensor, "k z"]:
    """`steps` places from `one` to `other`: evenly along a `line`, or along a `sphere` around the origin.

    On the sphere the angle goes evenly from one to the other, and the distance from the origin too; between opposite
    directions all ways round are as short, and one of them is taken.
    """
    if path not in ("line", "sphere"):
        raise ValueError(f"path is {path!r}; it must be line or sphere")
    share = torch.linspace(0, 1, steps, device=one.device)[:, None]
    if path == "line":
        return torch.lerp(one, other, share)
    a, b = F.normalize(one.double(), dim=0), F.normalize(other.double(), dim=0)
    aside = b - (a @ b) * a
    angle = torch.atan2(aside.norm(), a @ b)
    if float(angle) < 1e-4:  # one direction: there is no circle to go along
        return torch.lerp(one, other, share)
    if float(angle) > math.pi - 1e-4:  # what is left of `aside` is rounding
        if len(a) == 1:
            raise ValueError("z is one number, and the two have opposite signs: no sphere joins them; take path=line")
        axis = F.one_hot(a.abs().argmin(), len(a)).double()
        aside = axis - (a @ axis) * a
    direction = (share * angle).cos() * a + (share * angle).sin() * F.normalize(aside, dim=0)
    return direction.to(one.dtype) * torch.lerp(one.norm(), other.norm(), share)
