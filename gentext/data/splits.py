"""How one body of text becomes train, valid and test."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "valid", "test")
Size = int | float


class TextRow(NamedTuple):
    """One text, and the source that it was written for where the corpus is of pairs.

    group: what a random cut keeps together with all rows of the same; None: those of an equal source, or text.
    """

    text: str
    prompt: str | None = None
    group: str | None = None


Rows = Callable[[], Iterator[TextRow]]  # read again from the start at every call


@dataclass(frozen=True)
class Cut:
    """A way to take `valid` and `test` out of a text: a share below 1, or so many lines (of a stream: characters).

    `random` draws by `seed` and keeps equal texts (of pairs: equal sources, questions on one context, replies of one
    dialogue) together, so that nothing in test was seen in train: sizes count distinct ones. `tail` takes the end as it
    stands: train, then valid, then test.

    train: how much of what is left is kept, of `random` chosen by `seed`, and what fewer have more have too; of `tail`
      its beginning. None: all.
    """

    how: str
    valid: Size
    test: Size
    seed: int = 0
    train: int | None = None

    def __post_init__(self) -> None:
        if self.train is not None and (self.train != int(self.train) or self.train < 1):
            raise ValueError(f"data.train is {self.train}; it must be a whole number, 1 or more, or null for all")
        if self.how not in ("random", "tail"):
            raise ValueError(f"data.cut is {self.how!r}; it must be random or tail")
        for option, size in (("valid", self.valid), ("test", self.test)):
            if not math.isfinite(size) or size < 0 or (size >= 1 and size != int(size)):
                raise ValueError(f"data.{option} is {size}; it must be a share below 1 or a whole number, 0 or more")

    def rows(self, body: Rows, *, stream: bool, name: str) -> Iterator[tuple[str, TextRow]]:
        """Every row with its split. Raises ValueError where there is too little to cut."""
        if self.how == "random" and not stream:
            return self._random(body, name)
        return self._tail(body, stream, name)

    def _sizes(self, n: int, what: str, name: str) -> tuple[int, int]:
        """How many of `n` valid and test take. A share is of the whole, rounded as nanoGPT's int(n * 0.9) is."""
        if n == 0:
            raise ValueError(f"{name} holds no text (it is empty, or blank lines alone); give a file with text in it")
        test = int(self.test) if self.test >= 1 else n - int(n * (1 - self.test))
        valid = int(self.valid) if self.valid >= 1 else round(n * self.valid)
        test, valid = max(test, int(self.test > 0)), max(valid, int(self.valid > 0))
        if n - test - valid < 1:
            raise ValueError(
                f"{name} has {n} {what}, too few for valid ({valid}), test ({test}) and train; give more text, smaller "
                "data.valid and data.test, or the splits as files of their own"
            )
        left = n - test - valid
        if self.train is not None and self.train > left:
            raise ValueError(f"data.train is {self.train}, and {name} has {left} {what} for train; ask for fewer")
        return valid, test

    def _random(self, body: Rows, name: str) -> Iterator[tuple[str, TextRow]]:
        keys = np.unique(np.fromiter((self._key(row) for row in body()), np.uint64))
        pairs = any(row.prompt is not None for row in itertools.islice(body(), 1))
        what = "groups of rows with one source (or its first part)" if pairs else "distinct lines"
        valid, test = self._sizes(len(keys), what, name)
        last_test = keys[test - 1] if test else None
        last_valid = keys[test + valid - 1] if valid else None
        last_train = keys[test + valid + self.train - 1] if self.train else None
        for row in body():
            key = self._key(row)
            if last_test is not None and key <= last_test:
                yield "test", row
            elif last_valid is not None and key <= last_valid:
                yield "valid", row
            elif last_train is None or key <= last_train:
                yield "train", row

    def _key(self, row: TextRow) -> int:
        text = row.group or (row.text if row.prompt is None else row.prompt)
        return int.from_bytes(hashlib.blake2b(f"{self.seed}\n{text}".encode(), digest_size=8).digest(), "big")

    def _tail(self, body: Rows, stream: bool, name: str) -> Iterator[tuple[str, TextRow]]:
        n = sum(len(row.text) if stream else 1 for row in body())
        valid, test = self._sizes(n, "characters" if stream else "lines", name)
        bounds, at = (n - test - valid, n - test), 0
        last = bounds[0] if self.train is None else self.train
        for row in body():
            for part in _cut_at([bound - at for bound in (last, *bounds)], row.text) if stream else (row,):
                if not last <= at < bounds[0]:
                    yield SPLITS[sum(at >= bound for bound in bounds)], part
                at += len(part.text) if stream else 1


def _cut_at(positions: list[int], text: str) -> Iterator[TextRow]:
    """The parts of a text between those of the positions that lie inside it."""
    edges = [0, *(position for position in positions if 0 < position < len(text)), len(text)]
    return (TextRow(text[a:b]) for a, b in itertools.pairwise(edges) if a < b)
