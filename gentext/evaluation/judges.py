"""The fixed judges of the LM scores: this project's own Kneser-Ney, and its Transformer, over the words of a corpus."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from gentext.data.corpus import Corpus
from gentext.evaluation.scoring import log_prob_of_rows
from gentext.language_model import LanguageModel
from gentext.models.ngram.model import NGram
from gentext.models.transformer.model import Transformer
from gentext.types import EOS, RESERVED, UNK, Batch, pad

log = logging.getLogger("gentext")


def judges(corpus: Corpus) -> Mapping[str, Judge] | None:
    """The judges of a corpus by name; None for a stream, which has no lines whose ends could be scored."""
    if corpus.stream:
        return None
    training = corpus.lines("train")
    return {
        "kneser_ney": KneserNeyJudge(training, corpus.words),
        "transformer": TransformerJudge(training, corpus.words),
    }


class Judge(ABC):
    """A Scorer (gentext.metrics.lm_score) over the words of the training text.

    The words of `training` by the rule `words` are known, all others are one and the same, whatever text it is fitted
    on: its figures do not depend on the tokenizer of the model that it judges, and both directions score like events.
    """

    at_once: ClassVar[int] = 4096  # texts that it reads side by side

    def __init__(self, training: Sequence[str], words: Callable[[str], list[str]]) -> None:
        self.training = training
        self.words = words
        self._family: LanguageModel | None = None
        self._warned: set[str] = set()

    @property
    @abstractmethod
    def signature(self) -> str: ...

    @abstractmethod
    def learned(self, rows: list[list[int]]) -> LanguageModel:
        """A language model fitted on these rows of ids alone."""

    def fit(self, texts: Sequence[str]) -> None:
        """Forget the text before, and learn from this; what is warned of is the judge's, and said once of it."""
        with self._warnings():
            self._family = self.learned(self._rows(texts))

    @contextmanager
    def _warnings(self) -> Iterator[None]:
        """Warnings name the judge, so that they are not taken for the trained model's; each kind comes once."""

        def once(record: logging.LogRecord) -> bool:
            if record.levelno < logging.WARNING:
                return True
            new = record.msg not in self._warned
            self._warned.add(record.msg)
            record.msg = f"the judge {type(self).__name__}, not the model: {record.msg}"
            return new

        log.addFilter(once)
        try:
            yield
        finally:
            log.removeFilter(once)

    def log_prob(self, texts: Sequence[str]) -> np.ndarray:
        """log p(text) in nats, the line's end included, float64 [n]. Raises: ValueError before the first fit."""
        if self._family is None:
            raise ValueError("this judge has read nothing yet: call fit(texts) first")
        return log_prob_of_rows(self._family, self._rows(texts), self.at_once).numpy()

    @cached_property
    def ids(self) -> dict[str, int]:
        vocabulary = sorted({word for text in self.training for word in self.words(text)})
        return {word: RESERVED + i for i, word in enumerate(vocabulary)}

    def _rows(self, texts: Iterable[str]) -> list[list[int]]:
        known = self.ids.get
        return [[*(known(word, UNK) for word in self.words(text)), EOS] for text in texts]


class KneserNeyJudge(Judge):
    """Modified Kneser-Ney: fitted in a second, and partial to what an n-gram would write."""

    def __init__(self, training: Sequence[str], words: Callable[[str], list[str]], order: int = 5) -> None:
        super().__init__(training, words)
        self.order = order

    @property
    def signature(self) -> str:
        return f"lm:kn{self.order}|vocab:{len(self.ids)}"

    def learned(self, rows: list[list[int]]) -> LanguageModel:
        family = NGram(RESERVED + len(self.ids), order=self.order)
        for start in range(0, len(rows), self.at_once):
            family.accumulate(pad(rows[start : start + self.at_once]))
        family.maximize()
        return family


class TransformerJudge(Judge):
    """A Transformer LM of fixed size, trained for a fixed number of steps from a fixed seed, whatever it reads."""

    at_once = 64

    def __init__(
        self,
        training: Sequence[str],
        words: Callable[[str], list[str]],
        *,
        layers: int = 2,
        width: int = 128,
        steps: int = 1000,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(training, words)
        self.layers, self.width, self.steps, self.batch_size, self.seed = layers, width, steps, batch_size, seed

    @property
    def signature(self) -> str:
        size = f"{self.layers}x{self.width}|steps:{self.steps}x{self.batch_size}|seed:{self.seed}"
        return f"lm:transformer{size}|vocab:{len(self.ids)}"

    def learned(self, rows: list[list[int]]) -> LanguageModel:
        rng = torch.Generator().manual_seed(self.seed)
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng([]):
            torch.manual_seed(self.seed)
            family = Transformer(RESERVED + len(self.ids), layers=self.layers, width=self.width, dropout=0.1)
            optimizer = torch.optim.AdamW(family.parameters(), betas=(0.9, 0.99), weight_decay=0.01, fused=True)
            rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=self.steps)
            for _ in range(self.steps):
                batch = self._drawn(rows, rng)
                (-family(batch).log_prob.sum() / batch.mask.sum()).backward()
                torch.nn.utils.clip_grad_norm_(family.parameters(), 1.0)
                optimizer.step()
                rate.step()
                optimizer.zero_grad()
        return family.eval()

    def _drawn(self, rows: list[list[int]], rng: torch.Generator) -> Batch:
        return pad([rows[i] for i in torch.randint(len(rows), (self.batch_size,), generator=rng).tolist()])
