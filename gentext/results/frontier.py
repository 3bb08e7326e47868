"""What a run's decode settings trade: the quality-diversity frontier, its area, and quality at matched diversity.

A curve is one run under several decode settings: names, and two figures for each. By default `x` is the diversity axis
(Self-BLEU: lower is better) and `y` the quality axis; `better` says for both which way is up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curve:
    """Points of one run, one for each decode setting; `x_up`, `y_up`: higher is better."""

    name: str
    settings: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    x_up: bool
    y_up: bool
    x_name: str = "x"
    y_name: str = "y"

    def __post_init__(self) -> None:
        if not len(self.settings) == len(self.x) == len(self.y) or not self.settings:
            sizes = (len(self.settings), len(self.x), len(self.y))
            raise ValueError(f"a curve needs one x and one y for each setting, one setting at least; got {sizes}")
        if not np.isfinite([*self.x, *self.y]).all():
            raise ValueError(f"curve {self.name!r} has figures that are not finite; leave those settings out")


@dataclass(frozen=True)
class Matched:
    """A curve read at one x; `str` tells it in a sentence."""

    x: float
    y: float
    between: tuple[str, str]  # the settings on either side; the same twice where one stands at x
    curve: Curve

    def __str__(self) -> str:
        return f"at {self.curve.x_name} {self.x:.3g} {self.curve.name} has {self.curve.y_name} {self.y:.3g}"


def dominated(curve: Curve) -> np.ndarray:
    """Bool [points]: another setting is at least as good on both axes and better on one. Twins do not dominate."""
    points = _upward(curve)
    weakly = (points[None] >= points[:, None]).all(2)  # [i, j]: j is at least as good as i
    strictly = (points[None] > points[:, None]).any(2)
    return (weakly & strictly).any(1)


def frontier(curve: Curve) -> list[int]:
    """Indices of the settings that no other dominates, from the best x to the worst, so y only gets better."""
    kept = np.flatnonzero(~dominated(curve))
    points = _upward(curve)
    return [int(i) for i in kept[np.lexsort((kept, points[kept, 1], -points[kept, 0]))]]


def hypervolume(curve: Curve, reference: tuple[float, float]) -> float:
    """Area that the settings dominate, down to the `reference` point; what is worse than it on an axis adds nothing.

    Source: Zitzler & Thiele 1998. Comparable between runs only under one reference point: it belongs into the caption.
    """
    signs = _signs(curve)
    corner = np.array(reference, dtype=np.float64) * signs
    area, height = 0.0, 0.0
    for x, y in _upward(curve)[frontier(curve)] - corner:
        if x > 0 and y > height:
            area += x * (y - height)
            height = y
    return area


def at(curve: Curve, x: float) -> Matched:
    """The y that the run reaches at `x`, linear between the two neighbours on its frontier.

    For an interval, read each seed's curve and give the figures to `significance.over_seeds`.
    Raises: ValueError where the frontier does not reach x: nothing is extrapolated.
    """
    index = frontier(curve)
    order = sorted(index, key=lambda i: curve.x[i])
    xs, ys = np.array([curve.x[i] for i in order]), np.array([curve.y[i] for i in order])
    if not xs[0] <= x <= xs[-1]:
        raise ValueError(
            f"{curve.name} spans {curve.x_name} {xs[0]:.4g} to {xs[-1]:.4g}, which does not reach {x:.4g}; "
            "run decode settings that do (other temperatures)"
        )
    right = int(np.searchsorted(xs, x))
    left = right if xs[right] == x else right - 1
    between = (curve.settings[order[left]], curve.settings[order[right]])
    return Matched(x, float(np.interp(x, xs, ys)), between, curve)


def common_x(curves: Sequence[Curve]) -> float | None:
    """The middle of the x range that every curve's frontier spans, where all can be compared; None: there is none."""
    spans = [[curve.x[i] for i in frontier(curve)] for curve in curves]
    if not spans:
        return None
    low, high = max(map(min, spans)), min(map(max, spans))
    return (low + high) / 2 if low <= high else None


def _signs(curve: Curve) -> np.ndarray:
    return np.where([curve.x_up, curve.y_up], 1.0, -1.0)


def _upward(curve: Curve) -> np.ndarray:
    """Points [k, 2] turned so that higher is better on both axes."""
    return np.stack([curve.x, curve.y], 1).astype(np.float64) * _signs(curve)
