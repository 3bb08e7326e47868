"""What a number does to a figure: a curve along each that the command line, or a decode setting, varied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from gentext.report.style import Chart, encoding, titled
from gentext.results.board import Row
from gentext.results.columns import column as board_column

FEWEST = 3  # different numbers that make a curve
WIDE = 4.0  # times the smallest number: from there on an axis is logarithmic


@dataclass(frozen=True)
class Named:
    """A row, what it varies by key, and its name on a chart."""

    row: Row
    parts: Mapping[str, str]
    name: str


def draw(rows: Sequence[Row], metrics: Sequence[str]) -> list[Chart]:
    """A chart for every key that takes three numbers or more while all else of a name stays.

    Keys are those of the command line, and those by which rows are named (`data.train`, of a corpus).

    Rows with other numbers of it are points of their own, rows without it levels.
    """
    named = [Named(row, _parts(f"{row.records[0].variant} {row.family}"), row.family) for row in rows]
    return [chart for metric in metrics for chart in _drawn(named, metric)]


def draw_decoding(rows: Sequence[Row], plain: Sequence[Row], metrics: Sequence[str]) -> list[Chart]:
    """The same of the numbers of decode settings (but temperatures, which are a curve on the frontier).

    plain: the rows that are levels.
    """
    named = [Named(row, _parts(row.decode), f"{row.family} {row.decode}") for row in rows]
    named = [each for each in named if each.parts and "temperature" not in each.parts]
    levels = [Named(row, {}, row.family) for row in plain if not _parts(row.decode)]
    return [chart for metric in metrics for chart in _drawn([*named, *levels], metric)]


def _drawn(named: Sequence[Named], metric: str) -> list[Chart]:
    named = [each for each in named if metric in each.row.cells]
    keys = dict.fromkeys(key for each in named for key in each.parts if _number(each.parts[key]) is not None)
    return [chart for key in keys if (chart := _along(key, named, metric)) is not None]


def _along(key: str, named: Sequence[Named], metric: str) -> Chart | None:
    curves: dict[str, dict[float, Row]] = defaultdict(dict)
    for each in named:
        if key in each.parts and (at := _number(each.parts[key])) is not None:
            curves[_rest(each.name, key)][at] = each.row
    if max(map(len, curves.values()), default=0) < FEWEST:
        return None
    title = board_column(metric).title
    points = [point for name, curve in curves.items() for point in _points(name, curve, metric)]
    levels = [{"family": each.name, "y": each.row.cells[metric].value} for each in named if key not in each.parts]
    numbers = [point["x"] for point in points]
    wide = min(numbers) > 0 and max(numbers) >= WIDE * min(numbers)
    scale = alt.Scale(type="log", nice=False) if wide else alt.Scale(zero=False)
    x = alt.X("x:Q", title=key, scale=scale, axis=alt.Axis(values=sorted(set(numbers))))
    y = alt.Y("y:Q", title=title, scale=alt.Scale(zero=False))
    looks = encoding([*points, *levels], list(dict.fromkeys([*curves, *(level["family"] for level in levels)])))
    tooltip = [alt.Tooltip("family:N"), alt.Tooltip("x:Q", title=key), alt.Tooltip("y:Q", title=title, format=".4~g")]
    base = alt.Chart(alt.Data(values=points)).encode(x=x, y=y, color=looks["color"])
    layers = [
        base.transform_filter("datum.curve").mark_line(strokeWidth=2),
        base.mark_rule().encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=70).encode(shape=looks["shape"], tooltip=tooltip),
    ]
    if levels:
        flat = alt.Chart(alt.Data(values=levels)).mark_rule(strokeDash=[5, 4])
        layers.append(flat.encode(y=y, color=looks["color"], tooltip=[tooltip[0], tooltip[2]]))
    others = f"; {', '.join(level['family'] for level in levels)} for comparison" if levels else ""
    return titled(
        f"swept-{key}-{metric.replace(':', '-')}",
        f"{title} along {key}",
        f"{title} of {', '.join(curves)} at {len(set(numbers))} values of {key}{others}.",
        "Bars are 95 % intervals" + (", dashed: rows without such a number." if levels else "."),
        alt.layer(*layers),
    )


def _points(name: str, curve: dict[float, Row], metric: str) -> Iterator[dict[str, Any]]:
    for at, row in sorted(curve.items()):
        cell = row.cells[metric]
        low, high = cell.interval or (cell.value, cell.value)
        yield {"family": name, "curve": len(curve) >= FEWEST, "x": at, "y": cell.value, "low": low, "high": high}


def _parts(words: str) -> dict[str, str]:
    """What they say, by key."""
    return dict(word.split("=", 1) for word in words.split() if "=" in word)


def _rest(name: str, key: str) -> str:
    """A name without one of its keys."""
    return " ".join(word for word in name.split() if not word.startswith(f"{key}="))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
