"""A search for the settings that are best on valid: its trials lie in a journal that processes share."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import random
import re
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from gentext import __version__, config
from gentext.checks import missing
from gentext.files import write_json, write_text
from gentext.panels import Table
from gentext.results.columns import COLUMNS, TARGETS, column, known
from gentext.results.record import Record
from gentext.seeding import Streams
from gentext.trackers import Pruned

TRIAL = "GENTEXT_TRIAL"  # names, to the process that runs a trial, the search's folder and the trial's number
JOURNAL, NAME, CURVE = "journal.log", "search", "valid/nll"
REPEATS = 20  # proposals to a trial, where nearly all values are tried
FEW = 10_000  # values in all, of which those that were not tried can be listed
TOKENS = ("data", "lowercase", "max_len", "tokenizer")  # what decides what a token is, and so nats of one
NO_MATTER = (
    "out",
    "resume",
    "device",
    "processes",
    "tracker",
    "title",
    "show_samples",
    "name",
)  # of the root: not to a figure


@dataclass(frozen=True)
class Objective:
    """A figure of the record and what is best of it.

    Example:
        >>> Objective.parse("bits_per_char").loss(1.5), Objective.parse("selfbleu4:0.5").loss(0.25)
        (1.5, 0.25)
    """

    figure: str
    aim: str | float  # min, max, or the value that is best

    @classmethod
    def parse(cls, words: str) -> Objective:
        """Of `bits_per_char`, `bleu4:max` or `selfbleu4:0.3`. Raises: ValueError where it says no end that is best."""
        name, given, aim = words.partition(":")
        about = column(name)
        if not given:
            target = about.axis if about.cost else about.target
            if target not in ("higher", "lower"):
                raise ValueError(
                    f"what is best of {name} is not said ({TARGETS[about.target]}); write {name}:min, {name}:max, or "
                    f"the value to come near to, such as {name}:0.3"
                )
            return cls(name, "max" if target == "higher" else "min")
        if aim in ("min", "max"):
            return cls(name, aim)
        best = _number(aim)
        if best is None or not math.isfinite(best):
            raise ValueError(f"{words}: {aim!r} is neither min nor max nor a finite number")
        return cls(name, best)

    def value(self, record: Record) -> float:
        """The figure of a record. Raises: ValueError where it could not be computed, KeyError where there is none."""
        if self.figure in record.absent:
            raise ValueError(f"{self.figure} could not be computed: {record.absent[self.figure]}")
        figures = {name: value.value for name, value in record.values.items()} | record.efficiency | {**record.cost}
        if self.figure not in figures:
            raise KeyError(f"no record holds {self.figure}. {known(figures, self.figure)}")
        return figures[self.figure]

    def loss(self, value: float) -> float:
        """What is minimised."""
        return value if self.aim == "min" else -value if self.aim == "max" else abs(value - float(self.aim))


def check_figures(figures: Sequence[str], cfg: DictConfig) -> None:
    """Refuse figures that no record will hold, as far as that is known before one is written.

    A metric of the user's own may give any figure.

    Raises: ValueError with the names that are near, and as `Objective.parse` does.
    """
    own = any(not str(node.get("_target_")).startswith("gentext.") for node in cfg.eval.metrics.values())
    for figure in figures:
        name = Objective.parse(figure).figure
        if not own and not column(name.partition("/")[0]).source:
            raise ValueError(f"gentext defines no figure {name}. {known(COLUMNS, name)}")


@dataclass(frozen=True)
class Dimension:
    """A key that is searched, with what its values may be."""

    key: str
    distribution: Any  # of Optuna
    values: tuple[str, ...] = ()  # of numbers in order, which the distribution counts; else empty

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.values:
            return len(self.values)
        choices = getattr(self.distribution, "choices", None)
        return math.inf if choices is None else len(choices)

    def override(self, drawn: Any) -> str:
        """`key=value` of what was drawn; a float has four digits."""
        if self.values:
            drawn = self.values[drawn]
        return f"{self.key}={drawn:.4g}" if isinstance(drawn, float) else f"{self.key}={drawn}"


@dataclass(frozen=True)
class Trial:
    """A trial that is to be run: its number in the search, and what it sets."""

    number: int
    overrides: tuple[str, ...]


def plan(overrides: Sequence[str]) -> tuple[list[str], list[Dimension]]:
    """The overrides that every trial shares, and the dimensions of the rest. Of a key that stands twice, the last.

    A search reads valid alone: `eval.split=valid` is among the shared ones. Raises: ValueError for another split, and
    where nothing is searched.

    Example:
        >>> shared, space = plan(["family=lstm", "family.width=32,64,128", "train.lr=tag(log, interval(1e-4, 1e-2))"])
        >>> shared, [dimension.key for dimension in space], space[0].override(2)
        (['family=lstm', 'eval.split=valid'], ['family.width', 'train.lr'], 'family.width=128')
    """
    last = {override.get_key_element().lstrip("+~"): override for override in config.parsed(overrides)}
    if (split := last.pop("eval.split", None)) is not None and split.value() != "valid":
        raise ValueError(f"{split.input_line}: a search chooses on valid, and test stays unseen; leave eval.split out")
    space = [_dimension(override) for override in last.values() if override.is_sweep_override()]
    shared = [override.input_line or "" for override in last.values() if not override.is_sweep_override()]
    if not space:
        raise ValueError(
            "nothing is searched; give some keys several values, such as family.width=64,128,256 or "
            "'train.lr=tag(log, interval(1e-4, 1e-2))', or search=NAME"
        )
    return [*shared, "eval.split=valid"], space


def _dimension(override: Any) -> Dimension:
    optuna = _optuna()
    key, sweep = override.get_key_element(), override.value()
    log = "log" in getattr(sweep, "tags", ())
    if not override.is_discrete_sweep():
        whole = isinstance(sweep.start, int)
        kind = optuna.distributions.IntDistribution if whole else optuna.distributions.FloatDistribution
        try:
            return Dimension(key, kind(sweep.start, sweep.end, log=log))
        except ValueError as error:
            raise ValueError(f"{override.input_line} cannot be searched: {error}") from error
    names = config.discrete(override)
    numbers = [_number(name) for name in names]
    if None not in numbers and numbers == sorted(number for number in numbers if number is not None):
        return Dimension(key, optuna.distributions.IntDistribution(0, len(names) - 1), tuple(names))
    return Dimension(key, optuna.distributions.CategoricalDistribution(names))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _root(word: str) -> str:
    """What an override is of, such as `data` of `+data.words=treebank` or of `data@mine=coco`."""
    return re.split(r"[.@=]", word.lstrip("+~"), maxsplit=1)[0]


def folder_of(cfg: DictConfig, family: str, overrides: Sequence[str], figures: Sequence[str]) -> Path:
    """Where the journal of a search lies, under its `out`: the same search always has the same folder."""
    shared = [word for word in overrides if _root(word) not in NO_MATTER]
    return Path(cfg.out) / f"search-{family}-{config.fingerprint([sorted(shared), sorted(figures), __version__])}"


class Search:
    """A study of Optuna's in a file that processes may share: `ask` for trials, run them, `tell` how they ended.

    A process that asks holds a lock on each of its trials until it tells. A trial whose process was killed is thereby
    known, and is given to the next one that asks; its run goes on from its checkpoint.

    Args:
        folder: of the search, made where it is missing.
        shared: the overrides of every trial.
        space: what is searched.
        figures: what is best, each as `Objective.parse` reads it.
        trials: how many of different values there will be, those of earlier processes included.
        seed: of what is proposed; of one process at a time the same trials follow, killed or not.
        prune: end trials whose curve on valid is above the median of the others'. Of one figure only, which is a
          likelihood, and where no trial has other tokens than another, for the curve is of nats a token.
    """

    def __init__(
        self,
        folder: Path,
        shared: Sequence[str],
        space: Sequence[Dimension],
        figures: Sequence[str],
        *,
        trials: int,
        seed: int = 0,
        prune: bool = True,
    ) -> None:
        if trials < 1:
            raise ValueError(f"trials is {trials}; a search needs 1 or more")
        self.folder, self.shared, self.space, self.trials = folder, list(shared), list(space), trials
        self.objectives = [Objective.parse(figure) for figure in figures]
        if not self.objectives:
            raise ValueError("no figure is given to search for; give one of the record, such as bits_per_char")
        likelihood = [column(objective.figure).metric for objective in self.objectives] == ["HeldOutLikelihood"]
        alike = not any(_root(dimension.key) in TOKENS for dimension in space)
        self.prune = prune and likelihood and alike
        self._streams = Streams(seed)
        self._size = math.prod(dimension.size for dimension in self.space)
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / "locks" / "search.lock")
        self._held: dict[int, FileLock] = {}
        self._waiting: dict[int, int] = {}  # a trial -> an earlier one of the same values, which runs
        optuna = _optuna()
        with self._lock:
            _mend(folder / JOURNAL)
            self._storage = _storage(folder)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=NAME,
                directions=["minimize"] * len(self.objectives),
                load_if_exists=True,
            )

    def ask(self, n: int) -> list[Trial]:
        """Up to `n` trials to run now: first those of killed processes, then new ones; empty where all are done.

        A trial of values that were tried takes the outcome of the earlier one, and is not run.
        """
        with self._lock:
            asked: list[Trial] = []
            for number in self._candidates():
                if (trial := self._begun(number)) is not None:
                    asked.append(trial)
                if len(asked) == n:
                    break
        if asked or not self._waiting:
            return asked
        number, twin = self._waiting.popitem()
        with FileLock(self._lock_of(twin)), self._lock:  # its process has recorded how it ended, or was killed
            again = None if self._copy_outcome(number, twin) else [self._trial(number)]
        return self.ask(n) if again is None else again

    def _candidates(self) -> Iterator[int]:
        """The trials whose process was killed, then new ones, each held."""
        for trial in self._asked():
            if trial.state.is_finished() or trial.number in self._held or not self._hold(trial.number):
                continue
            if self._study.get_trials(deepcopy=False)[trial.number].state.is_finished():  # between the two looks
                self._release(trial.number)
            else:
                yield trial.number
        optuna = _optuna()
        distributions = {dimension.key: dimension.distribution for dimension in self.space}
        while self._wants_more():
            number = len(self._study.get_trials(deepcopy=False))
            seed = self._streams.derive(f"trial {number}") % 2**32  # of its number: a killed search goes on alike
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what is experimental in Optuna
                sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
                if (missing := self._untried(seed)) is not None:
                    sampler = optuna.samplers.PartialFixedSampler(missing, sampler)
                self._study.sampler = sampler
                self._study.ask(distributions)
            self._hold(number)
            yield number

    def _wants_more(self) -> bool:
        """Whether there are fewer trials of different values than are asked for, and than there are values."""
        trials = self._study.get_trials(deepcopy=False)
        different = {self._trial(trial.number).overrides for trial in self._asked()}
        return len(different) < min(self.trials, self._size) and len(trials) < REPEATS * self.trials

    def _untried(self, seed: int) -> dict[str, Any] | None:
        """Values that no trial has, once a proposal has repeated earlier ones; None where a proposal is to be made."""
        tried = [tuple(trial.params[dimension.key] for dimension in self.space) for trial in self._asked()]
        if not tried or tried[-1] not in tried[:-1] or self._size > FEW:
            return None
        each = [range(len(one.values)) if one.values else one.distribution.choices for one in self.space]
        left = sorted({*itertools.product(*each)} - {*tried}, key=str)
        return dict(zip((one.key for one in self.space), random.Random(seed).choice(left), strict=True))

    def _begun(self, number: int) -> Trial | None:
        """The trial, where it is to be run; None where an earlier one has its values."""
        mine = self._trial(number)
        for other in self._asked():
            if other.number < number and self._trial(other.number).overrides == mine.overrides:
                if not self._copy_outcome(number, other.number):
                    self._waiting[number] = other.number
                return None
        return mine

    def _copy_outcome(self, number: int, twin: int) -> bool:
        """Record of a trial what came of another of the same values; False where that has not ended."""
        other = self._study.get_trials(deepcopy=False)[twin]
        if not other.state.is_finished():
            return False
        for name, value in other.user_attrs.items():
            self._note(number, name, value)
        self._note(number, "as", twin)
        complete = (
            other.state == _optuna().trial.TrialState.COMPLETE
        )  # one that was pruned has its curve's end as value
        self._study.tell(number, other.values if complete else None, state=other.state)
        self._release(number)
        return True

    def _asked(self) -> list[Any]:
        """The trials that have their values: a process may have been killed before it had given them."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if all(dimension.key in trial.params for dimension in self.space)]

    def _trial(self, number: int) -> Trial:
        params = self._study.get_trials(deepcopy=False)[number].params
        return Trial(number, tuple(dimension.override(params[dimension.key]) for dimension in self.space))

    def _lock_of(self, number: int) -> Path:
        return self.folder / "locks" / f"trial-{number}.lock"

    def _hold(self, number: int) -> bool:
        lock = FileLock(self._lock_of(number))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        self._held[number] = lock
        return True

    def _release(self, number: int) -> None:
        self._held.pop(number).release()

    def _note(self, number: int, name: str, value: Any) -> None:
        self._storage.set_trial_user_attr(_id(self._study, number), name, value)

    def tell(self, trial: Trial, record: Record | None, reason: str = "", *, pruned: bool = False) -> None:
        """How a trial ended: with a record; or without one, for what reason.

        Raises: ValueError where no record holds the figure.
        """
        state, states = None, _optuna().trial.TrialState
        losses = None
        if record is not None:
            self._note(trial.number, "folder", os.path.relpath(record.folder, self.folder))
            try:
                values = {objective.figure: objective.value(record) for objective in self.objectives}
            except KeyError as error:
                raise ValueError(str(error.args[0])) from error
            except ValueError as error:
                reason = str(error)
            else:
                self._note(trial.number, "figures", values)
                self._note(trial.number, "seconds", record.cost.get("train_seconds"))
                losses = [objective.loss(values[objective.figure]) for objective in self.objectives]
        if losses is None:
            state = states.PRUNED if pruned else states.FAIL
            self._note(trial.number, "reason", reason)
        self._study.tell(trial.number, losses, state=state)
        self._release(trial.number)

    def environment(self, trial: Trial) -> str:
        """What `TRIAL` must be in the process that runs a trial; empty where none is pruned."""
        return json.dumps([str(self.folder.resolve()), trial.number]) if self.prune else ""

    @property
    def winners(self) -> list[Trial]:
        """The best trial; of several figures those that no other beats in all."""
        done = [trial.number for trial in self._study.best_trials] if self._finished() else []
        return [self._trial(number) for number in done if "as" not in self._attributes(number)]

    def _finished(self) -> list[Any]:
        complete = _optuna().trial.TrialState.COMPLETE
        return [trial for trial in self._study.get_trials(deepcopy=False) if trial.state == complete]

    def _attributes(self, number: int) -> dict[str, Any]:
        return self._study.get_trials(deepcopy=False)[number].user_attrs

    def table(self) -> Table:
        """Every trial, the best first: its figures, its settings, how it ended."""
        names = [objective.figure for objective in self.objectives]
        keys = [dimension.key for dimension in self.space]
        rows = []
        own = [trial for trial in self._asked() if "as" not in trial.user_attrs]
        done = self._finished()
        for trial in sorted(own, key=lambda trial: (trial not in done, trial.values or [], trial.number)):
            figures = trial.user_attrs.get("figures", {})
            settings = [override.partition("=")[2] for override in self._trial(trial.number).overrides]
            ended = trial.user_attrs.get("reason") or trial.state.name.lower()
            rows.append([trial.number, *(figures.get(name, "") for name in names), *settings, ended])
        few = f" All {self._size} different values are tried, fewer than --trials." if self._size < self.trials else ""
        best = "; or ".join(" ".join(trial.overrides) for trial in self.winners)
        return Table(
            f"Search for {', '.join(f'{one.figure} ({one.aim})' for one in self.objectives)} on valid",
            (f"Best: {best}" if best else "No trial has ended with a figure.") + few,
            ["trial", *names, *keys, "ended"],
            rows,
        )

    def write(self) -> None:
        """Write the trials as `trials.csv` and, with what was searched and the best settings, `search.json`."""
        table, out = self.table(), io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([table.columns, *table.rows])
        write_text(out.getvalue(), self.folder / "trials.csv")
        winners = [
            {"overrides": [*trial.overrides], **self._attributes(trial.number)["figures"], "trial": trial.number}
            for trial in self.winners
        ]
        space = {dimension.key: list(dimension.values) or str(dimension.distribution) for dimension in self.space}
        figures = {objective.figure: objective.aim for objective in self.objectives}
        node = {"shared": self.shared, "space": space, "figures": figures, "winners": winners}
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        write_json({**node, "trials": rows}, self.folder / "search.json")


class Pruner:
    """A tracker that writes a trial's curve on valid into its search, and ends the run where it is not worth going on.

    It ends where nats a token on valid are above the median of the other trials that had spent as many tenths of their
    budget, once five have ended: a step of a small model is not one of a large. A run in several processes is not
    ended, for its figures come by a thread of their own; nor is one in stages, whose curves may rise on purpose.
    """

    def __init__(self, folder: str, number: int) -> None:
        self.folder, self.number = Path(folder), number

    def open(self, folder: Path, config: Mapping[str, Any]) -> None:
        optuna = _optuna()
        self.storage = _storage(self.folder)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
        self.study = optuna.load_study(study_name=NAME, storage=self.storage, pruner=pruner)
        self.id = _id(self.study, self.number)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if CURVE not in values or not values.get("spent", 1.0) < 1:
            return
        self.storage.set_trial_intermediate_value(self.id, int(10 * values["spent"]), values[CURVE])
        main = threading.current_thread() is threading.main_thread()
        if main and self.study.pruner.prune(self.study, self.storage.get_trial(self.id)):
            raise Pruned(f"pruned at step {step}: {CURVE} {values[CURVE]:.4g} is above the median of the other trials")

    def close(self) -> None:
        pass


def pruners() -> dict[str, Pruner]:
    """The trackers of a run that is a trial, as the environment says."""
    return {"pruner": Pruner(*json.loads(os.environ[TRIAL]))} if os.environ.get(TRIAL) else {}


@contextmanager
def running(search: Search, trial: Trial) -> Iterator[None]:
    """Within it, this process runs the trial."""
    os.environ[TRIAL] = search.environment(trial)
    try:
        yield
    finally:
        del os.environ[TRIAL]


def _mend(journal: Path) -> None:
    """Cut off a last line that a killed process did not finish, after which no other could be read."""
    size = None
    while journal.exists() and not (written := journal.read_bytes()).endswith(b"\n") and written:
        if len(written) == size:  # nobody is at it
            os.truncate(journal, written.rfind(b"\n") + 1)
            return
        size = len(written)
        time.sleep(0.2)


def _storage(folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))


def _id(study: Any, number: int) -> int:
    return study.get_trials(deepcopy=False)[number]._trial_id


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ValueError(missing("a search", "Optuna", "tune")) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
