"""A run's folder: one process at a time, texts as lines, and what stands in it besides records."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

KEPT = (".lock", "log.txt")

log = logging.getLogger("gentext")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder for this process alone. Raises ValueError where another process is at work in it."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process is at work on this run, in {folder}. Wait for it, or give one of them another seed= "
                "or out="
            ) from error
        yield


def clear(folder: Path) -> None:
    """Empty a run's folder but for its lock and its logs."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def tidy(folder: Path) -> None:
    """Remove a run's folder where only its lock and its logs came of it, and the one above if that is empty."""
    if {path.name for path in folder.iterdir()} <= {*KEPT, "log.jsonl"}:
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def versions() -> dict[str, str]:
    """What the numbers were computed with."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in ("gentext", "torch", "numpy", "tokenizers", "nltk", "torchmetrics"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            continue
    found["cpus"] = str(os.cpu_count())
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    if commit.returncode == 0:
        found["commit"] = commit.stdout.strip()
    return found


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
