"""Checkpoints that are whole at any instant: written aside, then named by a pointer that is flipped last."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

POINTER = "checkpoint.json"


class Checkpoint:
    """A folder of files that belong together.

    Every file of a save has a new name; the pointer, replaced atomically, says which names are meant. A process killed
    at any instant leaves the old set or the new one, and perhaps files that nobody names, which the next save removes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def files(self) -> dict[str, Path] | None:
        """The files of the last save by what they hold; None where there is none."""
        pointer = self.folder / POINTER
        if not pointer.exists():
            return None
        named = json.loads(pointer.read_text(encoding="utf-8"))
        return {what: self.folder / name for what, name in named.items()}

    def save(self, step: int, writers: Mapping[str, Callable[[Path], None]]) -> None:
        """Write what `writers` write at `step`; what else the last save held stands on. `what` ends in its suffix."""
        self.folder.mkdir(parents=True, exist_ok=True)
        named = {what: path.name for what, path in (self.files or {}).items()}
        for what, write in writers.items():
            name = f"{step}-{what}"
            _durably(self.folder / name, write)
            named[what] = name
        _durably(self.folder / POINTER, lambda path: path.write_text(json.dumps(named), encoding="utf-8"))
        for path in self.folder.iterdir():
            if path.name not in (*named.values(), POINTER):
                path.unlink()

    def clear(self) -> None:
        """Forget the last save."""
        if self.folder.exists():
            (self.folder / POINTER).unlink(missing_ok=True)  # first: without it the others mean nothing
            for path in self.folder.iterdir():
                path.unlink()


def _durably(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, have the disk hold it, and only then give it its name."""
    draft = path.with_name(f".{path.name}")
    write(draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(draft, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
