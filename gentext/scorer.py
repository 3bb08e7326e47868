"""The fixed judge of the LM scores: this project's own Kneser-Ney over the words of a corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch

from gentext.families.ngram import NGram
from gentext.text.corpus import Corpus
from gentext.types import EOS, RESERVED, UNK, Batch, pad

AT_ONCE = 4096  # texts


def scorer(corpus: Corpus) -> KneserNey | None:
    """The judge of a corpus; None for a stream, which has no lines whose ends could be scored."""
    return None if corpus.stream else KneserNey(corpus.lines("train"), corpus.words)


class KneserNey:
    """A Scorer (gentext.metrics.lm_score): modified Kneser-Ney over the words of the training text.

    The words of `training` by the rule `words` are known, all others are one and the same, whatever text it is fitted
    on: its figures do not depend on the tokenizer of the model that it judges, and both directions score like events.
    """

    def __init__(self, training: Sequence[str], words: Callable[[str], list[str]], order: int = 5) -> None:
        self.training = training
        self.words = words
        self.order = order
        self._family: NGram | None = None

    @cached_property
    def _ids(self) -> dict[str, int]:
        vocabulary = sorted({word for text in self.training for word in self.words(text)})
        return {word: RESERVED + i for i, word in enumerate(vocabulary)}

    @property
    def signature(self) -> str:
        return f"lm:kn{self.order}|vocab:{len(self._ids)}"

    def fit(self, texts: Sequence[str]) -> None:
        """Forget the text before, and count this."""
        family = NGram(RESERVED + len(self._ids), order=self.order)
        for batch in self._batches(texts):
            family.accumulate(batch)
        family.maximize()
        self._family = family

    def log_prob(self, texts: Sequence[str]) -> np.ndarray:
        """log p(text) in nats, the line's end included, float64 [n]. Raises: ValueError before the first fit."""
        if self._family is None:
            raise ValueError("this judge has read nothing yet: call fit(texts) first")
        with torch.inference_mode():
            parts = [self._family.log_prob(batch).double() for batch in self._batches(texts)]
        return torch.cat(parts).numpy() if parts else np.zeros(0)

    def _batches(self, texts: Sequence[str]) -> Iterator[Batch]:
        known = self._ids.get
        for i in range(0, len(texts), AT_ONCE):
            yield pad([[*(known(word, UNK) for word in self.words(text)), EOS] for text in texts[i : i + AT_ONCE]])
