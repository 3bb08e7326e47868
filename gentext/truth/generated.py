"""Texts drawn from a distribution that is known exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from gentext.checks import class_name
from gentext.data.source import Source, Truth, identity_of
from gentext.data.splits import TextRow
from gentext.seeding import Streams
from gentext.truth.grammar import Grammar

CHUNK = 10_000  # texts drawn from a truth at once


@dataclass(frozen=True)
class GeneratedCorpus(Source):
    """Texts drawn from a known truth, as many as asked. `seed` is the data's own: every run sees the same text.

    shift: rules of a grammar, as patterns (`Grammar.requires`). Train and valid are then those draws that do without
      them; test is of the truth as it is; and a further split, `shifted`, is of `shifted` texts that all require them,
      so that `eval.split=shifted` asks who generalises to what the training text could not show.

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
    shift: Sequence[str] = ()
    shifted: int = 1_000
    seed: int = 0
    lowercase: bool = False
    licence: str = "made by gentext, free to use"

    def __post_init__(self) -> None:
        Streams(self.seed)  # refuses what is no seed
        if self.shift and not isinstance(self.truth, Grammar):
            raise ValueError(f"data.shift names rules of a grammar, and the truth is {class_name(self.truth)}")
        for split, n in self._sizes().items():
            if n < 0 or (n == 0 and split != "valid"):
                raise ValueError(f"data.{split} is {n}; it must be 1 or more. Give for example data.{split}=1000")

    @property
    def split_names(self) -> tuple[str, ...]:
        return tuple(self._sizes())

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
            rng, left = streams(f"data/{split}"), n
            while left:
                texts = self.truth.sample(min(CHUNK, left) if split not in self._chosen() else CHUNK, rng)
                kept = self._kept(split, texts)[:left]
                if not kept:
                    raise ValueError(
                        f"none of {CHUNK} draws is for {split} by data.shift: its rules are too rare, or all use them"
                    )
                left -= len(kept)
                yield from ((split, TextRow(text)) for text in kept)

    def _chosen(self) -> tuple[str, ...]:
        """The splits that hold some draws and not others."""
        return ("train", "valid", "shifted") if self.shift else ()

    def _kept(self, split: str, texts: list[str]) -> list[str]:
        if split not in self._chosen():
            return texts
        shifted = cast(Grammar, self.truth).requires(texts, self.shift)
        return [text for text, required in zip(texts, shifted, strict=True) if required == (split == "shifted")]

    def _sizes(self) -> dict[str, int]:
        sizes = {"train": self.train, "valid": self.valid, "test": self.test}
        return {**sizes, "shifted": self.shifted} if self.shift else sizes
