"""`train=em`: expectation-maximisation for families that learn by counting."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch

from gentext.checks import at_least, positive
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel, SupportsEM, SupportsPrepare
from gentext.seeding import Streams
from gentext.train.base import Monitor, device_of, in_order
from gentext.train.distributed import ProcessGroup
from gentext.train.ema import EMA
from gentext.train.fit import fit
from gentext.train.progress import Budget, Track
from gentext.types import Batch

log = logging.getLogger("gentext")

TRIAL = 5  # passes after which the best of several random starts is chosen
ROWS, WINDOW = 32, 256  # how a stream is read: that many rows side by side, that many tokens at a time


class EMTrainer:
    """Alternates E-steps over the training split and M-steps, and leaves the parameters that are best on valid.

    A family whose counts give its parameters in closed form (`closed_form = True`: the n-gram) is done in one pass.

    Args:
        iterations: passes over the training split at most.
        seconds: a limit on the time, looked at after each pass; null for none.
        patience: passes without an improvement on valid (on train, where there is no valid split) after which it stops.
        tolerance: the least improvement, nats a token.
        batch_size: sequences counted at a time, while an HMM grows too; moves a number where that is `stepwise`.
        every: shuffled batches to an M-step, for a family that weighs old counts and new ones (an HMM with
            `stepwise`); null: the whole split.
        restarts: random starts, of which the one that is likeliest on train after a few passes continues.

    Source: Dempster, Laird and Rubin (1977), section 3.

    >>> EMTrainer(iterations=20, patience=2).iterations
    20
    """

    key = "train"
    allowance: Track | None = None
    log_every = 1  # in iterations

    def __init__(
        self,
        *,
        iterations: int = 50,
        seconds: float | None = None,
        patience: int = 3,
        tolerance: float = 1e-4,
        batch_size: int = 256,
        every: int | None = None,
        restarts: int = 1,
    ) -> None:
        at_least(1, iterations=iterations, patience=patience, batch_size=batch_size, every=every, restarts=restarts)
        at_least(0, tolerance=tolerance)
        positive(seconds=seconds)
        self.iterations, self.seconds, self.patience, self.tolerance = iterations, seconds, patience, tolerance
        self.batch_size, self.every, self.restarts = batch_size, every, restarts

    def check(self, family: LanguageModel, corpus: Corpus) -> None:
        """Raises: ValueError where the family cannot count."""
        if not isinstance(family, SupportsEM):
            raise ValueError(
                f"train=em needs a family that counts (accumulate and maximize); {type(family).__name__} has neither. "
                "Try train=gradient loss=nll"
            )
        if self.every is not None and (family.closed_form or family.stepwise is None):
            learns = "counts the text once" if family.closed_form else "forgets the counts of earlier batches"
            advice = "" if family.closed_form else ", or family.stepwise=0.7, which keeps running counts"
            raise ValueError(
                f"{self.key}.every is {self.every}, and this {type(family).__name__} {learns}, so that only the last "
                f"batches of the text would remain; give {self.key}.every=null{advice}"
            )
        if self.restarts > 1 and not isinstance(family, SupportsPrepare):
            raise ValueError(
                f"{self.key}.restarts is {self.restarts}, and {type(family).__name__} has no random start; "
                f"give {self.key}.restarts=1"
            )

    @torch.no_grad()
    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Train `family` in place."""
        self.check(family, corpus)
        state = EMState(self, family, corpus, streams, monitor)
        if family.closed_form:
            state.count(in_order(corpus, family.reads, self.batch_size, window=4096), "counting")
            return
        device = device_of(family)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            fit(state)


@runtime_checkable
class EMOptions(Protocol):
    """What `EMTrainer` holds; it says what each is."""

    iterations: int
    seconds: float | None
    patience: int
    tolerance: float
    batch_size: int
    every: int | None
    restarts: int
    log_every: int
    allowance: Track | None


class EMState:
    """A family under EM; a step is one pass over the training split with its M-steps."""

    loader = None
    optimizers: list[torch.optim.Optimizer] = []  # noqa: RUF012 - nothing is ever put in
    valid_every = 1
    long_steps = True
    validates_first = False

    def __init__(
        self, options: EMOptions, family: LanguageModel, corpus: Corpus, streams: Streams, monitor: Monitor
    ) -> None:
        assert isinstance(family, SupportsEM)
        self.options, self.corpus, self.streams, self.monitor = options, corpus, streams, monitor
        self.family = self.shell = family
        self.device, self.group, self.ema = device_of(family), ProcessGroup(), EMA(family, 0.0)
        self.budget = Budget(
            options.iterations,
            options.seconds,
            options.patience,
            math.inf,
            self.group,
            allowance=options.allowance,
            flops=family.flops,
            timed=self.device.type == "cpu",
        )
        self.train = math.nan  # nats per token on train under the parameters before the latest M-step

    def update(self) -> None:
        """One pass over the training split."""
        progress = self.budget.progress
        if progress.step == 0 and self.options.restarts > 1:
            self._choose_start()
        self.train = self.count(self._batches(), f"EM {progress.step + 1}{self._of_all}")
        progress.step += 1
        progress.tokens += self.corpus.tokens("train")

    @property
    def _of_all(self) -> str:
        return "" if self.budget.steps is None else f"/{self.budget.steps}"

    def report(self) -> dict[str, float]:
        """Log nats per token on train, under the parameters before the pass."""
        progress = self.budget.progress
        values = {"train/nll": self.train, "seconds": progress.seconds, "tokens": float(progress.tokens)}
        self.monitor.log(progress.step, values)
        return values

    def validate(self) -> tuple[float, bool]:
        """Nats per token on valid (on train, where there is no valid split), and whether that is the best so far."""
        total, tokens = 0.0, 0
        for batch in in_order(self.corpus, "valid", self.options.batch_size, WINDOW, rows=ROWS):
            total -= float(self.family.log_prob(batch.to(self.device)).double().sum())
            tokens += int(batch.mask.sum())
        if tokens:
            values = {"valid/nll": total / tokens, "spent": self.budget.spent}
            self.monitor.log(self.budget.progress.step, values)
        nll = total / tokens if tokens else self.train
        return nll, self.budget.record_validation(nll, self.options.tolerance)

    def count(self, batches: Iterator[Batch], description: str) -> float:
        """E-steps over some batches, with their M-steps; nats per token under the parameters before each."""
        total, tokens, waiting = 0.0, 0, 0
        with self.monitor.progress(self.corpus.tokens("train"), description, "tokens") as bar:
            for batch in batches:
                count = int(batch.mask.sum())
                total -= float(self.family.accumulate(batch.to(self.device)).double().sum())
                tokens, waiting = tokens + count, waiting + 1
                bar.update(count)
                if waiting == self.options.every:
                    self.family.maximize()
                    waiting = 0
            if waiting:
                self.family.maximize()
        return total / max(tokens, 1)

    def _batches(self) -> Iterator[Batch]:
        """The training split once, shuffled where there are several M-steps to it.

        Rows of like length together would make some M-steps of empty lines alone, each scaled to the whole text.
        """
        if self.options.every is None or self.corpus.stream:
            return in_order(self.corpus, "train", self.options.batch_size, WINDOW, rows=ROWS)
        return self.corpus.batches("train", self.options.batch_size, rng=self.streams("batches"), batching="mixed")

    def _choose_start(self) -> None:
        """Keep the random start that a few passes bring furthest on train."""
        best, kept = math.inf, {}
        assert isinstance(self.family, SupportsPrepare)
        for i in range(self.options.restarts):
            if i:  # the first is there already
                batches = in_order(self.corpus, "train", self.options.batch_size, WINDOW, rows=ROWS)
                self.family.prepare((batch.to(self.device) for batch in batches), rng=self.streams(f"restart {i}"))
            for _ in range(TRIAL):
                train = self.count(self._batches(), f"beginning {i + 1}/{self.options.restarts}")
                self.budget.progress.tokens += self.corpus.tokens("train")
            log.info("beginning %d of %d: %.4f nats a token on train", i + 1, self.options.restarts, train)
            if train < best:
                best, kept = train, copy.deepcopy(self.family.state_dict())
        self.family.load_state_dict(kept)
