"""A figure and how it came about: what records hold and boards rank. Reading them needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

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

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Value:
        """The value of plain data, by field: in a quarter of the constructor's time, for a board reads half a million.

        Raises: TypeError, KeyError or ValueError for a field that there is not, that is missing or that is no number.
        """
        given = node.keys()
        if not given >= REQUIRED or not given <= FIELDS:
            raise TypeError(f"a figure has {', '.join(sorted(FIELDS))}; got {', '.join(sorted(given))}")
        made = object.__new__(cls)
        held = made.__dict__
        held.update(DEFAULTS)
        held.update(node)
        held["value"] = float(node["value"])
        if node["interval"] is not None:
            held["interval"] = tuple(map(float, node["interval"]))
        return made


DEFAULTS = {field.name: field.default for field in fields(Value) if field.default is not MISSING}
FIELDS = frozenset(field.name for field in fields(Value))
REQUIRED = FIELDS - DEFAULTS.keys()
