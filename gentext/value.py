"""A figure and how it came about: what records hold and boards rank. Reading them needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    interval_kind: str = ""  # bootstrap:10000 | jackknife:20 | clopper-pearson | normal | normal+draws
    exactness: Exactness = "exact"
    per_sequence: np.ndarray | None = None  # for tests: a mean's figures, a ratio's linearised; None for set metrics
    paired: bool = False  # figure i rests on the same test sentence or prompt in every run, so that tests may pair them

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Value:
        """The value of plain data that `checked` took, in a third of the constructor's time."""
        interval = node.get("interval")
        held = {**node, "value": float(node["value"]), "interval": interval and tuple(map(float, interval))}
        made = object.__new__(cls)
        object.__setattr__(made, "__dict__", held)  # what is not given is found in the class
        return made


def checked(name: str, node: Mapping[str, Any]) -> float:
    """The number of a value's plain data, all of which `Value.of` can take.

    Raises: TypeError or ValueError, naming it, for a field that there is not, that is missing or is of another kind.
    """
    given = node.keys()
    if given != STORED and (not given >= REQUIRED or not given <= FIELDS):
        raise TypeError(f"a figure has {', '.join(sorted(FIELDS))}; got {', '.join(sorted(given))}")
    better, interval = node["higher_is_better"], node.get("interval")
    if interval is not None:
        _ = [*map(float, interval)]
    words = isinstance(node["signature"], str) and isinstance(node.get("unit", ""), str)
    if not (words and isinstance(node["n"], int) and (better is None or isinstance(better, bool))):
        raise TypeError(f"its figure {name} is {node!r:.80}")
    return float(node["value"])


class Values(Mapping[str, Value]):
    """The values of a record's plain data, each made when it is first asked for: a board shows few of half a million.

    Example:
        >>> Values({"bleu4": {"value": 0.5, "signature": "bleu4|v:1", "higher_is_better": True, "n": 2}})["bleu4"].value
        0.5
    """

    def __init__(self, nodes: dict[str, Any]) -> None:
        self._held = nodes

    def __getitem__(self, name: str) -> Value:
        held = self._held[name]
        if not isinstance(held, Value):
            held = self._held[name] = Value.of(held)
        return held

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


FIELDS = frozenset(field.name for field in fields(Value))
REQUIRED = frozenset(field.name for field in fields(Value) if field.default is MISSING)
STORED = FIELDS - {"per_sequence"}  # what a record holds of each
