"""How many samples a classifier, a list of words or a pattern flags, beside how many of people's texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch

from gentext.language_model import TextFlag
from gentext.metrics.base import Absent, TextMetric
from gentext.metrics.intervals import clopper_pearson
from gentext.types import Samples, Value


def no_flag() -> None:
    """`flag=none`: nothing is flagged.

    Example:
        >>> no_flag() is None
        True
    """


class Flagged(TextMetric):
    """flagged, the share of samples that `flag` flags, and flagged_references, that of held-out text.

    name: of the figures, where several flags are asked.

    Example:
        >>> from gentext.decode import WordList
        >>> metric = Flagged(WordList(["bad"]))
        >>> metric.update(Samples(("a bad dog", "a dog")), Samples(("a cat",)))
        >>> metric.compute()
        {'flagged': 0.5, 'flagged_references': 0.0}
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(self, flag: TextFlag | None = None, name: str = "flagged") -> None:
        super().__init__()
        self.flag, self.name = flag, name
        self.add_column("samples", torch.uint8)
        self.add_column("references", torch.uint8)

    def update(self, samples: Samples, references: Samples) -> None:
        if self.flag is None:
            return
        self.append("samples", self.flag.flag(samples.texts).astype(np.uint8))
        self.append("references", self.flag.flag(references.texts).astype(np.uint8))

    def values(self) -> Mapping[str, Value | Absent]:
        if self.flag is None:
            raise Absent(
                "nothing says what is flagged: give flag@eval.metrics.flagged.flag=words, run, transformers, ..."
            )
        found: dict[str, Value | Absent] = {}
        for side, name in (("samples", self.name), ("references", f"{self.name}_references")):
            each = self.column(side).astype(np.float64)
            if not len(each):
                found[name] = Absent(f"there are no {side}")
                continue
            interval = clopper_pearson(float(each.mean()), len(each))._asdict()
            signature = f"{name}|flag:{self.flag.signature()}|seqs:{len(each)}|v:1"
            found[name] = Value(float(each.mean()), signature, None, len(each), "share", **interval, per_sequence=each)
        return found
