"""Files of a run's folder that are broken: refused by their names, or of no consequence, by every command."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from attacks import kills
from attacks.forked import Outcome, Tally
from attacks.forked import command as ended

RUNS = {"ngram": None, "vae": None, "lstm": "checkpoint", "seqgan": "checkpoint of a warm-up"}  # where killed
READING = {
    "sample": ["sample", "RUN", "-n", "2"],
    "score": ["score", "RUN"],
    "report": ["report", "RUN", "-o", "report.md"],
    "board": ["board", "RUN", "--format", "csv"],
    "merge": ["board", "RUN", "--merge", "--publish", "site"],
    "inspect": ["inspect", "RUN"],
    "explain": ["explain", "bleu4", "RUN"],
    "compare": ["compare", "RUN", "RUN", "--format", "csv"],
    "export": ["export", "RUN", "model.arpa"],
    "run": [],
}
IDLE = (".lock", "log.txt")  # what they hold decides nothing


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"x")
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": _flipped,
    "garbage": lambda path: path.write_bytes(random.Random(0).randbytes(200)),
    "missing": Path.unlink,
    "folder": _folder,
}


@dataclass
class Case:
    """A file of a run that is damaged before a command."""

    run: str
    file: int  # its place among those of the run
    damage: str
    command: str


def cases(count: int, first: int = 0) -> list[Case]:
    """The cases `first` to `first + count` of all, mixed; always the same."""
    every = []
    for run, killed in RUNS.items():
        for command in READING if killed is None else ("run", "run", "sample", "board", "report"):
            if command != "export" or run == "ngram":
                every += [Case(run, file, damage, command) for file in range(14) for damage in DAMAGE]
    random.Random(1).shuffle(every)
    return every[first : first + count]


def run(chosen: list[Case]) -> Tally:
    """Damage each and run its command."""
    tally = Tally("corruptions")
    with tempfile.TemporaryDirectory() as scratch:
        made = {run: Template(run, Path(scratch) / run) for run in {case.run for case in chosen}}
        for i, case in enumerate(chosen):
            folder = Path(scratch) / f"case-{i}"
            kind, faults = made[case.run].judged(case, folder)
            tally.count(kind, [f"{case}: {fault}" for fault in faults])
            shutil.rmtree(folder)
    return tally


class Template:
    """A run's folder, and what every command says of it while it is whole."""

    def __init__(self, run: str, folder: Path) -> None:
        self.run, self.folder, self.said = run, folder, {}
        kills.write_text(folder)
        phase = RUNS[run]
        before = kills._killed_at(4, phase) if phase else lambda: None
        got = ended(kills.words(run), cwd=folder, cache=folder / "cache", before=before)
        if got.killed != (phase is not None):
            raise RuntimeError(f"{run} does not run so: {got.err[-2000:]}")
        (self.place,) = (path.parent.relative_to(folder) for path in folder.glob("runs/*/*/config.yaml"))
        self.files = sorted(path.relative_to(folder) for path in (folder / self.place).rglob("*") if path.is_file())

    def judged(self, case: Case, folder: Path) -> tuple[str, list[str]]:
        if case.command not in self.said:
            self.said[case.command] = self._shown(case, folder.with_name(f"whole-{self.run}-{case.command}"), None)
        file = self.files[case.file % len(self.files)]
        whole, usual = self.said[case.command]
        got, shown = self._shown(case, folder, file)
        kind, where = case.damage, file.relative_to(self.place).as_posix()
        if case.command == "score":  # writes the record, its values and its samples anew
            usual, shown = ({name: held for name, held in one.items() if name != where} for one in (usual, shown or {}))
        if got.traceback or got.killed:
            return kind, [f"{where}: exit {got.code}: {got.err[-600:]}"]
        gone = case.damage == "missing" and file.name.startswith("record.") and "no record" in got.err
        named = file.name in got.out + got.err or gone
        same = got.code == whole.code and shown == usual and (got.code == 0 or got.err == whole.err)
        if same or (got.code == 0 and (named or file.name in IDLE)):
            return kind, []
        if not named:
            return kind, [f"{where} is not named, exit {got.code}: {(got.out + got.err)[-400:]}"]
        if case.command == "run" and "resume=false" in got.err:
            again = ended([*kills.words(self.run), "resume=false"], cwd=folder, cache=folder / "cache")
            if again.code != 0:
                return kind, [f"{where}: the advice resume=false does not help: {again.err[-400:]}"]
        return kind, []

    def _shown(self, case: Case, folder: Path, file: Path | None) -> tuple[Outcome, Any]:
        """How a command ends on a copy of the run, and what it shows or leaves."""
        shutil.copytree(self.folder, folder)
        if file is not None:
            DAMAGE[case.damage](folder / file)
        words = [str(self.place) if word == "RUN" else word for word in READING[case.command]]
        got = ended(words or kills.words(self.run), cwd=folder, cache=folder / "cache")
        if case.command in ("run", "score"):
            try:
                found = kills.state(folder)
            except (ValueError, OSError, KeyError, EOFError, BadZipFile):
                return got, None
            return got, {name: held for name, held in found.items() if name not in ("files", "panels.json")}
        written = [*folder.glob("report.md"), *folder.glob("model.arpa"), *folder.glob("site/board.csv")]
        return got, (got.out, [path.read_text(encoding="utf-8") for path in written])
