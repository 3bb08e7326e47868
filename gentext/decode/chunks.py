"""The rows of a draw: checked, split so that memory is bounded, joined again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.types import PAD, Batch

LOGITS_AT_ONCE = 2**22  # 16 MiB in single precision: above twice that malloc maps fresh pages at every step


def check(n: int, max_len: int, prompt: Tensor | None, min_len: int) -> None:
    """Raises: ValueError where the arguments of a draw do not fit each other."""
    if n < 1:
        raise ValueError(f"n is {n}; ask for one sequence at least")
    if max_len < 1:
        raise ValueError(f"max_len is {max_len}; a sequence needs room for one token at least (EOS counts)")
    if min_len > max_len:
        raise ValueError(f"min_len {min_len} is above max_len {max_len}; lower min_len or raise max_len")
    if prompt is not None and len(prompt) != n:
        raise ValueError(f"{n} sequences were asked for with {len(prompt)} prompts; give one prompt per sequence")


def split(n: int, vocab_size: int, batch_size: int, prompt: Tensor | None) -> Iterator[tuple[int, Tensor | None]]:
    """Counts that sum to `n`, each with its prompts: `batch_size` at most, fewer where logits would not fit."""
    size = max(1, min(batch_size, LOGITS_AT_ONCE // vocab_size))
    for at in range(0, n, size):
        yield min(size, n - at), None if prompt is None else prompt[at : at + size]


def join(parts: list[Int[Tensor, "_ _"]], prompt: Int[Tensor, "n p"] | None) -> Batch:
    """One Batch of the parts' tokens, all padded to the longest sequence."""
    width = max(1, *(int((part != PAD).sum(1).max()) for part in parts))
    tokens = torch.cat([torch.nn.functional.pad(part, (0, max(0, width - part.shape[1])))[:, :width] for part in parts])
    return Batch(tokens, tokens != PAD, prompt)
