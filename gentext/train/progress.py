"""How far a run is, what it is allowed, and the clock."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from gentext.train.distributed import ProcessGroup

UNKNOWN_STEPS = 10**9  # the last step of a run whose pace is not known yet: its schedules are at their beginning


@dataclass
class Progress:
    """How far a run is; a checkpoint holds it.

    A step is one update of all parameters, one round of adversarial training, or one iteration of EM.
    """

    step: int = 0
    tokens: int = 0  # of training text that were read
    seconds: float = 0.0  # of training, those before a resume included
    best: float = math.inf  # the figure of the weights that are kept, such as nats a token on valid; lower is better
    since: int = 0  # validations since the best one
    sums: dict[str, float] = field(default_factory=dict)  # figures, summed over the steps since the last report
    information: float | None = 0.0  # nats, the most seen on valid while an encoder is trained alone; None: no longer


class Budget:
    """What a run may spend of steps, seconds and validations without an improvement, and how much of that is spent.

    Args:
        steps, seconds, patience: the limits; None for none. One of steps and seconds must be given.
        save_every: seconds between two checkpoints.
        group: the processes that train together; the clock of the leading one decides for all.

    >>> budget = Budget(200, None, None, 60.0, ProcessGroup())
    >>> budget.progress.step = 50
    >>> budget.spent, budget.over, budget.total
    (0.25, False, 200)
    """

    def __init__(
        self, steps: int | None, seconds: float | None, patience: int | None, save_every: float, group: ProcessGroup
    ) -> None:
        self.steps, self.seconds, self.patience, self.save_every = steps, seconds, patience, save_every
        self.group = group
        self.progress = Progress()
        self.save_is_due = False
        self._begun = self._saved = time.perf_counter()

    def tick(self) -> None:
        """Read the clock."""
        now = time.perf_counter()
        due = float(now - self._saved >= self.save_every)
        self.progress.seconds, due = self.group.broadcast([now - self._begun, due])
        self.save_is_due = bool(due)

    def saved(self) -> None:
        """Count the seconds to the next checkpoint from now."""
        self._saved = time.perf_counter()

    def restore(self, progress: Progress) -> None:
        """Continue from where a checkpoint was written."""
        self.progress = progress
        self._begun = time.perf_counter() - progress.seconds

    def record_validation(self, figure: float, tolerance: float = 0.0) -> bool:
        """Whether a validation's figure is lower than the best so far by more than `tolerance`."""
        better = figure < self.progress.best - tolerance
        self.progress.since = 0 if better else self.progress.since + 1
        self.progress.best = figure if better else self.progress.best
        return better

    @property
    def spent(self) -> float:
        """The share of the budget that is spent, in [0, 1]; 1 from the start where no steps are allowed."""
        spent = 0.0
        if self.steps is not None:
            spent = self.progress.step / self.steps if self.steps else 1.0
        if self.seconds is not None:
            spent = max(spent, self.progress.seconds / self.seconds)
        return min(1.0, spent)

    @property
    def over(self) -> bool:
        """Whether the budget is spent, or valid has not improved for `patience` validations."""
        return self.spent == 1 or (self.patience is not None and self.progress.since >= self.patience)

    @property
    def total(self) -> int:
        """The run's last step; estimated from its pace where seconds may end it first."""
        if self.seconds is None:
            return self.steps or 1
        if self.spent == 0:
            return UNKNOWN_STEPS
        return max(self.progress.step + 1, round(self.progress.step / self.spent))
