"""The common part of every metric over words: collections of texts, kept as arrays of hashed words."""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

import torch

from gentext.data.ngram_arrays import Sentences, hashed
from gentext.data.words import word_rule
from gentext.metrics.base import Absent, TextMetric
from gentext.types import Samples

log = logging.getLogger("gentext")


class WordMetric(TextMetric):
    """A metric over the words of named collections of texts (`samples`, `references`, `training`).

    `words` is the rule that cuts a text into words, `lower` lower-cases first; both stand in the signature.
    """

    collections: tuple[str, ...] = ("samples",)

    def __init__(self, words: str = "treebank", lower: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.words = words
        self.lower = lower
        word_rule(words)  # an unknown rule is told here, not at the first text
        for name in self.collections:  # the rule in the name: torchmetrics shares states of one name that begin alike
            self.add_column(f"{name}_words_{self.tok}", torch.long)
            self.add_column(f"{name}_lengths_{self.tok}", torch.long)

    @property
    def tok(self) -> str:
        """The signature's word for the words."""
        return self.words + "+lower" * self.lower

    def read(self, **collections: Samples | None) -> None:
        """Add texts to the collections; those that are None stay as they are."""
        for name, texts in collections.items():
            if texts is not None:
                sentences = hashed_words(texts, self.words, self.lower)
                self.append(f"{name}_words_{self.tok}", sentences.words)
                self.append(f"{name}_lengths_{self.tok}", sentences.lengths)

    def sentences(self, name: str, least: int = 1) -> Sentences:
        """All texts of a collection so far. Raises Absent where there are fewer than `least`."""
        words, lengths = (self.column(f"{name}_{what}_{self.tok}") for what in ("words", "lengths"))
        if len(lengths) < least:
            raise Absent(f"{type(self).__name__} needs {least} or more {name}, and there are {len(lengths)}")
        return Sentences(words, lengths)


_SEEN: WeakKeyDictionary[Samples, dict[tuple[str, bool], Sentences]] = WeakKeyDictionary()


def hashed_words(texts: Samples, words: str, lower: bool) -> Sentences:
    """The words of the texts as integers, remembered for as long as the texts live: a dozen metrics read the same."""
    seen = _SEEN.setdefault(texts, {})
    if (words, lower) not in seen:
        split = word_rule(words).split
        seen[words, lower] = hashed(split(text.lower() if lower else text) for text in texts.texts)
    return seen[words, lower]
