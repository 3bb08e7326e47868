"""How far a run is, what it is allowed, and the clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gentext.checks import positive
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
    core_seconds: float = 0.0  # of processor time of all threads and processes; on a GPU as `seconds`
    best: float = math.inf  # the figure of the weights that are kept, such as nats a token on valid; lower is better
    since: int = 0  # validations since the best one
    before: float = 0.0  # share of the budget that was spent before the first step, such as on a validation
    sums: dict[str, float] = field(default_factory=dict)  # figures, summed over the steps since the last report
    information: float | None = 0.0  # nats, the most seen on valid while an encoder is trained alone; None: no longer


@dataclass(frozen=True)
class Track:
    """What every family is given alike: `track=time`, `flops` or `parameters`. Of the three one is given.

    core_seconds: processor time of training, in place of a trainer's own steps, epochs and seconds; a busy machine does
      not shorten it, and two cores at work spend two in a second. On a GPU seconds of its clock.
    flops: floating-point operations of training, a backward pass counted as two forward passes.
    parameters: of the family, whose width or number of states follows from it.

    >>> Track(core_seconds=120.0) * 0.5
    Track(core_seconds=60.0, flops=None, parameters=None)
    """

    core_seconds: float | None = None
    flops: float | None = None
    parameters: int | None = None

    def __post_init__(self) -> None:
        given = {"core_seconds": self.core_seconds, "flops": self.flops, "parameters": self.parameters}
        positive(**given)
        if sum(most is not None for most in given.values()) != 1:
            raise ValueError("a track is of core_seconds, flops or parameters, one of them; for example track=time")

    @property
    def of_training(self) -> bool:
        """Whether it is an allowance of training."""
        return self.parameters is None

    def __mul__(self, share: float) -> Track:
        """A share of it, for one stage of several."""
        core_seconds, flops = (None if most is None else most * share for most in (self.core_seconds, self.flops))
        return replace(self, core_seconds=core_seconds, flops=flops)

    def after(self, core_seconds: float, flops: float) -> Track:
        """What is left of it when so much is spent: a moment, or an operation, at least."""
        if self.core_seconds is not None:
            return Track(core_seconds=max(1e-3, self.core_seconds - core_seconds))
        return self if self.flops is None else Track(flops=max(1.0, self.flops - flops))


class Budget:
    """What a run may spend of steps, seconds and validations without an improvement, and how much of that is spent.

    Args:
        steps, seconds, patience: the limits; None for none. One of steps and seconds must be given.
        save_every: seconds between two checkpoints.
        group: the processes that train together; the clock of the leading one decides for all.
        allowance: in place of steps and seconds; None: these hold.
        flops: how many floating-point operations a forward pass over so many tokens is; None: nobody counts.
        timed: whether a processor does the work, whose time is measured; else the clock is.

    >>> budget = Budget(200, None, None, 60.0, ProcessGroup())
    >>> budget.progress.step = 50
    >>> budget.spent, budget.over, budget.total
    (0.25, False, 200)
    """

    def __init__(
        self,
        steps: int | None,
        seconds: float | None,
        patience: int | None,
        save_every: float,
        group: ProcessGroup,
        *,
        allowance: Track | None = None,
        flops: Callable[[int], float] | None = None,
        timed: bool = True,
    ) -> None:
        if steps == 0:  # nothing is to be trained, whatever is allowed
            allowance = None
        self.steps, self.seconds = (steps, seconds) if allowance is None else (None, None)
        self.patience, self.save_every, self.group = patience, save_every, group
        self.allowance, self._flops = allowance, flops
        self.progress = Progress()
        self.save_is_due = False
        self._core_clock = time.process_time if timed else time.perf_counter
        self._begun = self._saved = time.perf_counter()
        self._core_begun = self._core_clock()

    def tick(self) -> None:
        """Read the clocks."""
        now = time.perf_counter()
        core_seconds = (self._core_clock() - self._core_begun) * self.group.world
        due = float(now - self._saved >= self.save_every)
        values = self.group.broadcast([now - self._begun, core_seconds, due])
        self.progress.seconds, self.progress.core_seconds, due = values
        self.save_is_due = bool(due)
        if self.progress.step == 0:
            self.progress.before = self.spent

    def saved(self) -> None:
        """Count the seconds to the next checkpoint from now."""
        self._saved = time.perf_counter()

    def restore(self, progress: Progress) -> None:
        """Continue from where a checkpoint was written."""
        self.progress = progress
        self._begun = time.perf_counter() - progress.seconds
        self._core_begun = self._core_clock() - progress.core_seconds / self.group.world

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
        if self.allowance is not None:
            spent = self._spent_of(self.allowance)
        return min(1.0, spent)

    def _spent_of(self, allowance: Track) -> float:
        if allowance.core_seconds is not None:
            return self.progress.core_seconds / allowance.core_seconds
        assert allowance.flops is not None  # one of the two is given
        return self.flops / allowance.flops

    @property
    def flops(self) -> float:
        """Floating-point operations so far, a backward pass counted as two forward passes; NaN where nobody counts."""
        return math.nan if self._flops is None else 3 * self._flops(self.progress.tokens)

    @property
    def over(self) -> bool:
        """Whether the budget is spent, or valid has not improved for `patience` validations."""
        return self.spent == 1 or (self.patience is not None and self.progress.since >= self.patience)

    @property
    def total(self) -> int:
        """The run's last step; estimated from its pace where seconds may end it first."""
        if self.seconds is None and self.allowance is None:
            return self.steps or 1
        step, spent = self.progress.step, self.spent
        if step == 0:  # though the clock has ticked: the first step must not be taken for the last
            return UNKNOWN_STEPS
        pace = max(spent - self.progress.before, 1e-9) / step
        return step + max(1, round((1 - spent) / pace))
