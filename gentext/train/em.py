"""`train=em`: expectation-maximisation for families that learn by counting."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch

from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel, SupportsEM, SupportsPrepare
from gentext.seeding import Streams
from gentext.train.base import Monitor, in_order
from gentext.train.checkpoint import Checkpoint
from gentext.types import Batch

log = logging.getLogger("gentext")

TRIAL = 5  # passes after which the best of several beginnings is chosen
SAVE_EVERY = 30.0  # seconds between two checkpoints at least
ROWS, WINDOW = 32, 256  # how a stream is read: that many rows side by side, that many tokens at a time


@dataclass
class Place:
    """Where a run stands."""

    iteration: int = 0
    best: float = -math.inf  # mean nats a token on valid (on train, where there is no valid split)
    since: int = 0  # iterations since then
    seconds: float = 0.0
    tokens: int = 0


class EMTrainer:
    """Alternates `accumulate` over the training split and `maximize`, and keeps the parameters that are best on valid.

    It stops after `patience` iterations that better valid by less than `tolerance` nats a token. `every` is how many
    shuffled batches go into an M-step (a family then weighs old counts and new ones); null: the whole split. With
    `restarts` beginnings, the one that is likeliest on train after a few passes goes on. A family whose counts are its
    parameters' closed form (`closed_form = True`: the n-gram) is done in one pass.
    Source: Dempster, Laird and Rubin (1977), section 3.
    """

    def __init__(
        self,
        *,
        iterations: int = 50,
        patience: int = 3,
        tolerance: float = 1e-4,
        batch_size: int = 256,
        every: int | None = None,
        restarts: int = 1,
    ) -> None:
        counts = {"iterations": iterations, "patience": patience, "batch_size": batch_size, "restarts": restarts}
        counts |= {} if every is None else {"every": every}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"train=em: {name}={count}; give 1 or more")
        self.iterations, self.patience, self.tolerance = iterations, patience, tolerance
        self.batch_size, self.every, self.restarts = batch_size, every, restarts

    def check(self, family: LanguageModel) -> None:
        """Raises: ValueError where the family cannot count."""
        if not isinstance(family, SupportsEM):
            raise ValueError(
                f"train=em needs a family that counts (accumulate and maximize); {type(family).__name__} has neither. "
                "Try train=gradient loss=nll"
            )

    @torch.no_grad()
    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Trains `family` in place."""
        self.check(family)
        if family.closed_form:
            self._pass(family, in_order(corpus, "train", self.batch_size, window=4096), corpus, monitor, "counting")
            return
        sitting = EMState(family, streams, monitor)
        if not sitting.restored():
            self._begin(family, corpus, streams, monitor)
        place = sitting.place
        while place.iteration < self.iterations and place.since < self.patience:
            begun = time.perf_counter()
            title = f"EM {place.iteration + 1}/{self.iterations}"
            train = self._pass(family, self._batches(corpus, streams), corpus, monitor, title)
            valid = self._valid(family, corpus) if corpus.size("valid") else train
            place.iteration += 1
            place.seconds += time.perf_counter() - begun
            place.tokens += corpus.tokens("train")
            if valid > place.best + self.tolerance:
                place.best, place.since, sitting.best = valid, 0, copy.deepcopy(family.state_dict())
            else:
                place.since += 1
            figures = {"train/nll": -train, "seconds": place.seconds, "tokens": float(place.tokens)}
            monitor.log(place.iteration, figures | ({"valid/nll": -valid} if corpus.size("valid") else {}))
            sitting.save()
        sitting.finish()

    def _begin(self, family: LanguageModel, corpus: Corpus, streams: Streams, monitor: Monitor) -> None:
        """Of several beginnings, the one that a few passes bring furthest on train."""
        if self.restarts == 1:
            return
        if not isinstance(family, SupportsPrepare):
            raise ValueError(f"restarts={self.restarts} needs a family that begins at random; use restarts=1")
        best, state = -math.inf, None
        for i in range(self.restarts):
            if i:  # the first is there already
                family.prepare(
                    in_order(corpus, "train", self.batch_size, WINDOW, rows=ROWS), rng=streams(f"restart {i}")
                )
            for _ in range(TRIAL):
                train = self._pass(
                    family, self._batches(corpus, streams), corpus, monitor, f"beginning {i + 1}/{self.restarts}"
                )
            log.info("beginning %d of %d: %.4f nats a token on train", i + 1, self.restarts, -train)
            if train > best:
                best, state = train, copy.deepcopy(family.state_dict())
        family.load_state_dict(state)

    def _batches(self, corpus: Corpus, streams: Streams) -> Iterator[Batch]:
        """The training split once, shuffled where there are several M-steps to it."""
        if self.every is None or corpus.stream:
            return in_order(corpus, "train", self.batch_size, WINDOW, rows=ROWS)
        return corpus.batches("train", self.batch_size, rng=streams("batches"))

    def _pass(
        self, family: SupportsEM, batches: Iterator[Batch], corpus: Corpus, monitor: Monitor, description: str
    ) -> float:
        """One E-step over some batches and its M-steps; mean nats per token under the parameters before them."""
        total, tokens, waiting = 0.0, 0, 0
        with monitor.progress(corpus.tokens("train"), description, "tokens") as bar:
            for batch in batches:
                count = int(batch.mask.sum())
                total += float(family.accumulate(batch).double().sum())
                tokens, waiting = tokens + count, waiting + 1
                bar.update(count)
                if waiting == self.every:
                    family.maximize()
                    waiting = 0
            if waiting:
                family.maximize()
        return total / max(tokens, 1)

    def _valid(self, family: LanguageModel, corpus: Corpus) -> float:
        total, tokens = 0.0, 0
        for batch in in_order(corpus, "valid", self.batch_size, WINDOW, rows=ROWS):
            total += float(family.log_prob(batch).double().sum())
            tokens += int(batch.mask.sum())
        return total / max(tokens, 1)


class EMState:
    """What a killed run needs to go on to the same numbers: kept in memory, and on disk every so often."""

    def __init__(self, family: LanguageModel, streams: Streams, monitor: Monitor) -> None:
        self.family, self.streams, self.place = family, streams, Place()
        self.best: dict[str, torch.Tensor] | None = None
        self.resume, self.checkpoint = monitor.resume, Checkpoint(monitor.folder / "checkpoint")
        self.saved = time.perf_counter()

    def restored(self) -> bool:
        """Whether there was a checkpoint to go on from; the family and the streams then stand where it says."""
        if not self.resume:
            self.checkpoint.clear()
        files = self.checkpoint.files
        if files is None:
            return False
        state = torch.load(files["state.pt"], weights_only=True)
        self.family.load_state_dict(state["family"])
        self.streams.load_state_dict(state["streams"])
        self.place, self.best = Place(**state["place"]), state["best"]
        return True

    def save(self, *, now: bool = False) -> None:
        if not now and time.perf_counter() - self.saved < SAVE_EVERY:
            return
        state = {
            "family": self.family.state_dict(),
            "best": self.best,
            "streams": self.streams.state_dict(),
            "place": asdict(self.place),
        }
        self.checkpoint.save(self.place.iteration, {"state.pt": lambda path: torch.save(state, path)})
        self.saved = time.perf_counter()

    def finish(self) -> None:
        """The family is left at its best."""
        self.save(now=True)
        if self.best is not None:
            self.family.load_state_dict(self.best)
