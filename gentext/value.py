"""A figure and how it came about: what records hold and boards rank. Reading them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

# the figure itself, a bound from above or below, or what a pseudo-likelihood gives in its place
Exactness = Literal["exact", "upper", "lower", "pseudo"]


@dataclass(frozen=True)
class Value:
    """One number and how it came about."""

    value: float
    signature: str  # bleu4|refs:10000|hyps:10000|smooth:method1|tok:word|v:1
    higher_is_better: bool | None  # None: neither end is better in itself (a length, an entropy)
    n: int  # sequences that it rests on
    unit: str = ""  # nats/sentence, bits/char, share, ...
    interval: tuple[float, float] | None = None  # 95 %
    interval_kind: str = ""  # bootstrap:10000 | jackknife:20 | clopper-pearson | normal
    exactness: Exactness = "exact"
    per_sequence: np.ndarray | None = None  # n figures whose mean is `value`, for tests; None for set metrics
    paired: bool = False  # figure i rests on the same test sentence or prompt in every run, so that tests may pair them
