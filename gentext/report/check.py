"""Proof that the tables and sentences of committed Markdown are what the committed records say."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from gentext.report import export, page
from gentext.results import board as boards
from gentext.results import naming, render_board
from gentext.results.record import Record, find

LED = "| family |"  # how a table of families begins: none may stand outside the marks
GREP = "--grep=^Numerics: changed"  # commits that can move a figure say so
CODE = (":(top)gentext", ":(top)conf")  # of them those that change what is run, not those that keep new records
NAME, END = "\x1f", "\x1e"  # between a commit's name and its message, and after that
BEGIN = export.MARK.split("{")[0]


def check(paths: Sequence[str | Path]) -> list[Path]:
    """The Markdown files that were proven: those given, and in folders those beside a records.jsonl.

    What stands between `<!-- gentext: CORPUS | PART -->` and `<!-- end -->` must be what the records.jsonl beside the
    file makes; `<!-- gentext: DATA | board | COLUMNS | FOLDER -->` names other columns, and where the records lie, and
    `<!-- gentext: * | environment -->` is of all of them.
    Raises: ValueError for a part that is not, a table of families outside the marks, and a file without any.
    """
    files = _files(paths)
    for file in files:
        _prove(file)
    return files


def update(paths: Sequence[str | Path]) -> list[Path]:
    """The files that were written anew from the records: marked parts of these Markdown files, and their pictures."""
    written = []
    for file in _files(paths):
        text = file.read_text(encoding="utf-8")
        made = _rewritten(text, file)
        if made != text:
            written.append(export.put(file, made))
        written += _pictures(file, made)
    return written


def older(paths: Sequence[str | Path]) -> list[str]:
    """A sentence for each folder of records that older code made: how many changes of figures there are since.

    A record names the commit that made it, and a commit that can move a figure says `Numerics: changed`; with a line
    `Older: crossing, oracle/relgan*`, only those of such folders, or of such families in them. A later one may say so
    for it, `Older by 1a2b3c4: crossing`. Records of no commit, or of one that this checkout does not hold, are told
    too; outside of a checkout there is nothing to say.
    """
    warnings = []
    for kept in dict.fromkeys(file.parent / "records.jsonl" for file in _files(paths)):
        if not kept.is_file() or _git(kept.parent, "rev-parse", "HEAD") is None:
            continue
        said = _git(kept.parent, "log", "--grep=^Older by ", "--format=%B") or ""
        later = dict(re.findall("^Older by ([0-9a-f]{7})[0-9a-f]*: (.*)", said, re.M)[::-1])  # the last one counts
        made: dict[str, list[Record]] = {}
        for record in find([kept]):
            made.setdefault(record.versions.get("commit", ""), []).append(record)
        for commit, records in made.items():
            known = re.fullmatch("[0-9a-f]{7,40}", commit)  # a record is data, and git takes options
            changes = known and _git(
                kept.parent, "log", f"--format=%h %s{NAME}%B{END}", GREP, f"{commit}..HEAD", "--", *CODE
            )
            if changes is None:
                row = f"{records[0].family} ({records[0].decode}), ..."
                warnings.append(
                    f"{kept}: {_many(records, 'row')} of a commit that is not known here "
                    f"({commit or 'none recorded'}): {row}"
                )
                continue
            commits = [message.strip().split(NAME) for message in changes.split(END) if message.strip()]
            scopes = {name: later.get(name[:7], _scope(body)) for name, body in commits}
            rows: dict[tuple[str, ...], list[Record]] = {}
            for record in records:
                moved = tuple(name for name, scope in scopes.items() if _moves(scope, kept.parent.name, record.family))
                rows.setdefault(moved, []).append(record)
            warnings += [
                f"{kept}: {_many(found, 'row')} of {commit}, before {_many(moved, 'change')} of figures, the last of "
                f"them {moved[0]}"
                for moved, found in rows.items()
                if moved
            ]
    return warnings


def _many(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) > 1)}"


def _scope(message: str) -> str:
    """The records that a commit says it moves; all where it does not say."""
    return ", ".join(re.findall("^Older: (.*)", message, re.M)) or "*"


def _moves(scope: str, folder: str, family: str) -> bool:
    """Whether these are records of a family in a folder: `crossing, oracle/relgan*`, or `none`."""
    names = [name.strip() for name in scope.split(",")]
    return any(fnmatchcase(folder, name) or fnmatchcase(f"{folder}/{family}", name) for name in names)


def _git(folder: Path, *words: str) -> str | None:
    """What git says in a folder; None where there is no git, no checkout, or no such commit."""
    try:
        found = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _files(paths: Sequence[str | Path]) -> list[Path]:
    found = []
    for path in map(Path, paths):
        held = sorted(path.rglob("records.jsonl")) if path.is_dir() else []
        files = [path] if path.is_file() else [file for kept in held for file in sorted(kept.parent.glob("*.md"))]
        if not files:
            raise ValueError(
                f"{path} holds no Markdown beside a records.jsonl; give a file, or a folder such as experiments"
            )
        found += files
    return found


def _prove(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if BEGIN not in text:
        raise ValueError(f"{file} cannot be proven without a marked part; write it with gentext report RUNS -o {file}")
    inside = False
    for line in text.split("\n"):
        inside = line.startswith(BEGIN) or (inside and line != export.END)
        if line.startswith(LED) and not inside:
            raise ValueError(f"{file}: a table of families stands outside the marks that prove it:\n  {line}\n")
    made = _rewritten(text, file)
    if made != text:
        lines = zip([*text.split("\n"), "its end"], [*made.split("\n"), "its end"], strict=False)
        one, two = next((a, b) for a, b in lines if a != b)
        raise ValueError(
            f"{file}: it says\n  {one}\nwhere the records say\n  {two}\n. Write it anew from the records: "
            f"gentext report --update {file}"
        )


def _rewritten(text: str, file: Path) -> str:
    """The text with every marked part as the records make it."""
    # str.splitlines would also end lines at form feeds and at U+2028, which are part of a text
    lines, sections, kept = text.split("\n"), _Sections(file), []
    i = 0
    while i < len(lines):
        if not lines[i].startswith(BEGIN):
            kept.append(lines[i])
            i += 1
            continue
        if export.END not in lines[i:]:
            raise ValueError(f"{file}: the part after {lines[i]} has no {export.END}")
        end = lines.index(export.END, i)
        kept += [lines[i], "", *sections.part(lines[i]), export.END]
        i = end + 1
    return "\n".join(kept)


class _Sections:
    """What the records that a file names make of each part."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.records: dict[str, list[Record]] = {}
        self.parts: dict[str, Mapping[str, Mapping[str, list[str]]]] = {}

    def part(self, mark: str) -> list[str]:
        corpus, name, columns, folder = self._fields(mark)
        if columns:
            try:
                held = self._held(folder)
                called = naming.corpora(held)
                held = [record for record in held if called[record.corpus_key] == corpus]
                ranked = boards.rank(held, columns=columns.split(","))
            except ValueError as error:
                raise ValueError(f"{self.file}: {mark}: {error}") from error
            return [*render_board.markdown(ranked[0]).split("\n"), "", f"*{render_board.LEGEND}*", ""]
        if folder not in self.parts:
            made = page.build(self._held(folder), {})
            parts = {s.board.corpus: export.provable(s, self.file.stem) for s in made.sections}
            self.parts[folder] = parts | {export.ALL: {export.ENVIRONMENT: export.environment(made)}}
        known = self.parts[folder].get(corpus, {})
        if name not in known:
            raise ValueError(
                f"{self.file}: no records make {mark}; they make {', '.join(known) or 'none of its corpus'}"
            )
        return known[name]

    def _fields(self, mark: str) -> list[str]:
        fields = [field.strip() for field in mark.removeprefix(BEGIN).removesuffix("-->").split("|")]
        if not 2 <= len(fields) <= 4:
            raise ValueError(f"{self.file}: {mark} must name CORPUS | PART, and may name | COLUMNS | FOLDER")
        return [*fields, "", ""][:4]

    def _held(self, folder: str) -> list[Record]:
        if folder not in self.records:
            path = self.file.parent / folder / "records.jsonl"
            if not path.is_file():
                raise ValueError(f"{self.file} cannot be proven without {path}")
            self.records[folder] = find([path])
        return self.records[folder]


def _pictures(file: Path, text: str) -> list[Path]:
    """The pictures of a report that records alone make, written anew where its text shows them."""
    kept = file.parent / "records.jsonl"
    if not kept.is_file():
        return []
    written = []
    for section in page.build(find([kept]), {}).sections:
        charts = [chart for block in section.blocks if block.of_records for chart in block.charts]
        for chart in charts:
            name = f"{file.stem}-{section.board.corpus}-{chart.name}.svg"
            if f"({name})" in text:
                written.append(export.picture(chart, file.with_name(name)))
    return written
