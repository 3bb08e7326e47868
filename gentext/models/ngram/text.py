"""The text that an n-gram counts, and what stands before a row of it."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gentext.types import BOS, PAD, Batch


class Text:
    """Rows laid end to end, BOS before each, in the smallest integers that hold the vocabulary.

    A prompt is text like any other and counts. Windows of a stream become one row for each of theirs, so that no
    n-gram is lost at their borders.
    """

    def __init__(self, vocab_size: int) -> None:
        self._dtype = torch.int16 if vocab_size <= 2**15 else torch.int32
        self._done: list[Tensor] = []
        self._open: list[tuple[Tensor, Tensor]] = []  # tokens and row lengths of windows that may yet be carried on

    def add(self, batch: Batch) -> None:
        """Adds the rows of a batch; one that carries on lengthens the rows of the batch before."""
        tokens, mask = batch.tokens, batch.mask
        if not batch.carry or not self._open:
            self._close()
            before, real = lead(batch)
            tokens, mask = torch.cat([before, tokens], 1), torch.cat([real, mask], 1)
        else:
            check_rows(len(self._open[0][1]), len(batch))
        self._open.append((tokens[mask].to("cpu", self._dtype), mask.sum(1)))

    def take(self) -> Int[Tensor, " n"]:
        """All of it, which is then forgotten. Raises: ValueError where nothing was added, or too much."""
        self._close()
        text = torch.cat([torch.zeros(0, dtype=self._dtype), *self._done])
        self._done = []
        if not bool((text != BOS).any()):
            raise ValueError("no token was counted: the training text is empty; give an n-gram some text to count")
        if len(text) >= 2**31:
            raise ValueError(f"{len(text)} tokens were counted; an n-gram counts fewer than 2^31, so give it less text")
        return text

    def _close(self) -> None:
        """Lays the open windows end to end, row by row."""
        if len(self._open) > 1:
            rows = zip(*(tokens.split(lengths.tolist()) for tokens, lengths in self._open), strict=True)
            self._done.append(torch.cat([window for row in rows for window in row]))
        else:
            self._done += [tokens for tokens, _ in self._open]
        self._open = []


def lead(batch: Batch) -> tuple[Int[Tensor, "n p"], Bool[Tensor, "n p"]]:
    """Tokens and mask of what stands before each row: BOS and the prompt."""
    bos = batch.tokens.new_full((len(batch), 1), BOS)
    tokens = bos if batch.prompt is None else torch.cat([bos, batch.prompt], 1)
    return tokens, tokens != PAD


def check_rows(before: int, now: int) -> None:
    """Raises: ValueError where a batch cannot carry on the one before."""
    if before != now:
        raise ValueError(f"{now} rows carry on {before}; the windows of a stream keep their number of rows")
