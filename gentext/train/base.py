"""What every training loop is given and must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import nn

from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel
from gentext.seeding import Streams
from gentext.train.distributed import ProcessGroup
from gentext.train.ema import EMA
from gentext.train.loader import TrainLoader
from gentext.train.progress import Budget
from gentext.types import Batch

if TYPE_CHECKING:
    pass


@runtime_checkable
class ProgressBar(Protocol):
    """A progress bar."""

    def update(self, n: float = 1, **shown: float | str) -> None: ...


@runtime_checkable
class Monitor(Protocol):
    """Where a loop reports and keeps its checkpoints."""

    folder: Path
    resume: bool

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def progress(self, total: float | None, description: str, unit: str) -> AbstractContextManager[ProgressBar]: ...


@runtime_checkable
class Trainer(Protocol):
    """How parameters move: `em`, `gradient`, `adversarial`, or named stages of these."""

    def check(self, family: LanguageModel) -> None:
        """Raises: ValueError where the family lacks the capability that this loop needs; it says what to try."""
        ...

    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Train `family` in place, once it is checked."""
        ...


@runtime_checkable
class TrainState(Protocol):
    """A training that is set up: what `fit` drives, and what a checkpoint saves."""

    loop: Any  # the trainer's options
    family: nn.Module
    shell: nn.Module  # has the whole weights when they are saved, sharded or not
    device: torch.device
    group: ProcessGroup
    monitor: Monitor
    course: Budget
    feed: TrainLoader
    optimizers: list[torch.optim.Optimizer]
    average: EMA
    streams: Streams

    @property
    def judged_first(self) -> bool:
        """Whether the weights that it begins with may be the best."""
        ...

    def update(self) -> None: ...

    def report(self) -> dict[str, float]: ...

    def validate(self) -> tuple[float, bool]: ...


@dataclass
class NullMonitor:
    """A Monitor that shows nothing: for use from Python, and in tests."""

    folder: Path
    resume: bool = False

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    @contextmanager
    def progress(self, total: float | None, description: str, unit: str) -> Iterator[ProgressBar]:
        yield _Nothing()


class _Nothing:
    def update(self, n: float = 1, **shown: float | str) -> None:
        pass


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
    """Training cannot go on; the text says at which step, why, and what to try."""
