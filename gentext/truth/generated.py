"""Texts drawn from a distribution that is known exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gentext.data.source import Source, Truth, identity_of
from gentext.data.splits import TextRow
from gentext.seeding import Streams

CHUNK = 10_000  # texts drawn from a truth at once


@dataclass(frozen=True)
class GeneratedCorpus(Source):
    """Texts drawn from a known truth, as many as asked. `seed` is the data's own: every run sees the same text.

    >>> from gentext.truth import Grammar
    >>> source = GeneratedCorpus(Grammar(), train=2, valid=0, test=1)
    >>> [split for split, row in source.rows()]
    ['train', 'train', 'test']
    """

    truth: Truth = field()  # without this the base's default, None, would be taken for one here
    words: str = "whitespace"
    train: int = 10_000
    valid: int = 1_000
    test: int = 10_000
    seed: int = 0
    lowercase: bool = False
    licence: str = "made by gentext, free to use"

    def __post_init__(self) -> None:
        for split, n in self._sizes().items():
            if n < 0 or (n == 0 and split != "valid"):
                raise ValueError(f"data.{split} is {n}; it must be 1 or more. Give for example data.{split}=1000")

    @property
    def name(self) -> str:
        return self.truth.name

    @property
    def origin(self) -> str:
        return f"drawn from {type(self.truth).__name__} by seed {self.seed}"

    def fetch(self) -> list[Path]:
        return self.truth.fetch()

    def identity(self) -> str | None:
        digest = self.truth.digest
        return None if digest is None else identity_of(self, {"truth": digest})

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        streams = Streams(self.seed)
        for split, n in self._sizes().items():
            for start in range(0, n, CHUNK):
                for text in self.truth.sample(min(CHUNK, n - start), streams(f"data/{split}")):
                    yield split, TextRow(text)

    def _sizes(self) -> dict[str, int]:
        return {"train": self.train, "valid": self.valid, "test": self.test}
