"""Where text comes from: what every source says of itself, and texts drawn from a known truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

import gentext
from gentext.data.splits import SPLITS, Cut, TextRow
from gentext.data.tables import BadRows

SPLIT_NAMES = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "dev": "valid",
    "validation": "valid",
    "test": "test",
}


READING = 3  # how rows are read; a cache that was written by another way of reading is not used


@runtime_checkable
class Source(Protocol):
    """What conf/data/*.yaml instantiates: text in splits, read one row at a time, and how it is to be judged.

    A class of one's own names this one as its base, says what has no default here, and gives `rows`.
    """

    name: str
    named: bool = True  # its name says which text it is; a file's does not, and gets a fingerprint
    origin: str  # where it is published
    licence: str
    words: str  # the rule that says what a word is: treebank, whitespace, lines or char
    lowercase: bool  # the corpus is lower-cased, and so is what is compared with it
    stream: bool = False  # one long text, not lines
    pairs: bool = False  # each text answers a prompt (its translation's source)
    labels: bool = False  # of pairs: the text is one of few labels of its prompt
    task: str = ""  # what the pairs are of, where there is a name for it: translation, summarisation, ...
    split_names: tuple[str, ...] = SPLITS  # and further ones that a model may be tested on
    truth: Truth | None = None  # the distribution that the text was drawn from, where it is known
    canaries: Any = None  # secrets planted in train (gentext.data.canaries.Canaries)
    sha256: Mapping[str, str] = MappingProxyType({})  # of splits, where the user states them

    def fetch(self) -> list[Path]:
        """The files that it rests on, verified, downloaded if need be."""
        return []

    def identity(self) -> str | None:
        """What decides its text, before any is read; None where only the text itself can tell."""
        return None

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        """Every row with its split."""
        ...

    def skipped(self) -> BadRows:
        """The rows that the last reading left out: pairs that lack a side, and what the user asked to skip."""
        return BadRows()

    def about(self) -> dict[str, Any]:
        """What else `gentext data show` prints of it."""
        return {}

    def notes(self) -> list[str]:
        """What a user should know of the way it is split, a sentence each."""
        return []


def facts(source: Source) -> dict[str, Any]:
    """What a record keeps of a source: where it comes from, how it is cut and judged."""
    return {
        "name": source.name,
        "origin": source.origin,
        "licence": source.licence,
        "words": source.words,
        "lowercase": source.lowercase,
        "stream": source.stream,
        "pairs": source.pairs,
        **({"labels": True} if source.labels else {}),
        **({"task": source.task} if source.task else {}),
    }


def describe(source: Source) -> dict[str, Any]:
    """What `gentext data show` prints of a source without reading it."""
    return {**facts(source), "truth": source.truth is not None, **source.about()}


def in_splits(
    bodies: Mapping[str, Callable[[], Iterator[TextRow]]], cut: Cut, *, stream: bool, name: str
) -> Iterator[tuple[str, TextRow]]:
    """Rows of the given splits, the missing ones cut out of `all`, or out of train."""
    whole = bodies.get("all", bodies.get("train"))
    assert whole is not None
    missing = {split: split not in bodies for split in ("valid", "test")}
    if "all" in bodies or any(missing.values()) or cut.train is not None:
        valid, test = cut.valid if missing["valid"] else 0, cut.test if missing["test"] else 0
        yield from Cut(cut.how, valid, test, cut.seed, cut.train).rows(whole, stream=stream, name=name)
    else:
        yield from (("train", row) for row in whole())
    for split in ("valid", "test"):
        if split in bodies:
            yield from ((split, row) for row in bodies[split]())


def cut_notes(bodies: Collection[str], cut: Cut, name: str) -> list[str]:
    """What is taken out of a train split that stands in a file of its own, for the splits that no file gives."""
    if "train" not in bodies:
        return []
    notes = []
    for split, size, otherwise in (
        ("valid", cut.valid, ", or data.valid=0 to train on all of it (then nothing stops a training early)"),
        ("test", cut.test, ""),
    ):
        if split not in bodies and size:
            much = f"{size:g} lines" if size >= 1 else f"{size:.1%}"
            notes.append(
                f"{name} has no {split} split: {much} of train taken for it, for every family alike, so that all learn "
                f"from the same text; give a file {split}.txt{otherwise}"
            )
    return notes


def identity_of(source: Any, files: Mapping[str, str]) -> str:
    """A hash of a source's options and of its files' contents; where the files lie does not count."""
    elsewhere = ("path", "name", "files", "folder", "origin", "licence", "truth")
    options = {key: value for key, value in vars(source).items() if key not in elsewhere and not key.startswith("_")}
    parts = [gentext.__version__, READING, options, dict(files)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode()).hexdigest()


@runtime_checkable
class Truth(Protocol):
    """A known distribution p over texts: a grammar, SeqGAN's LSTM oracle, or any fitted family.

    A class of one's own names this one as its base, and gives `name`, `sample` and `log_prob`.
    """

    name: str
    length: int | None = None  # every text has exactly so many tokens; None: lengths vary
    entropy: float | None = None  # H(p) in nats per sequence where it has a closed form, else None
    # its whole lexicon: a tokenizer then knows the words that train happens to lack, so that a model and p speak of the
    # same texts; empty where it cannot be listed
    words: Sequence[str] = ()
    digest: str | None = None  # equal where the distribution is, so that draws are kept; None: they are drawn again

    def fetch(self) -> list[Path]:
        """The files that it rests on, verified, downloaded if need be."""
        return []

    def sample(self, n: int, rng: torch.Generator) -> list[str]:
        """`n` independent texts."""
        ...

    def log_prob(self, texts: Sequence[str]) -> np.ndarray:
        """log p(text) in nats, float64 [n]; -inf where p is zero (a sentence that the grammar does not accept)."""
        ...
