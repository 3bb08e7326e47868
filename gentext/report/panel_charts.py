"""A family's panels as Vega-Lite charts: graphs, maps, heatmaps and lines. A table stays a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt
import networkx

from gentext.panels import Curves, Graph, HeatLine, Heatmap, Panel, Points
from gentext.report.style import Chart, colours, titled

LABELLED = 40  # points, of more than which labels hide each other
TAPER = "Drawn edges narrow towards where they lead; what stays is told by the table."
ACROSS = 10  # tokens of a line of text
LIMIT = 300  # points of a line; of a longer one every so many-th


def draw(panel: Panel, name: str) -> Chart | None:
    """The panel as a picture, with itself as a table for those who cannot see it; None for a table."""
    drawers = {Graph: _graph, Points: _points, Heatmap: _heatmap, HeatLine: _heat_line, Curves: _curves}
    if type(panel) not in drawers:
        return None
    drawn, height, description = drawers[type(panel)](panel)
    note = f"{panel.note} {TAPER}" if isinstance(panel, Graph) else panel.note
    return titled(name, panel.title, description, note, drawn, height=height, table=panel.table())


def _graph(panel: Graph) -> tuple[alt.LayerChart | alt.FacetChart, int, str]:
    """Nodes laid out by their springs; an edge narrows towards where it leads."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(len(panel.nodes)))
    graph.add_weighted_edges_from((int(a), int(b), weight) for a, b, weight in panel.edges if a != b)
    places = networkx.spring_layout(graph, seed=0, k=2 / max(len(panel.nodes), 1) ** 0.5, iterations=200)
    stays = {int(a): weight for a, b, weight in panel.edges if a == b}
    sizes = panel.sizes or [1.0] * len(panel.nodes)
    nodes = [
        {"name": name, "x": places[i][0], "y": places[i][1], "size": sizes[i], "stays": stays.get(i, 0.0)}
        for i, name in enumerate(panel.nodes)
    ]
    ends = [
        {"edge": i, "x": places[int(end)][0], "y": places[int(end)][1], "width": weight * (1.0 - 0.9 * last)}
        | {"move": f"{panel.nodes[int(a)]} → {panel.nodes[int(b)]}", "weight": weight, "last": last}
        for i, (a, b, weight) in enumerate(panel.edges)
        for last, end in enumerate((a, b))
        if a != b
    ]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(padding=25))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(padding=25))
    moves = alt.Chart(alt.Data(values=ends)).mark_trail(opacity=0.45, color="#56B4E9").encode(
        x=x, y=y, detail="edge:N", order="last:Q",
        size=alt.Size("width:Q", scale=alt.Scale(range=[0.4, 9]), legend=None),
        tooltip=[alt.Tooltip("move:N"), alt.Tooltip("weight:Q", format=".3~g")],
    )  # fmt: skip
    base = alt.Chart(alt.Data(values=nodes)).encode(x=x, y=y)
    dots = base.mark_point(filled=True, opacity=1, color="#0072B2").encode(
        size=alt.Size("size:Q", scale=alt.Scale(range=[60, 900], zero=True), legend=None),
        tooltip=[alt.Tooltip("name:N"), alt.Tooltip("size:Q", format=".3~g"), alt.Tooltip("stays:Q", format=".3~g")],
    )
    drawn = alt.layer(moves, dots, base.mark_text(dy=-18, fontSize=11).encode(text="name:N"))
    description = (
        f"Graph of {len(panel.nodes)} nodes and {len(panel.edges)} edges; the table below names the main ones."
    )
    return drawn.resolve_scale(size="independent"), 520, description


def _points(panel: Points) -> tuple[alt.LayerChart | alt.FacetChart, int, str]:
    groups = panel.groups or [""] * len(panel.x)
    rows = [
        {"x": x, "y": y, "label": label, "group": group}
        for x, y, label, group in zip(panel.x, panel.y, panel.labels, groups, strict=True)
    ]
    across = alt.Scale(type="log") if panel.log_x else alt.Scale(zero=False)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:Q", title=panel.x_name, scale=across),
        y=alt.Y("y:Q", title=panel.y_name, scale=alt.Scale(zero=False)),
    )
    colour = colours(list(dict.fromkeys(groups)), "group") if panel.groups else alt.value("#0072B2")
    tooltip = [alt.Tooltip("label:N"), *([alt.Tooltip("group:N")] if panel.groups else [])]
    drawn = base.mark_point(filled=True, size=60, opacity=0.8).encode(color=colour, tooltip=tooltip)
    if len(rows) <= LABELLED:
        drawn = drawn + base.mark_text(dy=-9, fontSize=10, limit=160).encode(text="label:N")
    kinds = f" in {len(set(groups))} groups" if panel.groups else ""
    return alt.layer(drawn), 420, f"{len(rows)} points{kinds}: {panel.y_name} against {panel.x_name}."


def _heatmap(panel: Heatmap) -> tuple[alt.Chart, int, str]:
    cells = [
        {"row": row, "column": column, "value": float(value)}
        for row, values in zip(panel.rows, panel.values, strict=True)
        for column, value in zip(panel.columns, values, strict=True)
        if math.isfinite(float(value))
    ]
    drawn = alt.Chart(alt.Data(values=cells)).mark_rect().encode(
        x=alt.X("column:N", sort=list(panel.columns), title=None, axis=alt.Axis(labelAngle=-60)),
        y=alt.Y("row:N", sort=list(panel.rows), title=None),
        color=alt.Color("value:Q", title=panel.unit or None, scale=alt.Scale(scheme="viridis")),
        tooltip=[alt.Tooltip("row:N"), alt.Tooltip("column:N"), alt.Tooltip("value:Q", format=".3~g")],
    )  # fmt: skip
    description = f"{panel.unit or 'Figures'} of {len(panel.rows)} rows by {len(panel.columns)} columns."
    return drawn, 90 + 17 * len(panel.rows), description


def _heat_line(panel: HeatLine) -> tuple[alt.LayerChart | alt.FacetChart, int, str]:
    """The text in lines, each token on the colour of its figure."""
    cells = [
        {"x": i % ACROSS, "y": i // ACROSS, "token": token, "value": float(value)}
        for i, (token, value) in enumerate(zip(panel.tokens, panel.values, strict=True))
        if math.isfinite(value)
    ]
    base = alt.Chart(alt.Data(values=cells)).encode(
        x=alt.X("x:O", axis=None), y=alt.Y("y:O", axis=None),
        tooltip=[alt.Tooltip("token:N"), alt.Tooltip("value:Q", title=panel.unit, format=".3~g")],
    )  # fmt: skip
    shade = alt.Color("value:Q", title=panel.unit or None, scale=alt.Scale(scheme="oranges", domainMin=0))
    drawn = base.mark_rect().encode(color=shade) + base.mark_text(color="black", limit=90).encode(text="token:N")
    lines = -(-len(panel.tokens) // ACROSS)
    top = max(zip(panel.values, panel.tokens, strict=True), default=(0.0, ""))
    description = f"A text of {len(panel.tokens)} tokens; the most {panel.unit}, {top[0]:.3g}, has {top[1]!r}."
    return drawn, 30 * lines, description


def _curves(panel: Curves) -> tuple[alt.Chart, int, str]:
    rows = [{"line": name, "x": x, "y": y} for name, points in panel.lines.items() for x, y in thinned(points)]
    drawn = alt.Chart(alt.Data(values=rows)).mark_line().encode(
        x=alt.X("x:Q", title=panel.x_name, scale=alt.Scale(type="log" if panel.log_x else "linear")),
        y=alt.Y("y:Q", title=panel.y_name, scale=alt.Scale(zero=False)),
        color=colours(list(panel.lines), "line"),
        tooltip=[alt.Tooltip("line:N"), alt.Tooltip("x:Q", title=panel.x_name), alt.Tooltip("y:Q", format=".4~g")],
    )  # fmt: skip
    return drawn, 220, f"{panel.y_name} by {panel.x_name}: {_ends(panel.lines)}."


def thinned(points: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """Every so many-th of the finite points, the last among them."""
    kept = [point for point in points if all(math.isfinite(float(value)) for value in point)]
    every = -(-len(kept) // LIMIT) or 1
    return kept[::-every][::-1]


def _ends(lines: Mapping[str, Sequence[Sequence[float]]]) -> str:
    ranges = [f"{name} from {points[0][1]:.3g} to {points[-1][1]:.3g}" for name, points in lines.items() if points]
    return "; ".join(ranges[:6])
