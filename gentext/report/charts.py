"""The pictures of a board as Vega-Lite charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from gentext.report.style import HUMAN, Chart, encoding, titled
from gentext.results.board import Board, Row, head
from gentext.results.significance import pairwise

PAIRED = 20  # rows of which every pair is drawn


def frontier(board: Board, quality: str, diversity: str) -> Chart | None:
    """Every family a curve over its decode settings, quality against diversity, with intervals."""
    points = [point for row in board.rows if (point := _point(row, diversity, quality))]
    if not points:
        return None
    names = [board.about[name].title for name in (diversity, quality)]
    looks = encoding(points, families(board))
    x = alt.X("x:Q", title=head(board, diversity), scale=alt.Scale(zero=False))
    y = alt.Y("y:Q", title=head(board, quality), scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=points))
    picked = alt.selection_point(fields=["family"], bind="legend")
    faint = alt.condition(picked, alt.value(1.0), alt.value(0.1))
    layers = alt.layer(
        base.transform_filter("isValid(datum.temperature)")
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, order="temperature:Q", color=looks["color"], opacity=faint),
        base.mark_rule().encode(x=x, y="y_low:Q", y2="y_high:Q", color=looks["color"], opacity=faint),
        base.mark_rule().encode(x="x_low:Q", x2="x_high:Q", y=y, color=looks["color"], opacity=faint),
        base.mark_point(filled=True, size=70)
        .encode(x=x, y=y, opacity=faint, tooltip=_tooltip(*names), **looks)
        .add_params(picked),
    )
    return titled(
        f"frontier-{quality}-{diversity}",
        f"{names[1]} against {names[0]}",
        f"{len(points)} points of {len({p['family'] for p in points})} families: {names[1]} against {names[0]}.",
        "One point a decode setting, one curve a family over its temperatures; ≈ is best near human text. "
        f"Bars are 95 % intervals over {board.over}. Hover for the settings; the legend picks a family.",
        layers,
    )


def directions(board: Board) -> Chart | None:
    """Coverage against plausibility under the known truth: H(p, q) against H(q, p), the entropy H(p) as the corner."""
    points = [point for row in board.rows if (point := _point(row, "h_pq", "h_qp"))]
    if not points:
        return None
    drawn = (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, size=80)
        .encode(
            x=alt.X(
                "x:Q",
                title=["H(p, q): does it cover the truth?", "nats a sentence, lower is better"],  # a phone's width
                scale=alt.Scale(zero=False),
            ),
            y=alt.Y("y:Q", title="H(q, p): is what it writes likely? nats", scale=alt.Scale(zero=False)),
            tooltip=_tooltip("H(p, q)", "H(q, p)"),
            **encoding(points, families(board)),
        )
    )
    entropy = next((r.values["h_p"].value for row in board.rows for r in row.records if "h_p" in r.values), None)
    if entropy is not None:
        rule = alt.Chart(alt.Data(values=[{"h": entropy}])).mark_rule(strokeDash=[4, 4], color="#777777")
        drawn = drawn + rule.encode(x="h:Q") + rule.encode(y="h:Q")
    return titled(
        "directions",
        "Both directions against the known truth",
        f"Cross-entropy in both directions for {len(points)} rows.",
        "Dashed: the entropy of the truth, where a perfect model stands in both. One that collapses goes down and to "
        "the right: what it writes is likely, what is true it does not cover.",
        drawn,
    )


def curves(logs: Mapping[str, Sequence[Mapping[str, float]]], against: str, families: Sequence[str]) -> Chart | None:
    """Validation loss of every run against `seconds` or `tokens`."""
    points = [
        {"family": name, "x": line[against], "y": line["valid/nll"]}
        for name, lines in logs.items()
        for line in lines
        if "valid/nll" in line and against in line and math.isfinite(line["valid/nll"])
    ]
    if not points:
        return None
    drawn = alt.Chart(alt.Data(values=points)).mark_line(point=True).encode(
        x=alt.X("x:Q", title=f"training {against}"),
        y=alt.Y("y:Q", title="validation loss, nats a token", scale=alt.Scale(zero=False)),
        color=encoding(points, families)["color"],
        tooltip=[alt.Tooltip("family:N"), alt.Tooltip("x:Q", title=against), alt.Tooltip("y:Q", title="nats")],
    )  # fmt: skip
    return titled(
        f"curves-{against}",
        f"Validation loss against {against}",
        f"Validation loss of {len({p['family'] for p in points})} runs against training {against}.",
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
        y=alt.Y("y:Q", title=head(board, quality), scale=alt.Scale(zero=False)),
        tooltip=_tooltip("training seconds", board.about[quality].title),
        **encoding(points, families(board)),
    )  # fmt: skip
    return titled(
        f"cost-{quality}",
        f"{board.about[quality].title} against training time",
        f"{board.about[quality].title} of {len(points)} rows against their training seconds.",
        "Seconds of training on the machine named under Environment.",
        drawn,
    )


def significance(board: Board, rows: Sequence[Row], metric: str) -> Chart | None:
    """Which of these rows differ: the p-value of every pair after Holm's correction, of the first `PAIRED` rows."""
    held = [row for row in rows if metric in row.cells and math.isfinite(row.cells[metric].error)]
    held = [row for row in held if board.over == "sentences" or row.cells[metric].seeds > 1]
    cells = [row.cells[metric] for row in held]
    p = pairwise(*(np.array([getattr(cell, key) for cell in cells]) for key in ("value", "error", "df")))
    shown = range(min(len(held), PAIRED))
    pairs = [
        {"first": held[i].family, "second": held[j].family, "difference": cells[i].value - cells[j].value, "p": p[i, j]}
        for i in shown
        for j in shown
        if i != j
    ]
    if not pairs:
        return None
    base = alt.Chart(alt.Data(values=pairs)).encode(
        x=alt.X("second:N", title=None, axis=alt.Axis(labelAngle=-30, labelOverlap=False)),
        y=alt.Y("first:N", title=None),
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
    title = board.about[metric].title
    apart = sum(pair["p"] < 0.05 for pair in pairs) // 2
    of = "over seeds" if board.over == "seeds" else "over sentences, of 1 seed each: of training luck it says nothing"
    limit = f" The first {PAIRED} of {len(held)} rows are shown." if len(held) > PAIRED else ""
    return titled(
        f"significance-{metric}",
        f"p-values of differences in {title}",
        f"{apart} of {len(pairs) // 2} pairs differ in {title} at 5 % after Holm's correction.",
        f"Welch's test {of}, at one decode setting; Holm's correction over all pairs of {len(held)} rows.{limit}",
        drawn,
        height=60 + 45 * len(shown),
    )


def profile(
    lines: Sequence[Mapping[str, Any]], name: str, title: str, x: alt.X, y: alt.Y, families: Sequence[str]
) -> Chart | None:
    """How texts spread: one line a family and one for human text; items are {family, x, y}."""
    if not lines:
        return None
    drawn = alt.Chart(alt.Data(values=list(lines))).mark_line().encode(
        x=x,
        y=y,
        color=encoding(lines, families)["color"],
        strokeDash=alt.condition(f"datum.family == '{HUMAN}'", alt.value([5, 4]), alt.value([1, 0])),
        tooltip=[alt.Tooltip("family:N"), alt.Tooltip("x:Q", title=x["title"]), alt.Tooltip("y:Q", format=".4~g")],
    )  # fmt: skip
    return titled(
        name,
        title,
        f"{y['title']} by {x['title']}, for {len({line['family'] for line in lines})} texts.",
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
        "family": row.family, "decode": row.setting, "seeds": len(row.seeds),
        "temperature": None if row.human else temperature(row.decode),
        "x": across.value, "y": up.value, "x_low": x_low, "x_high": x_high, "y_low": y_low, "y_high": y_high,
    }  # fmt: skip


def temperature(decode: str) -> float | None:
    """The temperature of a decode setting that has nothing else: `ancestral` is 1; None for others."""
    name, _, rest = decode.partition(" ")
    key, _, value = rest.partition("=")
    if name != "ancestral" or (rest and (key != "temperature" or " " in value)):
        return None
    return float(value) if rest else 1.0


def families(board: Board) -> list[str]:
    """The board's families in its order, human text aside."""
    return list(dict.fromkeys(row.family for row in board.rows if not row.human))


def _tooltip(x: str, y: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("family:N"),
        alt.Tooltip("decode:N"),
        alt.Tooltip("seeds:Q"),
        alt.Tooltip("x:Q", title=x, format=".4~g"),
        alt.Tooltip("y:Q", title=y, format=".4~g"),
    ]
