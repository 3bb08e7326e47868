"""The common part of every metric over words: collections of texts, kept as arrays of hashed words."""

from __future__ import annotations

import logging
from typing import Any
from weakref import WeakKeyDictionary

import torch

from gentext.data.ngram_arrays import Sentences, hashed
from gentext.metrics.base import Absent, Segmentation, TextMetric
from gentext.types import Samples

log = logging.getLogger("gentext")


class WordMetric(TextMetric):
    """A metric over the words of named collections of texts (`samples`, `references`, `training`).

    Args:
        words: the rule that cuts a text into words (treebank, whitespace, lines or char); None: the corpus's own.
        lowercase: whether text is lower-cased first; None: as the corpus does. Both stand in the signature.
    """

    collections: tuple[str, ...] = ("samples",)

    def __init__(self, words: str | None = None, lowercase: bool | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.cut_by(words, lowercase)
        self._suffix = f"{words}_{lowercase}"  # torchmetrics shares states of one name that begin alike
        for name in self.collections:
            self.add_column(f"{name}_words_{self._suffix}", torch.long)
            self.add_column(f"{name}_lengths_{self._suffix}", torch.long)

    @property
    def tok(self) -> str:
        """The signature's word for the words."""
        return self.segmentation().tok

    def read(self, **collections: Samples | None) -> None:
        """Add texts to the collections; those that are None stay as they are."""
        for name, texts in collections.items():
            if texts is not None:
                sentences = hashed_words(texts, self.segment(texts))
                self.append(f"{name}_words_{self._suffix}", sentences.words)
                self.append(f"{name}_lengths_{self._suffix}", sentences.lengths)

    def sentences(self, name: str, least: int = 1) -> Sentences:
        """All texts of a collection so far. Raises Absent where there are fewer than `least`."""
        words, lengths = (self.column(f"{name}_{what}_{self._suffix}") for what in ("words", "lengths"))
        if len(lengths) < least:
            raise Absent(f"{type(self).__name__} needs {least} or more {name}, and there are {len(lengths)}")
        return Sentences(words, lengths)


_SEEN: WeakKeyDictionary[Samples, dict[Segmentation, Sentences]] = WeakKeyDictionary()


def hashed_words(texts: Samples, how: Segmentation) -> Sentences:
    """The words of the texts as integers, remembered for as long as the texts live: a dozen metrics read the same."""
    seen = _SEEN.setdefault(texts, {})
    if how not in seen:
        seen[how] = hashed(how.split(text) for text in texts.texts)
    return seen[how]
