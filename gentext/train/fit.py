"""One sitting of a training: from its checkpoint to its end, or to Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from gentext.train.base import TrainState
from gentext.train.resume import checkpoint, finish, restore, save

SHOWN = {"train/nll": "nll", "valid/nll": "valid", "tokens_per_second": "tokens/s", "flops_per_second": "GFLOP/s"}


def fit(training: TrainState) -> None:
    """Go through with a training that is set up, from its checkpoint where the monitor says so.

    Ctrl-C ends it after the step, with a checkpoint of it, as a KeyboardInterrupt.
    """
    restored = training.monitor.resume and restore(training)
    if not training.monitor.resume and training.group.leads:
        checkpoint(training).clear()
    loop, course = training.loop, training.course
    with _bar(training) as advance, _deferred_interrupt() as interrupted:
        course.tick()
        if not restored and training.judged_first:
            save(training, best=training.validate()[1])
        while not course.over:
            training.update()
            course.tick()
            shown: dict[str, float] = {}
            last = course.progress == 1
            if course.place.step % loop.log_every == 0 or last:
                shown |= training.report()
            if course.place.step % loop.valid_every == 0 or last:
                shown["valid/nll"], better = training.validate()
                save(training, best=better)
            elif course.save_is_due or interrupted():
                save(training)
            advance(shown)
            if interrupted():
                raise KeyboardInterrupt
    finish(training)


@contextmanager
def _bar(training: TrainState) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A progress bar over the steps, or over the seconds where only they are bounded; it is given figures to show."""
    course = training.course
    timed = course.steps is None
    total = float(course.seconds if timed else course.steps)
    with training.monitor.progress(total, "training", "seconds" if timed else "steps") as shown:
        done, figures = 0.0, {}

        def advance(values: Mapping[str, float]) -> None:
            nonlocal done
            figures.update({name: _readable(key, values[key]) for key, name in SHOWN.items() if key in values})
            at = course.place.seconds if timed else float(course.place.step)
            shown.update(at - done, **figures)
            done = at

        advance({})
        yield advance


def _readable(key: str, value: float) -> str:
    if key == "flops_per_second":
        return f"{value / 1e9:.1f}"
    return f"{value:,.0f}" if key == "tokens_per_second" else f"{value:.4f}"


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Tells whether Ctrl-C was pressed: inside, it waits for the step to end. The second one does not wait."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can it be caught
        yield asked.is_set
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
