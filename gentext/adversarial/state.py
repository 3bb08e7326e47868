"""One run of a game: two players with their optimisers, the moves of each, a report, a validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gentext.adversarial.estimator import drawn, fixed
from gentext.adversarial.losses import gradient_penalty
from gentext.adversarial.validation import AdversarialValidation
from gentext.data.corpus import Corpus
from gentext.language_model import SupportsAdversarial
from gentext.seeding import Streams
from gentext.train.base import Monitor, TrainingError
from gentext.train.distributed import ProcessGroup
from gentext.train.ema import EMA
from gentext.train.loader import TrainLoader
from gentext.train.progress import Budget, Progress
from gentext.types import Batch

if TYPE_CHECKING:
    from gentext.adversarial.trainer import AdversarialTrainer


class AdversarialState:
    """Two players on their way through a game; it is sat through, saved and gone on with as a Training is.

    Dropout acts on the critic alone, while it learns: the text that is played with, and the likelihood that a policy
    gradient takes, are the generator's own.
    """

    def __init__(
        self, loop: AdversarialTrainer, family: SupportsAdversarial, corpus: Corpus, streams: Streams, monitor: Monitor
    ) -> None:
        self.loop, self.players, self.corpus, self.streams, self.monitor = loop, family, corpus, streams, monitor
        self.group = ProcessGroup()
        self.generator, self.critic = family.generator, family.critic
        self.device = next(self.generator.parameters()).device
        self.estimator = loop.loss.to(self.device)
        self.family = self.shell = nn.ModuleDict({"players": family, "estimator": self.estimator})  # what is saved
        self.feed = TrainLoader(corpus, loop.batch_size, 1, streams("batches"), mixed=True)
        self.rng = streams("game", self.device)
        self.movers = {"generator": loop.optimizer.build(self.generator)}
        self.movers["critic"] = loop.critic_optimizer.build(self.critic)
        self.movers["baseline"] = loop.critic_optimizer.build(self.estimator)
        self.optimizers = [optimizer for optimizers in self.movers.values() for optimizer in optimizers]
        self.average = EMA(self.generator, loop.ema)
        self.course = Budget(loop.steps, loop.seconds, loop.patience, loop.save_every, self.group)
        self.watch = AdversarialValidation(loop, family, corpus, streams("watch", self.device))
        torch.manual_seed(streams.derive("dropout"))

    @property
    def place(self) -> Progress:
        return self.course.place

    @property
    def judged_first(self) -> bool:
        """Whether the weights that the game begins with may be the best: a game can make all that follow worse."""
        return self.loop.generator_steps > 0 and not self.course.over

    @property
    def all_collapsed(self) -> bool:
        """Whether weights were to be kept, and every validation found them collapsed."""
        chosen = self.loop.generator_steps > 0 and self.loop.keep != "last" and self.watch.valid is not None
        return chosen and self.place.step > 0 and math.isinf(self.place.best)

    def update(self) -> None:
        """One round. Raises: TrainingError where a loss or a gradient is not finite."""
        self.generator.eval()
        for _ in range(self.loop.critic_steps):
            self._move_critic(self._real())
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's recurrent layers have no backward pass in eval()
            for _ in range(self.loop.generator_steps):
                self._move_generator(self._real())
            if self.loop.teach_every and (self.place.step + 1) % self.loop.teach_every == 0:
                self._teach(self._real())
        self.place.step += 1

    def report(self) -> dict[str, float]:
        """Log the mean of every figure since the last report."""
        sums = self.place.sums
        names = [name for name in sums if f"{name}/moves" in sums]
        seconds = max(self.place.seconds, 1e-9)
        progress = self.course.progress
        values = {
            **{f"train/{name}": sums[name] / sums[f"{name}/moves"] for name in names},
            "train/lr": self._rate * self.loop.optimizer.lr,
            "train/epoch": self.feed.epoch + self.feed.taken / self.feed.per_epoch,
            "tokens": float(self.place.tokens),
            "seconds": self.place.seconds,
            "seconds_left": seconds * (1 - progress) / max(progress, 1e-9),
            "rounds_per_second": self.place.step / seconds,
        }
        self.place.sums = {}
        self.monitor.log(self.place.step, values)
        return values

    def validate(self) -> tuple[float, bool]:
        """Nats per token on valid under the averaged generator, and whether these weights are the ones to keep."""
        self.players.eval()
        with self.average.applied():
            values = self.watch(self.place.step)
        self.monitor.log(self.place.step, values)
        figure = {"both": "valid/both", "nll": "valid/nll"}.get(self.loop.keep)
        if self.loop.generator_steps == 0 or figure is None or figure not in values:
            return values.get("valid/nll", math.nan), True
        better = self.course.judge(math.inf if values["valid/collapsed"] else values[figure])
        return values["valid/nll"], better

    @property
    def _rate(self) -> float:
        return self.loop.rate(self.place.step, self.course.progress)

    def _real(self) -> Batch:
        batch = next(self.feed)
        self.place.tokens += int(batch.mask.sum())
        return fixed(batch, self.corpus.max_len).to(self.device)

    def _move_critic(self, real: Batch) -> None:
        with torch.no_grad():
            fake = drawn(self.generator, *real.tokens.shape, self.rng)
        self.critic.train()
        said = self.critic(torch.cat([real.tokens, fake.tokens])).split(len(real))
        on_real, on_fake = (
            rows[texts.mask] if self.critic.dense else rows for rows, texts in zip(said, (real, fake), strict=True)
        )
        game = self.estimator.game
        loss = game.critic(on_real, on_fake)
        figures: dict[str, float | Tensor] = {"critic_loss": loss.detach()}
        if game.penalty:
            with torch.backends.cudnn.flags(enabled=False):  # and none twice over
                steepness = gradient_penalty(self.critic, real, fake, self.rng)
            loss = loss + game.penalty * steepness
            figures["slope"] = steepness.detach()
        self._descend(loss, ("critic",), figures)

    def _move_generator(self, real: Batch) -> None:
        self.critic.eval()
        with _still(self.critic):
            move = self.estimator(self.players, real, rng=self.rng, step=self.place.step + 1, total=self.course.total)
            self._descend(move.loss, ("generator", "baseline"), move.figures)
        self.average.update(self.place.step)

    def _teach(self, real: Batch) -> None:
        loss = -self.generator(real).log_prob.sum() / self.feed.tokens_per_batch
        self._descend(loss, ("generator",), {"nll": loss.detach()})

    def _descend(self, loss: Tensor, movers: tuple[str, ...], figures: Mapping[str, float | Tensor]) -> None:
        """A step of the named optimisers down a loss, each mover's gradient clipped by itself."""
        loss.backward()
        shown = {name: float(value) for name, value in figures.items()}
        for name in movers:
            groups = [group for optimizer in self.movers[name] for group in optimizer.param_groups]
            parameters = [p for group in groups for p in group["params"]]
            if parameters:
                shown[f"{name}_gradient"] = float(
                    torch.nn.utils.clip_grad_norm_(parameters, self.loop.clip or math.inf)
                )
        optimizers = [optimizer for name in movers for optimizer in self.movers[name]]
        if not all(map(math.isfinite, shown.values())):
            said = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
            raise TrainingError(
                f"round {self.place.step + 1} is not finite: {said}. Lower train.game.lr or train.game.critic_lr, "
                "or set train.game.clip=1"
            )
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate * group["initial_lr"]
            optimizer.step()
            optimizer.zero_grad()
        sums = self.place.sums
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
