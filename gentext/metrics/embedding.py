"""Frechet distance and Vendi score: figures of texts as points in an embedding space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from gentext import checks
from gentext.metrics.base import Absent, TextMetric
from gentext.metrics.encoders import Encoder, HashedNgrams, embed
from gentext.metrics.intervals import GROUPS, jackknife, student
from gentext.types import Samples, Value


class VectorMetric(TextMetric):
    """A metric over the vectors that `encoder` gives to the texts of named collections."""

    collections: ClassVar[tuple[str, ...]] = ("samples", "references")

    def __init__(self, encoder: Encoder | None = None) -> None:
        super().__init__()
        self.encoder = encoder or HashedNgrams()
        for name in self.collections:
            self.add_column(f"{name}_vectors", torch.float32)

    def read(self, **collections: Samples | None) -> None:
        """Add texts to the collections; those that are None stay as they are."""
        for name, texts in collections.items():
            if texts is not None:
                self.append(f"{name}_vectors", embed(self.encoder, texts).reshape(-1))

    def vectors(self, name: str, least: int = 1) -> Float[Tensor, "n d"]:
        """All vectors of a collection so far. Raises Absent where there are fewer than `least`."""
        vectors = torch.from_numpy(self.column(f"{name}_vectors")).reshape(-1, self.encoder.width)
        if len(vectors) < least:
            raise Absent(f"{type(self).__name__} needs {least} or more {name}, and there are {len(vectors)}")
        return vectors


class Frechet(VectorMetric):
    """Frechet distance between samples and references, both taken to be normal.

    The squared distance between their means, plus the distance between their covariances. It falls with the number of
    texts, since a few make a covariance look narrower than it is: compare figures of the same numbers of both, which
    stand in the signature. The interval comes from a jackknife of `groups` groups of both.
    Source: Heusel et al. 2017; for text with BERT: Montahaei et al. 2019 (FBD).

    Example:
        >>> from gentext.types import Samples
        >>> texts = Samples(tuple(f"a dog number {i} runs" for i in range(40)))
        >>> metric = Frechet()
        >>> metric.update(texts, texts)
        >>> round(metric.compute()["frechet"], 3)
        0.0
    """

    higher_is_better: ClassVar[bool | None] = False

    def __init__(self, encoder: Encoder | None = None, groups: int = GROUPS, seed: int = 0) -> None:
        super().__init__(encoder)
        checks.at_least(0, groups=groups)
        self.groups = groups
        self.seed = seed

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value]:
        samples, references = self.vectors("samples", least=2).double(), self.vectors("references", least=2).double()

        def distance(*kept: ndarray) -> ndarray:
            sides = (side[rows] for side, rows in zip((samples, references), kept, strict=True))
            return frechet_distance(*map(mean_and_covariance, sides))[None].numpy()

        n, m = len(samples), len(references)
        value = float(distance(np.ones(n, dtype=bool), np.ones(m, dtype=bool))[0])
        [error] = jackknife(distance, n, m, groups=self.groups, seed=self.seed)
        interval = student(value, error, self.groups)
        signature = f"frechet|encoder:{self.encoder.signature()}|refs:{m}|hyps:{n}|v:1"
        return {"frechet": Value(value, signature, False, n, **interval._asdict())}


class Vendi(VectorMetric):
    """Vendi score: the effective number of different samples.

    From 1 (all alike) to the dimension of the space, where it saturates.
    Source: Friedman and Dieng 2023, definition 3.1, with the cosine as similarity, computed in the dual (their section
    3.3): the eigenvalues of K / n are those of the vectors' second moments.

    Example:
        >>> from gentext.types import Samples
        >>> metric = Vendi()
        >>> metric.update(Samples(("a dog",) * 3 + ("he runs",) * 3))
        >>> round(metric.compute()["vendi"])  # two texts in effect
        2
    """

    higher_is_better: ClassVar[bool | None] = True
    collections = ("samples",)

    def __init__(self, encoder: Encoder | None = None, groups: int = GROUPS, seed: int = 0) -> None:
        super().__init__(encoder)
        checks.at_least(0, groups=groups)
        self.groups = groups
        self.seed = seed

    def update(self, samples: Samples) -> None:
        self.read(samples=samples)

    def values(self) -> Mapping[str, Value]:
        vectors = self.vectors("samples")
        n, score = len(vectors), float(vendi_score(vectors))
        [error] = jackknife(
            lambda kept: vendi_score(vectors[kept])[None].numpy(), n, groups=self.groups, seed=self.seed
        )
        interval = student(score, error, self.groups)
        signature = f"vendi|encoder:{self.encoder.signature()}|hyps:{n}|v:1"
        return {"vendi": Value(score, signature, True, n, "texts", **interval._asdict())}


def mean_and_covariance(vectors: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Mean and unbiased covariance of the rows."""
    mean = vectors.mean(0)
    centred = vectors - mean
    return mean, centred.T @ centred / (len(vectors) - 1)


def frechet_distance(
    first: tuple[Float[Tensor, " d"], Float[Tensor, "d d"]], second: tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]
) -> Float[Tensor, ""]:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^1/2) of two normal distributions (Dowson and Landau 1982, equation 4).

    The last trace is that of (C^1/2 C' C^1/2)^1/2: symmetric, so its eigenvalues are real and cheap.
    """
    (mean, covariance), (other_mean, other) = first, second
    values, axes = torch.linalg.eigh(covariance)
    root = (axes * values.clamp(min=0).sqrt()) @ axes.T
    shared = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0).sqrt().sum()
    return ((mean - other_mean).square().sum() + covariance.trace() + other.trace() - 2 * shared).clamp(min=0)


def vendi_score(vectors: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """exp of the entropy of the eigenvalues of the cosine similarities over n.

    Texts without words (zero vectors) are like each other and like nothing else: one eigenvalue, their share.
    """
    empty = 1 - vectors.any(1).double().mean()
    spectrum = torch.linalg.eigvalsh((vectors.T @ vectors).double() / len(vectors)).clamp(min=0)
    return torch.special.entr(torch.cat([spectrum, empty[None]])).sum().exp()
