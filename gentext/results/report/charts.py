"""The pictures of a report as Vega-Lite charts: each with a title, words for those who cannot see it, and a caption."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from gentext.results.board import Board, Row

# Okabe and Ito's eight, told apart by colour-blind readers, and shapes for those who print in black
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#777777"]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "stroke"]
HEIGHT = 360


@dataclass(frozen=True)
class Chart:
    """A picture and its words."""

    name: str  # file and element name
    title: str
    alternative: str  # what the picture shows, for those who cannot see it
    caption: str
    spec: Mapping[str, Any]  # Vega-Lite


def frontier(board: Board, quality: str, diversity: str) -> Chart | None:
    """Every family a curve over its decode settings, quality against diversity, with intervals."""
    points = [point for row in board.rows if (point := _point(row, diversity, quality))]
    if not points:
        return None
    encoding = _encoding(points)
    x = alt.X("x:Q", title=f"{diversity} ({_better(board, diversity)})", scale=alt.Scale(zero=False))
    y = alt.Y("y:Q", title=f"{quality} ({_better(board, quality)})", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=points))
    layers = alt.layer(
        base.mark_line(strokeWidth=2).encode(x=x, y=y, order="order:Q", color=encoding["color"]),
        base.mark_rule(opacity=0.5).encode(x=x, y="y_low:Q", y2="y_high:Q", color=encoding["color"]),
        base.mark_rule(opacity=0.5).encode(x="x_low:Q", x2="x_high:Q", y=y, color=encoding["color"]),
        base.mark_point(filled=True, size=70).encode(x=x, y=y, tooltip=_tooltip(diversity, quality), **encoding),
    )
    return _chart(
        f"frontier-{quality}-{diversity}",
        f"{quality} against {diversity}",
        f"{len(points)} points of {len({p['family'] for p in points})} families: {quality} against {diversity}.",
        "One curve a family, one point a decode setting. Bars are 95 % intervals. Hover for the settings.",
        layers,
    )


def directions(board: Board) -> Chart | None:
    """Coverage against plausibility under the known truth: H(p, q) against H(q, p), the entropy H(p) as the corner."""
    points = [point for row in board.rows if (point := _point(row, "h_pq", "h_qp"))]
    if not points:
        return None
    encoding = _encoding(points)
    layers = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=80)
    drawn = layers.encode(
        x=alt.X(
            "x:Q",
            title="H(p, q): does the model cover the truth? nats a sentence, lower is better",
            scale=alt.Scale(zero=False),
        ),
        y=alt.Y("y:Q", title="H(q, p): is what it writes likely? nats", scale=alt.Scale(zero=False)),
        tooltip=_tooltip("h_pq", "h_qp"),
        **encoding,
    )
    return _chart(
        "directions",
        "Both directions against the known truth",
        f"Cross-entropy in both directions for {len(points)} rows.",
        "A model that collapses goes down and to the right: what it writes is likely, what is true it does not cover.",
        drawn,
    )


def curves(logs: Mapping[str, Sequence[Mapping[str, float]]], against: str) -> Chart | None:
    """Validation loss of every run against `seconds` or `tokens`."""
    points = [
        {"family": name, "x": line[against], "y": line["valid/nll"]}
        for name, lines in logs.items()
        for line in lines
        if "valid/nll" in line and against in line and math.isfinite(line["valid/nll"])
    ]
    if not points:
        return None
    encoding = _encoding(points)
    drawn = alt.Chart(alt.Data(values=points)).mark_line(point=True).encode(
        x=alt.X("x:Q", title=f"training {against}"),
        y=alt.Y("y:Q", title="validation loss, nats a token", scale=alt.Scale(zero=False)),
        color=encoding["color"],
        tooltip=[alt.Tooltip("family:N"), alt.Tooltip("x:Q", title=against), alt.Tooltip("y:Q", title="nats")],
    )  # fmt: skip
    return _chart(
        f"curves-{against}",
        f"Validation loss against {against}",
        f"Validation loss of {len(logs)} runs against training {against}.",
        "Nats a token on the validation split while training went on.",
        drawn,
    )


def cost(board: Board, quality: str) -> Chart | None:
    """A quality against training seconds, on a logarithmic axis."""
    points = [point for row in board.rows if (point := _point(row, "train_seconds", quality)) and point["x"] > 0]
    if not points:
        return None
    drawn = alt.Chart(alt.Data(values=points)).mark_point(filled=True, size=80).encode(
        x=alt.X("x:Q", title="training seconds", scale=alt.Scale(type="log")),
        y=alt.Y("y:Q", title=f"{quality} ({_better(board, quality)})", scale=alt.Scale(zero=False)),
        tooltip=_tooltip("train_seconds", quality),
        **_encoding(points),
    )  # fmt: skip
    return _chart(
        f"cost-{quality}",
        f"{quality} against training time",
        f"{quality} of {len(points)} rows against their training seconds.",
        "Seconds of training on the machine named under Environment.",
        drawn,
    )


def significance(pairs: Sequence[Mapping[str, Any]], metric: str) -> Chart | None:
    """Which rows differ: the p-value of every pair after Holm's correction."""
    if not pairs:
        return None
    base = alt.Chart(alt.Data(values=list(pairs))).encode(
        x=alt.X("second:N", title=None, axis=alt.Axis(labelAngle=-40)), y=alt.Y("first:N", title=None)
    )
    colour = alt.Color(
        "p:Q",
        scale=alt.Scale(domain=[0, 0.05, 1], range=["#0072B2", "#9ecae1", "#eeeeee"]),
        title="p (Holm)",
    )
    tooltip = [
        alt.Tooltip("first:N"),
        alt.Tooltip("second:N"),
        alt.Tooltip("difference:Q", format="+.4f"),
        alt.Tooltip("p:Q", format=".4f"),
    ]
    drawn = base.mark_rect().encode(color=colour, tooltip=tooltip) + base.mark_text(fontSize=10).encode(
        text=alt.Text("p:Q", format=".2f"),
        color=alt.condition("datum.p < 0.02", alt.value("white"), alt.value("black")),
    )
    apart = sum(pair["p"] < 0.05 for pair in pairs) // 2
    return _chart(
        f"significance-{metric}",
        f"Which rows differ in {metric}",
        f"{apart} of {len(pairs) // 2} pairs of rows differ in {metric} at 5 % after Holm's correction.",
        "Bootstrap over sentences; p-values adjusted for all the pairs of the table.",
        drawn,
    )


def profile(lines: Sequence[Mapping[str, Any]], name: str, x: str, y: str, *, log: bool = False) -> Chart | None:
    """How texts spread: one line a row of the board and one for human text; items are {family, x, y}."""
    if not lines:
        return None
    scale = alt.Scale(type="log") if log else alt.Scale()
    drawn = alt.Chart(alt.Data(values=list(lines))).mark_line(interpolate="monotone" if not log else "linear").encode(
        x=alt.X("x:Q", title=x, scale=scale),
        y=alt.Y("y:Q", title=y, scale=scale),
        color=_encoding(lines)["color"],
        strokeDash=alt.condition("datum.family == 'human text'", alt.value([5, 4]), alt.value([1, 0])),
        tooltip=[alt.Tooltip("family:N"), alt.Tooltip("x:Q", title=x), alt.Tooltip("y:Q", title=y, format=".4~g")],
    )  # fmt: skip
    return _chart(
        name,
        f"{y} by {x}",
        f"{y} by {x} for {len({line['family'] for line in lines})} texts.",
        "Human text dashed.",
        drawn,
    )


def _point(row: Row, x: str, y: str) -> dict[str, Any] | None:
    across, up = row.cells.get(x), row.cells.get(y)
    if across is None or up is None or not (math.isfinite(across.value) and math.isfinite(up.value)):
        return None
    x_low, x_high = across.interval or (across.value, across.value)
    y_low, y_high = up.interval or (up.value, up.value)
    return {
        "family": row.family, "decode": row.decode, "seeds": len(row.seeds), "order": across.value,
        "x": across.value, "y": up.value, "x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high,
    }  # fmt: skip


def _encoding(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    families = list(dict.fromkeys(point["family"] for point in points))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(families))]
    shapes = [SHAPES[(i + i // len(COLOURS)) % len(SHAPES)] for i in range(len(families))]
    return {
        "color": alt.Color("family:N", scale=alt.Scale(domain=families, range=colours), title=None),
        "shape": alt.Shape("family:N", scale=alt.Scale(domain=families, range=shapes), title=None),
    }


def _tooltip(x: str, y: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("family:N"),
        alt.Tooltip("decode:N"),
        alt.Tooltip("seeds:Q"),
        alt.Tooltip("x:Q", title=x, format=".4~g"),
        alt.Tooltip("y:Q", title=y, format=".4~g"),
    ]


def _better(board: Board, name: str) -> str:
    return {True: "higher is better", False: "lower is better", None: "neither end is better"}[
        board.directions.get(name)
    ]


def _chart(name: str, title: str, alternative: str, caption: str, drawn: Any) -> Chart:
    spec = drawn.properties(width="container", height=HEIGHT, description=alternative).to_dict()
    return Chart(name, title, alternative, caption, spec)
