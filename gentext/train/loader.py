"""Training batches without end, in an order that a resumed run goes on with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch

from gentext.data.batching import Batching
from gentext.data.corpus import Corpus
from gentext.types import Batch


class TrainLoader:
    """Epoch after epoch of the train split: lines shuffled anew each time, or a stream in windows with carried state.

    A windowed family (`context` is how far back it reads) carries none, so it gets a stream in shuffled sections, as
    many as make the tokens of `batch_size` windows: a step reads as much of a stream whatever the family.
    `batching` is of lines: "mixed" is for whoever compares batches as wholes.
    Its place is the state of `rng` when the epoch began and the number of batches taken since.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int,
        window: int,
        rng: torch.Generator,
        context: int | None = None,
        *,
        batching: Batching = "texts",
    ) -> None:
        self._corpus, self._batch_size, self._window, self._rng = corpus, batch_size, window, rng
        self._context = context
        self._batching: Batching = batching
        self._sections = max(1, batch_size * window // context) if context else batch_size
        if corpus.tokens("train") == 0:
            raise ValueError(f"{corpus.name} has no training text; give a larger file, or another split")
        self.epoch, self.taken = 0, 0
        self._begin()

    @property
    def per_epoch(self) -> int:
        """Batches of one epoch."""
        if self._corpus.stream and self._context:
            return math.ceil(math.ceil(self._corpus.tokens("train") / self._context) / self._sections)
        if self._corpus.stream:
            row = math.ceil(self._corpus.tokens("train") / self._batch_size)
            return math.ceil(row / self._window)
        return math.ceil(self._corpus.size("train") / self._batch_size)

    @cached_property
    def tokens_per_batch(self) -> float:
        """Tokens of a batch, in the mean over an epoch."""
        return self._corpus.kept("train") / self.per_epoch

    def __next__(self) -> Batch:
        batch = next(self._batches, None)
        if batch is None:
            self.epoch, self.taken = self.epoch + 1, 0
            self._begin()
            batch = next(self._batches)
        self.taken += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "taken": self.taken, "rng": self._began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.taken = state["epoch"], state["taken"]
        self._rng.set_state(state["rng"])
        self._begin()
        self._batches = itertools.islice(self._batches, self.taken, None)

    def _begin(self) -> None:
        self._began = self._rng.get_state()
        self._batches = self._epoch()

    def _epoch(self) -> Iterator[Batch]:
        if not self._corpus.stream:
            return self._corpus.batches("train", self._batch_size, rng=self._rng, batching=self._batching)
        if self._context:
            return self._corpus.sections("train", self._sections, self._context, rng=self._rng)
        return self._corpus.windows("train", self._batch_size, self._window)
