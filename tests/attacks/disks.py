"""Disks that are full, and folders that may not be written, from any write on: a line, and the same command goes on."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attacks import kills
from attacks.forked import Tally
from attacks.forked import command as ended

ERRORS = {"full": errno.ENOSPC, "closed": errno.EACCES}


@dataclass
class Case:
    """A run whose writes fail from one of them on."""

    family: str
    error: str
    seed: int


def cases(count: int, first: int = 0) -> list[Case]:
    """The cases `first` to `first + count`, always the same ones; the families take turns."""
    families = list(kills.FAMILIES)
    return [
        Case(families[i % len(families)], list(ERRORS)[i // len(families) % 2], i) for i in range(first, first + count)
    ]


def run(chosen: list[Case]) -> Tally:
    """Fail each, go on, and compare with a run that did not."""
    tally = Tally("disks")
    with tempfile.TemporaryDirectory() as scratch:
        whole: dict[str, kills.Whole] = {}
        for case in chosen:
            if case.family not in whole:
                whole[case.family] = kills._undisturbed(case.family, Path(scratch) / f"whole-{case.family}")
            folder = Path(scratch) / f"case-{case.seed}"
            faults = _try(case, folder, whole[case.family])
            tally.count(case.error, [f"case {case.seed} ({case.family}, {case.error}): {fault}" for fault in faults])
            shutil.rmtree(folder)
    return tally


def _try(case: Case, folder: Path, whole: kills.Whole) -> list[str]:
    kills.write_text(folder)
    change = random.Random(case.seed).randint(1, sum(whole.events.values()))
    before = _failing(folder, ERRORS[case.error], change)
    got = ended(kills.words(case.family), cwd=folder, cache=folder / "cache", before=before)
    if got.traceback or got.killed:
        return [f"from {got.said.get('failed')} on, exit {got.code}: {got.err[-600:]}"]
    if got.code == 0 and "panels" not in got.err:  # then what could not be written was of no consequence
        lost = kills._differences(whole.state, kills.state(folder))
        if lost:
            return [f"from {got.said.get('failed')} on, exit 0: {one}" for one in lost]
    if list(folder.glob("runs/**/traceback.txt")):
        return [f"from {got.said.get('failed')} on it is taken for a defect"]
    got = ended(kills.words(case.family), cwd=folder, cache=folder / "cache")
    if got.code != 0:
        return [f"is lost, the same command ends in {got.code}: {got.err[-800:]}"]
    return kills._differences(whole.state, kills.state(folder))


def _failing(folder: Path, code: int, change: int) -> Callable[[], None]:
    def before() -> None:
        left = [change]

        def hook(event: str, given: tuple) -> None:
            made = event == "os.mkdir" or (event == "open" and kills._writes(given))
            if event in kills.CHANGES or made:
                left[0] -= 1
            if left[0] <= 0 and made and str(given[0]).startswith(str(folder)) and not sys.is_finalizing():
                kills.note(failed=str(given[0])[len(str(folder)) :])
                raise OSError(code, os.strerror(code), str(given[0]))

        sys.addaudithook(hook)

    return before
