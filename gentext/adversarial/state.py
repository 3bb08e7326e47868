"""One run of adversarial training: both players with their optimisers, the updates of each, reports, validations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gentext.adversarial.estimator import Estimator, drawn, fixed
from gentext.adversarial.losses import gradient_penalty
from gentext.adversarial.model import of_length
from gentext.adversarial.validation import AdversarialValidation, ValidationOptions
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel, SupportsAdversarial
from gentext.seeding import Streams
from gentext.train.base import Monitor, TrainingError
from gentext.train.distributed import ProcessGroup
from gentext.train.ema import EMA
from gentext.train.loader import TrainLoader
from gentext.train.optimizers import Optimizer, Rate
from gentext.train.progress import Budget, Progress, Track
from gentext.types import Batch, CriticTexts

WHOLE = 1_024  # texts of train that are read at once


@runtime_checkable
class AdversarialOptions(ValidationOptions, Protocol):
    """What `AdversarialTrainer` holds; it says what each is."""

    key: str
    allowance: Track | None
    steps: int | None
    seconds: float | None
    batch_size: int
    critic_steps: int
    critic_epochs: int | None
    generator_steps: int
    teach_every: int | None
    optimizer: Optimizer
    critic_optimizer: Optimizer
    rate: Rate
    clip: float | None
    ema: float
    keep: str
    valid_every: int
    patience: int | None
    log_every: int
    save_every: float


class AdversarialState:
    """A generator and a critic, their optimisers and their place in a corpus; a step is a round of updates of both.

    Dropout acts on the critic alone, while it learns: generated texts, and their likelihood under a policy gradient,
    are the generator's own.
    """

    long_steps = False

    def __init__(
        self,
        options: AdversarialOptions,
        loss: Estimator,
        family: SupportsAdversarial,
        corpus: Corpus,
        streams: Streams,
        monitor: Monitor,
    ) -> None:
        assert isinstance(family, LanguageModel)
        self.options, self.players, self.corpus = options, family, corpus
        self.valid_every = options.valid_every
        self.playing = of_length(family, corpus.one_length)
        self.streams, self.monitor = streams, monitor
        self.group = ProcessGroup()
        self.generator, self.critic = family.generator, family.critic
        self.device = next(self.generator.parameters()).device
        self.estimator = loss.to(self.device)
        self.family = self.shell = nn.ModuleDict({"players": family, "estimator": self.estimator})  # what is saved
        self.loader = TrainLoader(corpus, options.batch_size, 1, streams("batches"), batching="mixed")
        self.rng = streams("game", self.device)
        self.movers = {"generator": options.optimizer.build(self.generator)}
        self.movers["critic"] = options.critic_optimizer.build(self.critic)
        self.movers["baseline"] = options.critic_optimizer.build(self.estimator)
        self.optimizers = [optimizer for optimizers in self.movers.values() for optimizer in optimizers]
        self.ema = EMA(self.generator, options.ema)
        self.budget = Budget(
            options.steps,
            options.seconds,
            options.patience,
            options.save_every,
            self.group,
            allowance=options.allowance,
            timed=self.device.type == "cpu",
        )
        self.validation = AdversarialValidation(options, loss, self.playing, corpus, streams("watch", self.device))
        torch.manual_seed(streams.derive("dropout"))

    @property
    def progress(self) -> Progress:
        return self.budget.progress

    @property
    def validates_first(self) -> bool:
        """Whether the weights that the game begins with are judged: a game can make all that follow worse."""
        return self.options.generator_steps > 0 and not self.budget.over

    def update(self) -> None:
        """One round. Raises: TrainingError where a loss or a gradient is not finite."""
        self.generator.eval()
        for real, fake in self._critic_batches():
            self._update_critic(real, fake)
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's recurrent layers have no backward pass in eval()
            for _ in range(self.options.generator_steps):
                self._update_generator(self._real())
            if self.options.teach_every and (self.progress.step + 1) % self.options.teach_every == 0:
                self._teach(self._real())
        self.progress.step += 1

    def report(self) -> dict[str, float]:
        """Log the mean of every figure since the last report."""
        sums = self.progress.sums
        names = [name for name in sums if f"{name}/moves" in sums]
        seconds = max(self.progress.seconds, 1e-9)
        spent = self.budget.spent
        values = {
            **{f"train/{name}": sums[name] / sums[f"{name}/moves"] for name in names},
            "train/lr": self._rate * self.options.optimizer.lr,
            "train/epoch": self.loader.epoch + self.loader.taken / self.loader.per_epoch,
            "tokens": float(self.progress.tokens),
            "seconds": self.progress.seconds,
            "seconds_left": seconds * (1 - spent) / max(spent, 1e-9),
            "rounds_per_second": self.progress.step / seconds,
        }
        self.progress.sums = {}
        self.monitor.log(self.progress.step, values)
        return values

    def validate(self) -> tuple[float, bool]:
        """Nats per token on valid under the averaged generator, and True: a game leaves its last weights.

        Those with the lowest Frechet distance are kept beside them where that is asked for.
        """
        self.players.eval()
        step, game = self.progress.step, self.options.generator_steps > 0
        with self.ema.applied():
            values = self.validation(step)
            if game:
                values |= {"round": float(step), "collapsed": values.get("valid/collapsed", 0.0)}
                self.monitor.texts(step, self.validation.shown())
            self.monitor.log(step, values)
            if game and "valid/frechet" in values:
                usable = math.inf if values["valid/collapsed"] else values["valid/frechet"]
                if self.budget.record_validation(usable) and self.options.keep == "frechet":
                    self.monitor.keep("best", self.players, step)
        return values.get("valid/nll", math.nan), True

    @property
    def _rate(self) -> float:
        return self.options.rate(self.progress.step, self.budget.spent)

    def _real(self) -> Batch:
        batch = next(self.loader)
        self.progress.tokens += int(batch.mask.sum())
        return fixed(batch, self.corpus.max_len).to(self.device)

    def _critic_batches(self) -> Iterator[tuple[Batch, Batch | CriticTexts]]:
        """Real and generated texts of a round: a batch for each critic step, or some epochs of train and as many."""
        steps, length = self.options.critic_steps, self.corpus.max_len
        if self.options.critic_epochs is None:
            reals = [self._real() for _ in range(steps)]
            fakes = self.estimator.for_critic(
                self.playing,
                [len(real) for real in reals],
                length,
                rng=self.rng,
                step=self.progress.step + 1,
                total=self.budget.total,
            )
            yield from zip(reals, fakes, strict=True)
            return
        whole = self._train_split
        for _ in range(steps):
            fake = self._generated(len(whole))
            for _ in range(self.options.critic_epochs):
                orders = [torch.randperm(len(whole), generator=self.rng, device=self.rng.device) for _ in range(2)]
                for rows, others in zip(*(order.split(self.options.batch_size) for order in orders), strict=True):
                    real = whole.rows(rows)
                    self.progress.tokens += int(real.mask.sum())
                    yield fixed(real, length), fixed(fake.rows(others), length)

    @cached_property
    def _train_split(self) -> Batch:
        """All of train, in one batch."""
        parts = [fixed(batch, self.corpus.max_len) for batch in self.corpus.batches("train", WHOLE)]
        tokens, mask = (torch.cat([getattr(part, name) for part in parts]) for name in ("tokens", "mask"))
        return Batch(tokens, mask).to(self.device)

    @torch.no_grad()
    def _generated(self, n: int) -> Batch:
        return drawn(self.playing.generator, n, self.corpus.max_len, self.rng)

    def _update_critic(self, real: Batch, fake: Batch | CriticTexts) -> None:
        self.critic.train()
        if fake.tokens.is_floating_point():
            vectors = [self.critic.embed(texts.tokens) for texts in (real, fake)]
            scores = self.critic.forward_embedded(torch.cat(vectors)).split(len(real))
        else:
            scores = self.critic(torch.cat([real.tokens, fake.tokens])).split(len(real))
        on_real, on_fake = (
            rows[texts.mask] if self.critic.dense else rows for rows, texts in zip(scores, (real, fake), strict=True)
        )
        game = self.estimator.game
        loss = game.critic(on_real, on_fake)
        figures: dict[str, float | Tensor] = {"critic_loss": loss.detach()}
        if game.penalty:
            with torch.backends.cudnn.flags(enabled=False):  # and none twice over
                steepness = gradient_penalty(self.critic, real, fake, self.rng)
            loss = loss + game.penalty * steepness
            figures["slope"] = steepness.detach()
        self._optimizer_step(loss, ("critic",), figures)

    def _update_generator(self, real: Batch) -> None:
        self.critic.eval()
        with _still(self.critic):
            move = self.estimator(
                self.playing, real, rng=self.rng, step=self.progress.step + 1, total=self.budget.total
            )
            self._optimizer_step(move.loss, ("generator", "baseline"), move.figures)
        self.ema.update(self.progress.step)

    def _teach(self, real: Batch) -> None:
        loss = -self.generator(real).log_prob.sum() / self.loader.tokens_per_batch
        self._optimizer_step(loss, ("generator",), {"nll": loss.detach()})
        if self.options.generator_steps == 0:
            self.ema.update(self.progress.step)

    def _optimizer_step(self, loss: Tensor, movers: tuple[str, ...], figures: Mapping[str, float | Tensor]) -> None:
        """A step of the named optimisers down a loss, each mover's gradient clipped by itself."""
        loss.backward()
        shown = {name: float(value) for name, value in figures.items()}
        for name in movers:
            groups = [group for optimizer in self.movers[name] for group in optimizer.param_groups]
            parameters = [p for group in groups for p in group["params"]]
            if parameters:
                shown[f"{name}_gradient"] = float(
                    torch.nn.utils.clip_grad_norm_(parameters, self.options.clip or math.inf)
                )
        optimizers = [optimizer for name in movers for optimizer in self.movers[name]]
        if not all(map(math.isfinite, shown.values())):
            listed, key = ", ".join(f"{name} {value:.4g}" for name, value in shown.items()), self.options.key
            raise TrainingError(
                f"round {self.progress.step + 1} is not finite: {listed}. Lower {key}.lr or {key}.critic_lr, "
                f"or set {key}.clip=1"
            )
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate * group["initial_lr"]
            optimizer.step()
            optimizer.zero_grad()
        sums = self.progress.sums
        for name, value in shown.items():
            sums[name] = sums.get(name, 0.0) + value
            sums[f"{name}/moves"] = sums.get(f"{name}/moves", 0) + 1


@contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Gradients pass through the module inside, and stay on none of its weights."""
    moving = [p for p in module.parameters() if p.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)
