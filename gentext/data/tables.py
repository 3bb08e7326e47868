"""JSON, JSONL, CSV, TSV and Parquet as rows of text cells; what is not text is refused, with its file and line."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gentext.checks import missing

Column = str | int
Cell = str | list[str]  # a list of texts where a row of pairs may hold one: turns, contexts, answers
LONGEST_CELL = 1 << 30  # characters; the csv module stops at 131,072 unless it is given another limit


@dataclass
class BadRows:
    """What becomes of rows that are of no use: one that is no text ends the reading or, with `skip`, is left out.

    >>> bad = BadRows(skip=True)
    >>> bad.begin("a.jsonl")
    >>> bad("a.jsonl", "line 3", "'text' is null, not text")
    >>> bad.total, bad.first
    (1, "a.jsonl, line 3: 'text' is null, not text")
    """

    skip: bool = False
    counts: dict[str, int] = field(default_factory=dict)  # by file, of its last reading
    first: str = ""

    def begin(self, file: str) -> None:
        """Count the bad rows of a file anew: it may be read more than once."""
        self.counts[file] = 0

    def __call__(self, file: str, place: str, problem: str) -> None:
        if not self.skip:
            raise ValueError(f"{file}, {place}: {problem}. Mend it, or leave such rows out with data.skip_bad=true")
        self.leave_out(file, f"{place}: {problem}")

    def leave_out(self, file: str, problem: str) -> None:
        """Count a row that is left out whether or not that was asked for: a pair that lacks its source or its text."""
        self.counts[file] += 1
        self.first = self.first or f"{file}, {problem}"

    @property
    def total(self) -> int:
        """Rows left out, of all files."""
        return sum(self.counts.values())


def text_cells(
    file: str, rows: Iterable[Sequence[Any]], columns: Sequence[Column], bad: BadRows, *, lists: bool = False
) -> Iterator[list[Cell]]:
    """The rows whose cells are all text, or with `lists` lists of texts; `bad` gets the others. They count from 1."""
    for number, cells in enumerate(rows, 1):
        problem = _problem(columns, cells, lists)
        if problem is None:
            yield list(cells)
        else:
            bad(file, f"row {number}", problem)


def json_rows(
    path: Path, lines: Iterable[str], columns: list[Column], bad: BadRows, *, lists: bool = False
) -> Iterator[list[Cell]]:
    """One JSON object a line, or one list of objects in the file; of one column, strings in place of objects."""
    load = partial(json.loads, object_pairs_hook=partial(_without_repeats, columns))
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = next(numbered, (0, ""))
    if first[1].lstrip().startswith("["):
        text = "\n".join([first[1], *(line for _, line in numbered)])
        records = enumerate(_json_list(path, text, load), 1)
        found = ((f"row {number}", partial(_cells, record, columns)) for number, record in records)
    else:
        whole = itertools.chain([first] if first[1] else [], numbered)
        found = ((f"line {number}", partial(_loaded, load, line, columns)) for number, line in whole)
    for place, read in found:
        try:
            cells = read()
            problem = _problem(columns, cells, lists)
        except RecursionError:
            problem = "this JSON is nested too deeply to be read"
        except LookupError as error:
            problem = str(error.args[0])
        except ValueError as error:
            problem = f"not JSON ({error}); a file holds one object a line, or one list of objects"
        if problem is None:
            yield cells
        else:
            bad(str(path), place, problem)


def _loaded(load: Callable[[str], Any], line: str, columns: list[Column]) -> list[Any]:
    return _cells(load(line), columns)


def _json_list(path: Path, text: str, load: Callable[[str], Any]) -> list[Any]:
    try:
        return load(text)
    except (ValueError, LookupError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error.args[0]
        raise ValueError(
            f"{path} begins as a list of JSON objects and cannot be read as one ({reason}); close the list, or give "
            "one object a line"
        ) from error


def separated(
    path: Path, lines: Iterable[str], columns: list[Column], delimiter: str, bad: BadRows
) -> Iterator[list[str]]:
    """The columns of a CSV file, which has quotes, or of a TSV file, which as found in the wild has none.

    Columns given as numbers mean that there is no header; where there is one, no row may have more cells than it.
    """
    table = _tsv(path, lines, bad) if delimiter == "\t" else _csv(path, lines, bad)
    at, most = [column for column in columns if isinstance(column, int)], None
    if len(at) < len(columns):
        header = next(table, (1, None))[1]
        if header is None:
            raise ValueError(f"{path} is empty; its first line names the columns")
        if len(header) == 1 and delimiter == "," and ";" in header[0]:
            raise ValueError(f"{path}, line 1: semicolons stand between its columns; save it with commas, or as TSV")
        at = [header.index(known_column(f"{path}, line 1", column, header)) for column in columns]
        most = len(header)
    for number, cells in table:
        if len(cells) <= max(at):
            bad(str(path), f"line {number}", f"{len(cells)} columns; column {max(at)} (from 0) was asked for")
        elif most is not None and any(cells[most:]):
            how = "no cell of a TSV file holds a tab" if delimiter == "\t" else "a cell that holds a comma is quoted"
            bad(str(path), f"line {number}", f"{len(cells)} cells under a header of {most} columns; {how}")
        else:
            yield [cells[i] for i in at]


def parquet(path: Path, columns: list[Column], bad: BadRows, *, lists: bool = False) -> Iterator[list[Cell]]:
    """The columns of a Parquet file, by pyarrow (an extra)."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError(missing(str(path), "pyarrow", "parquet")) from error
    try:
        with pq.ParquetFile(path) as file:
            names = [known_column(str(path), column, file.schema_arrow.names) for column in columns]
            batches = file.iter_batches(columns=names)
            rows = (
                cells
                for batch in batches
                for cells in zip(*(batch.column(name).to_pylist() for name in names), strict=True)
            )
            yield from text_cells(str(path), rows, columns, bad, lists=lists)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a Parquet file ({error})") from error


def known_column(place: str, column: Column, known: Sequence[str]) -> str:
    """The name of a column that occurs once. Raises ValueError where it does not."""
    count = sum(name == column for name in known)
    if count == 0:
        raise ValueError(f"{place} has {_lacks(column, known)}")
    if count > 1:
        raise ValueError(
            f"{place}: the column {column!r} stands {count} times; give every column a name of its own, or name "
            "another by data.target and (for pairs) data.source"
        )
    return str(column)


def _lacks(column: Column, known: Sequence[str]) -> str:
    return (
        f"no column {column!r}; it has {', '.join(map(repr, known)) or 'none'}. Name them by data.target and (for "
        "pairs) data.source"
    )


def _cells(record: Any, columns: list[Column]) -> list[Any]:
    if isinstance(record, str) and len(columns) == 1:
        return [record]
    held = record if isinstance(record, dict) else {}
    for column in columns:
        if column not in held:
            raise LookupError(_lacks(column, list(held)))
    return [held[column] for column in columns]


def _without_repeats(columns: list[Column], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        for column in columns:
            if counts[column] > 1:  # type: ignore[index]
                raise LookupError(f"{column!r} stands {counts[column]} times in one object")  # type: ignore[index]
    return found


def _problem(columns: Sequence[Column], cells: Sequence[Any], lists: bool = False) -> str | None:
    """Why a row is not text, or None where it is."""
    for column, cell in zip(columns, cells, strict=True):
        for text in cell if lists and isinstance(cell, list) else [cell]:
            if not isinstance(text, str):
                return f"{column!r} is {_kind(cell)}, not text" if text is cell else _in_list(column, text)
            if "\0" in text:
                return f"{column!r} holds a NUL character, which no text does"
            if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
                return f"{column!r} holds half of a surrogate pair, which is no character"
    return None


def _in_list(column: Column, item: Any) -> str:
    return f"{column!r} is a list that holds {_kind(item)}, and not texts alone"


def _kind(cell: Any) -> str:
    if cell is None:
        return "null"
    if isinstance(cell, bool):
        return str(cell).lower()
    known = {int: "a number", float: "a number", list: "a list", tuple: "a list", dict: "an object", bytes: "bytes"}
    return known.get(type(cell), f"of type {type(cell).__name__}")


def _tsv(path: Path, lines: Iterable[str], bad: BadRows) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if "\r" in line:
            bad(str(path), f"line {number}", "a carriage return stands inside the row; lines end in \\n or \\r\\n")
        elif line:
            yield number, line.split("\t")


def _csv(path: Path, lines: Iterable[str], bad: BadRows) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line where it begins; a quoted cell may hold line ends."""
    csv.field_size_limit(LONGEST_CELL)
    table = csv.reader(lines, strict=True)
    while True:
        begin = table.line_num + 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"not CSV ({error}); a quote inside a quoted cell is doubled"
            if "new-line" in str(error):
                problem = "a carriage return stands inside the row; lines end in \\n or \\r\\n, or the cell is quoted"
            if "unexpected end" in str(error) or table.line_num > begin:  # how many rows it swallowed nobody knows
                raise ValueError(
                    f"{path}, line {begin}: a quote opens in this row and is not closed as CSV closes it ({error} in "
                    f"line {table.line_num}); close it, double a quote inside a quoted cell, or read by "
                    "data.format=tsv what has no quotes"
                ) from error
            bad(str(path), f"line {begin}", problem)
            continue
        if cells:
            yield begin, cells
