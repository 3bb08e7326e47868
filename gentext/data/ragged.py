"""Rows of different lengths in memory-mapped files, written whole or not at all."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast, overload

import numpy as np


class Ragged:
    """Rows of numbers of one type, read from disk as they are needed."""

    def __init__(self, stem: Path, dtype: str) -> None:
        self._opened = stem, dtype
        self.values = _mapped(_beside(stem, "bin"), np.dtype(dtype))
        self.offsets = _mapped(_beside(stem, "offsets"), np.dtype("int64"))

    def __reduce__(self) -> tuple[type[Ragged], tuple[Path, str]]:
        return Ragged, self._opened  # another process maps the same files

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Of every row, int64."""
        return np.diff(self.offsets)


class RaggedWriter:
    """Appends rows to the two files of a Ragged."""

    def __init__(self, stem: Path, dtype: str) -> None:
        self._values = _beside(stem, "bin").open("wb")
        self._offsets = _beside(stem, "offsets").open("wb")
        self._dtype = np.dtype(dtype)
        self.total = self.rows = self.longest = 0
        np.zeros(1, np.int64).tofile(self._offsets)

    def append(self, rows: Sequence[Sequence[int] | bytes]) -> None:
        """Write many rows at once; `bytes` rows are written as they are."""
        if not rows:
            return
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        if isinstance(rows[0], bytes):
            self._values.write(b"".join(cast("Sequence[bytes]", rows)))
        else:
            flat = (number for row in rows for number in row)
            self._values.write(np.fromiter(flat, self._dtype, int(lengths.sum())).tobytes())
        self._offsets.write((self.total + np.cumsum(lengths)).tobytes())
        self.total += int(lengths.sum())
        self.rows += len(rows)
        self.longest = max(self.longest, int(lengths.max()))

    def close(self) -> None:
        self._values.close()
        self._offsets.close()


class Lines(Sequence[str]):
    """Texts on disk as a read-only sequence."""

    def __init__(self, rows: Ragged) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return self.rows[index % len(self)].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), 10_000):  # by blocks: one read of the map each
            offsets = self.rows.offsets[start : start + 10_001]
            block, at = self.rows.values[offsets[0] : offsets[-1]].tobytes(), (offsets - offsets[0]).tolist()
            for a, b in itertools.pairwise(at):
                yield block[a:b].decode()


def chunks(texts: Iterable[str], *, size: int = 1 << 22) -> Iterator[list[str]]:
    """Lists of consecutive texts of about `size` characters each, so that memory does not grow with the corpus."""
    chunk: list[str] = []
    held = 0
    for text in texts:
        chunk.append(text)
        held += len(text) + 64
        if held >= size:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    if path.stat().st_size == 0:  # nothing to map
        return np.empty(0, dtype)
    return np.memmap(path, dtype, mode="r")


def _beside(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")
