"""Any corpus of lines with secrets planted in its training text, to find who memorises them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gentext.checks import ArgumentError, at_least
from gentext.data.source import Source
from gentext.data.splits import TextRow

HOLE = "{}"
CHOICES = 200  # words that a secret is made of


@dataclass
class Canaries:
    """Secrets of one kind: a template whose holes are filled with words of the training text, drawn at random."""

    template: str
    words: Sequence[str]
    texts: Sequence[str]
    repeats: Sequence[int]

    def candidates(self, n: int, seed: int) -> list[str]:
        """`n` texts that were not planted, from all that the words make."""
        rng, planted = np.random.default_rng((seed, 1)), set(self.texts)
        found: list[str] = []
        while len(found) < n:
            text = fill(self.template, self.words, rng)
            if text not in planted:
                found.append(text)
        return found


@dataclass(frozen=True)
class CanaryCorpus(Source):
    """A corpus of lines whose training text holds secrets, each so often as `repeats` says.

    A secret is the template with each {} filled by one of the 200 most frequent words of the training text that have
    three letters or more, so that every family knows its words and has never seen them in this order. One group more,
    of repeats 0, is not planted: the control.

    Args:
        corpus: the corpus; valid and test stay as they are.
        template: of a secret.
        repeats: how often the secrets of each group stand in train.
        each: secrets of a group.
        seed: of their words.

    Source: Carlini et al. 2019, section 4 (canaries, planted at several numbers of repeats).

    Example:
        >>> from gentext.truth import GeneratedCorpus, Grammar
        >>> source = CanaryCorpus(GeneratedCorpus(Grammar(), train=50, valid=1, test=1), repeats=[1, 4], each=2)
        >>> len([split for split, _ in source.rows() if split == "train"])
        60
        >>> sorted(set(source.canaries.repeats))
        [0, 1, 4]
    """

    corpus: Source
    template: str = "the secret is {} {} {}"
    repeats: Sequence[int] = (1, 4, 16, 64)
    each: int = 5
    seed: int = 0
    words: str = ""
    lowercase: bool = False
    _made: list[Canaries] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at_least(1, each=self.each)
        if HOLE not in self.template:
            raise ArgumentError("template", f"is {self.template!r}; it needs {HOLE} where a secret word stands")
        for count in self.repeats:
            at_least(1, repeats=count)
        if not self.repeats or len(set(self.repeats)) < len(self.repeats):
            raise ArgumentError("repeats", f"is {list(self.repeats)}; give different numbers, such as [1,4,16,64]")
        if self.corpus.stream or self.corpus.pairs:
            raise ArgumentError("corpus", "is one stream or of pairs; canaries are planted among lines")
        object.__setattr__(self, "words", self.corpus.words)
        object.__setattr__(self, "lowercase", self.corpus.lowercase)

    @property
    def name(self) -> str:
        return f"{self.corpus.name}-canaries"

    @property
    def named(self) -> bool:
        return self.corpus.named

    @property
    def origin(self) -> str:
        return f"{self.corpus.origin}, and planted secrets"

    @property
    def licence(self) -> str:
        return self.corpus.licence

    @property
    def canaries(self) -> Canaries:
        """The secrets, those of repeats 0 never planted."""
        if not self._made:
            self._made.append(self._make())
        return self._made[0]

    def fetch(self) -> list[Path]:
        return self.corpus.fetch()

    def identity(self) -> str | None:
        inner = self.corpus.identity()
        if inner is None:
            return None
        identity = (inner, self.template, tuple(self.repeats), self.each, self.seed)
        return hashlib.sha256(repr(identity).encode()).hexdigest()

    def notes(self) -> list[str]:
        return self.corpus.notes()

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        found = self.canaries
        yield from self.corpus.rows()
        for text, count in zip(found.texts, found.repeats, strict=True):
            for _ in range(count):
                yield "train", TextRow(text)

    def _make(self) -> Canaries:
        counts: Counter[str] = Counter()
        for split, row in self.corpus.rows():
            if split == "train":
                counts.update(word for word in row.text.split() if len(word) > 2 and word.isalpha())
        words = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CHOICES]]
        groups = [count for count in (0, *self.repeats) for _ in range(self.each)]
        if len(words) ** self.template.count(HOLE) < 10 * len(groups):
            raise ValueError(f"train has {len(words)} words of three letters or more, too few for secrets to differ")
        template = self.template.lower() if self.lowercase else self.template
        rng, texts = np.random.default_rng((self.seed, 0)), dict[str, None]()
        while len(texts) < len(groups):
            texts[fill(template, words, rng)] = None
        return Canaries(template, words, tuple(texts), tuple(groups))


def fill(template: str, words: Sequence[str], rng: np.random.Generator) -> str:
    """A template with a random word in each hole."""
    first, *rest = template.split(HOLE)
    return first + "".join(words[int(rng.integers(len(words)))] + part for part in rest)
