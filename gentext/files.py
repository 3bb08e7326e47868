"""One way to write a file whole, and to read and write texts."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger("gentext")

ANEW = "Put the file back, or start the run anew with resume=false"  # what to do of a run's damaged file
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
    draft = _draft(path)
    try:
        yield draft
        replace(draft, path, durable=durable)
    except OSError as error:  # a full disk names no file, and nobody knows the draft's name
        if error.filename in (None, str(draft)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        draft.unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    """A new name beside `path`, which `DRAFTS` matches."""
    return path.with_name(f".{secrets.token_hex(8)}.draft")


def replace(draft: Path, path: Path, *, durable: bool = False) -> None:
    """Give a finished file or folder the name `path`, in one step; `durable` as in `atomic`."""
    for file in draft.rglob("*") if draft.is_dir() else [draft]:
        if file.is_file() and not file.is_symlink() and file.stat().st_mode & 0o777 == 0o600:
            _share(file)
    if durable:
        _sync(draft)
    os.replace(draft, path)
    if durable:
        _sync(path.parent)


def _share(file: Path) -> None:
    """Give a file that safetensors wrote, for its owner alone, the rights of any new one."""
    new = _draft(file)
    new.touch()
    file.chmod(new.stat().st_mode & 0o777)
    new.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a symbolic link is removed, not followed."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def write_text(text: str, path: Path, *, durable: bool = False) -> None:
    """Write a text file whole, as UTF-8, its line ends as they are; `durable` as in `atomic`."""
    with atomic(path, durable=durable) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def to_json(node: Any, *, indent: int | None = None) -> str:
    """Plain data as JSON text. A number that is not finite, for which JSON has no form, is `{"float": "nan"}`.

    >>> to_json({"loss": float("inf")})
    '{"loss": {"float": "inf"}}'
    >>> from_json(to_json({"loss": float("inf")}))
    {'loss': inf}
    """
    return json.dumps(_finite(node), indent=indent, ensure_ascii=False)


def from_json(text: str) -> Any:
    """The plain data that `to_json` wrote. Raises: ValueError where the text is no JSON."""
    try:
        return json.loads(text, object_hook=_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


DIGEST = "digest"  # of a mapping: the sha256 of the rest of it


def write_json(node: Any, path: Path, *, durable: bool = False, digest: bool = False) -> None:
    """Write plain data as JSON, whole, by the convention of `to_json`.

    Args:
        node: the data.
        path: the file to be.
        durable: as in `atomic`.
        digest: the data, a mapping, are stored with their sha256, which `read_json` checks.
    """
    if digest:
        node = {**node, DIGEST: _sha256_of(node)}
    write_text(to_json(node, indent=1) + "\n", path, durable=durable)


def read_json(path: Path) -> Any:
    """The plain data of a file that `write_json` wrote.

    Raises: ValueError, naming the file, where it is no JSON, or not what was written.
    """
    try:
        node = from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is no JSON ({error}). {ANEW}") from error
    if isinstance(node, dict) and DIGEST in node:
        digest = node.pop(DIGEST)
        if digest != _sha256_of(node):
            raise ValueError(f"{path} is damaged: it is not what was written. {ANEW}")
    return node


def _sha256_of(node: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(_finite(node), sort_keys=True).encode()).hexdigest()


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """The number and the plain data of every line that is not blank; one that is no JSON is left out with a warning."""
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            try:
                node = from_json(line.decode("utf-8"))
            except ValueError as error:
                log.warning("line %d of %s is no JSON and is left out (%s)", number, path, error)
            else:
                yield number, node


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finite(node: Any) -> Any:
    if isinstance(node, float) and not math.isfinite(node):
        return {"float": str(node)}
    if isinstance(node, Mapping):
        return {str(key): _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return node


def _number(node: dict[str, Any]) -> Any:
    return float(node["float"]) if node.keys() == {"float"} and node["float"] in ("nan", "inf", "-inf") else node


def write_texts(texts: Sequence[str], path: Path) -> None:
    """Write one text a line, whole; a line break inside a text is written as backslash n."""
    escaped = (text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") for text in texts)
    write_text("".join(f"{line}\n" for line in escaped), path)


def read_texts(path: Path) -> list[str]:
    """The texts of a file that `write_texts` wrote."""
    back = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return [re.sub(r"\\[\\nr]", lambda found: back[found[0]], line) for line in lines]
