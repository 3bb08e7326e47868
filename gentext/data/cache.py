"""Folders of the cache, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gentext.files import remove, replace, sha256

log = logging.getLogger("gentext")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)


META = "meta.json"  # written last: a folder that has it is complete
FILES = "files"  # what it says of them: the sha256 of each, by name


def keep(parent: Path, name: str | None, write: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The folder `parent/name` and what `write` said of it: written the first time, whole or not at all, and kept.

    Without a name it is written and then called by its own meta["sha256"]. Of the processes that want one named entry
    at once, one writes it and the others wait. One whose files are not what was written is written anew, for numbers
    would be others with it. Raises OSError, with what to do, where the folder cannot be written.
    """
    meta = None if name is None else _whole(parent / name)
    if meta is None:
        with _advice(parent):
            parent.mkdir(parents=True, exist_ok=True)
            with _alone(parent, name):
                meta = None if name is None else _whole(parent / name)
                if meta is None:
                    name, meta = _write(parent, name, write)
    assert name is not None
    return parent / name, {key: value for key, value in meta.items() if key != FILES}


def _whole(folder: Path) -> dict[str, Any] | None:
    """What was said of a folder when it was written; None where there is none, or where it is not as it was written."""
    if not folder.exists():
        return None
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        for name, digest in meta.get(FILES, {}).items():  # none in a folder of an older gentext
            if sha256(folder / name) != digest:
                raise ValueError(f"the sha256 of {name} is another")
        return dict(meta)
    except (ValueError, OSError, TypeError, AttributeError) as error:
        log.warning("%s is damaged (%s): it is written anew", folder, error)
        return None


@contextlib.contextmanager
def _alone(parent: Path, name: str | None) -> Iterator[None]:
    """Within it no other process writes the entry; one that was killed holds nobody up."""
    if name is None:
        yield
        return
    path = parent / f".{name}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process prepares %s: waiting for it", parent / name)
        lock.acquire()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # one that waits for a file which is gone takes a new one
        lock.release()


def _write(parent: Path, name: str | None, write: Callable[[Path], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
    try:
        meta = write(draft)
        name = name or str(meta["sha256"])
        meta = {**meta, FILES: {path.name: sha256(path) for path in sorted(draft.iterdir())}}
        (draft / META).write_text(json.dumps(meta), encoding="utf-8")
        meta = json.loads((draft / META).read_text(encoding="utf-8"))  # as the next reader has it
        draft.chmod(stat.S_IMODE(parent.stat().st_mode))  # whoever may read the cache may read this
        _rename(draft, parent / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return name, meta


def _rename(draft: Path, folder: Path) -> None:
    """Give the draft its name, unless another process was faster; what is damaged there goes."""
    try:
        replace(draft, folder)
    except OSError:
        if _whole(folder) is None:
            remove(folder)
            replace(draft, folder)


@contextlib.contextmanager
def _advice(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in FULL
        named = Path(error.filename or folder)  # a file that `write` reads may fail too: that is another matter
        ours = named.is_relative_to(folder) or folder.is_relative_to(named)
        if not full and not (error.errno in CLOSED and ours):
            raise
        raise OSError(
            error.errno,
            f"the cache folder {folder} {'is full' if full else 'cannot be written'} ({error.strerror}); nothing "
            f"half-written is left. {'Free space there, or set' if full else 'Set'} GENTEXT_CACHE to another folder",
        ) from error
