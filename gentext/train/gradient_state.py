"""One run of gradient descent: its moving parts, a step, a report, a validation."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from gentext.data.batching import Batching
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel
from gentext.losses import Objective
from gentext.seeding import Streams
from gentext.train.base import Monitor, TrainingError, device_of, in_order
from gentext.train.distributed import ProcessGroup, gather_tree
from gentext.train.ema import EMA
from gentext.train.loader import TrainLoader
from gentext.train.optimizers import Optimizer, Rate
from gentext.train.progress import Budget, Progress, Track
from gentext.types import Batch, by_length

log = logging.getLogger("gentext")

VALID_ROWS = 64  # sequences, or rows of a stream, that are validated at once


@runtime_checkable
class EarlyUpdates(Protocol):
    """What moves a part of a family by itself before each step of all parameters."""

    def __call__(self, state: GradientState) -> None: ...

    def review(self, state: GradientState) -> None:
        """Decide at a validation whether that is still worth while."""
        ...


@runtime_checkable
class GradientOptions(Protocol):
    """What `GradientTrainer` holds; it says what each is."""

    key: str
    loss: Objective
    seconds: float | None
    batch_size: int
    batching: str
    window: int
    accumulate: int
    optimizer: Optimizer
    rate: Rate
    clip: float | None
    ema: float
    precision: str
    compile: bool
    patience: int | None
    tolerance: float
    log_every: int
    save_every: float
    allowance: Track | None

    def steps_over(self, batches: int) -> int | None: ...

    def validation_interval(self, batches: int) -> int: ...

    @property
    def aggressive(self) -> EarlyUpdates | None: ...


class LossOf(nn.Module):
    """A family and an objective as one module, so that processes that train together see which parameters are used."""

    def __init__(self, family: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.family, self.objective = family, objective

    def forward(self, batch: Batch, step: int, total: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the loss over the batch, and the sums of its terms and of -log p, in nats, without gradients."""
        outputs = self.family(batch)
        loss = self.objective(outputs, batch, step=step, total=total)
        return loss.total, {**loss.terms, "nll": -outputs.log_prob.detach().sum()}


class GradientState:
    """A family, its optimisers and its place in a corpus.

    Args:
        options: the trainer.
        family: on its device already; its parameters are moved in place.
        group: this process among those that train together.
    """

    validates_first = False  # the weights that it begins with are nobody's best
    long_steps = False

    def __init__(
        self,
        options: GradientOptions,
        family: LanguageModel,
        corpus: Corpus,
        streams: Streams,
        monitor: Monitor,
        group: ProcessGroup,
    ) -> None:
        self.options, self.family, self.corpus = options, family, corpus
        self.streams, self.monitor, self.group = streams, monitor, group
        self.device = device_of(family)
        # in batches of one length a statistic of the batch would be of its length
        batching: Batching = "mixed" if options.loss.pooled else "tokens" if options.batching == "tokens" else "texts"
        rng = streams("batches")
        self.loader = TrainLoader(corpus, options.batch_size, options.window, rng, family.context, batching=batching)
        self.shell = copy.deepcopy(family).cpu() if group.sharded else family  # has the whole weights when saved
        group.shard(family, self.device)
        compiled = cast(torch.nn.Module, torch.compile(family)) if options.compile else family
        self.model = group.wrap(LossOf(compiled, options.loss), self.device)
        self.tokens_per_step = self.loader.tokens_per_batch * options.accumulate
        self.optimizers = options.optimizer.build(family)
        self.ema = EMA(family, options.ema)
        steps = options.steps_over(self.loader.per_epoch)
        self.valid_every = options.validation_interval(self.loader.per_epoch)
        self.budget = Budget(
            steps,
            options.seconds,
            options.patience,
            options.save_every,
            group,
            allowance=options.allowance,
            flops=family.flops,
            timed=self.device.type == "cpu",
        )
        torch.manual_seed(streams.derive("dropout") + group.rank)
        if corpus.tokens("valid") == 0:
            log.warning("%s has no valid split: the last weights are kept, not the best ones", corpus.name)

    @property
    def progress(self) -> Progress:
        return self.budget.progress

    def update(self) -> None:
        """One step of all parameters, after those that `train.aggressive` has the encoder take."""
        if self.options.aggressive is not None:
            self.options.aggressive(self)
        self.backward_and_step()
        self.ema.update(self.progress.step)
        self.progress.step += 1

    def backward_and_step(self) -> float:
        """Step along the gradient, in whatever parameters require one, of the next batches' loss; that, nats per token.

        The gradient is of the sum over the batches' tokens, divided by the tokens of a mean step and not by their own:
        rows of like length share a batch, so that else a token of a short line would weigh more than one of a long.

        Raises: TrainingError where loss or gradient are not finite.
        """
        batches = [next(self.loader) for _ in range(self.options.accumulate)]
        tokens = sum(int(batch.mask.sum()) for batch in batches)
        sums: dict[str, Any] = {}
        total = torch.zeros((), device=self.device)
        self.family.train()
        for batch in batches:
            mine = self.group.local_rows(batch).to(self.device)
            with self._precision():
                loss, terms = self.model(mine, self.progress.step, self.budget.total)
            mean = loss / self.tokens_per_step
            (mean * self.group.world).backward()
            total += mean.detach()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
        longest = self.options.clip or math.inf
        norm = float(gather_tree(torch.nn.utils.clip_grad_norm_(self.family.parameters(), longest)))
        sums = {name: float(value) for name, value in sums.items()}
        if not all(map(math.isfinite, (norm, *sums.values()))):
            raise self._diverged(norm, sums, tokens)
        self._optimizer_step()
        self.progress.tokens += tokens
        for name, value in {**sums, "tokens": tokens, "gradient": norm, "steps": 1}.items():
            self.progress.sums[name] = self.progress.sums.get(name, 0.0) + value
        return float(total)

    def report(self) -> dict[str, float]:
        """Log the mean of every term since the last report (nats per token), and the speed."""
        progress, sums = self.progress, self.progress.sums
        names = sorted(sums.keys() - {"tokens", "gradient", "steps"})
        totals = self.group.sum([sums[name] for name in names])
        seconds = max(progress.seconds, 1e-9)
        values = {
            **{f"train/{name}": total / sums["tokens"] for name, total in zip(names, totals, strict=True)},
            "train/gradient": sums["gradient"] / sums["steps"],
            "train/lr": self._rate * self.options.optimizer.lr,
            "train/epoch": self.loader.epoch + self.loader.taken / self.loader.per_epoch,
            "tokens": float(progress.tokens),
            "seconds": progress.seconds,
            "seconds_left": seconds * (1 - self.budget.spent) / max(self.budget.spent, 1e-9),
            "tokens_per_second": progress.tokens / seconds,
        }
        flops = 3 * self.family.flops(progress.tokens) / seconds  # a backward pass costs two forward passes
        if math.isfinite(flops):
            values["flops_per_second"] = flops
        progress.sums = {}
        if self.group.leads:
            self.monitor.log(progress.step, values)
        return values

    @torch.no_grad()
    def validate(self) -> tuple[float, bool]:
        """Nats per token on valid under the averaged weights, and whether that is the best so far.

        Of a family that gives a term `kl` it is the evidence lower bound, under the same draw of z at every validation.
        Without a valid split it is NaN, and the latest weights are the best.
        """
        self.family.eval()
        total, tokens, kl, texts = 0.0, 0.0, 0.0, 0.0
        with self.ema.applied(), self._own_draw():
            for batch in self.valid():
                mine = self.group.local_rows(batch).to(self.device)
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
        better = self.budget.record_validation(nll, self.options.tolerance)
        if self.group.leads:
            latent = {"valid/kl": kl / texts} if texts else {}  # nats a text
            values = {"valid/nll": nll, "valid/bits": nll / math.log(2), "spent": self.budget.spent, **latent}
            self.monitor.log(self.progress.step, values)
        if self.options.aggressive is not None:
            self.options.aggressive.review(self)
        return nll, better

    @property
    def _rate(self) -> float:
        return self.options.rate(self.progress.step, self.budget.spent)

    def _optimizer_step(self) -> None:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate * group["initial_lr"]
            optimizer.step()
            optimizer.zero_grad()

    def valid(self) -> Iterator[Batch]:
        """The valid split once: in order, but lines of like length together where no draw depends on their order."""
        if self.corpus.stream or self.family.likelihood != "exact":
            return in_order(self.corpus, "valid", VALID_ROWS, self.options.window, rows=VALID_ROWS, family=self.family)
        batches = self.corpus.batches("valid", 4 * VALID_ROWS)
        return (part for batch in batches for _, part in by_length(batch, VALID_ROWS))

    @contextmanager
    def _own_draw(self) -> Iterator[None]:
        """What is drawn from torch's generators inside is the same each time, and moves nothing outside."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.streams.derive("valid") + self.group.rank)
            yield

    def _precision(self) -> AbstractContextManager[Any]:
        if self.options.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _diverged(self, norm: float, sums: dict[str, float], tokens: int) -> TrainingError:
        shown = ", ".join(f"{name} {value / tokens:.4g}" for name, value in sums.items())
        key = self.options.key
        return TrainingError(
            f"step {self.progress.step + 1} (epoch {self.loader.epoch + 1}, batch {self.loader.taken}) is not finite: "
            f"{shown} nats/token, gradient norm {norm:.4g}. Lower {key}.lr, lengthen {key}.warmup or set {key}.clip=1"
            + (f", or try {key}.precision=fp32" if self.options.precision != "fp32" else "")
        )
