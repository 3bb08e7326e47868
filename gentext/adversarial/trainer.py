"""`train=adversarial`: rounds of a critic's and a generator's steps, after stages of likelihood and of the critic."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from gentext.adversarial.critics import GRUCritic, TextCNN
from gentext.adversarial.estimator import Estimator
from gentext.adversarial.gumbel import Gumbel
from gentext.adversarial.losses import PointwiseLoss
from gentext.adversarial.state import AdversarialState
from gentext.adversarial.validation import KEEP, SampleMetric
from gentext.checks import ArgumentError, at_least, between, class_name, one_of, positive, share
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel, SupportsAdversarial, SupportsEM
from gentext.losses import Objective
from gentext.seeding import Streams
from gentext.train.base import Monitor, device_of
from gentext.train.fit import fit
from gentext.train.optimizers import SCHEDULES, Optimizer, Rate
from gentext.train.progress import Track

OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop")


class AdversarialTrainer:
    """Adversarial training in rounds: `critic_steps` updates of the critic, then `generator_steps` of the generator.

    loss: an estimator, loss=reinforce or loss=gumbel.
    steps, seconds: the budgets, of rounds; no rounds at all are no game. generator_steps=0: the critic learns alone.
    batch_size: real texts of an update, and as many generated ones.
    critic_epochs: null: each critic step is one update, on texts generated for it. A number: each critic step generates
      as many texts as train holds and goes through both so many times, in new orders (SeqGAN's 5 steps of 3 epochs).
    teach_every: rounds between two steps of likelihood (teacher forcing); null: none.
    lr, critic_lr: their rates; `schedule` and `warmup` move both.  clip: the longest gradient of either; null for any.
    ema: decay of the averaged generator, which is judged and kept; 0: off.
    draw: texts that each validation judges.  valid_metrics: metrics of them that are logged.
    judge: a family that counts (an n-gram), fitted to train: its nats a token of the draw are logged; null: none.
    keep: last: a row shows the weights after the game. frechet: beside it a row `weights=best` shows those of the
      validation with the lowest Frechet distance between draw and valid, the start of the game included and collapsed
      ones left out; its kept_round is 0 where no round was better than the start.
    collapse: distinct bigrams of the draw, as a share of those of as much of valid, below which it has collapsed.
    valid_every, log_every: rounds; patience: validations without a lower Frechet distance; save_every: seconds.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from gentext.adversarial import Gumbel, TextCNN, TextGAN
        >>> from gentext.data import Corpus, LocalText, Word
        >>> from gentext.models import LSTM
        >>> from gentext.train.base import NullMonitor
        >>> folder = Path(tempfile.mkdtemp())
        >>> lines = [f"{a} {b} {c}" for a in "abcd" for b in "efgh" for c in "ij"]
        >>> _ = (folder / "my.txt").write_text(chr(10).join(lines))
        >>> source = LocalText(str(folder / "my.txt"), name="mine", valid=8, test=8)
        >>> corpus = Corpus.open(source, Word(), cache=folder / "cache")
        >>> v = corpus.tokenizer.vocab_size
        >>> family = TextGAN(LSTM(v, layers=1, width=8), TextCNN(v, embedding=4, filters={2: 4}))
        >>> trainer = AdversarialTrainer(Gumbel(PointwiseLoss()), steps=2, batch_size=4, draw=8)
        >>> trainer.run(family, corpus, streams=Streams(0), monitor=NullMonitor(folder))
    """

    key = "train"
    allowance: Track | None = None

    def __init__(
        self,
        loss: Estimator | Objective | None,
        *,
        steps: int | None = None,
        seconds: float | None = None,
        batch_size: int = 64,
        critic_steps: int = 1,
        critic_epochs: int | None = None,
        generator_steps: int = 1,
        teach_every: int | None = None,
        optimizer: str = "adamw",
        lr: float = 1e-3,
        critic_lr: float = 1e-3,
        weight_decay: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.99,
        schedule: str = "constant",
        warmup: int = 0,
        clip: float | None = 5.0,
        ema: float = 0.0,
        draw: int = 500,
        valid_metrics: Mapping[str, SampleMetric] | None = None,
        judge: LanguageModel | None = None,
        keep: str = "last",
        collapse: float = 0.5,
        valid_every: int = 50,
        patience: int | None = None,
        log_every: int = 10,
        save_every: float = 60.0,
    ) -> None:
        if steps is None and seconds is None:
            raise ArgumentError("steps", "is null, as seconds is; a game needs an end: give one of them")
        counts = {"batch_size": batch_size, "draw": draw, "valid_every": valid_every, "log_every": log_every}
        at_least(1, **counts, patience=patience, teach_every=teach_every, critic_epochs=critic_epochs)
        at_least(0, steps=steps, critic_steps=critic_steps, generator_steps=generator_steps, warmup=warmup)
        at_least(0, weight_decay=weight_decay, save_every=save_every)
        positive(lr=lr, critic_lr=critic_lr, seconds=seconds, clip=clip)
        share(ema=ema, beta1=beta1, beta2=beta2)
        between(0, 1, collapse=collapse)
        one_of("optimizer", optimizer, OPTIMIZERS)
        one_of("schedule", schedule, SCHEDULES)
        one_of("keep", keep, KEEP)
        if judge is not None and not (isinstance(judge, SupportsEM) and judge.closed_form):
            raise ValueError(f"the judge is {class_name(judge)}; it must learn in one pass, such as an n-gram")
        self.loss = loss
        self.steps, self.seconds, self.batch_size = steps, seconds, batch_size
        self.critic_steps, self.critic_epochs = critic_steps, critic_epochs
        self.generator_steps, self.teach_every = generator_steps, teach_every
        self.optimizer = Optimizer(optimizer, lr, None, weight_decay, beta1, beta2, None)
        self.critic_optimizer = Optimizer(optimizer, critic_lr, None, weight_decay, beta1, beta2, None)
        self.rate = Rate(schedule, warmup, 0.5, 0.0)
        self.clip, self.ema = clip, ema
        self.draw, self.valid_metrics = draw, valid_metrics or {}
        self.judge: LanguageModel | None = judge
        self.keep, self.collapse = keep, collapse
        self.valid_every, self.patience = valid_every, patience
        self.log_every, self.save_every = log_every, save_every

    def check(self, family: LanguageModel, corpus: Corpus) -> None:
        """Refuse what cannot be trained so, before any work.

        Raises:
            ValueError: the family has no critic, the loss is not adversarial, or the corpus is not of lines.
        """
        if not isinstance(family, SupportsAdversarial):
            raise ValueError(
                f"train=adversarial needs a family with a generator and a critic, and {type(family).__name__} has "
                "none of them; try family=seqgan, whose generator any differentiable family can be "
                "(model@family.generator=transformer), or leave train and loss to the family"
            )
        if not any(p.requires_grad for p in family.generator.parameters()):
            raise ValueError(
                f"train=adversarial needs a generator with parameters, and {type(family.generator).__name__} has none; "
                "try model@family.generator=lstm"
            )
        if not isinstance(self.loss, Estimator):
            given = "loss=none" if self.loss is None else "one that is descended, such as nll"
            raise ValueError(f"train=adversarial needs loss=reinforce or loss=gumbel; it was given {given}")
        if self.allowance is not None and self.allowance.flops is not None:
            raise ValueError("track=flops is not for games, whose operations nobody has counted; try track=time")
        if self.keep == "frechet" and corpus.size("valid") < 2:
            raise ValueError(
                f"{self.key}.keep=frechet compares drawn texts with held-out ones, and {corpus.name} has "
                f"{corpus.size('valid')} in valid; give it more (data.valid=1000), or keep=last"
            )
        self.loss.check(family)
        relaxed = isinstance(self.loss, Gumbel) and self.loss.critic_learns == "relaxed"
        if relaxed and self.critic_epochs and self.critic_steps and self.steps != 0:
            raise ValueError(
                f"loss.critic_learns=relaxed learns from each batch once, and {self.key}.critic_epochs is "
                f"{self.critic_epochs}; give critic_learns=samples, or {self.key}.critic_epochs=null"
            )
        game = self.loss.game
        unbounded = isinstance(game, PointwiseLoss) and game.rule == "wasserstein" and not game.penalty
        if unbounded and not (isinstance(family.critic, TextCNN | GRUCritic) and family.critic.spectral):
            raise ValueError(
                "rule=wasserstein lets a critic's scores grow without bound; give loss.game.penalty=10, or "
                "family.critic.spectral=true"
            )
        if corpus.stream or corpus.pairs:
            kind = "one stream" if corpus.stream else "pairs"
            raise ValueError(
                f"train=adversarial trains on lines, and {corpus.name} is {kind}; use train=gradient loss=nll"
            )

    def run(self, family: LanguageModel, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Trains both players in place. Raises: TrainingError on divergence."""
        self.check(family, corpus)
        assert isinstance(family, SupportsAdversarial)
        assert isinstance(self.loss, Estimator)
        device = device_of(family)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            state = AdversarialState(self, self.loss, family, corpus, streams, monitor)
            fit(state)
