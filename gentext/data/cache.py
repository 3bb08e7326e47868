"""Folders of the cache, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gentext.files import replace

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)


META = "meta.json"  # written last: a folder that has it is complete


def keep(parent: Path, name: str | None, write: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The folder `parent/name` and what `write` said of it: written the first time, whole or not at all, and kept.

    Without a name it is written and then called by its own meta["sha256"]. Two processes may write one entry at once:
    the one that ends last throws its own away. Raises OSError, with what to do, where the folder cannot be written.
    """
    if name is None or not (parent / name / META).is_file():
        with _advice(parent):
            parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=parent))
            try:
                meta = write(draft)
                name = name or meta["sha256"]
                (draft / META).write_text(json.dumps(meta), encoding="utf-8")
                draft.chmod(stat.S_IMODE(parent.stat().st_mode))  # whoever may read the cache may read this
                _rename(draft, parent / name)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return parent / name, json.loads((parent / name / META).read_text(encoding="utf-8"))


def _rename(draft: Path, folder: Path) -> None:
    try:
        replace(draft, folder)
    except OSError:
        if not (folder / META).is_file():  # otherwise another process was faster
            raise


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
