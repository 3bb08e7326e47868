"""`train=gradient`: descend an objective, for every family with parameters."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

from gentext.checks import ArgumentError, at_least, class_name, one_of, positive, share
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel
from gentext.losses import Objective
from gentext.seeding import Streams
from gentext.train.aggressive import AggressiveEncoder
from gentext.train.base import Monitor, device_of
from gentext.train.distributed import ProcessGroup
from gentext.train.distributed_launch import train_together
from gentext.train.fit import fit
from gentext.train.gradient_state import GradientState
from gentext.train.optimizers import OPTIMIZERS, SCHEDULES, Optimizer, Rate
from gentext.train.progress import Track


@lru_cache(1)
def lstm_in_bf16() -> bool:
    """Whether this processor computes an LSTM under autocast: oneDNN's wants AVX-512, and has no slower one instead."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True


class GradientTrainer:
    """Descends `loss` until the first of its budgets is spent, and leaves the weights that are best on valid.

    steps, epochs, seconds: the budgets; null for none. No steps at all leave the family as it is.
    batch_size: sequences of a step, or parallel rows of a stream; times `accumulate`.
    batching: "texts", steps of as many texts; "tokens", of as many tokens, `batch_size` being the texts of a mean step:
      where lines differ much in length a step of short ones moves as far as one of long ones (max-tokens batches of
      fairseq, Ott et al. 2019, here with as many steps to an epoch). A stream's steps have as many tokens anyway.
    window: tokens of a row of a stream, whose state the next window carries on. A family without a state reads as many
      tokens a step, batch_size x window, in sections of its context.
    lr_embedding: the rate of embeddings that are not the output layer too; null: `lr`.
    clip: the longest gradient; null for any.  ema: decay of the averaged weights, which are judged and kept; 0: off.
    warmup: steps; cooldown: wsd's last share of the run; floor: the rate's share at the end.
    valid_every: steps between validations; null: an epoch, but at least 50 steps and at most 250.
    patience: validations without an improvement of `tolerance` nats/token; null: to the end.
    save_every: seconds between checkpoints; one is written at every validation too.
    processes: how many train together on this machine, one to a GPU where there are any. `batch_size` is of all.
    sharded: each process holds a part of the weights only (FSDP2), for a model that does not fit otherwise.
    aggressive: what trains a VAE's encoder alone before every step (see AggressiveEncoder); null for nothing.
    nodes, rendezvous: with several machines, start the same run on each, with the first one's HOST:PORT.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from gentext.data import Corpus, LocalText, Word
        >>> from gentext.losses import NLL
        >>> from gentext.models import LSTM
        >>> from gentext.train.base import NullMonitor
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "my.txt").write_text(chr(10).join(f"{a} {b}" for a in "abcd" for b in "efgh"))
        >>> source = LocalText(str(folder / "my.txt"), name="mine", valid=4, test=4)
        >>> corpus = Corpus.open(source, Word(), cache=folder / "cache")
        >>> family = LSTM(corpus.tokenizer.vocab_size, layers=1, width=8)
        >>> trainer = GradientTrainer(Objective(nll=NLL()), steps=3, batch_size=4, valid_every=3)
        >>> trainer.run(family, corpus, streams=Streams(0), monitor=NullMonitor(folder))
    """

    key = "train"
    allowance: Track | None = None

    def __init__(
        self,
        loss: Objective | None,
        *,
        steps: int | None = None,
        epochs: float | None = None,
        seconds: float | None = None,
        batch_size: int = 32,
        batching: str = "texts",
        window: int = 64,
        accumulate: int = 1,
        optimizer: str = "adamw",
        lr: float = 1e-3,
        lr_embedding: float | None = None,
        weight_decay: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.99,
        momentum: float | None = None,
        schedule: str = "cosine",
        warmup: int = 0,
        cooldown: float = 0.5,
        floor: float = 0.0,
        clip: float | None = 1.0,
        ema: float = 0.0,
        precision: str = "fp32",
        compile: bool = False,
        valid_every: int | None = None,
        patience: int | None = None,
        tolerance: float = 0.0,
        log_every: int = 50,
        save_every: float = 60.0,
        processes: int = 1,
        sharded: bool = False,
        nodes: int = 1,
        rendezvous: str = "localhost:0",
        aggressive: AggressiveEncoder | None = None,
    ) -> None:
        if not isinstance(loss, Objective):
            raise ValueError(
                "train=gradient needs something to descend; try loss=nll"
                + (f" ({type(loss).__name__} is played for: train=adversarial)" if loss is not None else "")
            )
        if steps is None and epochs is None and seconds is None:
            raise ArgumentError("steps", "is null, as epochs and seconds are; training needs an end: give one of them")
        counts = {"batch_size": batch_size, "window": window, "accumulate": accumulate, "valid_every": valid_every}
        at_least(1, **counts, log_every=log_every, patience=patience, processes=processes, nodes=nodes)
        at_least(0, steps=steps, warmup=warmup, weight_decay=weight_decay, tolerance=tolerance, save_every=save_every)
        positive(lr=lr, lr_embedding=lr_embedding, epochs=epochs, seconds=seconds, clip=clip, cooldown=cooldown)
        share(ema=ema, floor=floor, beta1=beta1, beta2=beta2, momentum=momentum)
        one_of("batching", batching, ("texts", "tokens"))
        one_of("optimizer", optimizer, OPTIMIZERS)
        one_of("schedule", schedule, SCHEDULES)
        one_of("precision", precision, ("fp32", "bf16"))
        self.loss = loss
        self.steps, self.epochs, self.seconds = steps, epochs, seconds
        self.batch_size, self.window, self.accumulate = batch_size, window, accumulate
        self.batching = batching
        self.optimizer = Optimizer(optimizer, lr, lr_embedding, weight_decay, beta1, beta2, momentum)
        self.rate = Rate(schedule, warmup, cooldown, floor)
        self.clip, self.ema, self.precision, self.compile = clip, ema, precision, compile
        self.valid_every, self.patience, self.tolerance = valid_every, patience, tolerance
        self.log_every, self.save_every = log_every, save_every
        self.processes, self.sharded, self.nodes, self.rendezvous = processes, sharded, nodes, rendezvous
        self.aggressive = aggressive

    def check(self, family: LanguageModel, corpus: Corpus) -> None:
        """Raises: ValueError where the family has no parameters to move, or the loss cannot be divided as is asked."""
        if not any(p.requires_grad for p in family.parameters()):
            raise ValueError(
                f"train=gradient needs parameters, and {type(family).__name__} has none; try train=em loss=none"
            )
        half = self.precision == "bf16" and device_of(family).type == "cpu"
        if half and any(isinstance(module, nn.LSTM) for module in family.modules()) and not lstm_in_bf16():
            raise ValueError(
                f"{self.key}.precision is bf16, and this processor computes no LSTM in bfloat16, of which "
                f"{class_name(family)} is made; give {self.key}.precision=fp32, or device=cuda where there is a GPU"
            )
        parts = {"accumulate": self.accumulate, "processes": self.processes, "nodes": self.nodes}
        divided = [f"{self.key}.{name}={number}" for name, number in parts.items() if number > 1]
        if self.loss.pooled and divided:
            raise ValueError(
                f"the loss's {' and '.join(self.loss.pooled)} looks at all texts of a batch together, and "
                f"{' and '.join(divided)} divides it; give 1, and the texts that you want in {self.key}.batch_size"
            )
        if self.loss.pooled and self.batching == "tokens":
            raise ValueError(
                f"the loss's {' and '.join(self.loss.pooled)} compares batches of as many texts of any lengths; give "
                f"{self.key}.batching=texts"
            )
        if self.aggressive is not None:
            self.aggressive.check(family, corpus, self.processes * self.nodes)

    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Trains `family` in place. Raises: TrainingError on divergence."""
        self.check(family, corpus)
        if self.processes > 1 or self.nodes > 1:
            train_together(self, family, corpus, streams, monitor)
            return
        device = device_of(family)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            fit(GradientState(self, family, corpus, streams, monitor, ProcessGroup()))

    def steps_over(self, batches: int) -> int | None:
        """The steps that the budgets allow, of an epoch of so many batches; None where only seconds bound them."""
        bounds = [] if self.steps is None else [self.steps]
        if self.epochs is not None:
            bounds.append(max(1, round(self.epochs * batches / self.accumulate)))
        return min(bounds, default=None)

    def validation_interval(self, batches: int) -> int:
        """The steps between two validations, of an epoch of so many batches."""
        if self.valid_every is not None:
            return self.valid_every
        return min(max(50, round(batches / self.accumulate)), 250)  # of little text the best lies early
