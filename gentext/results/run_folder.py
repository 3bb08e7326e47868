"""A run's folder: one process at a time, the data that it is of, and files that are what was written."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gentext.checks import out_of_memory
from gentext.files import ANEW, read_json, remove, sha256, write_json
from gentext.results import record as records

LOCK, MANIFEST = ".lock", "manifest.json"
PANELS = "panels.json"
KEPT_WEIGHTS = "weights"  # holds a folder like a run's own for each set of weights that its training kept
TEXTS = "texts.jsonl"  # that a model wrote while it was trained
KEPT = (LOCK, "log.txt")  # when a run starts anew
STARTED = ("config.yaml", "tokenizer.json", "tokenizer.rules.json")  # written before any training
BEGUN = (*KEPT, "log.jsonl", MANIFEST, *STARTED)  # a folder of these alone holds nothing of worth
FILES = (*STARTED, "model.safetensors", "trained.json", PANELS)  # of a finished training
TRACKED = "wandb"  # a tracker's own folder, with links of its own

log = logging.getLogger("gentext")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing, for this process alone.

    Raises: ValueError where another process is at work in it, or where something in it is a symbolic link, which could
    lead a write or a removal outside it.
    """
    with os.fdopen(_lock(folder), "w"):
        for found in _links(folder):
            raise ValueError(
                f"{found} is a symbolic link, and what a run writes or removes stays inside its folder. Remove the "
                "link, or link a whole folder with out="
            )
        yield


def _lock(folder: Path) -> int:
    """The handle of the folder's lock, held; never that of a file which its last holder has removed."""
    path = folder / LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the folder was removed in between
            continue
        except OSError as error:
            if path.is_symlink():
                raise ValueError(
                    f"{path} is a symbolic link; a lock is a file of its folder. Remove the link"
                ) from error
            raise
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise ValueError(
                f"another process is at work on this run, in {folder}. Wait for it, or give one of them another seed= "
                "or out="
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)


def _links(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink():
            yield path
        elif path.is_dir() and path.name != TRACKED:
            yield from _links(path)


@contextmanager
def at_work(folder: Path, *, anew: bool) -> Iterator[None]:
    """A run's folder, locked, without what killed processes left half-written; `anew`: without anything but its logs.

    A defect's traceback is written into it; where only logs came of it, it is removed.
    """
    with locked(folder):
        try:
            if anew:
                clear(folder)
            _sweep_up(folder)
            yield
        except (ValueError, OSError, MemoryError):
            raise
        except Exception as error:
            if out_of_memory(error):
                raise MemoryError(str(error).splitlines()[0]) from error
            with suppress(OSError):  # a full disk: the error itself is worth more than its traceback
                (folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            raise
        finally:
            tidy(folder)


def clear(folder: Path) -> None:
    """Empty a run's folder but for its lock and its logs."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            remove(path)


def _sweep_up(folder: Path) -> None:
    """Remove half-written files; those that a record waits for (`.next`) are `results.record`'s."""
    for path in folder.glob(".*"):
        if path.name != LOCK and path.suffix != ".next" and path.is_file():
            path.unlink()


def tidy(folder: Path) -> None:
    """Remove a run's folder where nothing came of it, and the one above if that is empty."""
    with suppress(OSError):
        if {path.name for path in folder.iterdir()} <= set(BEGUN):
            shutil.rmtree(folder)
            folder.parent.rmdir()


@dataclass
class Manifest:
    """What a run's folder is of: the fingerprints of its data, and the sha256 of the files that it rests on."""

    folder: Path
    fingerprints: Mapping[str, Any]
    files: dict[str, str] = field(default_factory=dict)  # name -> sha256

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """That of a folder; None where it has none. Raises: ValueError where it is damaged."""
        path = folder / MANIFEST
        if not path.exists():
            return None
        found = read_json(path)
        if not (isinstance(found, dict) and all(isinstance(found.get(key), dict) for key in ("fingerprints", "files"))):
            raise ValueError(f"{path} is damaged: it is no manifest of a run. {ANEW}")
        return cls(folder, found["fingerprints"], dict(found["files"]))

    def add(self, *names: str) -> None:
        """Hold the files of these names for finished, as they are now."""
        self.files |= {name: sha256(self.folder / name) for name in names}
        node = {"fingerprints": self.fingerprints, "files": self.files}
        write_json(node, self.folder / MANIFEST, digest=True)


def stored(folder: Path, name: str) -> Path | None:
    """The path of a finished file of a run's folder; None where there is none.

    In a folder of an older gentext, which has no manifest, any file of that name is.
    Raises: ValueError where the file is not the one that was written.
    """
    path, manifest = folder / name, Manifest.read(folder)
    if not path.exists():
        return None
    if manifest is None:
        return path
    if name not in manifest.files:
        return None
    _verify(path, manifest.files[name])
    return path


def lost(folder: Path, name: str) -> bool:
    """Whether a file that the run wrote is gone."""
    manifest = Manifest.read(folder)
    return manifest is not None and name in manifest.files and not (folder / name).exists()


def _verify(path: Path, digest: str) -> None:
    if sha256(path) != digest:
        raise ValueError(f"{path} is damaged: its sha256 is not that of what the run wrote. {ANEW}")


def kept_weights(folder: Path) -> list[Path]:
    """The folders of the weights that a run's training kept beside those that it ended with, in the order of names."""
    return sorted(path.parent for path in (folder / KEPT_WEIGHTS).glob("*/trained.json"))


def run_of(folder: Path) -> Path:
    """The run's folder that weights in `folder` are of; of a run's folder itself that."""
    return folder.parent.parent if folder.parent.name == KEPT_WEIGHTS else folder


def begin(
    folder: Path,
    fingerprints: Mapping[str, Any],
    writers: Mapping[str, Callable[[Path], None]],
    *,
    decided: bool = False,
) -> Manifest:
    """The manifest of a locked run folder, every file of it verified; of a new run it is written here.

    Args:
        folder: of the run.
        fingerprints: of the corpus and the tokenizer, as they are now.
        writers: what writes the files that a run begins with, by their names.
        decided: the run's options, a hash of which names the folder, say by themselves which text its data is.

    Raises: ValueError where the folder is of other data, or where a file of it is damaged.
    """
    new = {path.name for path in folder.iterdir()} <= set(BEGUN)
    manifest = None if new else Manifest.read(folder)
    if manifest is not None:
        check_data(folder, manifest.fingerprints, fingerprints)
        for name, digest in manifest.files.items():
            if not (folder / name).exists() and name in writers:
                writers[name](folder / name)
            if (folder / name).exists():
                _verify(folder / name, digest)
            elif name in FILES:
                log.warning("%s is missing; where a record needs it no more, the record stands", folder / name)
        return manifest
    manifest = Manifest(folder, fingerprints)
    if not new:
        _check_older(folder, fingerprints, decided=decided)
    for name, write in writers.items():
        if not (folder / name).exists():
            write(folder / name)
    manifest.add(*(name for name in FILES if (folder / name).exists()))
    return manifest


def _check_older(folder: Path, fingerprints: Mapping[str, Any], *, decided: bool) -> None:
    """Raises: ValueError where a folder without a manifest is of other data, by its records, or may be."""
    known = []
    for path in sorted(folder.glob("record.*.json")):
        with suppress(ValueError):
            known.append(records.read(path).fingerprints)
    if not known and decided:
        log.info("%s is of an older gentext, and its options say of which data: it is gone on with", folder)
        return
    if not known:
        raise ValueError(
            f"{folder} is of an older gentext, without a {MANIFEST}, and holds no record that says of which data it "
            "is. Give resume=false to start it anew, or out=... to keep it"
        )
    for one in known:
        check_data(folder, one, fingerprints)
    log.info("%s is of an older gentext: its records are of this data, so it is gone on with", folder)


def changes(known: Mapping[str, Any], found: Mapping[str, Any], *, tokenizer: bool = True) -> list[str]:
    """How the data of two fingerprints differ, a phrase for each split and for the tokenizer; empty where it is one."""
    pairs = {
        split: (known.get("splits", {}).get(split, {}).get("sha256"), facts["sha256"])
        for split, facts in found["splits"].items()
    }
    if tokenizer:
        pairs["tokenizer"] = known.get("tokenizer_sha256"), found["tokenizer_sha256"]
    return [f"{what} was {old or 'unknown':.8} and is {new:.8}" for what, (old, new) in pairs.items() if old != new]


def check_data(folder: Path, known: Mapping[str, Any], found: Mapping[str, Any], *, tokenizer: bool = True) -> None:
    """Raises: ValueError where the data of a run's folder (`known`) is not what there is now (`found`)."""
    differences = changes(known, found, tokenizer=tokenizer)
    if differences:
        raise ValueError(
            f"{folder} is of other data than there is now, by sha256: {'; '.join(differences)}. Put the data back as "
            "it was; or give out=... to keep both runs, or resume=false to start this one anew in its folder"
        )


def versions() -> dict[str, str]:
    """What the numbers were computed with."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in ("gentext", "torch", "numpy", "scipy", "tokenizers", "transformers", "nltk", "torchmetrics"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            continue
    found |= {"cpus": str(os.cpu_count()), "cpu": _cpu()}
    if "torch" in sys.modules:  # a board needs none
        found["threads"] = str(sys.modules["torch"].get_num_threads())
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    if commit.returncode == 0:
        found["commit"] = commit.stdout.strip()
    return found


def _cpu() -> str:
    """The kind of processor, whose vector instructions decide in which order sums are taken."""
    with suppress(OSError, StopIteration), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def adopt(folder: Path, names: Iterable[Path]) -> None:
    """Give a run's folder the place `folder` where an older version left it under one of these names."""
    if folder.exists() and any(folder.iterdir()):
        return
    for old in names:
        if old != folder and old.is_dir():
            with locked(old):
                try:
                    os.replace(old, folder)
                except OSError:  # another process is at work in `folder` by now
                    return
            log.info("%s was called %s by an older gentext: renamed", folder, old.name)
            return
