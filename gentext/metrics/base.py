"""What every metric is: a torchmetrics.Metric that names its evidence and says how its values were computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torchmetrics
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from numpy import ndarray
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from gentext.data.words import RULES, word_rule
from gentext.types import Exactness, Samples, Value


class Segmentation(NamedTuple):
    """How text is cut into words: by which rule, and in lower case or as it stands.

    >>> Segmentation("treebank", True).split("A dog, wet.")
    ['a', 'dog', ',', 'wet', '.']
    """

    words: str
    lowercase: bool

    def split(self, text: str) -> list[str]:
        """The words of a text."""
        return word_rule(self.words).split(text.lower() if self.lowercase else text)

    @property
    def tok(self) -> str:
        """As it stands in signatures: `treebank+lower`."""
        return self.words + "+lower" * self.lowercase


@runtime_checkable
class TextScorer(Protocol):
    """A trained family that says how likely any text is."""

    @property
    def exactness(self) -> Exactness:
        """Whether its log p is exact or a bound."""
        ...

    def log_prob(self, texts: Sequence[str], prompts: Sequence[str] | None = None) -> Float[ndarray, " n"]:
        """log p of each text, nats, the spelling of unknown words included."""
        ...

    def known(self, texts: Sequence[str]) -> Bool[ndarray, " n"]:
        """Whether the family knows every word of each text."""
        ...


@runtime_checkable
class TextAnswerer(Protocol):
    """A trained family that answers any source."""

    def answer(self, sources: Sequence[str]) -> list[str]:
        """The likeliest answer to each, token by token."""
        ...


def exactness_of(inexact: Shaped[ndarray, " n"]) -> Exactness:
    """Of a figure that compares log-probabilities: of bounds a difference is no bound, and is marked as it is."""
    return "pseudo" if inexact.any() else "exact"


class Absent(ValueError):
    """Raised by a metric that cannot be computed from this evidence, or given in place of one of its figures.

    Its text is the reason that the board shows.
    """


class TextMetric(torchmetrics.Metric):
    """A metric over text. `update` names the evidence that it eats; the harness hands each metric only that.

    Evidence by keyword: `samples`, `references`, `training` (Samples each), `scores`, `sample_scores`,
    `decoded_scores` (Scores), `truth` (a Truth), `judges` (Scorers by name), `scorer` (a TextScorer), `canaries`. A
    metric keeps all that its figures depend on in columns of numbers, so that it syncs over processes and may be
    updated in parts: text becomes integers by a hash that every process shares.

    Example:
        >>> class Questions(TextMetric):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.add_column("asks", torch.bool)
        ...     def update(self, samples):
        ...         self.append("asks", torch.tensor([text.endswith("?") for text in samples.texts]))
        ...     def values(self):
        ...         asks = self.column("asks")
        ...         return {"questions": Value(float(asks.mean()), f"questions|hyps:{len(asks)}|v:1", None, len(asks))}
        >>> metric = Questions()
        >>> metric.update(samples=Samples(("who sits ?", "a dog sits .")))
        >>> metric.compute()
        {'questions': 0.5}
    """

    full_state_update: ClassVar[bool] = False
    higher_is_better: ClassVar[bool | None] = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._columns: dict[str, torch.dtype] = {}

    def add_column(self, name: str, dtype: torch.dtype) -> None:
        """Keep a column of numbers that `append` makes longer, and that holds all processes' numbers when they sync."""
        self.add_state(name, [], dist_reduce_fx="cat")
        self._columns[name] = dtype

    def append(self, name: str, numbers: Tensor | ndarray) -> None:
        """Make a column longer."""
        getattr(self, name).append(torch.as_tensor(numbers).detach().to(self._columns[name]))

    def column(self, name: str) -> Shaped[ndarray, " n"]:
        """All numbers of a column so far."""
        state = getattr(self, name)
        if isinstance(state, list) and not state:
            return torch.zeros(0, dtype=self._columns[name]).numpy()
        return dim_zero_cat(state).cpu().numpy()

    def sync(self, *options: Any, **more: Any) -> None:
        """Gather all processes' columns; one without evidence brings empty ones of the right type."""
        for name, dtype in self._columns.items():
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                self.append(name, torch.zeros(0, dtype=dtype, device=self.device))
        super().sync(*options, **more)

    def cut_by(self, words: str | None, lowercase: bool | None) -> None:
        """Cut texts by this rule and in this case; None: as each text's corpus does, which its Samples say."""
        if words is not None:
            word_rule(words)  # an unknown rule is refused here, not at the first text
        self.words, self.lowercase = words, lowercase
        self.add_column("cuts", torch.long)

    def segment(self, texts: Samples) -> Segmentation:
        """How these texts are cut, which is kept for `segmentation`."""
        how = Segmentation(
            texts.words if self.words is None else self.words,
            texts.lowercase if self.lowercase is None else self.lowercase,
        )
        self.append("cuts", torch.tensor([list(RULES).index(how.words) * 2 + how.lowercase]))
        return how

    def segmentation(self) -> Segmentation:
        """How all texts so far are cut. Raises Absent where there are none, ValueError where they differ."""
        codes = np.unique(self.column("cuts")).tolist()
        found = [Segmentation(list(RULES)[code // 2], bool(code % 2)) for code in codes]
        if not found:
            raise Absent(f"{type(self).__name__} needs texts, and there are none")
        if len(found) > 1:
            ways = " and ".join(how.tok for how in found)
            raise ValueError(f"{type(self).__name__} compares texts cut by {ways}; give it words= and lowercase=")
        return found[0]

    def values(self) -> Mapping[str, Value | Absent]:
        """Every figure of this metric by the name that the board shows.

        A figure that cannot be computed stands there as its Absent. Raises Absent where none of them can be.
        """
        raise NotImplementedError(f"{type(self).__name__} must say values()")

    def compute(self) -> dict[str, float]:
        """The bare figures, those that can be computed, for use as any other torchmetrics.Metric."""
        return {name: value.value for name, value in self.values().items() if isinstance(value, Value)}


def pack(texts: Sequence[str]) -> tuple[UInt8[ndarray, " t"], Int[ndarray, " n"]]:
    """The texts end to end as UTF-8 bytes, and the bytes of each."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return np.frombuffer(b"".join(parts), dtype=np.uint8).copy(), lengths


def unpack(packed: UInt8[ndarray, " t"], lengths: Int[ndarray, " n"]) -> list[str]:
    """The texts that were packed."""
    whole = packed.tobytes()
    edges = [0, *lengths.cumsum().tolist()]
    return [whole[begin:end].decode("utf-8", "surrogatepass") for begin, end in pairwise(edges)]
