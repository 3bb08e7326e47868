"""Labelled text whose classes a grammar knows, so that the best classifier there can be is known too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from gentext.data.source import Source
from gentext.data.splits import TextRow
from gentext.seeding import Streams
from gentext.truth.grammar import Grammar

CHUNK = 10_000  # texts drawn at once


@dataclass(frozen=True)
class LabelledCorpus(Source):
    """Sentences of a grammar, each labelled by the rules that it requires; `text` is the label, `prompt` the sentence.

    classes: by label the patterns of rules (`Grammar.requires`). The first label whose rules a sentence requires is its
      own; sentences that require none are left out.
    noise: how often a label is replaced by one of the others, each as likely. The best classifier knows the rules: its
      accuracy is 1 - noise, and its log loss the entropy of the noise.
    seed: of the data.

    Example:
        >>> source = LabelledCorpus(Grammar(), {"person": ["Clause -> Clause-person"], "other": ["S -> *"]}, train=2)
        >>> next(iter(source.rows()))[1].text in ("person", "other")
        True
    """

    grammar: Grammar
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    name: str = "captions-labelled"
    words: str = "whitespace"
    train: int = 10_000
    valid: int = 1_000
    test: int = 5_000
    noise: float = 0.0
    seed: int = 0
    lowercase: bool = False
    licence: str = "made by gentext, free to use"
    pairs: bool = field(default=True, init=False)
    labels: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        Streams(self.seed)  # refuses what is no seed
        if len(self.classes) < 2:
            raise ValueError(f"data.classes names {len(self.classes)} labels; a classifier needs 2 or more")
        if not 0 <= self.noise < 1 - 1 / len(self.classes):
            most = 1 - 1 / len(self.classes)
            raise ValueError(
                f"data.noise is {self.noise}; from {most:.3g} on a label says nothing, and below 0 is no rate"
            )
        for split, n in self._sizes().items():
            if n < 0 or (n == 0 and split != "valid"):
                raise ValueError(f"data.{split} is {n}; it must be 1 or more. Give for example data.{split}=1000")

    @property
    def origin(self) -> str:
        return f"drawn from {self.grammar.name} by seed {self.seed}, {self.noise:g} of the labels replaced"

    def identity(self) -> str:
        options = {key: value for key, value in vars(self).items() if key != "grammar"}
        return hashlib.sha256(repr((self.grammar.digest, options)).encode()).hexdigest()

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        streams, names = Streams(self.seed), list(self.classes)
        for split, n in self._sizes().items():
            rng, left = streams(f"data/{split}"), n
            while left:
                texts = self.grammar.sample(min(CHUNK, 2 * left), rng)
                labels = self._labels(texts)
                known = np.flatnonzero(labels >= 0)[:left]
                if not len(known):
                    raise ValueError("data.classes: no sentence requires the rules of any label")
                swapped = torch.rand(len(known), generator=rng).numpy() < self.noise
                others = torch.randint(1, len(names), (len(known),), generator=rng).numpy()
                given = np.where(swapped, (labels[known] + others) % len(names), labels[known])
                yield from ((split, TextRow(names[label], texts[i])) for label, i in zip(given, known, strict=True))
                left -= len(known)

    def _labels(self, texts: Sequence[str]) -> np.ndarray:
        """The number of each sentence's label; -1 where it has none."""
        labels = np.full(len(texts), -1)
        for number, rules in reversed(list(enumerate(self.classes.values()))):
            labels[self.grammar.requires(texts, rules)] = number
        return labels

    def _sizes(self) -> dict[str, int]:
        return {"train": self.train, "valid": self.valid, "test": self.test}
