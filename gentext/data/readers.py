"""Files to rows of text: plain by line, paragraph or as one stream, JSONL, CSV, TSV and Parquet, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gentext.data.splits import TextRow

FORMATS = ("plain", "jsonl", "csv", "tsv", "parquet")
SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
BLOCK = 1 << 20  # characters of a stream read at once
UNITS = ("line", "paragraph", "stream")
Column = str | int

log = logging.getLogger("gentext")


@dataclass(frozen=True)
class TextReader:
    """How files become rows. No row of the units line and paragraph holds a line end, nor white space around it.

    `target` and `source` name the columns of a table: a name of the header (of JSON: a key), or a number from 0 where
    there is no header; without `source` the corpus is not one of pairs.
    """

    unit: str = "line"  # one of UNITS
    format: str | None = None  # one of FORMATS; None: by the file's name
    target: Column = "text"
    source: Column | None = None
    lowercase: bool = False
    blank: bool = False  # keep blank lines
    spaces: bool = True  # false: text whose characters are set apart by spaces loses them

    def __post_init__(self) -> None:
        for option, given, known in (
            ("unit", self.unit, UNITS),
            ("format", self.format, (None, *FORMATS)),
        ):
            if given not in known:
                raise ValueError(f"data.{option} is {given!r}; it must be one of {', '.join(map(str, known))}")
        if self.source is not None and self.unit != "line":
            raise ValueError(f"data.unit is {self.unit} and data.source is {self.source!r}; pairs are read by line")

    def rows(self, path: Path) -> Iterator[TextRow]:
        """The rows of one file. Raises ValueError where it is not text, or lacks a column."""
        kind = self.format or _by_name(path)
        if kind == "parquet":
            return self._clean(_parquet(path, self._columns))
        if kind == "plain" and self.source is not None:
            raise ValueError(
                f"{path} is plain text, which has no columns. Pairs are two files side by side (train.{self.source} "
                f"and train.{self.target} of one folder), or a table: say which by data.format={'|'.join(FORMATS[1:])}"
            )
        if kind == "plain" and self.unit == "stream":
            return (TextRow(self._cased(piece)) for piece in _stream(path))
        if kind == "plain":
            return self._clean(self._plain(path))
        read = _jsonl if kind == "jsonl" else _table
        return self._clean(read(path, self._columns, "\t" if kind == "tsv" else ","))

    @property
    def _columns(self) -> list[Column]:
        return [self.target] if self.source is None else [self.target, self.source]

    def _plain(self, path: Path) -> Iterator[list[str]]:
        if self.unit == "line":
            return ([line] for line in _lines(path))
        return _paragraphs(_lines(path))

    def _clean(self, cells: Iterable[list[str]]) -> Iterator[TextRow]:
        if self.unit == "stream":  # records follow one another as lines do
            yield from (TextRow(self._cased(row[0]) + "\n") for row in cells)
            return
        for row in cells:
            text, *prompt = [self._tidy(cell) for cell in row]
            if (text and all(prompt)) or self.blank:
                yield TextRow(text, *prompt)

    def _tidy(self, text: str) -> str:
        text = self._cased(text).strip()
        if not self.spaces:
            return "".join(text.split())
        return " ".join(text.split()) if "\n" in text or "\r" in text else text

    def _cased(self, text: str) -> str:
        return text.lower() if self.lowercase else text


def side_by_side(reader: TextReader, target: Path, source: Path) -> Iterator[TextRow]:
    """The rows of two plain files, line by line. Raises ValueError where one ends before the other."""
    side = replace(reader, format="plain", source=None, blank=True)
    for answer, prompt in zip_longest(side.rows(target), side.rows(source)):
        if answer is None or prompt is None:
            short, long = (target, source) if answer is None else (source, target)
            raise ValueError(f"{short} has fewer lines than {long}; line i of one must answer line i of the other")
        if (answer.text and prompt.text) or reader.blank:
            yield TextRow(answer.text, prompt.text)


def _by_name(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return SUFFIXES.get(Path(name).suffix.lower(), "plain")


def _open(path: Path) -> TextIOWrapper:
    """The file as text, line ends kept as they are."""
    opener: Any = gzip.open if path.name.endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", newline="\n")


def _checked(path: Path, parts: Iterable[str]) -> Iterator[str]:
    """The parts, with a plain word for a file that is not UTF-8 text."""
    try:
        for part in parts:
            if "\0" in part:
                raise ValueError(
                    f"{path} is binary (it holds NUL bytes); give a file of UTF-8 text, JSONL, CSV, TSV or Parquet"
                )
            yield part
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte 0x{error.object[error.start]:02x}: {error.reason}); convert it, for "
            f"example iconv -f LATIN1 -t UTF-8 {path.name} > converted.txt"
        ) from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{path} is not a whole gzip file ({error}); compress it again or give it without .gz"
        ) from error


def _lines(path: Path) -> Iterator[str]:
    with _open(path) as file:
        for line in _checked(path, file):
            yield line.rstrip("\r\n")


def _paragraphs(lines: Iterable[str]) -> Iterator[list[str]]:
    """Paragraphs are set apart by blank lines; the lines of one are joined by a space."""
    held: list[str] = []
    for line in lines:
        if line.strip():
            held.append(line.strip())
        elif held:
            yield [" ".join(held)]
            held = []
    if held:
        yield [" ".join(held)]


def _stream(path: Path) -> Iterator[str]:
    r"""The text in pieces that end where a line ends, or failing that a word; \r\n reads as \n."""
    left = ""
    with _open(path) as file:
        for block in _checked(path, iter(lambda: file.read(BLOCK), "")):
            left += block
            end = max(left.rfind("\n"), left.rfind(" ") if len(left) > BLOCK else -1) + 1
            if end:
                yield left[:end].replace("\r\n", "\n")
                left = left[end:]
    if left:
        yield left.replace("\r\n", "\n")


def _jsonl(path: Path, columns: list[Column], _: str) -> Iterator[list[str]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error}); JSONL is one object a line") from error
        if isinstance(record, str) and len(columns) == 1:
            yield [record]
            continue
        known = list(record) if isinstance(record, dict) else []
        yield [str(record[_column(path, column, known)]) for column in columns]


def _table(path: Path, columns: list[Column], delimiter: str) -> Iterator[list[str]]:
    """CSV has quotes; TSV, as found in the wild, does not. Columns given as numbers mean that there is no header."""
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    csv.field_size_limit(1 << 30)
    with _open(path) as file:
        table = csv.reader(_checked(path, file), delimiter=delimiter, quoting=quoting)
        at = columns
        if not all(isinstance(column, int) for column in columns):
            header = next(table, [])
            at = [header.index(_column(path, column, header)) for column in columns]
        for cells in table:
            if not cells:
                continue
            if len(cells) <= max(at):
                raise ValueError(
                    f"{path}, line {table.line_num}: {len(cells)} columns; column {max(at)} (from 0) was asked for"
                )
            yield [cells[i] for i in at]


def _parquet(path: Path, columns: list[Column]) -> Iterator[list[str]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ValueError(f"{path} needs pyarrow, which is an extra: pip install 'gentext[parquet]'") from error
    try:
        file = parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file ({error})") from error
    with file:
        names = [_column(path, column, file.schema_arrow.names) for column in columns]
        for batch in file.iter_batches(columns=names):
            for cells in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                yield ["" if cell is None else str(cell) for cell in cells]


def _column(path: Path, column: Column, known: list[str]) -> str:
    if column not in known:
        raise ValueError(
            f"{path} has no column {column!r}; it has {', '.join(map(repr, known)) or 'none'}. Name them by "
            "data.target and (for pairs) data.source"
        )
    return str(column)
