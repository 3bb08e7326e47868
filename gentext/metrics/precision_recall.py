"""Precision, recall, density and coverage: do samples lie among the references, and do they reach all of them?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gentext import checks
from gentext.metrics.base import Absent
from gentext.metrics.embedding import VectorMetric
from gentext.metrics.encoders import Encoder
from gentext.metrics.intervals import bootstrap, wilson
from gentext.types import Samples, Value

ROWS = 1024  # of a distance matrix held at once
TIE = 1e-5  # squared distances closer than this are equal: rounding must not decide whether a twin is in reach


class PrecisionRecall(VectorMetric):
    """Four shares, with a ball around each text that reaches its k-th neighbour on its own side (`neighbours`).

    precision: samples within some reference's ball; recall: references within some sample's ball (Kynkaanniemi et al.
    2019, who take k = 3); density: balls of references that a sample lies in, over k, on average, and coverage:
    references with a sample in their ball (Naeem et al. 2020, k = 5). Intervals hold the other side fixed.
    Differs: a point on a ball's surface lies in it, so that repeated texts, whose ball is a point, are in reach.
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(
        self, encoder: Encoder | None = None, neighbours: int = 5, resamples: int = 10_000, seed: int = 0
    ) -> None:
        super().__init__(encoder)
        checks.at_least(1, neighbours=neighbours)
        checks.at_least(0, resamples=resamples)
        self.neighbours = neighbours
        self.resamples = resamples
        self.seed = seed

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value]:
        samples, references = self.vectors("samples"), self.vectors("references")
        fewest = min(len(samples), len(references))
        if fewest <= self.neighbours:
            raise Absent(f"{self.neighbours} neighbours need more texts on either side than {fewest}")
        figures = reach(samples, references, self.neighbours)
        sizes = f"k:{self.neighbours}|refs:{len(references)}|hyps:{len(samples)}|v:1"
        values = {}
        for name, each in figures.items():
            if name == "density":
                interval = bootstrap(each, resamples=self.resamples, seed=self.seed)
            else:
                interval = wilson(int(each.sum()), len(each))
            signature = f"{name}|encoder:{self.encoder.signature()}|{sizes}"
            values[name] = Value(
                float(each.mean()),
                signature,
                True,
                len(each),
                "share",
                **interval._asdict(),
                per_sequence=each,
                paired=name in ("recall", "coverage"),  # a figure for each reference
            )
        return values


def reach(samples: Float[Tensor, "n d"], references: Float[Tensor, "m d"], neighbours: int) -> dict[str, np.ndarray]:
    """precision and density for each sample, recall and coverage for each reference."""
    sample_radii, reference_radii = radii(samples, neighbours), radii(references, neighbours)
    balls = torch.zeros(len(samples), dtype=torch.float64)
    found, recalled = torch.zeros(2, len(references), dtype=torch.bool)
    for at in range(0, len(references), ROWS):
        rows = slice(at, at + ROWS)
        squares = distances(references[rows], samples)
        inside = squares <= reference_radii[rows, None]
        balls += inside.sum(0)
        found[rows] = inside.any(1)
        recalled[rows] = (squares <= sample_radii).any(1)
    figures = {"precision": balls > 0, "recall": recalled, "density": balls / neighbours, "coverage": found}
    return {name: figure.double().numpy() for name, figure in figures.items()}


def radii(points: Float[Tensor, "n d"], neighbours: int) -> Float[Tensor, " n"]:
    """The squared distance of each point to its k-th neighbour, itself not counted, and a hair more."""
    nearest = [
        distances(points[at : at + ROWS], points).topk(neighbours + 1, largest=False).values[:, -1]
        for at in range(0, len(points), ROWS)
    ]
    return torch.cat(nearest) + TIE


def distances(rows: Float[Tensor, "n d"], columns: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances."""
    lengths = columns.square().sum(1) / -2
    products = torch.addmm(lengths, rows, columns.T)
    return products.mul_(-2).add_(rows.square().sum(1)[:, None])
