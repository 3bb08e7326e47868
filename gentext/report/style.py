"""What all pictures of a report share: their words, and the colour and shape of each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from gentext.panels import Table

# Okabe and Ito's eight, told apart by colour-blind readers, and shapes for those who print in black
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31"]
GREY, HUMAN = "#808080", "human text"
SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right", "triangle-left"]
HEIGHT = 360


@dataclass(frozen=True)
class Chart:
    """A picture and its words."""

    name: str  # file and element name
    title: str
    alternative: str  # what the picture shows, for those who cannot see it
    caption: str
    spec: Mapping[str, Any]  # Vega-Lite
    table: Table | None = None  # the same as a table, where no other table of the page holds it


def encoding(points: Sequence[Mapping[str, Any]], families: Sequence[str]) -> dict[str, Any]:
    """Colour and shape of the families that have points: each has its own on all pictures of a board."""
    present = {point["family"] for point in points}
    chosen = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(families) if name in present}
    shapes = {name: SHAPES[(i + i // len(COLOURS)) % len(SHAPES)] for i, name in enumerate(families) if name in present}
    chosen |= dict.fromkeys(present & {"human", HUMAN}, GREY)
    shapes |= dict.fromkeys(present & {"human", HUMAN}, "cross")
    colour = alt.Scale(domain=list(chosen), range=list(chosen.values()))
    shape = alt.Scale(domain=list(shapes), range=list(shapes.values()))
    return {
        "color": alt.Color("family:N", scale=colour, title=None),
        "shape": alt.Shape("family:N", scale=shape, title=None),
    }


def colours(names: Sequence[str], column: str) -> alt.Color:
    """A colour for each name of a column."""
    chosen = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    return alt.Color(f"{column}:N", scale=alt.Scale(domain=list(names), range=chosen), title=None)


def titled(
    name: str,
    title: str,
    alternative: str,
    caption: str,
    drawn: Any,
    *,
    height: int = HEIGHT,
    table: Table | None = None,
) -> Chart:
    """A drawn chart with its words, as wide as the page gives it room."""
    spec = drawn.properties(width="container", height=height, description=alternative).to_dict()
    return Chart(name, title, alternative, caption, spec, table)
