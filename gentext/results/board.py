"""The leaderboard: a query over records. Seeds are aggregated, bounds marked, a column of mixed signatures refused."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gentext.results.folder import read_texts
from gentext.results.record import Record, file_stem
from gentext.results.significance import over_seeds
from gentext.types import Exactness, Value

# What a board shows when nobody asks for more, in this order, where it is known.
DEFAULT = (
    "bits_per_char",
    "word_ppl",
    "bleu4",
    "selfbleu4",
    "distinct2",
    "novelty4",
    "h_pq",
    "h_qp",
    "kl_pq",
    "kl_qp",
    "grammatical",
    "train_seconds",
)


@dataclass(frozen=True)
class Cell:
    """One figure of one row: the mean over seeds, and its interval."""

    value: float
    interval: tuple[float, float] | None
    exactness: Exactness
    seeds: int
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One family, variant and decode setting on one corpus."""

    data: str
    family: str
    decode: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    adaptive: bool
    records: tuple[Record, ...] = field(repr=False, default=())


@dataclass(frozen=True)
class Board:
    """The rows judged against one corpus, best first, and what could not be shown."""

    data: str
    columns: tuple[str, ...]
    directions: Mapping[str, bool | None]  # higher is better
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def rank(
    records: Sequence[Record],
    *,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    where: Mapping[str, str] | None = None,
) -> list[Board]:
    """A board per corpus. Raises ValueError for no records, or for columns and filters that nothing has."""
    kept = _filter(records, where or {})
    if not kept:
        raise ValueError("there is nothing to rank: no record matches. `gentext run` writes some")
    known = {name for record in kept for name in record.values} | {name for record in kept for name in record.cost}
    for name in [*(columns or ()), *([sort] if sort else ())]:
        if name not in known:
            close = get_close_matches(name, known, n=3) or sorted(known)
            raise ValueError(f"no record has {name}. Did you mean {', '.join(close)}?")
    corpora: dict[str, list[Record]] = {}
    for record in kept:
        corpora.setdefault(record.corpus_key, []).append(record)
    return [_board(group, columns, sort) for group in corpora.values()]


def _filter(records: Sequence[Record], where: Mapping[str, str]) -> list[Record]:
    fields = ("data", "track", "family", "variant", "decode", "seed", "name")
    for key in where:
        if key not in fields:
            raise ValueError(f"records cannot be filtered by {key}. Known: {', '.join(fields)}")
    return [r for r in records if all(str(getattr(r, key)) in value.split(",") for key, value in where.items())]


def _board(records: Sequence[Record], columns: Sequence[str] | None, sort: str | None) -> Board:
    notes: list[str] = []
    figures = [_figures(record) for record in records]
    present = {name for values in figures for name in values}
    wanted = [name for name in (columns or DEFAULT) if name in present]
    shown = [name for name in wanted if _uniform(name, figures, notes)]
    directions = {name: next(values[name].higher_is_better for values in figures if name in values) for name in shown}
    groups: dict[tuple[str, str], list[int]] = {}
    for i, record in enumerate(records):
        groups.setdefault((record.name, record.decode), []).append(i)
    rows = []
    for (name, decode), members in groups.items():
        found = {column: _cell([figures[i][column] for i in members if column in figures[i]]) for column in shown}
        mine = tuple(records[i] for i in members)
        cells = {column: cell for column, cell in found.items() if cell is not None}
        seeds = tuple(sorted(record.seed for record in mine))
        rows.append(Row(mine[0].data, name, decode, seeds, cells, mine[0].adaptive, mine))
    rows = _mark(rows, directions)
    by = sort or next((name for name in shown if directions[name] is not None), None)
    if by in directions:
        sign = -1 if directions[by] else 1
        rows.sort(key=lambda row: sign * row.cells[by].value if by in row.cells else math.inf)
    return Board(records[0].data, tuple(shown), directions, tuple(rows), tuple(notes))


def _figures(record: Record) -> dict[str, Value]:
    """A record's values, and its costs as values."""
    costs = {
        name: Value(value, f"{name}|v:1", higher_is_better=False, n=1, unit=name.rsplit("_", 1)[-1])
        for name, value in record.cost.items()
        if math.isfinite(value)
    }
    return {**costs, **record.values}


def _uniform(name: str, figures: Sequence[Mapping[str, Value]], notes: list[str]) -> bool:
    """Whether a column holds figures of one signature; if not, the notes say so and what to run."""
    signatures = sorted({values[name].signature for values in figures if name in values})
    if len(signatures) > 1:
        notes.append(
            f"{name} is not shown: these rows computed it in {len(signatures)} ways ({' ; '.join(signatures)}). "
            "Make them one: gentext score RUNS"
        )
    return len(signatures) == 1


def _cell(values: Sequence[Value]) -> Cell | None:
    if not values:
        return None
    if len(values) == 1:
        return Cell(values[0].value, values[0].interval, values[0].exactness, 1)
    mean, interval = over_seeds([value.value for value in values])
    return Cell(mean, interval, values[0].exactness, len(values))


def _mark(rows: Sequence[Row], directions: Mapping[str, bool | None]) -> list[Row]:
    """The rows with the best cell of every column marked; the human row does not compete."""
    best: dict[str, float] = {}
    for name, higher in directions.items():
        values = [row.cells[name].value for row in rows if name in row.cells and row.family != "human"]
        if higher is not None and values:
            best[name] = max(values) if higher else min(values)
    marked = []
    for row in rows:
        cells = {
            name: Cell(
                cell.value,
                cell.interval,
                cell.exactness,
                cell.seeds,
                row.family != "human" and cell.value == best.get(name),
            )
            for name, cell in row.cells.items()
        }
        marked.append(Row(row.data, row.family, row.decode, row.seeds, cells, row.adaptive, row.records))
    return marked


def text(cell: Cell | None) -> str:
    """A cell in words: bounds carry their sign, intervals their half-width."""
    if cell is None:
        return "-"
    sign = {"exact": "", "upper": "≤", "lower": "≥"}[cell.exactness]
    if not math.isfinite(cell.value):
        return f"{sign}{cell.value}"
    half = (cell.interval[1] - cell.interval[0]) / 2 if cell.interval else None
    digits = _digits(cell.value, half)
    return f"{sign}{cell.value:.{digits}f}" + (f"±{half:.{digits}f}" if half is not None else "")


def _digits(value: float, half: float | None) -> int:
    """Decimals worth showing: two significant digits of the half-width, or four of the value."""
    if half and math.isfinite(half):
        return max(0, min(6, 1 - math.floor(math.log10(half))))
    return max(0, min(4, 3 - math.floor(math.log10(abs(value))))) if value else 0


def table(board: Board) -> list[list[str]]:
    """Header and rows as plain strings."""
    arrows = {True: " ↑", False: " ↓", None: ""}
    header = ["family", "decode", "seeds", *(name + arrows[board.directions[name]] for name in board.columns)]
    body = [
        [
            row.family + (" †" if row.adaptive else ""),
            row.decode,
            str(len(row.seeds)),
            *(text(row.cells.get(name)) for name in board.columns),
        ]
        for row in board.rows
    ]
    return [header, *body]


def show(boards: Sequence[Board], format: str = "terminal") -> None:
    """Print boards: terminal, markdown, csv or json."""
    if format == "json":
        print(json.dumps([_plain(board) for board in boards], indent=1))
        return
    for board in boards:
        {"terminal": _terminal, "markdown": _markdown, "csv": _csv}[format](board)


def _terminal(board: Board) -> None:
    console = Console()
    header, *body = table(board)
    shown = Table(title=f"{board.data}: {len(board.rows)} rows", title_justify="left")
    for i, name in enumerate(header):
        shown.add_column(name, justify="left" if i < 2 else "right", overflow="fold", no_wrap=i > 1)
    for row, cells in zip(board.rows, body, strict=True):
        marked = [
            f"[bold]{cell}[/bold]" if i > 2 and (at := row.cells.get(board.columns[i - 3])) and at.best else cell
            for i, cell in enumerate(cells)
        ]
        shown.add_row(*marked)
    console.print(shown)
    for note in board.notes:
        console.print(f"note: {note}")


def _markdown(board: Board) -> None:
    header, *body = table(board)
    print(f"**{board.data}**\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "|".join("---" if i < 2 else "---:" for i in range(len(header))) + "|")
    for row, cells in zip(board.rows, body, strict=True):
        marked = [
            f"**{cell}**" if i > 2 and (at := row.cells.get(board.columns[i - 3])) and at.best else cell
            for i, cell in enumerate(cells)
        ]
        print("| " + " | ".join(marked) + " |")
    print("".join(f"\n{note}\n" for note in board.notes))


def _csv(board: Board) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "data",
            "family",
            "decode",
            "seeds",
            *(f for name in board.columns for f in (name, f"{name}_low", f"{name}_high", f"{name}_kind")),
        ]
    )
    for row in board.rows:
        cells = []
        for name in board.columns:
            cell = row.cells.get(name)
            cells += [cell.value, *(cell.interval or ("", "")), cell.exactness] if cell else ["", "", "", ""]
        writer.writerow([row.data, row.family, row.decode, len(row.seeds), *cells])
    sys.stdout.write(out.getvalue())


def _plain(board: Board) -> dict[str, object]:
    return {
        "data": board.data,
        "columns": board.columns,
        "notes": board.notes,
        "rows": [
            {
                "family": row.family,
                "decode": row.decode,
                "seeds": row.seeds,
                "adaptive": row.adaptive,
                "values": {
                    name: {
                        "value": cell.value,
                        "interval": cell.interval,
                        "exactness": cell.exactness,
                        "best": cell.best,
                    }
                    for name, cell in row.cells.items()
                },
            }
            for row in board.rows
        ],
    }


def show_samples(boards: Sequence[Board], n: int) -> None:
    """Print `n` samples of every row."""
    console = Console(highlight=False, markup=False)
    for board in boards:
        for row in board.rows:
            first = row.records[0]
            console.print(f"\n{row.family} · {row.decode} · {board.data}", style="bold")
            path = Path(first.folder) / f"samples.{file_stem(first.decode)}.txt"
            for line in read_texts(path)[:n] if path.exists() else ["(its samples are not stored here)"]:
                console.print(f"  {line}")
