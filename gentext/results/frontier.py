"""What a run's decode settings trade: the quality-diversity frontier, its area, and quality at matched diversity.

A curve is one run under several decode settings: names, and two figures for each. By default `x` is the diversity axis
(Self-BLEU: lower is better) and `y` the quality axis; `better` says for both which way is up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gentext.panels import Table
from gentext.results.board import Board
from gentext.results.significance import over_seeds


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


@dataclass(frozen=True)
class Traded:
    """Where each family stands between two metrics; figures are means over seeds, with an interval of three or more."""

    quality: str
    diversity: str
    reference: tuple[float, float]  # of the hypervolume: a diversity and a quality that are worth nothing
    matched_at: float | None  # the diversity that quality is read at; None: the frontiers have none in common
    best: Mapping[str, tuple[str, ...]]  # family -> its settings that no other setting of it dominates
    dominated: Mapping[str, tuple[str, ...]]
    area: Mapping[str, tuple[float, tuple[float, float] | None]]  # hypervolume
    matched: Mapping[str, tuple[float, tuple[float, float] | None]]  # quality at `matched_at`, of those that reach it


def trade(board: Board, quality: str, diversity: str, *, x: float | None = None) -> Traded | None:
    """The trade-offs of a board's families, quality read at diversity `x`, by default the middle of what all reach.

    A family is one whole model: its variant is part of its name. None where nothing holds both metrics.
    """
    seeds = {name: curves for name, curves in _curves(board, quality, diversity).items() if name != "human"}
    if not seeds:
        return None
    means = {name: _mean(curves) for name, curves in seeds.items()}
    reference = _reference([curve for curves in seeds.values() for curve in curves])
    several = [curve for curve in means.values() if len(frontier(curve)) > 1]
    x = common_x(several) if x is None and len(several) > 1 else x
    matched = {}
    for name, curves in seeds.items():
        read = [found for curve in curves if (found := _read(curve, x)) is not None]
        if len(read) == len(curves):
            matched[name] = over_seeds(read)
    kept = {name: frontier(curve) for name, curve in means.items()}
    return Traded(
        quality,
        diversity,
        reference,
        x,
        {name: tuple(means[name].settings[i] for i in index) for name, index in kept.items()},
        {name: tuple(s for i, s in enumerate(means[name].settings) if i not in kept[name]) for name in means},
        {name: over_seeds([hypervolume(curve, reference) for curve in curves]) for name, curves in seeds.items()},
        matched,
    )


def table(traded: Traded) -> Table:
    """The families by hypervolume, the largest first."""
    rows = []
    for name, area in sorted(traded.area.items(), key=lambda item: -item[1][0]):
        read = traded.matched.get(name)
        worse = ", ".join(traded.dominated[name]) or "-"
        rows.append([name, _words(area), "-" if read is None else _words(read), ", ".join(traded.best[name]), worse])
    x, y = traded.reference
    common = "" if traded.matched_at is None else f" at {traded.diversity} {traded.matched_at:.3g}"
    return Table(
        f"{traded.quality} against {traded.diversity}",
        f"Hypervolume: the area that a family's settings dominate, down to {traded.diversity} {x:.3g} and "
        f"{traded.quality} {y:.3g}. Matched quality is read between settings, never beyond them. ±: half a 95 % "
        "interval over seeds, of three or more.",
        ["family", "hypervolume", f"{traded.quality}{common}", "settings on the frontier", "dominated settings"],
        rows,
    )


def _curves(board: Board, quality: str, diversity: str) -> dict[str, list[Curve]]:
    """By family a curve of every seed."""
    points: dict[str, dict[int, list[tuple[str, float, float]]]] = {}
    up: dict[str, bool] = {}
    for row in board.rows:
        for record in row.records:
            if quality not in record.values or diversity not in record.values:
                continue
            x, y = record.values[diversity], record.values[quality]
            up |= {diversity: x.higher_is_better is True, quality: y.higher_is_better is not False}
            if math.isfinite(x.value) and math.isfinite(y.value):
                points.setdefault(row.family, {}).setdefault(record.seed, []).append((row.decode, x.value, y.value))
    return {
        name: [
            Curve(name, *zip(*each, strict=True), up[diversity], up[quality], diversity, quality)
            for each in seeds.values()
        ]
        for name, seeds in points.items()
    }


def _mean(curves: Sequence[Curve]) -> Curve:
    """The curve through the means over seeds, of the settings that every seed has."""
    settings = [setting for setting in curves[0].settings if all(setting in curve.settings for curve in curves)]
    if not settings:
        return curves[0]
    index = [[curve.settings.index(setting) for curve in curves] for setting in settings]

    def mean(axis: str) -> tuple[float, ...]:
        return tuple(
            sum(getattr(curve, axis)[i] for curve, i in zip(curves, at_, strict=True)) / len(curves) for at_ in index
        )

    first = curves[0]
    return Curve(first.name, tuple(settings), mean("x"), mean("y"), first.x_up, first.y_up, first.x_name, first.y_name)


def _read(curve: Curve, x: float | None) -> float | None:
    try:
        return None if x is None else at(curve, x).y
    except ValueError:  # its settings do not reach so far
        return None


def _reference(curves: Sequence[Curve]) -> tuple[float, float]:
    """The worst corner: of figures between 0 and 1 the worse of these two, of others the worst seen."""

    def worst(values: list[float], up: bool) -> float:
        if all(0 <= value <= 1 for value in values):
            return 0.0 if up else 1.0
        return min(values) if up else max(values)

    xs, ys = ([value for curve in curves for value in getattr(curve, axis)] for axis in "xy")
    return worst(xs, curves[0].x_up), worst(ys, curves[0].y_up)


def _words(figure: tuple[float, tuple[float, float] | None]) -> str:
    value, interval = figure
    return f"{value:.4f}" if interval is None else f"{value:.4f}±{(interval[1] - interval[0]) / 2:.4f}"
