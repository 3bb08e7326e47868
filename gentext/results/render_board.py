"""A leaderboard in the forms that people read and tools take: terminal, Markdown, CSV, JSON, LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gentext.results.board import Board, Cell, configurations, recorded, table, text
from gentext.results.latex import booktabs, tex
from gentext.results.record import samples

LEGEND = (
    "↑ higher, ↓ lower is better, ≈ nearest to human text or to the truth is best; bold best, underlined not "
    "significantly worse (5 % for the whole column); ± half a 95 % interval; ≤ ≥ bounds; † reads the test text's "
    "history"
)
NARROW = 80  # characters of a board that goes to a file or a pipe
WIDE = 250  # characters of other tables there, and of a board whose columns were named
NAME = 24  # characters of a row's name before it is folded
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # turn the direction of what follows
FIGURE = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?(±[\d.]+)?|-")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins so


def show(
    boards: Sequence[Board],
    form: str = "terminal",
    *,
    whole: bool = False,
    signatures: bool = False,
    brief: bool = False,
) -> None:
    """Print boards; in the terminal with colours where it has them.

    Args:
        boards: as `rank` made them.
        form: terminal, or one of FORMS.
        whole: in the terminal all columns, however wide; else those that fit it, the most telling first.
        signatures: below each board how its columns were computed, which CSV and JSON always hold.
        brief: in the terminal the rows alone, without legend and notes.
    """
    if form == "terminal":
        for board in boards:
            _terminal(board, whole, signatures, brief)
    else:
        print(FORMS[form](boards, signatures), end="")


def console(width: int = WIDE) -> Console:
    """Where tables go: as wide as the terminal, or so wide for a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=width)


def inert(word: str) -> str:
    r"""A text whose control and escape characters are shown, not sent.

    Example:
        >>> inert("red: \x1b[31m")
        'red: \\x1b[31m'
    """
    if word.isprintable():
        return word
    acts = [unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in TURNS for char in word]
    return "".join(c.encode("unicode_escape").decode() if act else c for c, act in zip(word, acts, strict=True))


def plain_cell(word: str) -> str:
    """A cell of a CSV file that a spreadsheet takes for text, where it is none of a figure.

    Example:
        >>> plain_cell("=1+1"), plain_cell("-0.5±0.1")
        ("'=1+1", '-0.5±0.1')
    """
    return f"'{word}" if word.startswith(FORMULA) and not FIGURE.fullmatch(word) else word


def _terminal(board: Board, whole: bool, signatures: bool, brief: bool) -> None:
    out = console(WIDE if whole else NARROW)
    header, *body = table(board)
    header = [re.sub(" ([↑↓≈])$", "\u00a0\\1", title) for title in header]  # an arrow stays with its word
    in_header = {1: len({row.setting for row in board.rows}) == 1, 2: len({len(row.seeds) for row in board.rows}) == 1}
    names = [inert(cells[0]) for cells in body]
    widths = {0: min(max(map(len, ["family", *names])), NAME)}
    for i in range(1, len(header)):
        widths[i] = max(map(len, [*header[i].split(" "), *(cells[i] for cells in body)]))
    kept, room = [0], out.width - widths[0]
    for i in range(1, len(header)):
        fits = widths[i] + 2 <= room
        if not in_header.get(i) and (fits or whole):
            kept.append(i)
            room -= widths[i] + 2
        elif not fits:
            room = 0  # the most telling come first: none is skipped for a narrower one
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for i in kept:
        shown.add_column(header[i], justify="left" if i < 2 else "right", overflow="fold", width=widths[i])
    marked = _marked(board, body, "[bold]{}[/bold]".format, "[underline]{}[/underline]".format, _safe)
    fits = [room >= 0 and all(cell_len(inert(cells[i])) <= widths[i] for i in kept) for cells in body]
    for single, rows in groupby(zip(fits, marked, strict=True), key=itemgetter(0)):
        found = [[cells[i] for i in kept] for _, cells in rows]
        for lines in [found] if single else [[cells] for cells in found]:  # rows of one line are laid out together
            shown.add_row(*map("\n".join, zip(*lines, strict=True)))
    out.print(f"[bold]{_safe(board.title)}[/bold]: {_safe(board.header)}", highlight=False)
    out.print(shown)
    if brief:
        return
    out.print(LEGEND, style="dim", highlight=False)
    for name, changed in configurations(board):
        out.print(f"every {_safe(name)}: {_safe(changed)}", style="dim", highlight=False)
    for note in board.notes:
        out.print(f"note: {_safe(note)}", highlight=False)
    if signatures:
        for name, signature in computed(board).items():
            out.print(f"{_safe(name)}: {_safe(signature)}", highlight=False)
    more = [name for i, name in enumerate(board.columns, 3) if i not in kept]
    more += sorted(recorded(board.rows) - set(board.columns))
    if more and not whole:
        out.print(f"also recorded, for --columns: {_safe(', '.join(more))}", style="dim", highlight=False)


def _safe(word: str) -> str:
    return escape(inert(word))


def computed(board: Board) -> dict[str, str]:
    """The signature of every column that has one: how its figures were computed."""
    found = {}
    for name in board.columns:
        signed = [row.cells[name].signature for row in board.rows if name in row.cells]
        if not board.about[name].cost:
            found[name] = signed[0]
    return found


def markdown(board: Board, signatures: bool = False) -> str:
    """A pipe table, with what all rows share above it and notes below."""
    header, *body = table(board)
    lines = [
        inert(board.header),
        "",
        "| " + " | ".join(header) + " |",
        "|" + "|".join("---" if i < 2 else "---:" for i in range(len(header))) + "|",
    ]
    marked = _marked(board, body, "**{}**".format, "<u>{}</u>".format, _markdown_cell)
    lines += ["| " + " | ".join(cells) + " |" for cells in marked]
    lines += [f"\n{inert(note)}" for note in board.notes]
    if signatures:
        lines += ["", *(f"- {name}: `{signature}`" for name, signature in computed(board).items())]
    return "\n".join(lines)


def _markdown_cell(word: str) -> str:
    return inert(word).replace("|", "\\|").replace("<", "&lt;")


def latex(board: Board, signatures: bool = False) -> str:
    r"""A booktabs table; its document needs \usepackage{booktabs}."""
    header, *body = table(board)
    marked = _marked(board, body, r"\textbf{{{}}}".format, r"\underline{{{}}}".format, lambda word: tex(inert(word)))
    caption = [f"{board.title}: {board.header}. {LEGEND}."]
    caption += [f"{name}: {signature}." for name, signature in computed(board).items()] if signatures else []
    return booktabs(inert(" ".join(caption)), "ll" + "r" * (len(header) - 2), header, marked)


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


def _csv(boards: Sequence[Board], _: bool = True) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = list(dict.fromkeys(name for board in boards for name in board.columns))
    fields = [f"{name}{end}" for name in columns for end in ("", "_low", "_high", "_kind", "_signature")]
    writer.writerow(["data", "split", "track", "family", "decode", "seeds", *fields])
    for board in boards:
        for row in board.rows:
            cells: list[object] = []
            for name in columns:
                cell = row.cells.get(name)
                if cell:
                    cells += [cell.value, *(cell.interval or ("", "")), cell.exactness, plain_cell(cell.signature)]
                else:
                    cells += [""] * 5
            words = [plain_cell(inert(word)) for word in (board.data, board.split, board.track, row.family, row.decode)]
            writer.writerow([*words, len(row.seeds), *cells])
    return out.getvalue()


def _json(boards: Sequence[Board], _: bool = True) -> str:
    return json.dumps([_plain(board) for board in boards], indent=1, ensure_ascii=False) + "\n"


def _plain(board: Board) -> dict[str, object]:
    def words(cell: Cell) -> dict[str, object]:
        interval = cell.interval and [_number(end) for end in cell.interval]
        return {
            "value": _number(cell.value), "interval": interval, "exactness": cell.exactness,
            "best": cell.best, "equal": cell.equal, "text": text(cell), "signature": cell.signature,
        }  # fmt: skip

    rows = [
        {
            "family": row.family,
            "decode": row.decode,
            "seeds": row.seeds,
            "adaptive": row.adaptive,
            "verified": row.verified,
            "changed": row.records[0].variant,
            "values": {name: words(cell) for name, cell in row.cells.items()},
        }
        for row in board.rows
    ]
    return {
        "data": board.data,
        "split": board.split,
        "track": board.track,
        "group": board.group,
        "intervals": f"over {board.over}",
        "shared": board.shared,
        "columns": board.columns,
        "titles": {name: board.about[name].title for name in board.columns},
        "targets": {name: board.about[name].target for name in board.columns},
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
            out.print(inert(f"{row.family} · {row.setting} · {board.corpus}"), style="bold")
            for line in (samples(first) or ["(its samples are not stored here)"])[:n]:
                out.print(f"  {inert(line)}", soft_wrap=True)
            out.print()


def _all(form: Callable[[Board, bool], str]) -> Callable[[Sequence[Board], bool], str]:
    return lambda boards, signatures=False: "\n\n".join(form(board, signatures) for board in boards) + "\n"


FORMS: dict[str, Callable[..., str]] = {
    "markdown": _all(lambda board, signatures: f"**{board.title}**: {markdown(board, signatures)}"),
    "csv": _csv,
    "json": _json,
    "latex": _all(latex),
}
