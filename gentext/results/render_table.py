"""A table of words and figures in the forms that people read and tools take."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.style import Style
from rich.table import Table as Shown
from rich.text import Text

from gentext import panels
from gentext.panels import HeatLine, Heatmap, Panel, Table, words
from gentext.results.latex import booktabs, tex
from gentext.results.render_board import console, inert, plain_cell
from gentext.results.run_folder import ANEW, PANELS, lost, stored

FORMS = ("terminal", "markdown", "csv", "json")
PALE, FULL, AGAINST = (255, 255, 255), (222, 98, 60), (58, 120, 190)  # colours of 0, of the most and of the least


def show(table: Table, form: str = "terminal") -> None:
    """Print a table."""
    if form != "terminal":
        print({"markdown": markdown, "csv": _csv, "json": _json}[form](table))
        return
    title, note = escape(inert(table.title)), escape(inert(table.note))
    shown = Shown(title=title, title_justify="left", caption=note, caption_justify="left")
    for i, name in enumerate(table.columns):
        shown.add_column(escape(inert(name)), justify="left" if _in_words(table, i) else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(escape(inert(words(cell))) for cell in row))
    console().print(shown)


def show_panel(panel: Panel, form: str = "terminal") -> None:
    """Print a panel: a text with its tokens coloured, a map with its cells coloured; any other as its table."""
    if form != "terminal":
        show(panel.table(), form)
    elif isinstance(panel, HeatLine):
        line, shades = Text(), colours(panel.values)
        for token, shade in zip(panel.tokens, shades, strict=True):
            line.append(inert(token), _shaded(shade)).append(" ")
        show(panel.table())
        console().print(line)
    elif isinstance(panel, Heatmap):
        _show_map(panel)
    else:
        show(panel.table())


def _show_map(panel: Heatmap) -> None:
    shown = Shown(
        title=escape(inert(panel.title)), title_justify="left", caption=escape(inert(panel.note)),
        caption_justify="left", padding=(0, 1, 0, 0), box=None,
    )  # fmt: skip
    shown.add_column("")
    for name in panel.columns:
        shown.add_column(escape(inert(name)), justify="right", overflow="fold")
    flat = iter(colours([value for row in panel.values for value in row]))
    for name, row in zip(panel.rows, panel.values, strict=True):
        shown.add_row(escape(inert(name)), *(Text(f"{value:.2f}", _shaded(next(flat))) for value in row))
    console().print(shown)


def _shaded(colour: tuple[int, int, int]) -> Style:
    return Style(color="black", bgcolor=f"rgb({','.join(map(str, colour))})")


def colours(values: Sequence[float]) -> list[tuple[int, int, int]]:
    """A colour for each figure: white for 0, orange for the largest, blue for as far below 0.

    Example:
        >>> colours([0.0, 2.0])
        [(255, 255, 255), (222, 98, 60)]
    """
    finite = [abs(value) for value in values if math.isfinite(value)]
    most = max(finite, default=0.0) or 1.0
    found = []
    for value in values:
        far = min(abs(value) / most, 1.0) if not math.isnan(value) else 0.0
        end = FULL if value >= 0 else AGAINST
        found.append(tuple(round(pale + (full - pale) * far) for pale, full in zip(PALE, end, strict=True)))
    return found


def markdown(table: Table) -> str:
    """A pipe table and its note."""
    rule = ["---" if _in_words(table, i) else "---:" for i in range(len(table.columns))]
    body = [[inert(words(cell)).replace("|", "\\|") for cell in row] for row in table.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in [table.columns, rule, *body]]
    return "\n".join([*lines, "", f"*{table.note}*"] if table.note else lines)


def latex(table: Table) -> str:
    r"""A booktabs table; its document needs \usepackage{booktabs}."""
    kinds = ["l" if _in_words(table, i) else "r" for i in range(len(table.columns))]
    body = [[tex(words(cell)) for cell in row] for row in table.rows]
    return booktabs(f"{table.title}. {table.note}", "".join(kinds), table.columns, body)


def _csv(table: Table) -> str:
    out = io.StringIO()
    rows = [[plain_cell(inert(cell)) if isinstance(cell, str) else cell for cell in row] for row in table.rows]
    csv.writer(out, lineterminator="\n").writerows([table.columns, *rows])
    return out.getvalue().rstrip("\n")


def _json(table: Table) -> str:
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return json.dumps({"title": table.title, "note": table.note, "rows": rows}, indent=1, ensure_ascii=False)


def _in_words(table: Table, column: int) -> bool:
    """Whether a column holds words rather than figures."""
    cells = [row[column] for row in table.rows]
    return any(isinstance(cell, str) and not cell[:1].isdigit() and cell[:1] not in tuple("-+≤≥") for cell in cells)


def panels_of(folder: str | Path) -> list[Table]:
    """The panels of a run's folder, each as a table. Raises ValueError where there are none."""
    folder = Path(folder)
    if lost(folder, PANELS):
        raise ValueError(f"{folder / PANELS} is missing, though the run wrote it. {ANEW}")
    stored(folder, PANELS)
    found = panels.read(folder / PANELS)
    if not found:
        near = sorted(str(path.parent) for path in folder.rglob(PANELS))[:3] if folder.is_dir() else []
        hint = f"Below it lie those of {', '.join(near)}" if near else "Its family offers none, or it was never trained"
        raise ValueError(f"{folder} holds no panels. {hint}")
    return [panel.table() for panel in found]
