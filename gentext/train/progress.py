"""How far a run has come in what it is allowed, and the clock that says so."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from gentext.train.distributed import ProcessGroup

FAR = 10**9  # the last step of a run whose pace is not known yet: its schedules are at their beginning


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0  # earlier sittings included
    best: float = math.inf  # the figure that decides which weights are kept; lower is better
    since: int = 0  # validations since the best one
    sums: dict[str, float] = field(default_factory=dict)  # over the steps since the last report
    information: float | None = 0.0  # the most seen on valid while an encoder is trained ahead; None: no longer


class Budget:
    """A run's place, and what is left of its budgets: steps, seconds, validations without an improvement.

    save_every: seconds between two checkpoints.
    """

    def __init__(
        self, steps: int | None, seconds: float | None, patience: int | None, save_every: float, group: ProcessGroup
    ) -> None:
        self.steps, self.seconds, self.patience, self.save_every = steps, seconds, patience, save_every
        self.group = group
        self.place = Progress()
        self.save_is_due = False
        self._begun = self._saved = time.perf_counter()

    def tick(self) -> None:
        """Look at the clock, which is the leading process's for all."""
        now = time.perf_counter()
        due = float(now - self._saved >= self.save_every)
        self.place.seconds, due = self.group.lead([now - self._begun, due])
        self.save_is_due = bool(due)

    def saved(self) -> None:
        """A checkpoint was written just now."""
        self._saved = time.perf_counter()

    def go_on_from(self, place: Progress) -> None:
        self.place = place
        self._begun = time.perf_counter() - place.seconds

    def judge(self, figure: float, tolerance: float = 0.0) -> bool:
        """Whether a validation's figure is the best so far, by `tolerance` at least."""
        better = figure < self.place.best - tolerance
        self.place.since = 0 if better else self.place.since + 1
        self.place.best = figure if better else self.place.best
        return better

    @property
    def progress(self) -> float:
        """The share of the budget that is spent, in [0, 1]; of no steps at all it is spent from the start."""
        spent = 0.0
        if self.steps is not None:
            spent = self.place.step / self.steps if self.steps else 1.0
        if self.seconds is not None:
            spent = max(spent, self.place.seconds / self.seconds)
        return min(1.0, spent)

    @property
    def over(self) -> bool:
        """Whether the budget is spent, or valid has not improved for as long as the patience."""
        return self.progress == 1 or (self.patience is not None and self.place.since >= self.patience)

    @property
    def total(self) -> int:
        """The run's last step, or what it looks like being where seconds may end it first."""
        if self.seconds is None:
            return self.steps or 1
        if self.progress == 0:
            return FAR
        return max(self.place.step + 1, round(self.place.step / self.progress))
