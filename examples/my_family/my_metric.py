"""A metric of your own: `update` names the evidence that it needs, `values` gives each figure with its signature."""

from __future__ import annotations

import torch

from gentext.metrics.base import Absent, TextMetric
from gentext.metrics.intervals import clopper_pearson
from gentext.types import Samples, Value


class Questions(TextMetric):
    """questions: the share of samples that end in a question mark.

    Example:
        >>> metric = Questions()
        >>> metric.update(Samples(("Who sits ?", "A dog sits .")))
        >>> metric.values()["questions"].value
        0.5
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_column("asks", torch.bool)

    def update(self, samples: Samples) -> None:
        self.append("asks", torch.tensor([text.rstrip().endswith("?") for text in samples.texts]))

    def values(self) -> dict[str, Value]:
        asks = self.column("asks")
        if len(asks) == 0:
            raise Absent("questions need samples, and there are none")
        signature = f"questions|hyps:{len(asks)}|v:1"  # all that can move the number
        interval = clopper_pearson(float(asks.mean()), len(asks))._asdict()
        return {"questions": Value(float(asks.mean()), signature, None, len(asks), "share", **interval)}
