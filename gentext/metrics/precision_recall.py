"""Precision, recall, density and coverage: do samples lie among the references, and do they reach all of them?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from gentext import checks
from gentext.metrics.base import Absent
from gentext.metrics.embedding import VectorMetric
from gentext.metrics.encoders import Encoder
from gentext.metrics.intervals import FEW, GROUPS, clopper_pearson, group_errors, group_of, student
from gentext.types import Samples, Value

ROWS = 1024  # of a distance matrix held at once
TIE = 1e-5  # squared distances closer than this are equal: rounding must not decide whether a twin is in reach


class PrecisionRecall(VectorMetric):
    """Four shares, with a ball around each text that reaches its k-th neighbour on its own side (`neighbours`).

    precision: samples within some reference's ball; recall: references within some sample's ball (Kynkaanniemi et al.
    2019, who take k = 3); density: balls of references that a sample lies in, over k, on average, and coverage:
    references with a sample in their ball (Naeem et al. 2020, k = 5). Intervals come from a jackknife of `groups`
    groups of both sides.
    Differs: a point on a ball's surface lies in it, so that repeated texts, whose ball is a point, are in reach.

    Example:
        >>> from gentext.types import Samples
        >>> texts = Samples(tuple(f"a dog number {i} runs" for i in range(40)))
        >>> metric = PrecisionRecall()
        >>> metric.update(texts, texts)
        >>> metric.compute()["precision"], metric.compute()["recall"]
        (1.0, 1.0)
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(
        self, encoder: Encoder | None = None, neighbours: int = 5, groups: int = GROUPS, seed: int = 0
    ) -> None:
        super().__init__(encoder)
        checks.at_least(1, neighbours=neighbours)
        checks.at_least(0, groups=groups)
        self.neighbours = neighbours
        self.groups = groups
        self.seed = seed

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value]:
        samples, references = self.vectors("samples"), self.vectors("references")
        n, m = len(samples), len(references)
        if min(n, m) <= self.neighbours:
            raise Absent(f"{self.neighbours} neighbours need more texts on either side than {min(n, m)}")
        few = min(n, m) < max(FEW, 2 * self.neighbours)  # a group left out leaves too few neighbours
        groups = 0 if few else self.groups
        figures, errors = reach(samples, references, self.neighbours, groups, self.seed)
        values = {}
        for name, each in figures.items():
            value = float(each.mean())
            if name == "density":
                interval = student(value, errors[name], self.groups)
            else:
                interval = clopper_pearson(value, len(each), errors[name], self.groups - 1, f"jackknife:{self.groups}")
            own = name in ("precision", "density")  # of each sample; the others rest on all samples together
            values[name] = Value(
                value,
                f"{name}|encoder:{self.encoder.signature()}|k:{self.neighbours}|refs:{m}|hyps:{n}|v:1",
                True,
                len(each),
                "share",
                **interval._asdict(),
                per_sequence=each if own else None,
            )
        return values


def reach(
    samples: Float[Tensor, "n d"], references: Float[Tensor, "m d"], neighbours: int, groups: int = 0, seed: int = 0
) -> tuple[dict[str, ndarray], dict[str, float]]:
    """precision and density for each sample, recall and coverage for each reference; the jackknife's errors of all.

    Without a group of either side balls grow, by little: the pairs in reach are found once, with the largest radii.
    """
    n, m = len(samples), len(references)
    ours, theirs = (group_of(size, max(groups, 1), seed + i) for i, size in enumerate((n, m)))
    sample_radii, reference_radii = (
        radii(samples, neighbours, ours, groups),
        radii(references, neighbours, theirs, groups),
    )
    cases = groups + 1  # all texts, then without each group
    inside, reached, recalled = np.zeros((cases, n)), np.zeros((cases, m), dtype=bool), np.zeros((cases, m), dtype=bool)
    for at in range(0, m, ROWS):
        squares = distances(references[at : at + ROWS], samples)
        for radius, own in ((reference_radii[:, at : at + ROWS, None], True), (sample_radii[:, None], False)):
            i, j = (index.numpy() for index in torch.nonzero(squares <= radius.amax(0), as_tuple=True))
            far = squares[i, j]
            for case in range(cases):
                limit = radius[case, i, 0] if own else radius[case, 0, j]
                near = (far <= limit).numpy()
                if case:
                    near &= (theirs[at + i] != case - 1) & (ours[j] != case - 1)
                if own:
                    inside[case] += np.bincount(j[near], minlength=n)
                    reached[case, at + i[near]] = True
                else:
                    recalled[case, at + i[near]] = True
    each = {"precision": (inside > 0, ours), "recall": (recalled, theirs)}
    each |= {"density": (inside / neighbours, ours), "coverage": (reached, theirs)}
    figures = {name: rows[0].astype(np.float64) for name, (rows, _) in each.items()}
    errors = dict.fromkeys(each, np.nan)
    if groups:
        for name, (rows, member) in each.items():
            without = np.array([row[member != group].mean() for group, row in enumerate(rows[1:])])
            errors[name] = float(group_errors(without[:, None])[0])
    return figures, errors


def radii(
    points: Float[Tensor, "n d"], neighbours: int, member: Int[ndarray, " n"], groups: int
) -> Float[Tensor, "g n"]:
    """The squared distance of each point to its k-th neighbour, itself not counted, and a hair more.

    First among all points, then among those outside of each group.
    """
    n, found = len(points), []
    label = torch.from_numpy(member)
    among = min(n, 4 * neighbours + 8)  # of so many neighbours, enough are of other groups
    for at in range(0, n, ROWS):
        squares = distances(points[at : at + ROWS], points)
        near, index = squares.topk(among, largest=False)
        cases = [near[:, neighbours]]
        for group in range(groups):
            others = (label[index] != group).cumsum(1)  # where the point itself is left out, its radius is not used
            enough = others >= neighbours + 1
            last = torch.where(enough.any(1), enough.int().argmax(1), among - 1)
            cases.append(near.gather(1, last[:, None])[:, 0])
        found.append(torch.stack(cases))
    return torch.cat(found, 1) + TIE


def distances(rows: Float[Tensor, "n d"], columns: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances."""
    lengths = columns.square().sum(1) / -2
    products = torch.addmm(lengths, rows, columns.T)
    return products.mul_(-2).add_(rows.square().sum(1)[:, None])
