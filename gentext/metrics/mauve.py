"""MAUVE: the area under the divergence frontier of two text distributions, quantised in an embedding space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from numpy import ndarray
from scipy.integrate import trapezoid
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from gentext import checks
from gentext.metrics.base import Absent
from gentext.metrics.embedding import VectorMetric
from gentext.metrics.encoders import Encoder
from gentext.metrics.intervals import GROUPS, jackknife, student
from gentext.types import Samples, Value

TEXTS_PER_CLUSTER = 10
MIXTURES = 1001  # points of the frontier: the area is exact to five digits
REACH = 18.0  # the mixtures' log odds run from -18 to 18


class Mauve(VectorMetric):
    """MAUVE of samples and references: the mean over `seeds` k-means quantisations.

    Source: Pillutla et al. 2021, section 2 and appendix: principal components to 90 % of the variance, vectors of
    length one, k-means of both together with a cluster for every ten texts of the smaller side, scale c = 5.
    Differs: the area is taken over 1001 mixtures. One clustering is one draw: figures of single seeds differ by 0.01.
    Its interval holds what the clusterings differ by, and with these fixed a jackknife of `groups` groups of both
    sides; of one clustering there is none.
    `smoothing` is added to every count (Pillutla et al. 2023 advise 0.5 for few texts); the paper has none.

    Example:
        >>> from gentext.types import Samples
        >>> texts = Samples(tuple(f"a dog number {i} runs" for i in range(40)))
        >>> metric = Mauve()
        >>> metric.update(texts, texts)
        >>> round(metric.compute()["mauve"], 3)
        1.0
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(
        self,
        encoder: Encoder | None = None,
        clusters: int | None = None,
        scale: float = 5.0,
        smoothing: float = 0.0,
        variance: float = 0.9,
        seeds: int = 5,
        groups: int = GROUPS,
        seed: int = 0,
    ) -> None:
        super().__init__(encoder)
        checks.at_least(2, clusters=clusters)
        checks.at_least(1, seeds=seeds)
        checks.at_least(0, smoothing=smoothing, groups=groups)
        checks.positive(scale=scale, variance=variance)
        checks.between(0, 1, variance=variance)
        self.clusters = clusters
        self.scale = scale
        self.smoothing = smoothing
        self.variance = variance
        self.seeds = seeds
        self.groups = groups
        self.seed = seed

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value]:
        samples, references = self.vectors("samples"), self.vectors("references")
        n, fewest = len(samples), min(len(samples), len(references))
        clusters = self.clusters or fewest // TEXTS_PER_CLUSTER
        if not 2 <= clusters <= fewest:
            raise Absent(
                f"MAUVE over {clusters} clusters needs 2 or more of them, and as many samples and references or more; "
                f"there are {n} and {len(references)}"
            )
        points = principal(torch.cat([samples, references]), self.variance).numpy()
        distinct, place, weight = np.unique(points, axis=0, return_inverse=True, return_counts=True)
        labels = [
            quantise(distinct, weight, clusters, seed)[place.reshape(-1)]
            for seed in range(self.seed, self.seed + self.seeds)
        ]

        def each(*kept: ndarray) -> ndarray:
            rows = np.concatenate(kept)
            ours, theirs = rows & (np.arange(len(rows)) < n), rows & (np.arange(len(rows)) >= n)
            counts = [[np.bincount(label[side], minlength=clusters) for side in (ours, theirs)] for label in labels]
            shares = np.array(counts) + self.smoothing
            return np.array([area(p, q, self.scale) for p, q in shares / shares.sum(2, keepdims=True)])

        m = len(references)
        found = each(np.ones(n, dtype=bool), np.ones(m, dtype=bool))
        [error] = jackknife(lambda *kept: each(*kept).mean(keepdims=True), n, m, groups=self.groups, seed=self.seed)
        error = float(np.hypot(error, found.std(ddof=1) / self.seeds**0.5)) if self.seeds > 1 else np.nan
        signature = (
            f"mauve|encoder:{self.encoder.signature()}|clusters:{clusters}|pca:{self.variance:g}|c:{self.scale:g}"
            f"|smooth:{self.smoothing:g}|seeds:{self.seed}+{self.seeds}|refs:{len(references)}|hyps:{n}|v:1"
        )
        value = float(found.mean())
        interval = student(value, error, self.groups, f"jackknife:{self.groups}+clusterings:{self.seeds}")
        return {"mauve": Value(value, signature, True, n, **interval._asdict())}


def principal(points: Float[Tensor, "n d"], variance: float) -> Float[Tensor, "n k"]:
    """The points in the fewest principal components that hold the share `variance`, each scaled to length one."""
    centred = points.double() - points.double().mean(0)
    values, axes = torch.linalg.eigh(centred.T @ centred)
    share = values.flip(0).clamp(min=0).cumsum(0)
    kept = int(torch.searchsorted(share, variance * share[-1] * (1 - 1e-9))) + 1
    return F.normalize(centred @ axes.flip(1)[:, :kept]).float()


def quantise(
    points: Float[ndarray, "n k"], weight: Int[ndarray, " n"], clusters: int, seed: int
) -> Integer[ndarray, " n"]:
    """The cluster that k-means puts each of these distinct points in; its own, where there are no more of them."""
    if len(points) <= clusters:
        return np.arange(len(points))
    means = KMeans(clusters, init="random", n_init=1, random_state=seed)  # pyright: ignore[reportArgumentType]
    return np.asarray(means.fit(points, sample_weight=weight.astype(np.float32)).labels_)


def area(p: Float[ndarray, " k"], q: Float[ndarray, " k"], scale: float) -> float:
    """The area under {(exp(-c KL(q|r)), exp(-c KL(p|r)))} over all mixtures r of p and q: 1 where they are equal.

    Where they share nothing it is not 0 but G(c + 1)^2 / G(2 c + 1) with the gamma function G: 1 / 252 for c = 5.
    """
    weight = 1 / (1 + np.exp(-np.linspace(-REACH, REACH, MIXTURES)))[:, None]
    mixture = weight * p + (1 - weight) * q
    x = np.exp(-scale * divergence(q, mixture))  # falls with the weight
    y = np.exp(-scale * divergence(p, mixture))  # grows with it
    return float(trapezoid(np.concatenate([[1], y[::-1], [0]]), np.concatenate([[0], x[::-1], [1]])))


def divergence(p: Float[ndarray, " k"], mixture: Float[ndarray, "n k"]) -> Float[ndarray, " n"]:
    """KL(p | r) in nats for every row r of `mixture`, none of which is zero where p is not."""
    held = p > 0
    return (p[held] * np.log(p[held] / mixture[:, held])).sum(1)
