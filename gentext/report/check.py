"""Proof that the tables of committed Markdown are what the committed records say."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gentext.report import page
from gentext.results import board as boards
from gentext.results import render_board, render_table
from gentext.results.record import Record, find

BOARD = "| family | decode | seeds |"  # how the header of a leaderboard begins; others begin with the family alone
LED = "| family |"


def check(paths: Sequence[str | Path]) -> list[Path]:
    """The Markdown files that were proven: those given, and in folders those beside a records.jsonl.

    Every table that begins with a family must come from the records of one records.jsonl below its file's folder.
    Raises: ValueError for a table that does not, and for a file of records that no table beside it shows.
    """
    proven = []
    for path in map(Path, paths):
        held = sorted(path.rglob("records.jsonl")) if path.is_dir() else []
        files = [path] if path.is_file() else [file for kept in held for file in sorted(kept.parent.glob("*.md"))]
        if not files:
            raise ValueError(
                f"{path} holds no Markdown beside a records.jsonl; give a file, or a folder such as experiments"
            )
        for file in files:
            _prove(file)
            proven.append(file)
    return proven


def _prove(file: Path) -> None:
    sources = {kept: find([kept]) for kept in sorted(file.parent.rglob("records.jsonl"))}
    shown = [table for table in _tables(file.read_text(encoding="utf-8")) if table[0].startswith(LED)]
    if not sources or not shown:
        missing = "a table" if sources else "a records.jsonl below it"
        raise ValueError(f"{file} cannot be proven without {missing}; write it with gentext report RUNS -o {file}")
    for table in shown:
        near = [_made(table[0], records) for records in sources.values()]
        if not any(table in made for made in near):
            raise ValueError(
                f"{file}: {_difference(table, [other for made in near for other in made])}. "
                f"Write it anew from the records: gentext report RUNS -o {file}"
            )


def _tables(text: str) -> list[list[str]]:
    """Runs of lines that begin with a pipe."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def _made(header: str, records: Sequence[Record]) -> list[list[str]]:
    """The tables that these records make under the header of one that is shown."""
    blocks = [block for section in page.build(records, {}).sections for block in section.blocks]
    texts = [render_table.markdown(table) for block in blocks for table in block.tables]
    if header.startswith(BOARD):
        columns = [cell.strip(" ↑↓") for cell in header.removeprefix(BOARD).strip("| ").split("|")]
        with suppress(ValueError):  # a column that these records do not have
            texts += [render_board.markdown(board) for board in boards.rank(records, columns=columns)]
    return [table for text in texts for table in _tables(text)]


def _difference(table: Sequence[str], made: Sequence[Sequence[str]]) -> str:
    """Where a table first parts from one that has its header."""
    for other in made:
        if other[0] == table[0]:
            lines = zip(table, [*other, *[""] * len(table)], strict=False)
            one, two = next(((a, b) for a, b in lines if a != b), ("its end", other[-1]))
            return f"it says\n  {one}\nwhere the records say\n  {two}\n"
    return f"no records make a table headed\n  {table[0]}\n"
