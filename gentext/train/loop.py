"""What every training loop is given and must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from gentext.seeding import Streams
from gentext.text.corpus import Corpus
from gentext.types import Batch, Family, Windowed


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

    def check(self, family: Family) -> None:
        """Raises: ValueError where the family lacks the capability that this loop needs; it says what to try."""
        ...

    def run(self, family: Family, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Train `family` in place, once it is checked."""
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


def in_order(
    corpus: Corpus, split: str, size: int, window: int, *, rows: int = 1, family: Family | None = None
) -> Iterator[Batch]:
    """A split once, in order: lines in batches of `size`; a stream in windows of `rows` rows with their state carried.

    A windowed family carries none: it reads a stream in sections, each after as many tokens again as its prompt.
    """
    if not corpus.stream:
        return corpus.batches(split, size)
    if isinstance(family, Windowed):
        half = max(1, family.context // 2)
        return corpus.sections(split, size, half, context=half)
    return corpus.windows(split, rows, window)
