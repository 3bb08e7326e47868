"""What a run's decode settings trade: its frontier, the mean along it, quality at matched diversity.

A curve is one run under several decode settings: names, and two figures for each. By default `x` is the diversity axis
(Self-BLEU: lower is better) and `y` the quality axis; `better` says for both which way is up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gentext.checks import finite
from gentext.panels import Table
from gentext.results.board import Board, mixed
from gentext.results.columns import column
from gentext.results.naming import setting
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
    return np.asarray((weakly & strictly).any(axis=-1))


def frontier(curve: Curve) -> list[int]:
    """Indices of the settings that no other dominates, from the best x to the worst, so y only gets better."""
    kept = np.flatnonzero(~dominated(curve))
    points = _upward(curve)
    return [int(i) for i in kept[np.lexsort((kept, points[kept, 1], -points[kept, 0]))]]


def area(curve: Curve, low: float, high: float) -> float:
    """The mean y that the run reaches over `low` .. `high` on the x axis, linear between the settings of its frontier.

    This is the hypervolume of the interpolated frontier over that range, by its width: a setting between two others
    refines it and adds nothing, so that runs of one setting more or less stay comparable.
    Source: Zitzler & Thiele 1998. Differs: over a common range, and interpolated.
    Raises: ValueError where the frontier does not span the range.
    """
    if low == high:
        return at(curve, low).y
    inner = sorted({x for x in (curve.x[i] for i in frontier(curve)) if low < x < high} | {low, high})
    return float(np.trapezoid([at(curve, x).y for x in inner], inner)) / (high - low)


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


def common_range(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """The x range that every curve's frontier spans, where all can be compared; None: there is none."""
    spans = [[curve.x[i] for i in frontier(curve)] for curve in curves]
    if not spans:
        return None
    low, high = max(map(min, spans)), min(map(max, spans))
    return (low, high) if low <= high else None


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
    span: tuple[float, float] | None  # the diversities that every family of two settings or more reaches
    matched_at: float | None  # the diversity that quality is read at; None: the frontiers have none in common
    best: Mapping[str, tuple[str, ...]]  # family -> its settings that no other setting of it dominates
    dominated: Mapping[str, tuple[str, ...]]
    area: Mapping[str, tuple[float, tuple[float, float] | None]]  # mean quality over `span`
    matched: Mapping[str, tuple[float, tuple[float, float] | None]]  # quality at `matched_at`, of those that reach it
    apart: tuple[str, ...] = ()  # families left out: no setting of theirs is held by all their seeds


def trade(board: Board, quality: str, diversity: str, *, x: float | None = None) -> Traded | None:
    """The trade-offs of a board's families, quality read at diversity `x`, by default the middle of what all reach.

    A family whose seeds share no setting is left out. None where nothing holds both metrics. Raises: ValueError for a
    metric without a direction, and for one of mixed signatures.
    """
    held = [r for row in board.rows for r in row.records if quality in r.values and diversity in r.values]
    if not any(record.family != "human" for record in held):
        return None
    axes = {name: column(name, held[0].values[name]).axis for name in (quality, diversity)}
    for name, axis in axes.items():
        if not axis:
            raise ValueError(f"neither end of {name} is better, so that it cannot be traded; give for example bleu4")
        if refused := mixed(name, held):
            raise ValueError(refused)
    drawn = _curves(board, quality, diversity, {name: axis == "higher" for name, axis in axes.items()})
    if not drawn:
        return None
    found = {name: _mean(each) for name, each in drawn.items()}
    means = {name: mean for name, mean in found.items() if mean is not None}
    curves = {name: drawn[name] for name in means}
    several = [name for name, curve in means.items() if len(frontier(curve)) > 1]
    span = common_range([curve for name in several for curve in curves[name]]) if len(several) > 1 else None
    place = sum(span) / 2 if x is None and span else x
    areas, matched = {}, {}
    if span is not None:
        low, high = span
        areas = {name: _each(each, lambda c: area(c, low, high)) for name, each in curves.items()}
    if place is not None:
        where = place
        matched = {name: _each(each, lambda c: at(c, where).y) for name, each in curves.items()}
    kept = {name: frontier(curve) for name, curve in means.items()}
    return Traded(
        quality,
        diversity,
        span,
        place,
        {name: tuple(means[name].settings[i] for i in index) for name, index in kept.items()},
        {name: tuple(s for i, s in enumerate(means[name].settings) if i not in kept[name]) for name in means},
        {name: figure for name, figure in areas.items() if figure is not None},
        {name: figure for name, figure in matched.items() if figure is not None},
        tuple(name for name, mean in found.items() if mean is None),
    )


def _curve(name: str, points: Mapping[str, tuple[float, float]], *options: Any) -> Curve:
    """The curve of one seed's decode settings, each with its diversity and its quality."""
    xs, ys = zip(*points.values(), strict=True)
    return Curve(name, tuple(points), xs, ys, *options)


def _each(curves: Sequence[Curve], read: Callable[[Curve], float]) -> tuple[float, tuple[float, float] | None] | None:
    """The mean and interval over seeds of what is read from each curve; None where one does not reach so far."""
    try:
        return over_seeds([read(curve) for curve in curves])
    except ValueError:
        return None


def table(traded: Traded) -> Table:
    """The families by mean quality over the common range, then by quality at matched diversity; the best first."""
    up = column(traded.quality).axis != "lower"
    quality, diversity = column(traded.quality).title, column(traded.diversity).title

    def key(name: str) -> tuple[float, float]:
        sign = -1 if up else 1
        figures = [traded.area.get(name), traded.matched.get(name)]
        first, second = (math.inf if figure is None else sign * figure[0] for figure in figures)
        return first, second

    rows = []
    for name in sorted(traded.best, key=key):
        area, read = (None if f is None else _words(f) for f in (traded.area.get(name), traded.matched.get(name)))
        settings = [", ".join(map(setting, each[name])) or "-" for each in (traded.best, traded.dominated)]
        rows.append([name, area or "-", read or "-", *settings])
    over = "" if traded.span is None else f" over {diversity} {traded.span[0]:.3g} to {traded.span[1]:.3g}"
    common = "" if traded.matched_at is None else f" at {diversity} {traded.matched_at:.3g}"
    apart = f" Left out, for no setting is held by all its seeds: {', '.join(traded.apart)}." if traded.apart else ""
    return Table(
        f"{quality} against {diversity}",
        "Mean: the area below a family's frontier, by the width of the range that all families with two settings or "
        "more on it reach; a further setting between them adds nothing. Both are read between settings, never beyond "
        "them. ±: half a 95 % interval over seeds, of three or more." + apart,
        ["family", f"mean {quality}{over}", f"{quality}{common}", "settings on the frontier", "dominated settings"],
        rows,
    )


def tables(boards: Iterable[Board], quality: str, diversity: str, *, x: float | None = None) -> Iterator[Table]:
    """A table of each board's frontiers; `x` as in `trade`.

    Raises: ValueError where no family of a board holds both figures, and where none of any board reaches `x`.
    """
    finite(at=x)
    found: list[Traded] = []
    ranked = list(boards)
    for board in ranked:
        traded = trade(board, quality, diversity, x=x)
        if traded is None:
            raise ValueError(f"no family of {board.title} holds both {quality} and {diversity}")
        found.append(traded)
    if x is not None and not any(traded.matched for traded in found):
        up = {quality: True, diversity: True}  # of no matter to where the settings lie
        curves = [each for board in ranked for each in _curves(board, quality, diversity, up).values()]
        seen = [at for each in curves for curve in each for at in curve.x]
        lie = f"their settings have {diversity} from {min(seen):.3g} to {max(seen):.3g}"
        raise ValueError(f"at is {x:g}, which no family reaches ({lie}); give one within a family's, or leave it out")
    yield from map(table, found)


def _curves(board: Board, quality: str, diversity: str, up: Mapping[str, bool]) -> dict[str, list[Curve]]:
    """By family a curve of every seed; human text makes none, and of several copies of one run the first counts."""
    points: dict[str, dict[int, dict[str, tuple[float, float]]]] = {}
    for row in board.rows:
        for record in row.records:
            if row.human or quality not in record.values or diversity not in record.values:
                continue
            x, y = record.values[diversity].value, record.values[quality].value
            if math.isfinite(x) and math.isfinite(y):
                points.setdefault(row.family, {}).setdefault(record.seed, {}).setdefault(row.decode, (x, y))
    return {
        name: [_curve(name, each, up[diversity], up[quality], diversity, quality) for each in seeds.values()]
        for name, seeds in points.items()
    }


def _mean(curves: Sequence[Curve]) -> Curve | None:
    """The curve through the means over seeds, of the settings that every seed has; None where there are none."""
    settings = [setting for setting in curves[0].settings if all(setting in curve.settings for curve in curves)]
    if not settings:
        return None
    index = [[curve.settings.index(setting) for curve in curves] for setting in settings]

    def mean(axis: str) -> tuple[float, ...]:
        return tuple(
            sum(getattr(curve, axis)[i] for curve, i in zip(curves, at_, strict=True)) / len(curves) for at_ in index
        )

    first = curves[0]
    return Curve(first.name, tuple(settings), mean("x"), mean("y"), first.x_up, first.y_up, first.x_name, first.y_name)


def _words(figure: tuple[float, tuple[float, float] | None]) -> str:
    value, interval = figure
    return f"{value:.4f}" if interval is None else f"{value:.4f}±{(interval[1] - interval[0]) / 2:.4f}"
