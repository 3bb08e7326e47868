"""Folders and records that name code of others: no command runs it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attacks import kills
from attacks.forked import Tally
from attacks.forked import command as ended
from omegaconf import OmegaConf

from gentext.results import record as records
from gentext.results.run_folder import Manifest

GADGETS = {
    "pathlib.Path.write_text": lambda marker: {"self": {"_target_": "pathlib.Path", "_args_": [marker]}, "data": "x"},
    "pathlib.Path.touch": lambda marker: {"self": {"_target_": "pathlib.Path", "_args_": [marker]}},
    "shutil.copyfile": lambda marker: {"src": "text.tsv", "dst": marker},
    "os.system": lambda marker: {"_args_": [f"touch {marker}"]},
    "os.mkdir": lambda marker: {"path": marker},
    "subprocess.run": lambda marker: {"_args_": [["touch", marker]]},
    "builtins.eval": lambda marker: {"_args_": [f"__import__('pathlib').Path({marker!r}).touch()"]},
    "builtins.exec": lambda marker: {"_args_": [f"import pathlib; pathlib.Path({marker!r}).touch()"]},
    "hydra.utils.instantiate": lambda marker: {"_args_": [{"_target_": "os.mkdir", "path": marker}]},
    "gentext.files.write_text": lambda marker: {"text": "x", "path": marker},
    "torch.save": lambda marker: {"obj": 1, "f": marker},
    "numpy.save": lambda marker: {"file": marker, "arr": [1]},
}
PLACES = ("family", "data", "tokenizer", "train", "eval", "decode")
COMMANDS = (
    ["sample", "RUN"], ["score", "RUN"], ["report", "RUN", "-o", "r.html"], ["board", "RUN", "--publish", "site"],
    ["board", "RUN", "--merge"], ["inspect", "RUN"], ["explain", "bleu4", "RUN"], ["export", "RUN", "x.arpa"],
    ["run", "data=truth", "data.truth.run=RUN", "data.train=20", "data.valid=5", "data.test=5", "eval.samples=5"],
)  # fmt: skip


@dataclass
class Case:
    """A gadget, planted in one place of a folder, and then everywhere."""

    target: str
    place: str  # what stands alone: of many a command meets the first one


def cases(count: int, first: int = 0) -> list[Case]:
    """The gadgets `first` to `first + count`."""
    return [Case(target, PLACES[i % len(PLACES)]) for i, target in enumerate(GADGETS)][first : first + count]


def run(chosen: list[Case]) -> Tally:
    """Plant each in its place, then in all, and give the folder to every command."""
    tally = Tally("gadgets")
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        kills.write_text(whole)
        got = ended(kills.words("ngram"), cwd=whole, cache=whole / "cache")
        (place,) = (path.parent.relative_to(whole) for path in whole.glob("runs/*/*/config.yaml"))
        assert got.code == 0, got.err
        for case in chosen:
            faults = []
            for places in ((case.place,), PLACES):
                folder = Path(scratch) / f"{case.target}-{len(places)}"
                shutil.copytree(whole, folder)
                faults += _tried(case.target, places, folder, folder / place)
            tally.count("refused" if not faults else "failed", [f"{case.target}: {fault}" for fault in faults])
    return tally


def _tried(target: str, places: Sequence[str], folder: Path, run: Path) -> list[str]:
    marker, faults = folder / "marker", []
    for group in places:
        plant(run, group, {"_target_": target, **GADGETS[target](str(marker))})
    for words in COMMANDS:
        words = [word.replace("RUN", str(run.relative_to(folder))) for word in words]
        got = ended(words, cwd=folder, cache=folder / "cache")
        if marker.exists():
            faults.append(f"in {', '.join(places)} it is executed by {words[0]}")
            shutil.rmtree(marker) if marker.is_dir() else marker.unlink()
        if got.traceback or got.killed:
            faults.append(f"in {', '.join(places)}: {words[0]} ends in {got.code}: {got.err[-500:]}")
    return faults


def plant(folder: Path, group: str, gadget: dict) -> None:
    """Put a gadget into a run's configuration and its record, as somebody who hands the folder on would."""
    held = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    nodes = {"eval": {**held["eval"], "metrics": {"bleu": gadget}}, "decode": {"sample": gadget}}
    node = nodes.get(group, gadget)
    OmegaConf.save(OmegaConf.create({**held, group: node}), folder / "config.yaml")
    manifest = Manifest.read(folder)
    assert manifest is not None
    manifest.add("config.yaml")
    (one,) = records.find([folder])
    records.rewrite(replace(one, config={**one.config, group: node}), folder)
