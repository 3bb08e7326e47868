"""What every metric is: a torchmetrics.Metric that names its evidence and says how its values were computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torchmetrics

from gentext.types import Value


class Absent(ValueError):
    """Raised by a metric that cannot be computed from this evidence, or given in place of one of its figures.

    Its text is the reason that the board shows.
    """


class TextMetric(torchmetrics.Metric):
    """A metric over text. `update` names the evidence that it eats; the harness hands each metric only that.

    Evidence by keyword: `samples`, `references`, `training` (Samples each), `scores` (Scores), `truth` (a Truth),
    `seconds`, ... A metric keeps its state in tensors (`add_state` with `dist_reduce_fx`), so that it syncs over
    processes and may be updated in parts: text becomes integer arrays in `update`, by a hash that every process shares.
    """

    full_state_update: ClassVar[bool] = False
    higher_is_better: ClassVar[bool | None] = None

    def values(self) -> Mapping[str, Value | Absent]:
        """Every figure of this metric by the name that the board shows.

        A figure that cannot be computed stands there as its Absent. Raises Absent where none of them can be.
        """
        raise NotImplementedError(f"{type(self).__name__} must say values()")

    def compute(self) -> dict[str, float]:
        """The bare figures, those that can be computed, for use as any other torchmetrics.Metric."""
        return {name: value.value for name, value in self.values().items() if isinstance(value, Value)}
