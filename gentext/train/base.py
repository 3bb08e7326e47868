"""What every trainer is given and must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel
from gentext.seeding import Streams
from gentext.train.distributed import ProcessGroup
from gentext.train.ema import EMA
from gentext.train.loader import TrainLoader
from gentext.train.progress import Budget, Track
from gentext.types import Batch


@runtime_checkable
class ProgressBar(Protocol):
    """A progress bar."""

    def update(self, n: float = 1, **shown: float | str) -> None:
        """Move it by `n` of its unit, and show some figures beside it."""
        ...


@runtime_checkable
class Monitor(Protocol):
    """Where a trainer reports its figures and keeps its checkpoints."""

    folder: Path
    resume: bool  # continue from the folder's checkpoint, where there is one

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record figures by name."""
        ...

    def texts(self, step: int, texts: Sequence[str]) -> None:
        """Record texts that the model in training generates: drawn with the same noise at every step."""
        ...

    def keep(self, weights: str, family: LanguageModel, step: int) -> None:
        """Store the weights that `family` has now under a name, such as `warmup`: they are judged in rows of their own.

        step: of the training that follows or goes on, 0 before it; what the row says of when its weights were reached.
        """
        ...

    def progress(self, total: float | None, description: str, unit: str) -> AbstractContextManager[ProgressBar]:
        """Show a progress bar while the context lasts."""
        ...

    def book(self, steps: int, seconds: float, tokens: int, core_seconds: float, flops: float) -> None:
        """Note what the training has cost, before each validation and at its end; what a resumed one did included."""
        ...


@runtime_checkable
class Trainer(Protocol):
    """How parameters move: `em`, `gradient`, `adversarial`, or named stages of these."""

    key: str  # the configuration key under which it lies, for messages: train, or train.warmup in stages
    allowance: Track | None  # of a track, in place of its own steps, epochs and seconds; None: these hold

    def check(self, family: LanguageModel, corpus: Corpus) -> None:
        """Refuse what cannot be trained so, before any work.

        Raises:
            ValueError: the family lacks a capability, or the corpus is of the wrong kind; the message says what to try.
        """
        ...

    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Train `family` in place."""
        ...


@runtime_checkable
class FitOptions(Protocol):
    """What the loop asks of a trainer's options, in steps."""

    log_every: int


@runtime_checkable
class TrainState(Protocol):
    """A training under way: what `fit` drives, and what a checkpoint saves."""

    @property
    def options(self) -> FitOptions: ...

    @property
    def family(self) -> nn.Module: ...

    @property
    def shell(self) -> nn.Module:
        """What has the whole weights when they are saved, sharded or not."""
        ...

    @property
    def loader(self) -> TrainLoader | None:
        """None: each step reads the whole split."""
        ...

    device: torch.device
    group: ProcessGroup
    monitor: Monitor
    budget: Budget
    optimizers: list[torch.optim.Optimizer]
    ema: EMA
    streams: Streams
    valid_every: int  # steps
    long_steps: bool  # each step shows a progress bar of its own

    @property
    def validates_first(self) -> bool:
        """Whether the weights that it begins with may be the best."""
        ...

    def update(self) -> None:
        """Take one step."""
        ...

    def report(self) -> dict[str, float]:
        """Log and return the mean figures of the steps since the last report."""
        ...

    def validate(self) -> tuple[float, bool]:
        """Nats per token on valid, and whether these weights are the best so far."""
        ...


@dataclass
class NullMonitor:
    """A Monitor that shows nothing and keeps no weights: for use from Python, and in tests."""

    folder: Path
    resume: bool = False

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def texts(self, step: int, texts: Sequence[str]) -> None:
        pass

    def keep(self, weights: str, family: LanguageModel, step: int) -> None:
        pass

    @contextmanager
    def progress(self, total: float | None, description: str, unit: str) -> Iterator[ProgressBar]:
        yield _NullBar()

    def book(self, steps: int, seconds: float, tokens: int, core_seconds: float, flops: float) -> None:
        pass


class _NullBar:
    def update(self, n: float = 1, **shown: float | str) -> None:
        pass


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Inside, numbers below 1e-38 count as zero on a CPU, in this thread and in those that it begins.

    A product of matrices of such numbers, as a sure model's gradients are, takes a hundred times as long as another.
    """
    were_zero = not bool(torch.full((1,), 1e-39).mul(0.5))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(were_zero)


def device_of(module: nn.Module) -> torch.device:
    """Where a module's parameters and buffers lie; the CPU where it has none."""
    return next(chain(module.parameters(), module.buffers()), torch.empty(0)).device


def in_order(
    corpus: Corpus, split: str, size: int, window: int, *, rows: int = 1, family: LanguageModel | None = None
) -> Iterator[Batch]:
    """A split once, in order: lines in batches of `size`; a stream in windows of `rows` rows with their state carried.

    A windowed family carries none: it reads a stream in sections, each after as many tokens again as its prompt.
    """
    if not corpus.stream:
        return corpus.batches(split, size)
    if family is not None and family.context is not None:
        half = max(1, family.context // 2)
        return corpus.sections(split, size, half, context=half)
    return corpus.windows(split, rows, window)


class TrainingError(ValueError):
    """Training cannot continue; the text says at which step, why, and what to try."""
