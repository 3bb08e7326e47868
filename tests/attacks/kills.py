"""Runs killed at any instant, and gone on with, end as if nothing had happened: numbers, samples, weights, costs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from attacks.forked import Outcome, Tally, note
from attacks.forked import command as ended

from gentext.files import sha256

WORDS = [
    "a",
    "the",
    "red",
    "green",
    "old",
    "small",
    "cat",
    "dog",
    "horse",
    "sits",
    "runs",
    "sees",
    "on",
    "near",
    "hill",
]
FEW = ["eval=default", "eval.samples=30", "tracker=jsonl"]
LOSS = ["train.steps=8", "train.valid_every=3", "train.log_every=2", "train.batch_size=16", "train.save_every=0.02"]
AUTO = ["train.epochs=2", "train.autoencode.trainer.epochs=1", "train.bound.valid_every=2", "train.bound.batch_size=32"]
GAME = ["train.game.steps=3", "train.game.valid_every=1", "train.game.draw=10", "train.critic.steps=2"]
FAMILIES = {
    "ngram": ["family=ngram", "family.order=3"],
    "hmm": ["family=hmm", "family.states=6", "family.grow_from=3", "train.iterations=4", "train.restarts=2"],
    "lstm": ["family=lstm", "family.width=8", *LOSS],
    "transformer": ["family=transformer", "family.width=16", "family.layers=1", "family.heads=2", *LOSS],
    "seq2seq": ["family=seq2seq", "family.width=8", *LOSS],
    "vae": ["family=vae", "family.decoder.width=8", "family.encoder.width=8", "train=autoencoded", *AUTO],
    "seqgan": ["family=seqgan", "family.generator.width=8", "train.epochs=1", "loss.rollouts=1", *GAME],
    "relgan": ["family=relgan", "train.epochs=1", *GAME],
}
PHASES = {  # functions of gentext, the innermost first
    "write_text": "corpus", "encode": "corpus", "_fit": "corpus", "keep": "corpus", "open_corpus": "corpus",
    "begin": "folder", "prepare": "preparing", "save": "checkpoint", "finish": "checkpoint", "restore": "checkpoint",
    "validate": "validation", "report": "log", "update": "training", "count": "training", "look_inside": "panels",
    "rewrite": "record", "write": "record", "sample": "sampling", "evaluate": "judging", "score": "judging",
    "gather": "judging", "train": "training", "run": "elsewhere",
}  # fmt: skip


@dataclass
class Case:
    """One run that is killed once or twice."""

    family: str
    seed: int


def cases(count: int, first: int = 0) -> list[Case]:
    """The cases `first` to `first + count`, always the same ones; the families take turns."""
    return [Case(list(FAMILIES)[i % len(FAMILIES)], i) for i in range(first, first + count)]


def run(chosen: list[Case]) -> Tally:
    """Kill each, go on, and compare with a run that was not."""
    tally = Tally("kills")
    with tempfile.TemporaryDirectory() as scratch:
        whole = {}
        for case in chosen:
            if case.family not in whole:
                whole[case.family] = _undisturbed(case.family, Path(scratch) / f"whole-{case.family}")
            folder = Path(scratch) / f"case-{case.seed}"
            kind, faults = _try(case, folder, whole[case.family])
            tally.count(kind, [f"case {case.seed} ({case.family}, {kind}): {fault}" for fault in faults])
            shutil.rmtree(folder)
    return tally


def words(family: str) -> list[str]:
    texts = ["data=text", "data.path=text.tsv", "data.name=mine", "data.valid=20", "data.test=40"]
    texts += ["data.target=0", "data.source=1"] if family == "seq2seq" else ["data.target=0"]
    return ["run", *texts, *FAMILIES[family], *FEW]


def write_text(folder: Path) -> None:
    """A corpus of 160 lines with two columns."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    lines = [[" ".join(rng.choices(WORDS, k=rng.randint(3, 7))) for _ in range(2)] for _ in range(160)]
    (folder / "text.tsv").write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


@dataclass
class Whole:
    """A run that nobody disturbs."""

    state: dict[str, object]
    events: dict[str, int]  # how many changes of files there are in each phase
    seconds: float


def _undisturbed(family: str, folder: Path) -> Whole:
    write_text(folder)
    ended = _gentext(family, folder, _counting)
    if ended.code:
        raise RuntimeError(f"{family} does not run: {ended.err[-2000:]}")
    return Whole(state(folder), json.loads(ended.said["events"]), ended.seconds)


def _try(case: Case, folder: Path, whole: Whole) -> tuple[str, list[str]]:
    rng = random.Random(case.seed)
    write_text(folder)
    kind = "not hit"
    for _ in range(1 + (case.seed % 3 == 2)):  # every third is killed twice
        if rng.random() < 0.5:
            phase = rng.choice(sorted(whole.events))
            ended = _gentext(case.family, folder, _killed_at(rng.randint(1, whole.events[phase]), phase))
        else:
            ended = _gentext(case.family, folder, _killed_after(rng.uniform(0.02, 0.9) * whole.seconds))
        if not ended.killed:
            break
        kind = ended.said.get("phase", "elsewhere")
    if ended.traceback:
        return kind, [f"ended in {ended.code}: {ended.err[-500:]}"]
    ended = _gentext(case.family, folder, lambda: None)
    if ended.code != 0:
        return kind, [f"is lost, the same command ends in {ended.code}: {ended.err[-800:]}"]
    return kind, _differences(whole.state, state(folder))


def _gentext(family: str, folder: Path, before: Callable[[], None]) -> Outcome:
    return ended(words(family), cwd=folder, cache=folder / "cache", before=before)


def state(folder: Path) -> dict[str, object]:
    """What a finished run has left, without what a clock decides."""
    found: dict[str, object] = {}
    (run,) = (path.parent for path in folder.glob("runs/*/*/manifest.json"))
    names = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    found["files"] = sorted(name for name in names if name != "log.txt")
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run).as_posix()
        if path.name in ("model.safetensors", "tokenizer.json", "config.yaml", "panels.json"):
            found[name] = sha256(path)
        elif path.name.startswith("samples."):
            found[name] = path.read_text(encoding="utf-8")
        elif path.name.startswith("values."):
            with np.load(path) as arrays:
                found[name] = {key: arrays[key].tolist() for key in arrays.files}
        elif path.name.startswith("record."):
            found[name] = _timeless(json.loads(path.read_text(encoding="utf-8")))
    return found


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what a clock decides, once that is found to make sense."""
    cost = record["cost"]
    assert 0 < cost["train_seconds"] < 600, cost
    record["cost"] = {name: n for name, n in cost.items() if not name.endswith(("seconds", "bytes"))}
    record["versions"].pop("commit", None)  # of a source tree that somebody works on
    return {name: held for name, held in record.items() if name not in ("sha256", "created", "files", "efficiency")}


def _differences(whole: dict[str, object], found: dict[str, object], where: str = "") -> list[str]:
    differences = []
    for key in sorted({*whole, *found}):
        one, other = whole.get(key), found.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            differences += _differences(one, other, f"{where}{key}.")
        elif one != other and str(one) != str(other):  # NaN is NaN
            differences.append(f"{where}{key} is {str(other)[:200]}, and was {str(one)[:200]}")
    return differences


CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def _on_changes(act: Callable[[], None]) -> None:
    """Call `act` before each change of a file by this process: opened for writing, renamed, removed."""
    inside = [False]

    def hook(event: str, given: tuple) -> None:
        if inside[0] or sys.is_finalizing():
            return
        if event in CHANGES or (event == "open" and _writes(given)):
            inside[0] = True
            try:
                act()
            finally:
                inside[0] = False

    sys.addaudithook(hook)


def _writes(given: tuple) -> bool:
    _, mode, flags = given
    return bool(mode and set(mode) & set("wxa+")) or bool(flags and flags & (os.O_WRONLY | os.O_RDWR))


def _counting() -> None:
    seen: Counter[str] = Counter()

    def act() -> None:
        seen[phase(sys._getframe())] += 1
        note(events=json.dumps(seen))

    _on_changes(act)


def _killed_at(change: int, wanted: str) -> Callable[[], None]:
    """Before the change of a file with this number of those in a phase."""

    def before() -> None:
        left = [change]

        def act() -> None:
            left[0] -= phase(sys._getframe()) == wanted
            if left[0] == 0:
                _die(sys._getframe())

        _on_changes(act)

    return before


def _killed_after(seconds: float) -> Callable[[], None]:
    def before() -> None:
        signal.signal(signal.SIGALRM, lambda _number, frame: _die(frame))
        signal.setitimer(signal.ITIMER_REAL, seconds)

    return before


def _die(frame: FrameType | None) -> None:
    note(phase=phase(frame))
    os.kill(os.getpid(), signal.SIGKILL)


def phase(frame: FrameType | None) -> str:
    """In which part of a run a process is."""
    found, warm = "elsewhere", False
    while frame is not None:
        if "/gentext/" in frame.f_code.co_filename:
            name = frame.f_code.co_name
            if found == "elsewhere" and name in PHASES:
                found = PHASES[name]
            if frame.f_code.co_qualname == "Stages.run":
                warm = next(iter(frame.f_locals["self"].trainers)) == frame.f_locals.get("name")
        frame = frame.f_back
    return f"{found} of a warm-up" if warm else found
