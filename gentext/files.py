"""One way to write a file whole, and to read and write texts."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DRAFTS = ".*.draft"  # what a killed process may leave beside its files


@contextmanager
def atomic(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to, which takes the name `path` when the block succeeds, and is removed otherwise.

    Readers see the old file or the new one, never a part. The new one has the rights that the umask leaves; where
    `path` is a symbolic link, the link is replaced and what it points to stays as it is.

    Args:
        path: the file to be.
        durable: the disk holds the file before it has its name, and the name before this returns.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> with atomic(path) as draft:
    ...     _ = draft.write_text("all of it")
    >>> path.read_text()
    'all of it'
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        yield draft
        replace(draft, path, durable=durable)
    except OSError as error:  # a full disk names no file, and nobody knows the draft's name
        if error.filename in (None, str(draft)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        draft.unlink(missing_ok=True)


def replace(draft: Path, path: Path, *, durable: bool = False) -> None:
    """Give a finished file or folder the name `path`, in one step; `durable` as in `atomic`."""
    if durable:
        _sync(draft)
    os.replace(draft, path)
    if durable:
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(text: str, path: Path, *, durable: bool = False) -> None:
    """Write a text file whole, as UTF-8, its line ends as they are; `durable` as in `atomic`."""
    with atomic(path, durable=durable) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def write_json(node: Any, path: Path, *, durable: bool = False) -> None:
    """Write plain data as JSON, whole; what is not finite is written as a string, which float() reads back."""
    write_text(json.dumps(_finite(node), indent=1, ensure_ascii=False) + "\n", path, durable=durable)


def _finite(node: Any) -> Any:
    if isinstance(node, float) and not math.isfinite(node):
        return str(node)
    if isinstance(node, Mapping):
        return {str(key): _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return node


def write_texts(texts: Sequence[str], path: Path) -> None:
    """Write one text a line, whole; a line break inside a text is written as backslash n."""
    escaped = (text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") for text in texts)
    write_text("".join(f"{line}\n" for line in escaped), path)


def read_texts(path: Path) -> list[str]:
    """The texts of a file that `write_texts` wrote."""
    back = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return [re.sub(r"\\[\\nr]", lambda found: back[found[0]], line) for line in lines]
