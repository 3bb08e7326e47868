"""Numbers that move with the step: int -> float."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gentext import checks

log = logging.getLogger("gentext")


@runtime_checkable
class Schedule(Protocol):
    """A number that depends on the step. `total` is the run's last step, so an end value is always reached."""

    def __call__(self, step: int, total: int) -> float: ...


@dataclass(frozen=True)
class Constant:
    """The same value at every step.

    >>> Constant(0.4)(step=7, total=10)
    0.4
    """

    value: float

    def __call__(self, step: int, total: int) -> float:
        return self.value


@dataclass(frozen=True)
class Linear:
    """From `start` to `end` over the share `until` of the run, then `end`.

    >>> anneal = Linear(0.0, 1.0, until=0.5)
    >>> [anneal(step, total=8) for step in (0, 2, 4, 8)]
    [0.0, 0.5, 1.0, 1.0]
    """

    start: float
    end: float
    until: float = 1.0

    def __post_init__(self) -> None:
        _fits(self)

    def __call__(self, step: int, total: int) -> float:
        return self.start + (self.end - self.start) * _progress(step, total * self.until)


@dataclass(frozen=True)
class Exponential:
    """From `start` to `end` by a constant factor a step over the share `until` of the run, then `end`.

    >>> temperature = Exponential(1.0, 0.01)
    >>> [round(temperature(step, total=4), 3) for step in (0, 2, 4)]
    [1.0, 0.1, 0.01]
    """

    start: float
    end: float
    until: float = 1.0

    def __post_init__(self) -> None:
        checks.finite(start=self.start, end=self.end)
        if not self.start * self.end > 0:
            raise checks.ArgumentError(
                "start", f"is {self.start:g} and end is {self.end:g}; both need to be of the same sign"
            )
        _fits(self)

    def __call__(self, step: int, total: int) -> float:
        return self.start * (self.end / self.start) ** _progress(step, total * self.until)


@dataclass(frozen=True)
class Cyclical:
    """`cycles` ramps from `start` to `end`, each rising over the share `ramp` of its cycle.

    Source: Fu et al. 2019, equation 6.

    >>> weight = Cyclical(0.0, 1.0, cycles=2, ramp=0.5)
    >>> [weight(step, total=8) for step in range(9)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 1.0]
    """

    start: float
    end: float
    cycles: int = 4
    ramp: float = 0.5

    def __post_init__(self) -> None:
        checks.finite(start=self.start, end=self.end)
        checks.at_least(1, cycles=self.cycles)
        checks.positive(ramp=self.ramp)
        checks.between(0, 1, ramp=self.ramp)

    def __call__(self, step: int, total: int) -> float:
        length = max(total, 1) / self.cycles
        phase = math.fmod(step, length) / length if step < total else 1.0
        return self.start + (self.end - self.start) * min(phase / self.ramp, 1.0)


def _fits(schedule: Linear | Exponential) -> None:
    checks.finite(start=schedule.start, end=schedule.end)
    checks.positive(until=schedule.until)
    if schedule.until > 1:
        log.warning(
            "a schedule from %g to %g is longer than the run: at its end it stands at %.3g, and would reach %g after "
            "%g times as many steps. Give until=1 or less to reach it",
            *(schedule.start, schedule.end, schedule(1000, 1000), schedule.end, schedule.until),
        )


def _progress(step: int, total: float) -> float:
    return 1.0 if step >= total else step / total
