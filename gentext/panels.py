"""A family's inside as panels of plain data: a run stores them, `gentext inspect` prints and a report draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

SUCCESSORS = 5  # edges of a node that a reader of the table is told
START, END = "⟨start⟩", "⟨end⟩"  # how BOS and EOS read


@dataclass(frozen=True)
class Table:
    """Rows of words and figures under named columns. `note`, in every panel: what is seen, in a sentence or two."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"panel {self.title!r} has {len(self.columns)} columns; give every row as many cells")

    def table(self) -> Table:
        return self


@dataclass(frozen=True)
class Graph:
    """Nodes, and weighted edges (from, to, weight) between their indices."""

    title: str
    note: str
    nodes: Sequence[str]
    edges: Sequence[Sequence[float]]  # (from, to, weight), a tuple or, as JSON has it, a list
    sizes: Sequence[float] = ()  # of the nodes, such as shares of time; none: all alike

    def __post_init__(self) -> None:
        if self.sizes and len(self.sizes) != len(self.nodes):
            raise ValueError(f"panel {self.title!r} has {len(self.nodes)} nodes and {len(self.sizes)} sizes")
        if any(not 0 <= end < len(self.nodes) for edge in self.edges for end in edge[:2]):
            raise ValueError(f"an edge of panel {self.title!r} leaves its {len(self.nodes)} nodes; they count from 0")

    def table(self) -> Table:
        """Each node with the successors that most weight leads to."""
        successors: dict[float, list[tuple[float, str]]] = {}
        for start, end, weight in self.edges:
            successors.setdefault(start, []).append((weight, self.nodes[int(end)]))
        rows = []
        for i, node in enumerate(self.nodes):
            main = sorted(successors.get(i, []), reverse=True)[:SUCCESSORS]
            size = [self.sizes[i]] if self.sizes else []
            rows.append([node, *size, ", ".join(f"{name} {weight:.2g}" for weight, name in main)])
        return Table(self.title, self.note, ["node", *(["size"] if self.sizes else []), "main successors"], rows)


@dataclass(frozen=True)
class Points:
    """Labelled places on a plane; `groups` colours them."""

    title: str
    note: str
    x: Sequence[float]
    y: Sequence[float]
    labels: Sequence[str]
    groups: Sequence[str] = ()
    x_name: str = "x"
    y_name: str = "y"
    log_x: bool = False

    def __post_init__(self) -> None:
        sizes = {len(self.x), len(self.y), len(self.labels), len(self.groups or self.x)}
        if len(sizes) > 1:
            raise ValueError(f"panel {self.title!r} needs one x, y and label (and group) a point; got {sorted(sizes)}")

    def table(self) -> Table:
        columns = ["label", *(["group"] if self.groups else []), self.x_name, self.y_name]
        parts = [self.labels, *([self.groups] if self.groups else []), self.x, self.y]
        return Table(self.title, self.note, columns, [list(row) for row in zip(*parts, strict=True)])


@dataclass(frozen=True)
class Heatmap:
    """A figure for every pair of a row and a column."""

    title: str
    note: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]  # by row, then by column
    unit: str = ""
    detail: bool = False  # another panel sums it up: a terminal leaves it out

    def __post_init__(self) -> None:
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            raise ValueError(f"panel {self.title!r} needs {len(self.rows)} x {len(self.columns)} values, row by row")

    def table(self) -> Table:
        rows = [[name, *values] for name, values in zip(self.rows, self.values, strict=True)]
        return Table(self.title, self.note, [self.unit, *self.columns], rows)


@dataclass(frozen=True)
class HeatLine:
    """A text whose tokens are coloured by a figure; `rows` holds further cells of each under `columns`."""

    title: str
    note: str
    tokens: Sequence[str]
    values: Sequence[float]  # 0 is the palest
    unit: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str | float]] = ()

    def __post_init__(self) -> None:
        cells = {len(row) for row in self.rows} or {len(self.columns)}
        if len(self.values) != len(self.tokens) or (self.rows and len(self.rows) != len(self.tokens)):
            raise ValueError(f"panel {self.title!r} needs a value and a row for each of {len(self.tokens)} tokens")
        if cells != {len(self.columns)}:
            raise ValueError(f"panel {self.title!r} has {len(self.columns)} columns; give every row as many cells")

    def table(self) -> Table:
        rest = self.rows or [[] for _ in self.tokens]
        rows = [[token, value, *row] for token, value, row in zip(self.tokens, self.values, rest, strict=True)]
        return Table(self.title, self.note, ["token", self.unit, *self.columns], rows)


@dataclass(frozen=True)
class Curves:
    """Named lines, each a sequence of (x, y)."""

    title: str
    note: str
    lines: Mapping[str, Sequence[Sequence[float]]]
    x_name: str = "x"
    y_name: str = "y"
    log_x: bool = False

    def table(self) -> Table:
        rows = [[name, *point] for name, points in self.lines.items() for point in points]
        return Table(self.title, self.note, ["line", self.x_name, self.y_name], rows)


Panel = Table | Graph | Points | Heatmap | HeatLine | Curves
KINDS = {kind.__name__.lower(): kind for kind in get_args(Panel)}


def spelling(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """Each token as it reads by itself, by a fitted Tokenizer; stored panels are read without it or torch."""
    from gentext.types import EOS

    return [END if i == EOS else text for i, text in zip(ids, tokenizer.decode([[i] for i in ids]), strict=True)]


def numbered(words: Sequence[str]) -> list[str]:
    """Words as rows or columns of a map, no two of which are alike."""
    return [f"{i} {word}" for i, word in enumerate(words)]


def words(cell: str | float) -> str:
    """A cell of a table as it is read: three significant digits."""
    return cell if isinstance(cell, str) else str(cell) if isinstance(cell, int) else f"{cell:.3g}"


def plain(panels: Sequence[Panel]) -> list[dict]:
    """Panels as plain data, which JSON holds."""
    return [{"kind": type(panel).__name__.lower(), **asdict(panel)} for panel in panels]


def read(path: Path) -> list[Panel]:
    """The panels of a file; none where there is no file. Raises ValueError where it holds anything else."""
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [KINDS[one.pop("kind")](**one) for one in found]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no panels of gentext ({error}); remove it and run the job again") from error
