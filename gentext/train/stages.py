"""Trainers one after another: likelihood before the game, autoencoding before the bound."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from safetensors.torch import load_model, save_model

from gentext.checks import ArgumentError
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel
from gentext.seeding import Streams
from gentext.train.base import Monitor, ProgressBar, Trainer
from gentext.train.checkpoint import Checkpoint
from gentext.train.progress import Track

COUNTED = ("seconds", "tokens")  # figures that go on from stage to stage, as the step does
NOTHING = {"step": 0, "seconds": 0.0, "tokens": 0, "core_seconds": 0.0, "flops": 0.0}  # is spent before the first


class Stages:
    """Runs named trainers in turn on one family. A resumed run repeats no stage that is done.

    epochs: what a stage's own `epochs` may refer to, so that one key bounds every family; it bounds nothing by itself.
    shares: of what a track allows, by stage; null: each has the same. One of null goes by its own limits.
    keep: the stage whose weights are judged too, in rows of their own (`weights=NAME`); null: none. A stage that takes
      no step has none.

    Example:
        >>> from gentext.losses import NLL, Objective
        >>> from gentext.train import GradientTrainer
        >>> loss = Objective(nll=NLL())
        >>> trainer = Stages(warmup=GradientTrainer(loss, epochs=1, lr=0.01), main=GradientTrainer(loss, epochs=3))
        >>> [*trainer.trainers], trainer.trainers["warmup"].key
        (['warmup', 'main'], 'train.warmup')
    """

    def __init__(
        self,
        *,
        epochs: float | None = None,
        keep: str | None = None,
        shares: Mapping[str, float | None] | None = None,
        **trainers: Trainer,
    ) -> None:
        if not trainers:
            raise ValueError("train.stages has no stage; name one at least")
        if keep is not None and keep not in trainers:
            raise ArgumentError("keep", f"is {keep!r}; it must be a stage ({', '.join(trainers)}), or null")
        for name, given in (shares or {}).items():
            if name not in trainers or (given is not None and not 0 < given <= 1):
                raise ArgumentError("shares", f"gives {name} {given}; it is of {', '.join(trainers)} a number up to 1")
        total = sum(given for given in (shares or {}).values() if given is not None)
        if total > 1 + 1e-9:  # decimals are not exact in binary
            raise ArgumentError(
                "shares", f"sum to {total:g}; they divide what a track allows, so give 1 or less in all"
            )
        self.trainers, self.keep = trainers, keep
        self.shares: Mapping[str, float | None] = shares or {name: 1 / len(trainers) for name in trainers}
        self.key = "train"
        self._allowance: Track | None = None

    @property
    def key(self) -> str:
        """The configuration key under which the stages lie; each stage's own lies below it."""
        return self._key

    @key.setter
    def key(self, key: str) -> None:
        self._key = key
        for name, trainer in self.trainers.items():
            trainer.key = f"{key}.{name}"

    @property
    def allowance(self) -> Track | None:
        """What a track allows all stages together; each is given its share."""
        return self._allowance

    @allowance.setter
    def allowance(self, allowance: Track | None) -> None:
        self._allowance = allowance
        for name, share in self.shares.items():
            self.trainers[name].allowance = None if allowance is None or share is None else allowance * share

    def check(self, family: LanguageModel, corpus: Corpus) -> None:
        """Raises: ValueError where a stage's trainer does; the last, which needs most, is asked first."""
        for trainer in reversed(self.trainers.values()):
            trainer.check(family, corpus)

    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Trains `family` in place; each stage draws from streams of its own, so that none shifts another's numbers."""
        self.check(family, corpus)
        before: dict[str, float] = dict(NOTHING)
        for name, trainer in self.trainers.items():
            stage = Stage(monitor, name, before)
            done = Checkpoint(stage.folder / "done")
            if not monitor.resume:
                done.clear()
            files = done.files
            if files is None:
                trainer.run(family, corpus, streams=Streams(streams.derive(name)), monitor=stage)
                if name == self.keep and stage.place["step"] > before["step"]:
                    monitor.keep(name, family, 0)
                done.save(
                    0,
                    {
                        "weights.safetensors": lambda path: save_model(family, str(path)),
                        "place.json": lambda path, place=stage.place: path.write_text(json.dumps(place), "utf-8"),
                    },
                )
                files = done.files
            Checkpoint(stage.folder / "checkpoint").clear()  # nothing goes on from it now
            assert files is not None  # they were saved above
            device = next(family.parameters()).device
            load_model(family, files["weights.safetensors"], device=str(device))
            before = NOTHING | json.loads(files["place.json"].read_text("utf-8"))
        _book(monitor, before)


def _book(monitor: Monitor, place: Mapping[str, float]) -> None:
    """Tell a run's monitor what stages have cost so far."""
    monitor.book(int(place["step"]), place["seconds"], int(place["tokens"]), place["core_seconds"], place["flops"])


class Stage:
    """A Monitor for one stage: its own folder, and figures that go on where the stage before ended."""

    def __init__(self, monitor: Monitor, name: str, before: Mapping[str, float]) -> None:
        self.folder: Path = monitor.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume = monitor.resume
        self.place = dict(before)
        self._monitor, self._name, self._before = monitor, name, before

    def log(self, step: int, values: Mapping[str, float]) -> None:
        counted = {key: values[key] + self._before[key] for key in COUNTED if key in values}
        of_run = {
            key: value for key, value in values.items() if key != "spent"
        }  # a share of the stage is none of the run
        self._monitor.log(int(self._before["step"]) + step, {**of_run, **counted})

    def texts(self, step: int, texts: Sequence[str]) -> None:
        self._monitor.texts(int(self._before["step"]) + step, texts)

    def keep(self, weights: str, family: LanguageModel, step: int) -> None:
        self._monitor.keep(weights, family, step)

    def progress(self, total: float | None, description: str, unit: str) -> AbstractContextManager[ProgressBar]:
        return self._monitor.progress(total, f"{self._name}: {description}", unit)

    def book(self, steps: int, seconds: float, tokens: int, core_seconds: float, flops: float) -> None:
        spent = dict(zip(NOTHING, (steps, seconds, tokens, core_seconds, flops), strict=True))
        self.place = {key: self._before[key] + spent[key] for key in NOTHING}
        _book(self._monitor, self.place)


class ResetPart:
    """Runs a trainer, and then puts one part of the family back to where it stood: what the others learned stays.

    With `part` a VAE's decoder and an autoencoder's loss, it pretrains the encoder (Li et al. 2019, section 3.1).

    Example:
        >>> from gentext.losses import NLL, Objective
        >>> from gentext.train import GradientTrainer
        >>> trainer = ResetPart(GradientTrainer(Objective(nll=NLL()), epochs=3), "decoder")
        >>> trainer.trainer.key
        'train.trainer'
    """

    def __init__(self, trainer: Trainer, part: str) -> None:
        self.trainer, self.part = trainer, part
        self.key = "train"

    @property
    def key(self) -> str:
        """The configuration key under which it lies; its trainer's own is `trainer` below it."""
        return self._key

    @key.setter
    def key(self, key: str) -> None:
        self._key = key
        self.trainer.key = f"{key}.trainer"

    @property
    def allowance(self) -> Track | None:
        """What a track allows the trainer."""
        return self.trainer.allowance

    @allowance.setter
    def allowance(self, allowance: Track | None) -> None:
        self.trainer.allowance = allowance

    def check(self, family: LanguageModel, corpus: Corpus) -> None:
        """Raises: ValueError where the family has no such part."""
        known = [name for name, _ in family.named_children()]
        if self.part not in known:
            raise ValueError(
                f"{type(family).__name__} has no part {self.part!r} to put back; it has {', '.join(known)}"
            )
        self.trainer.check(family, corpus)

    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        self.check(family, corpus)
        part = family.get_submodule(self.part)
        before = copy.deepcopy(part.state_dict())
        self.trainer.run(family, corpus, streams=streams, monitor=monitor)
        part.load_state_dict(before)
