"""Distributions over text that can be evaluated: the sharpest judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch


@runtime_checkable
class Truth(Protocol):
    """A known distribution p over texts: a grammar, SeqGAN's LSTM oracle, or any fitted family.

    One that can say more has `words`, its whole lexicon: a tokenizer then knows those that train happens to lack, so
    that a model and p speak of the same texts; and `digest`, equal where the distribution is, so that draws are kept.
    """

    name: str
    length: int | None  # every text has exactly so many tokens; None: lengths vary
    entropy: float | None  # H(p) in nats per sequence where it has a closed form, else None

    def sample(self, n: int, rng: torch.Generator) -> list[str]:
        """`n` independent texts."""
        ...

    def log_prob(self, texts: Sequence[str]) -> np.ndarray:
        """log p(text) in nats, float64 [n]; -inf where p is zero (a sentence that the grammar does not accept)."""
        ...
