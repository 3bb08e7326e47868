"""Where a run's figures are mirrored: a JSONL file, the console, Weights & Biases, TensorBoard, Trackio."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args, runtime_checkable

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

from gentext.checks import missing
from gentext.files import atomic, read_json, to_json, write_json
from gentext.results.record import Record, file_stem
from gentext.results.run_folder import KEPT_WEIGHTS, TEXTS

if TYPE_CHECKING:
    from gentext.language_model import LanguageModel

SPENT, COUNTED = "spent.json", ("round", "collapsed")  # where a game stands: the round that it keeps, and how

SWEEP = "GENTEXT_SWEEP"  # names the file in which the jobs of one sweep write how they ended
SAMPLES = 100  # texts of a decode setting that a tracker is given
PATIENCE = 30.0  # seconds that a service may take to be reached, and to take the rest
MODEL = ("config.yaml", "model.safetensors", "tokenizer.json", "tokenizer.rules.json")  # what gentext.load reads

log = logging.getLogger("gentext")
console = Console(stderr=True)


@runtime_checkable
class Tracker(Protocol):
    """A mirror of a run's figures. One that fails is left out with a warning; the run goes on."""

    def open(self, folder: Path, config: Mapping[str, Any]) -> None: ...

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


@runtime_checkable
class KeepsRecords(Protocol):
    """A tracker that is also given what a run ends with; one that is none has the figures logged at step 0."""

    def record(self, record: Record, texts: Sequence[str]) -> None:
        """Keep a decode setting's record and its samples."""
        ...


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
    """Mirrors to Weights & Biases, one run per job: curves, samples as tables, the record as summary.

    The jobs of a sweep are a group. Without a login or a network a run is kept offline, to be sent by `wandb sync`.

    Args:
        project: where it is filed.
        mode: online, offline or disabled.
        entity: a user or team; null: the login's own.
        artifacts: send the trained model too.

    Example:
        >>> Wandb(project="mine", mode="disabled").mode
        'disabled'
    """

    def __init__(
        self, *, project: str = "gentext", mode: str = "offline", entity: str | None = None, artifacts: bool = False
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"tracker wandb has mode {mode!r}; it needs online, offline or disabled")
        self.project, self.entity, self.artifacts = project, entity, artifacts
        self.mode: Mode = cast(Mode, mode)

    def open(self, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb  # half a second, and only for those who track with it

        self.folder = folder
        try:
            if self.mode == "online" and not wandb.login(prompt=False):
                raise ConnectionError("there is no login; `wandb login` makes one")
            self.run = self._init(self.mode, config)
        except Exception as error:  # whatever the network or the service does
            if self.mode != "online":
                raise
            log.warning("W&B is not reached (%s): this run is kept offline; send it by wandb sync %s", error, folder)
            self.run = self._init("offline", config)
        self.run.define_metric("*", step_metric="step")

    def _init(self, mode: Mode, config: Mapping[str, Any]) -> Any:
        import wandb

        return wandb.init(
            project=self.project,
            entity=self.entity,
            mode=mode,
            dir=str(self.folder),
            name=self.folder.name,
            group=sweep(),
            config=dict(config),
            reinit="finish_previous",  # without it jobs of one sweep merge silently
            settings=wandb.Settings(silent=True, init_timeout=PATIENCE, finish_timeout=PATIENCE),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log({"step": step, **values})

    def record(self, record: Record, texts: Sequence[str]) -> None:
        import wandb

        stem = file_stem(record.decode)
        self.run.log({f"samples/{stem}": wandb.Table(columns=["text"], data=[[text] for text in texts[:SAMPLES]])})
        self.run.summary.update(_figures(record))
        if self.artifacts:
            model = wandb.Artifact(self.folder.name, type="model")
            for path in sorted(self.folder.iterdir()):
                if path.name in MODEL:
                    model.add_file(str(path))
            self.run.log_artifact(model)

    def close(self) -> None:
        self.run.finish()


def _needs(package: str) -> None:
    """Raises: ValueError where a tracker's package is not installed; a service that fails later ends no run."""
    if find_spec(package) is None:
        raise ValueError(missing(f"tracker={package}", package, "trackers"))


class TensorBoard:
    """Writes event files for TensorBoard into `tensorboard/` of the run's folder."""

    def __init__(self) -> None:
        _needs("tensorboard")

    def open(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard"))
        self.writer.add_text("config", f"```\n{to_json(config, indent=1)}\n```")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def record(self, record: Record, texts: Sequence[str]) -> None:
        self.log(0, _figures(record))
        self.writer.add_text(
            f"samples/{file_stem(record.decode)}", "\n".join(f"    {text}" for text in texts[:SAMPLES])
        )

    def close(self) -> None:
        self.writer.close()


class Trackio:
    """Mirrors to Trackio's store on this machine, one run per job; the jobs of a sweep are a group."""

    def __init__(self, *, project: str = "gentext") -> None:
        _needs("trackio")
        self.project = project

    def open(self, folder: Path, config: Mapping[str, Any]) -> None:
        import trackio

        with redirect_stdout(io.StringIO()):  # it prints where its dashboard is
            self.run = trackio.init(
                project=self.project,
                name=folder.name,
                group=sweep(),
                config=dict(config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def record(self, record: Record, texts: Sequence[str]) -> None:
        import trackio

        rows = [[text] for text in texts[:SAMPLES]]
        table = trackio.Table(columns=["text"], data=rows)
        self.run.log({**_figures(record), f"samples/{file_stem(record.decode)}": table}, step=0)

    def close(self) -> None:
        with redirect_stdout(io.StringIO()):
            self.run.finish()


def _figures(record: Record) -> dict[str, float]:
    return {f"{file_stem(record.decode)}/{name}": value.value for name, value in record.values.items()}


def sweep() -> str | None:
    """The name of the sweep that this process runs a job of: of the same command it is the same; None of one run."""
    found = re.search("sweep-[0-9a-f]{8}", Path(os.environ.get(SWEEP, "")).name)
    return found[0] if found else None


class ConsoleLines:
    """Prints each validation as a line.

    Example:
        >>> tracker = ConsoleLines()
        >>> tracker.open(Path("run"), {})
        >>> tracker.log(3, {"valid/nll": 2.5, "train/nll": 2.4})  # logs: step 3: valid/nll 2.5
        >>> tracker.close()
    """

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

    `log.jsonl` is always written, for the report draws from it. A tracker that fails is left out from there on.
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
        written = any(isinstance(tracker, Jsonl) for tracker in trackers.values())
        self.trackers: dict[str, Tracker] = {**({} if written else {"jsonl": Jsonl()}), **trackers}
        self._spent = folder / SPENT
        self.spent: dict[str, float] = read_json(self._spent) if resume and self._spent.exists() else {}

    def __enter__(self) -> RunMonitor:
        self._all(lambda tracker: tracker.open(self.folder, self.config))
        return self

    def __exit__(self, *exception: object) -> None:
        self._all(lambda tracker: tracker.close())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if game := {name: float(values[name]) for name in COUNTED if name in values}:
            self.spent |= game
            write_json(game, self._spent, digest=True)  # a run killed after its last validation logs no more
        self._all(lambda tracker: tracker.log(step, values))

    def record(self, record: Record, texts: Sequence[str]) -> None:
        """Give a decode setting's record and samples to every tracker."""
        self._all(
            lambda tracker: (
                tracker.record(record, texts) if isinstance(tracker, KeepsRecords) else tracker.log(0, _figures(record))
            )
        )

    def _all(self, act: Callable[[Any], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                act(tracker)
            except Pruned:
                raise
            except Exception as error:  # whatever a service, its client or a network does
                if isinstance(tracker, Jsonl):
                    raise
                log.warning("tracker %s fails and is left out from here on: %s: %s", name, type(error).__name__, error)
                del self.trackers[name]
                with suppress(Exception):
                    tracker.close()

    def texts(self, step: int, texts: Sequence[str]) -> None:
        with (self.folder / TEXTS).open("a", encoding="utf-8") as file:
            file.write(to_json({"step": step, "texts": list(texts)}) + "\n")

    def keep(self, weights: str, family: LanguageModel, step: int) -> None:
        from safetensors.torch import save_model  # torch, which a command that trains nothing does without

        folder = self.folder / KEPT_WEIGHTS / weights
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / "model.safetensors", durable=True) as path:
            save_model(family, str(path))
        cost = {
            "train_seconds": self.spent.get("seconds", 0.0),
            "train_core_seconds": self.spent.get("core_seconds", 0.0),
            "train_tokens": self.spent.get("tokens", 0.0),
            "parameters": float(family.size()),
            "kept_round": float(step),
        }
        write_json(cost, folder / "trained.json", durable=True, digest=True)

    def progress(self, total: float | None, description: str, unit: str) -> AbstractContextManager[ProgressBar]:
        return bar(total, description, unit)

    def book(self, steps: int, seconds: float, tokens: int, core_seconds: float, flops: float) -> None:
        self.spent |= {"seconds": seconds, "tokens": float(tokens), "core_seconds": core_seconds, "flops": flops}


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
