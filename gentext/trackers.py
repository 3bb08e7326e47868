"""Where a run's figures are mirrored while it goes on: a JSONL file, the console, Weights & Biases."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args, runtime_checkable

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from safetensors.torch import save_model

from gentext.files import atomic, read_json, to_json, write_json
from gentext.language_model import LanguageModel
from gentext.results.run_folder import KEPT_WEIGHTS, TEXTS

SPENT, COUNTED = "spent.json", ("round", "collapsed")  # where a game stands: the round that it keeps, and how

log = logging.getLogger("gentext")
console = Console(stderr=True)


@runtime_checkable
class Tracker(Protocol):
    """A mirror of a run's figures."""

    def open(self, folder: Path, config: Mapping[str, Any]) -> None: ...

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Pruned(ValueError):
    """A tracker ends its run, which is not worth going on with; the text says why."""


class Jsonl:
    """Appends each set of figures as a line of `log.jsonl` in the run's folder; curves are drawn from it.

    Example:
        >>> import tempfile
        >>> tracker, folder = Jsonl(), Path(tempfile.mkdtemp())
        >>> tracker.open(folder, {})
        >>> tracker.log(3, {"train/nll": 2.5})
        >>> tracker.close()
        >>> '"train/nll": 2.5' in (folder / "log.jsonl").read_text()
        True
    """

    def open(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.file = (folder / "log.jsonl").open("a", encoding="utf-8", buffering=1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.file.write(to_json({"step": step, "time": time.time(), **values}) + "\n")

    def close(self) -> None:
        self.file.close()


Mode = Literal["online", "offline", "disabled"]  # of Weights & Biases


class Wandb:
    """Mirrors to Weights & Biases, one run per job (`mode` online, offline or disabled)."""

    def __init__(self, *, project: str = "gentext", mode: str = "offline", entity: str | None = None) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"tracker wandb has mode {mode!r}; it needs online, offline or disabled")
        self.project = project
        self.mode: Mode = cast(Mode, mode)
        self.entity = entity

    def open(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb  # half a second, and only for those who track with it

        self.run = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=str(folder),
            name=folder.name,
            config=dict(config),
            reinit="finish_previous",  # without it jobs of one sweep merge silently
            settings=wandb.Settings(silent=True),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({"step": step, **values})

    def close(self) -> None:
        self.run.finish()


class ConsoleLines:
    """Prints each validation as a line."""

    def open(self, folder: Path, config: Mapping[str, Any]) -> None:
        pass

    def log(self, step: int, values: Mapping[str, float]) -> None:
        shown = {key: value for key, value in values.items() if key.startswith("valid/")}
        if shown:
            log.info("step %s: %s", step, ", ".join(f"{key} {value:.4g}" for key, value in shown.items()))

    def close(self) -> None:
        pass


class RunMonitor:
    """The Monitor of a run: progress bars on a terminal, figures to every tracker, closed whatever happens.

    `spent` holds the seconds and tokens that the training has cost, at its last validation and at its end; and where a
    game stands, logged by this process or by one that was killed before it.
    Weights that are kept stand in folders of their own below `weights`, with what they had cost by then.
    """

    def __init__(
        self, folder: Path, trackers: Mapping[str, Tracker], *, resume: bool, config: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.resume = resume
        self.config = config
        self.trackers = trackers
        self._spent = folder / SPENT
        self.spent: dict[str, float] = read_json(self._spent) if resume and self._spent.exists() else {}

    def __enter__(self) -> RunMonitor:
        for tracker in self.trackers.values():
            tracker.open(self.folder, self.config)
        return self

    def __exit__(self, *exception: object) -> None:
        for tracker in self.trackers.values():
            tracker.close()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if game := {name: float(values[name]) for name in COUNTED if name in values}:
            self.spent |= game
            write_json(game, self._spent, digest=True)  # a run killed after its last validation logs no more
        for tracker in self.trackers.values():
            tracker.log(step, values)

    def texts(self, step: int, texts: Sequence[str]) -> None:
        with (self.folder / TEXTS).open("a", encoding="utf-8") as file:
            file.write(to_json({"step": step, "texts": list(texts)}) + "\n")

    def keep(self, weights: str, family: LanguageModel, step: int) -> None:
        folder = self.folder / KEPT_WEIGHTS / weights
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / "model.safetensors", durable=True) as path:
            save_model(family, str(path))
        cost = {
            "train_seconds": self.spent.get("seconds", 0.0),
            "train_tokens": self.spent.get("tokens", 0.0),
            "parameters": float(family.size()),
            "kept_round": float(step),
        }
        write_json(cost, folder / "trained.json", durable=True, digest=True)

    def progress(self, total: float | None, description: str, unit: str) -> AbstractContextManager[ProgressBar]:
        return bar(total, description, unit)

    def book(self, steps: int, seconds: float, tokens: int) -> None:
        self.spent |= {"seconds": float(seconds), "tokens": float(tokens)}


class ProgressBar:
    """A rich bar behind the small Bar protocol."""

    def __init__(self, progress: Progress, task: Any, unit: str) -> None:
        self._progress, self._task, self._unit = progress, task, unit

    def update(self, n: float = 1, **shown: float | str) -> None:
        text = " ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())
        fields: dict[str, Any] = {"shown": text} if shown else {}
        self._progress.update(self._task, advance=n, **fields)


@contextmanager
def bar(total: float | None, description: str, unit: str) -> Iterator[ProgressBar]:
    """A progress bar on standard error; silent where that is not a terminal."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        yield ProgressBar(progress, progress.add_task(description, total=total, shown=""), unit)


@contextmanager
def logging_to(folder: Path) -> Iterator[None]:
    """Log lines go to the console and to `log.txt` in the run's folder."""
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def show_log() -> None:
    """Log lines appear on standard error, warnings marked."""
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, RichHandler) for handler in log.handlers):
        log.addHandler(RichHandler(console=console, show_path=False, show_time=sys.stderr.isatty(), markup=False))
