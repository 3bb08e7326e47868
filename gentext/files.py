"""One way to write a file whole, and to read and write texts."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class atomic:  # noqa: N801 - reads as a verb at the place of use
    """A context manager that gives a temporary path and moves it over `path` only if the block succeeds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        os.close(handle)
        self.temporary = Path(name)
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            os.chmod(self.temporary, 0o644)
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def write_json(node: Any, path: Path) -> None:
    """Plain data as JSON, atomically; what is not finite is written as a string, which float() reads back."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(_finite(node), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _finite(node: Any) -> Any:
    if isinstance(node, float) and not math.isfinite(node):
        return str(node)
    if isinstance(node, Mapping):
        return {str(key): _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return node


def write_texts(texts: Sequence[str], path: Path) -> None:
    """One text a line, atomically; a line break inside a text is written as backslash n."""
    lines = (text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") + "\n" for text in texts)
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def read_texts(path: Path) -> list[str]:
    """The texts of a file that `write_texts` wrote."""
    back = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return [re.sub(r"\\[\\nr]", lambda found: back[found[0]], line) for line in lines]
