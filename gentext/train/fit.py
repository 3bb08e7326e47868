"""The training loop, one for all trainers: steps, reports, validations, checkpoints, Ctrl-C."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from gentext.train.base import TrainState
from gentext.train.checkpoint import Checkpoint, finish, restore, save

log = logging.getLogger("gentext")
SHOWN = {"train/nll": "nll", "valid/nll": "valid", "tokens_per_second": "tokens/s", "flops_per_second": "GFLOP/s"}


def fit(state: TrainState) -> None:
    """Train to the end of the budget, from the checkpoint where the monitor asks to resume and there is one.

    The weights that were best on valid are left. Ctrl-C ends it after the step, with a checkpoint of that step, as a
    KeyboardInterrupt; a second Ctrl-C does not wait.
    """
    restored = state.monitor.resume and restore(state)
    if not state.monitor.resume and state.group.leads:
        Checkpoint(state.monitor.folder / "checkpoint").clear()
    options, budget = state.options, state.budget
    with _bar(state) as advance, _deferred_interrupt() as interrupted:
        budget.tick()
        if not restored and state.validates_first:
            _book(state)
            save(state, best=state.validate()[1])
        while not budget.over:
            state.update()
            budget.tick()
            shown: dict[str, float] = {}
            last = budget.spent == 1
            if budget.progress.step % options.log_every == 0 or last:
                shown |= state.report()
            if budget.progress.step % state.valid_every == 0 or last:
                _book(state)
                shown["valid/nll"], better = state.validate()
                save(state, best=better)
            elif budget.save_is_due or interrupted():
                save(state)
            advance(shown)
            if interrupted():
                raise KeyboardInterrupt
    finish(state)
    _book(state)


def _book(state: TrainState) -> None:
    done = state.budget.progress  # of a checkpoint, where a killed process had come so far
    state.monitor.book(done.step, done.seconds, done.tokens, done.core_seconds, state.budget.flops)


@contextmanager
def _bar(state: TrainState) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A progress bar over the steps, or over what bounds these, seconds or a track; it is given figures to show."""
    if state.long_steps:  # a terminal shows one bar at a time
        yield lambda values: None
        return
    budget = state.budget
    timed = budget.steps is None and budget.seconds is not None
    unit, total = ("seconds", budget.seconds) if timed else ("steps", budget.steps)
    if budget.allowance is not None:
        unit, total = "share of the track's allowance", 1.0
    with state.monitor.progress(float(total or 0), "training", unit) as shown:
        done, figures = 0.0, {}

        def advance(values: Mapping[str, float]) -> None:
            nonlocal done
            figures.update({name: _readable(key, values[key]) for key, name in SHOWN.items() if key in values})
            at = budget.progress.seconds if timed else float(budget.progress.step)
            at = at if budget.allowance is None else budget.spent
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
    """A function that says whether Ctrl-C was pressed: inside, it waits for the step to end; the second does not."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there can it be caught
        yield asked.is_set
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        log.info("interrupted: ends when this step is done and saved; Ctrl-C again ends it now, without this step")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
