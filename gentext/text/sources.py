"""Where text comes from: what every source says of itself, and texts drawn from a known truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gentext
from gentext.seeding import Streams
from gentext.text.cut import Cut, Row
from gentext.text.truth import Truth

SPLIT_NAMES = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "dev": "valid",
    "validation": "valid",
    "test": "test",
}
CHUNK = 10_000  # texts drawn from a truth at once


@runtime_checkable
class Source(Protocol):
    """What conf/data/*.yaml instantiates: text in splits, read one row at a time, and how it is to be judged."""

    name: str
    origin: str  # where it is published
    licence: str
    words: str  # the rule that says what a word is: treebank, whitespace, lines or char
    lowercase: bool  # the corpus is lower-cased, and so is what is compared with it
    stream: bool  # one long text, not lines
    pairs: bool  # each text answers a prompt (its translation's source)
    truth: Truth | None  # the distribution that the text was drawn from, where it is known

    def fetch(self) -> list[Path]:
        """The files that it rests on, verified, downloaded if need be."""
        ...

    def identity(self) -> str | None:
        """What decides its text, before any is read; None where only the text itself can tell."""
        ...

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every row with its split."""
        ...


@dataclass(frozen=True)
class Generated:
    """Texts drawn from a known truth, as many as asked. `seed` is the data's own: every run sees the same text."""

    truth: Truth
    words: str = "whitespace"
    train: int = 10_000
    valid: int = 1_000
    test: int = 10_000
    seed: int = 0
    lowercase: bool = False
    licence: str = "made by gentext, free to use"
    stream: bool = field(default=False, init=False)
    pairs: bool = field(default=False, init=False)

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
        return getattr(self.truth, "fetch", list)()

    def identity(self) -> str | None:
        digest = getattr(self.truth, "digest", None)  # a truth need not be able to say what it is
        return digest and identity_of(self, {"truth": digest})

    def rows(self) -> Iterator[tuple[str, Row]]:
        streams = Streams(self.seed)
        for split, n in self._sizes().items():
            for start in range(0, n, CHUNK):
                for text in self.truth.sample(min(CHUNK, n - start), streams(f"data/{split}")):
                    yield split, Row(text)

    def _sizes(self) -> dict[str, int]:
        return {"train": self.train, "valid": self.valid, "test": self.test}


def describe(source: Source) -> dict[str, Any]:
    """What `gentext data show` prints of a source without reading it: origin, licence, how it is cut and judged."""
    shown = ("name", "origin", "licence", "words", "lowercase", "stream", "pairs")
    facts: dict[str, Any] = {key: getattr(source, key) for key in shown}
    facts["truth"] = source.truth is not None
    for key in ("files", "splits"):
        if hasattr(source, key):
            facts[key] = getattr(source, key)
    return facts


def in_splits(
    bodies: Mapping[str, Callable[[], Iterator[Row]]], cut: Cut, *, stream: bool, name: str
) -> Iterator[tuple[str, Row]]:
    """Rows of the given splits, the missing ones cut out of `all`, or out of train."""
    whole = bodies.get("all", bodies.get("train"))
    assert whole is not None
    missing = {split: split not in bodies for split in ("valid", "test")}
    if "all" in bodies or any(missing.values()):
        needed = Cut(cut.how, cut.valid if missing["valid"] else 0, cut.test if missing["test"] else 0, cut.seed)
        yield from needed.rows(whole, stream=stream, name=name)
    else:
        yield from (("train", row) for row in whole())
    for split in ("valid", "test"):
        if split in bodies:
            yield from ((split, row) for row in bodies[split]())


def identity_of(source: Any, files: Mapping[str, str]) -> str:
    """A hash of a source's options and of its files' contents; where the files lie does not count."""
    options = {
        key: value
        for key, value in vars(source).items()
        if key not in ("path", "name", "files", "folder", "origin", "licence", "truth")
    }
    said = [gentext.__version__, options, dict(files)]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=dict).encode()).hexdigest()
