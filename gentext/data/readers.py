"""Files to rows of text: plain by line, paragraph or as one stream, JSON, CSV, TSV, Orange, Parquet, gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from itertools import zip_longest
from pathlib import Path
from textwrap import shorten
from typing import Any

from gentext.data.prompts import Prompt, beginning, check_prompt
from gentext.data.splits import TextRow
from gentext.data.tables import BadRows, Cell, Column, json_rows, parquet, separated
from gentext.files import read_jsonl

FORMATS = ("plain", "jsonl", "csv", "tsv", "parquet", "orange")
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


@dataclass(frozen=True)
class TextReader:
    """How files become rows. No row of the units line and paragraph has white space around it.

    `target` and `source` name the columns of a table: a name of the header (of JSON: a key), or a number from 0 where
    there is no header; without `source` and `prompt` the corpus is not one of pairs. Several columns of a source, and a
    list of texts in one, are joined by `join`. A target that is a list of texts gives a row for each of them.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = path.write_text('{"turns": ["Hello!", "Hi.", "Bye."]}')
    >>> [row[:2] for row in TextReader(target=None, source="turns").rows(path)]
    [('Hi.', 'Hello!'), ('Bye.', 'Hello! | Hi.')]
    """

    unit: str = "line"  # one of UNITS
    format: str | None = None  # one of FORMATS; None: by the file's name
    target: Column | None = "text"  # None: source holds turns, each of which answers those before it
    source: Column | Sequence[Column] | None = None
    lowercase: bool = False
    blank: bool = False  # keep blank lines
    spaces: bool = True  # false: text whose characters are set apart by spaces loses them
    bad: BadRows = field(default_factory=BadRows, compare=False)  # what becomes of rows that are of no use
    join: str = " | "
    prompt: Prompt = None  # how much of a text is its source, see `beginning`; None: the source is a column, or none
    characters: bool = False  # prompt counts characters, and not words
    keep_lines: bool = False  # of a table's cell, which may be code; else its lines are joined by a space

    def __post_init__(self) -> None:
        for option, given, known in (
            ("unit", self.unit, UNITS),
            ("format", self.format, (None, *FORMATS)),
        ):
            if given not in known:
                raise ValueError(f"data.{option} is {given!r}; it must be one of {', '.join(map(str, known))}")
        for option, column in (("target", self.target), *(("source", column) for column in self.sources)):
            if column == "" or (isinstance(column, int) and column < 0):
                raise ValueError(f"data.{option} is {column!r}; a column is its name, or its number from 0")
        if self.source is not None and self.unit != "line":
            raise ValueError(f"data.unit is {self.unit} and data.source is {self.source!r}; pairs are read by line")
        if self.target is None and len(self.sources) != 1:
            raise ValueError(
                "data.target is null, so that each turn answers those before it; data.source must then name the one "
                f"column that holds the turns, and is {self.source!r}"
            )
        if not self.join and (len(self.sources) > 1 or self.target is None):
            raise ValueError("data.join is empty; give what stands between the parts of a source, such as ' | '")
        check_prompt(self.prompt, self.source, self.unit)

    @property
    def sources(self) -> tuple[Column, ...]:
        """The columns of a source; none where there is none."""
        if self.source is None:
            return ()
        return (self.source,) if isinstance(self.source, str | int) else tuple(self.source)

    def rows(self, path: Path) -> Iterator[TextRow]:
        """The rows of one file. Raises ValueError where it is not text, or lacks a column."""
        kind = self.format or _by_name(path)
        if kind == "plain" and self.source is not None:
            raise ValueError(
                f"{path} is plain text, which has no columns. Pairs are two files side by side "
                f"(train.{self.sources[0]} and train.{self.target} of one folder), or a table: say which by "
                f"data.format={'|'.join(FORMATS[1:])}"
            )
        if kind == "plain" and self.unit == "stream":
            return (TextRow(self._cased(piece)) for piece in _stream(path))
        return self.tidy(self._plain(path) if kind == "plain" else self._table(path, kind))

    @property
    def columns(self) -> list[Column]:
        """The columns of a table that are read, the target's first."""
        return [*([] if self.target is None else [self.target]), *self.sources]

    def _plain(self, path: Path) -> Iterator[list[str]]:
        if self.unit == "line":
            return ([line] for line in _lines(path))
        return _paragraphs(_lines(path))

    def _table(self, path: Path, kind: str) -> Iterator[Sequence[Cell]]:
        self.bad.begin(str(path))
        rows: Iterator[Sequence[Cell]]
        lists = self.source is not None
        if kind == "parquet":
            rows = parquet(path, self.columns, self.bad, lists=lists)
        elif kind == "jsonl":
            rows = json_rows(path, _lines(path), self.columns, self.bad, lists=lists)
        else:
            lines = _raw_lines(path)
            if kind == "orange":  # a TSV file that says in rows 2 and 3 what its columns are
                lines = ("" if i in (1, 2) else line for i, line in enumerate(lines))
            rows = separated(path, lines, self.columns, "," if kind == "csv" else "\t", self.bad)
        read = False
        for cells in rows:
            if lacking := self._lacking(cells):
                self.bad.leave_out(str(path), lacking)
                continue
            read = True
            yield cells
        if self.bad.counts[str(path)] and not read:
            raise ValueError(f"{path} has no row of text; the first that is left out: {self.bad.first}")

    def _lacking(self, cells: Sequence[Cell]) -> str | None:
        """What a record of a pair lacks: its source, or the text that answers it; None where it has both."""
        if self.source is None or self.target is None:
            return None
        text, source = (["".join(_listed(cell)).strip() for cell in part] for part in (cells[:1], cells[1:]))
        if any(text) and any(source):
            return None
        empty, given = (self.sources, text) if any(text) else ((self.target,), source)
        beside = f" beside {shorten(' '.join(given), 60)!r}" if any(given) else ""
        return f"{' and '.join(map(repr, empty))} {'is' if len(empty) == 1 else 'are'} empty{beside}"

    def tidy(self, cells: Iterable[Sequence[Cell]]) -> Iterator[TextRow]:
        """Rows of cells, white space at their ends taken off.

        Blank ones are left out unless they are asked for; of texts that are cut by `prompt` those of which nothing
        would be left.
        Raises: ValueError where each turn is to answer those before it, and no row has two.
        """
        if self.unit == "stream":  # records follow one another as lines do
            yield from (TextRow(self._cased(str(row[0])) + "\n") for row in cells)
            return
        row, made = None, None
        for row in cells:
            for made in self._made(row):
                if (made.text and made.prompt != "") or self.blank:
                    yield made
        if self.target is None and row is not None and made is None:
            raise ValueError(
                "data.target is null, so that each turn answers those before it, and no row of data.source="
                f"{self.sources[0]} has two turns (a list, or data.join={self.join!r} between them); name the column "
                "of the answers, such as data.target=answer"
            )

    def _made(self, cells: Sequence[Cell]) -> Iterator[TextRow]:
        """The rows of a record: one, unless its target is a list or its source holds turns."""
        if self.target is None:
            turns = self._turns(cells[0])
            yield from (TextRow(turns[i], self.join.join(turns[:i]), turns[0]) for i in range(1, len(turns)))
            return
        texts = [self._tidy(text) for text in _listed(cells[0])]
        if self.source is not None:
            parts = [[self._tidy(text) for text in _listed(cell)] for cell in cells[1:]]
            pieces = [text for part in parts for text in part if text]
            group = pieces[0] if len(pieces) > 1 else None
            yield from (TextRow(text, self.join.join(pieces), group) for text in texts)
        elif self.prompt is None:
            yield TextRow(texts[0])
        elif cut := beginning(texts[0], self.prompt, characters=self.characters):
            yield TextRow(cut[1], cut[0])

    def _turns(self, cell: Cell) -> list[str]:
        """The turns of a dialogue: a list, or one text in which `join` stands between them."""
        turns = cell.split(self.join) if isinstance(cell, str) else cell
        return [text for text in map(self._tidy, turns) if text]

    def _tidy(self, text: str) -> str:
        text = self._cased(text)
        if self.keep_lines and "\n" in text:
            lines = text.replace("\r\n", "\n").split("\n")
            return "\n".join("".join(line.split()) if not self.spaces else line.rstrip() for line in lines).strip("\n")
        text = text.strip()
        if not self.spaces:
            return "".join(text.split())
        return " ".join(text.split()) if "\n" in text or "\r" in text else text

    def _cased(self, text: str) -> str:
        return text.lower() if self.lowercase else text


def _listed(cell: Cell) -> list[str]:
    return [cell] if isinstance(cell, str) else cell


def read_samples(path: Path, reader: TextReader, *, stream: bool = False) -> list[str]:
    r"""Texts to be judged, read as training files are: a sample a line, or the column `reader.target` of a table.

    A blank line is a sample with no words. Where the corpus is a stream, the line ends of a table's cells are kept.
    Raises ValueError where the file is not text, or holds none.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "samples.jsonl"
    >>> _ = path.write_text('{"text": "a man"}\n{"text": "A dog"}\n')
    >>> read_samples(path, TextReader(lowercase=True))
    ['a man', 'a dog']
    """
    if not path.is_file():
        raise ValueError(f"{path} is no file; give a file with one sample a line, or a table with a column of samples")
    kept = stream and (reader.format or _by_name(path)) != "plain"
    reader = replace(reader, unit="stream" if kept else "line", source=None, prompt=None, blank=True)
    texts = [row.text.removesuffix("\n") if kept else row.text for row in reader.rows(path)]
    if not any(text.strip() for text in texts):
        raise ValueError(f"{path} holds no text; give one sample a line")
    return texts


def read_sample_log(path: Path) -> list[str] | None:
    """The answers in a sample log of lm-evaluation-harness, in its order; None where the file is no such log.

    Raises: ValueError where they are no texts: a log of a task that compares likelihoods.
    """
    if SUFFIXES.get(path.suffix.lower()) != "jsonl" or not path.is_file():
        return None
    found = []
    for _, row in read_jsonl(path):
        if not isinstance(row, dict) or "filtered_resps" not in row or "doc_id" not in row:
            return None
        answer = row["filtered_resps"][0] if row["filtered_resps"] else ""
        if not isinstance(answer, str):
            raise ValueError(
                f"{path} holds likelihoods and no texts; give the log of a task whose output_type is generate_until"
            )
        found.append(answer)
    return found or None


def side_by_side(reader: TextReader, target: Path, source: Path) -> Iterator[TextRow]:
    """The rows of two plain files, line by line. Raises ValueError where one ends before the other."""
    side = replace(reader, format="plain", source=None, prompt=None, blank=True)
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
    """The parts, with file and line for what is not UTF-8 text."""
    try:
        for part in parts:
            if "\0" in part:
                raise _not_text(path)
            yield part
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{path} is not a whole gzip file ({error}); compress it again or give it without .gz"
        ) from error


def _not_text(path: Path) -> ValueError:
    """What is wrong with a file that is not UTF-8 text, and in which line: it is read again to find that out."""
    opener: Any = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                return ValueError(
                    f"{path}, line 1: UTF-16, not UTF-8 text; convert it, for example iconv -f UTF-16 -t UTF-8 "
                    f"{path.name} > converted.txt"
                )
            if b"\0" in line:
                return ValueError(
                    f"{path}, line {number}: it is binary (it holds NUL bytes); give a file of UTF-8 text, JSONL, CSV, "
                    "TSV or Parquet"
                )
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return ValueError(
                    f"{path}, line {number}: not UTF-8 text (byte 0x{line[error.start]:02x}: {error.reason}); convert "
                    f"it, for example iconv -f LATIN1 -t UTF-8 {path.name} > converted.txt"
                )
    return ValueError(f"{path} is not UTF-8 text, or changed while it was read")


def _raw_lines(path: Path) -> Iterator[str]:
    r"""Lines with their ends: only \n and \r\n end one, never a form feed, NEL or U+2028."""
    with _open(path) as file:
        yield from _checked(path, file)


def _lines(path: Path) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in _raw_lines(path))


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
