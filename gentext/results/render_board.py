"""A leaderboard in the forms that people read and tools take: terminal, Markdown, CSV, JSON, LaTeX."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gentext.files import read_texts
from gentext.results.board import Board, Cell, table, text
from gentext.results.latex import booktabs, tex
from gentext.results.record import file_stem

LEGEND = (
    "↑ higher, ↓ lower is better; bold best, underlined not significantly worse (z-test from the intervals, Holm); "
    "± half a 95 % interval; ≤ ≥ bounds; † reads the test text's history"
)


WIDE = 250  # characters of a table that goes to a file or a pipe


def show(boards: Sequence[Board], form: str = "terminal") -> None:
    """Print boards; in the terminal with colours where it has them."""
    if form == "terminal":
        for board in boards:
            _terminal(board)
    else:
        print(FORMS[form](boards), end="")


def console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough for a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def _terminal(board: Board) -> None:
    out = console()
    header, *body = table(board)
    header = [name.replace("_", " ") for name in header]  # long names wrap there
    shown = Table(
        title=f"{escape(board.title)}: {len(board.rows)} rows",
        title_justify="left",
        caption=LEGEND,
        caption_justify="left",
    )
    for i, name in enumerate(header):
        shown.add_column(name, justify="left" if i < 2 else "right", overflow="fold")
    for cells in _marked(board, body, "[bold]{}[/bold]".format, "[underline]{}[/underline]".format, escape):
        shown.add_row(*cells)
    out.print(shown)
    for note in board.notes:
        out.print(f"note: {escape(note)}")
    more = sorted({name for row in board.rows for r in row.records for name in r.values} - set(board.columns))
    if more:
        out.print(f"also recorded, for --columns: {', '.join(more)}", style="dim")


def markdown(board: Board) -> str:
    """A pipe table."""
    header, *body = table(board)
    lines = [
        "| " + " | ".join(header) + " |",
        "|" + "|".join("---" if i < 2 else "---:" for i in range(len(header))) + "|",
    ]
    marked = _marked(board, body, "**{}**".format, "<u>{}</u>".format, lambda word: word.replace("|", "\\|"))
    lines += ["| " + " | ".join(cells) + " |" for cells in marked]
    return "\n".join([*lines, *(f"\n{note}" for note in board.notes)])


def latex(board: Board) -> str:
    r"""A booktabs table; its document needs \usepackage{booktabs}."""
    header, *body = table(board)
    marked = _marked(board, body, r"\textbf{{{}}}".format, r"\underline{{{}}}".format, tex)
    return booktabs(f"{board.title}: {LEGEND}", "ll" + "r" * (len(header) - 2), header, marked)


def _marked(
    board: Board,
    body: Sequence[Sequence[str]],
    best: Callable[[str], str],
    equal: Callable[[str], str],
    plain: Callable[[str], str],
) -> list[list[str]]:
    """The table's body with the best cells and their equals marked."""
    first = len(body[0]) - len(board.columns) if body else 0
    marked = []
    for row, words in zip(board.rows, body, strict=True):
        cells: list[Cell | None] = [None] * first + [row.cells.get(name) for name in board.columns]
        marks = [best if cell and cell.best else equal if cell and cell.equal else str for cell in cells]
        marked.append([mark(plain(word)) for mark, word in zip(marks, words, strict=True)])
    return marked


def _csv(boards: Sequence[Board]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = list(dict.fromkeys(name for board in boards for name in board.columns))
    fields = [f"{name}{end}" for name in columns for end in ("", "_low", "_high", "_kind")]
    writer.writerow(["data", "track", "family", "decode", "seeds", *fields])
    for board in boards:
        for row in board.rows:
            cells: list[object] = []
            for name in columns:
                cell = row.cells.get(name)
                cells += [cell.value, *(cell.interval or ("", "")), cell.exactness] if cell else [""] * 4
            writer.writerow([board.data, board.track, row.family, row.decode, len(row.seeds), *cells])
    return out.getvalue()


def _json(boards: Sequence[Board]) -> str:
    return json.dumps([_plain(board) for board in boards], indent=1, ensure_ascii=False) + "\n"


def _plain(board: Board) -> dict[str, object]:
    def words(cell: Cell) -> dict[str, object]:
        interval = cell.interval and [_number(end) for end in cell.interval]
        return {
            "value": _number(cell.value), "interval": interval, "exactness": cell.exactness,
            "best": cell.best, "equal": cell.equal, "text": text(cell),
        }  # fmt: skip

    rows = [
        {
            "family": row.family,
            "decode": row.decode,
            "seeds": row.seeds,
            "adaptive": row.adaptive,
            "values": {name: words(cell) for name, cell in row.cells.items()},
        }
        for row in board.rows
    ]
    return {
        "data": board.data,
        "track": board.track,
        "group": board.group,
        "columns": board.columns,
        "notes": board.notes,
        "rows": rows,
    }


def _number(value: float) -> float | str:
    return value if abs(value) < float("inf") else str(value)  # JSON has no infinity, and nothing equals NaN


def show_samples(boards: Sequence[Board], n: int) -> None:
    """Print `n` samples of every row."""
    out = Console(highlight=False, markup=False)
    for board in boards:
        for row in board.rows:
            first = row.records[0]
            out.print(f"\n{row.family} · {row.decode} · {board.data}", style="bold")
            path = Path(first.folder) / f"samples.{file_stem(first.decode)}.txt"
            for line in read_texts(path)[:n] if path.exists() else ["(its samples are not stored here)"]:
                out.print(f"  {line}", soft_wrap=True)


FORMS: dict[str, Callable[[Sequence[Board]], str]] = {
    "markdown": lambda boards: "\n\n".join(f"**{board.title}**\n\n{markdown(board)}" for board in boards) + "\n",
    "csv": _csv,
    "json": _json,
    "latex": lambda boards: "\n\n".join(map(latex, boards)) + "\n",
}
