"""One run of gradient descent: its moving parts, a step, a report, a validation."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel
from gentext.seeding import Streams
from gentext.train.base import Monitor, TrainingError, in_order
from gentext.train.distributed import ProcessGroup, gather_tree
from gentext.train.ema import EMA
from gentext.train.loader import TrainLoader
from gentext.train.progress import Budget, Progress
from gentext.types import Batch

if TYPE_CHECKING:
    from gentext.train.gradient import GradientTrainer

log = logging.getLogger("gentext")

VALID_ROWS = 64  # sequences, or rows of a stream, that are validated at once


class GradientState:
    """A family and its optimisers on their way through a corpus."""

    judged_first = False  # the weights that it begins with are nobody's best

    def __init__(
        self,
        loop: GradientTrainer,
        family: LanguageModel,
        corpus: Corpus,
        streams: Streams,
        monitor: Monitor,
        group: ProcessGroup,
    ) -> None:
        self.loop, self.family, self.corpus, self.streams, self.monitor = loop, family, corpus, streams, monitor
        self.group = group
        self.device = next(family.parameters()).device
        self.feed = TrainLoader(corpus, loop.batch_size, loop.window, streams("batches"), family.context)
        self.shell = copy.deepcopy(family).cpu() if group.sharded else family  # has the whole weights when saved
        self.model = group.wrap(family, self.device)
        if loop.compile:
            self.model = torch.compile(self.model)
        self.tokens_per_step = self.feed.tokens_per_batch * loop.accumulate
        self.optimizers = loop.optimizer.build(family)
        self.average = EMA(family, loop.ema)
        steps = loop.steps_over(self.feed.per_epoch)
        self.course = Budget(steps, loop.seconds, loop.patience, loop.save_every, group)
        torch.manual_seed(streams.derive("dropout") + group.rank)
        if corpus.tokens("valid") == 0:
            log.warning("%s has no valid split: the last weights are kept, not the best ones", corpus.name)

    @property
    def place(self) -> Progress:
        return self.course.place

    def update(self) -> None:
        """One step of all parameters, after what the loop has one part do ahead of it."""
        if self.loop.ahead is not None:
            self.loop.ahead(self)
        self.descend()
        self.average.update(self.place.step)
        self.place.step += 1

    def descend(self) -> float:
        """Move whatever parameters ask for a gradient down the loss of the next batches; that loss, nats per token.

        The gradient is of the sum over the batches' tokens, divided by the tokens of a mean step and not by their own:
        rows of like length share a batch, so that else a token of a short line would weigh more than one of a long.

        Raises: TrainingError where loss or gradient are not finite.
        """
        batches = [next(self.feed) for _ in range(self.loop.accumulate)]
        tokens = sum(int(batch.mask.sum()) for batch in batches)
        sums: dict[str, Any] = {}
        total = torch.zeros((), device=self.device)
        self.family.train()
        for batch in batches:
            mine = self.group.share(batch).to(self.device)
            with self._precision():
                outputs = self.model(mine)
                loss = self.loop.loss(outputs, mine, step=self.place.step, total=self.course.total)
            mean = loss.total / self.tokens_per_step
            (mean * self.group.world).backward()
            total += mean.detach()
            for name, value in {**loss.terms, "nll": -outputs.log_prob.detach().sum()}.items():
                sums[name] = sums.get(name, 0.0) + value
        norm = float(gather_tree(torch.nn.utils.clip_grad_norm_(self.family.parameters(), self.loop.clip or math.inf)))
        sums = {name: float(value) for name, value in sums.items()}
        if not all(map(math.isfinite, (norm, *sums.values()))):
            raise self._diverged(norm, sums, tokens)
        self._move()
        self.place.tokens += tokens
        for name, value in {**sums, "tokens": tokens, "gradient": norm, "steps": 1}.items():
            self.place.sums[name] = self.place.sums.get(name, 0.0) + value
        return float(total)

    def report(self) -> dict[str, float]:
        """Log the mean of every term since the last report (nats per token), and how fast it goes."""
        place, sums = self.place, self.place.sums
        names = sorted(sums.keys() - {"tokens", "gradient", "steps"})
        totals = self.group.sum([sums[name] for name in names])
        seconds = max(place.seconds, 1e-9)
        values = {
            **{f"train/{name}": total / sums["tokens"] for name, total in zip(names, totals, strict=True)},
            "train/gradient": sums["gradient"] / sums["steps"],
            "train/lr": self._rate * self.loop.optimizer.lr,
            "train/epoch": self.feed.epoch + self.feed.taken / self.feed.per_epoch,
            "tokens": float(place.tokens),
            "seconds": place.seconds,
            "seconds_left": seconds * (1 - self.course.progress) / max(self.course.progress, 1e-9),
            "tokens_per_second": place.tokens / seconds,
        }
        flops = 3 * self.family.flops(place.tokens) / seconds  # a backward pass costs two forward passes
        if math.isfinite(flops):
            values["flops_per_second"] = flops
        place.sums = {}
        if self.group.leads:
            self.monitor.log(place.step, values)
        return values

    @torch.no_grad()
    def validate(self) -> tuple[float, bool]:
        """Nats per token on valid under the averaged weights, and whether that is the best so far.

        Of a family that gives a term `kl` it is the evidence lower bound, under the same draw of z at every validation.
        Without a valid split it is NaN, and the latest weights are the best.
        """
        self.family.eval()
        total, tokens, kl, texts = 0.0, 0.0, 0.0, 0.0
        with self.average.applied(), self._own_draw():
            for batch in self.valid():
                mine = self.group.share(batch).to(self.device)
                with self._precision():
                    outputs = self.family(mine)
                total += float(outputs.log_prob.sum())
                if "kl" in outputs.terms:
                    real = mine.mask.any(1)  # a process that no row is left for has one that counts nothing
                    kl += float(outputs.terms["kl"][real].sum())
                    texts += int(real.sum())
                tokens += float(mine.mask.sum())
        total, tokens, kl, texts = self.group.sum([total, tokens, kl, texts])
        if not tokens:
            return math.nan, True
        nll = (kl - total) / tokens
        better = self.course.judge(nll, self.loop.tolerance)
        if self.group.leads:
            latent = {"valid/kl": kl / texts} if texts else {}  # nats a text
            self.monitor.log(self.place.step, {"valid/nll": nll, "valid/bits": nll / math.log(2), **latent})
        if self.loop.ahead is not None:
            self.loop.ahead.review(self)
        return nll, better

    @property
    def _rate(self) -> float:
        return self.loop.rate(self.place.step, self.course.progress)

    def _move(self) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate * group["initial_lr"]
            optimizer.step()
            optimizer.zero_grad()

    def valid(self) -> Iterator[Batch]:
        """The valid split once, in order."""
        return in_order(self.corpus, "valid", VALID_ROWS, self.loop.window, rows=VALID_ROWS, family=self.family)

    @contextmanager
    def _own_draw(self) -> Iterator[None]:
        """What is drawn from torch's generators inside is the same each time, and moves nothing outside."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.streams.derive("valid") + self.group.rank)
            yield

    def _precision(self) -> AbstractContextManager[Any]:
        if self.loop.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _diverged(self, norm: float, sums: dict[str, float], tokens: int) -> TrainingError:
        shown = ", ".join(f"{name} {value / tokens:.4g}" for name, value in sums.items())
        return TrainingError(
            f"step {self.place.step + 1} (epoch {self.feed.epoch + 1}, batch {self.feed.taken}) is not finite: "
            f"{shown} nats/token, gradient norm {norm:.4g}. Lower train.lr, lengthen train.warmup or set train.clip=1"
            + (", or try train.precision=fp32" if self.loop.precision != "fp32" else "")
        )
