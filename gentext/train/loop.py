"""What every training loop is given and must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from gentext.seeding import Streams
from gentext.text.corpus import Corpus
from gentext.types import Batch, Family


@runtime_checkable
class Bar(Protocol):
    """A progress bar."""

    def update(self, n: float = 1, **shown: float | str) -> None: ...


@runtime_checkable
class Monitor(Protocol):
    """Where a loop reports and keeps its checkpoints."""

    folder: Path
    resume: bool

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def progress(self, total: float | None, description: str, unit: str) -> AbstractContextManager[Bar]: ...


@runtime_checkable
class Loop(Protocol):
    """How parameters move: `em`, `gradient`, `adversarial`, or named stages of these."""

    def run(self, family: Family, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Train `family` in place. Raises ValueError where it lacks the capability that this loop needs."""
        ...


@dataclass
class Quiet:
    """A Monitor that shows nothing: for use from Python, and in tests."""

    folder: Path
    resume: bool = False

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    @contextmanager
    def progress(self, total: float | None, description: str, unit: str) -> Iterator[Bar]:
        yield _Nothing()


class _Nothing:
    def update(self, n: float = 1, **shown: float | str) -> None:
        pass


def in_order(corpus: Corpus, split: str, size: int, window: int) -> Iterator[Batch]:
    """A split once, in order: lines in batches of `size`, or a stream in windows of one row with its state carried."""
    return corpus.windows(split, 1, window) if corpus.stream else corpus.batches(split, size)
