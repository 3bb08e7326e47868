"""Gumbel-softmax: relaxed tokens, through which the critic's gradient reaches the generator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from gentext.adversarial.critics import critic_scores
from gentext.adversarial.estimator import Estimator, EstimatorOutput
from gentext.adversarial.losses import AdversarialLoss
from gentext.language_model import LanguageModel, SupportsAdversarial
from gentext.schedules import Schedule
from gentext.types import EOS, PAD, Batch


class Gumbel(Estimator):
    """The generator's loss on relaxed texts, whose tokens are softmax((logits + Gumbel noise) / temperature).

    temperature: a number or a schedule, which ends with the run.
    hard: the critic and the generator read one-hots, and only the gradient is that of the softmax (straight-through).
    Source: Jang et al. 2017; Maddison et al. 2017; Kusner and Hernández-Lobato 2016 for text.

    Example:
        >>> from gentext.adversarial import PointwiseLoss, TextCNN, TextGAN
        >>> from gentext.models import LSTM
        >>> from gentext.types import pad
        >>> players = TextGAN(LSTM(9, layers=1, width=8), TextCNN(9, embedding=4, filters={2: 3}))
        >>> estimator = Gumbel(PointwiseLoss("relativistic"), temperature=0.5)
        >>> out = estimator(players, pad([[4, 5, 2], [6, 2]]), rng=torch.Generator().manual_seed(0), step=1, total=10)
        >>> sorted(out.figures), out.loss.requires_grad
        (['entropy', 'generator_loss', 'temperature'], True)
    """

    def __init__(self, game: AdversarialLoss, *, temperature: float | Schedule = 1.0, hard: bool = False) -> None:
        super().__init__()
        ends = (temperature(0, 1), temperature(1, 1)) if callable(temperature) else (temperature,)
        if not min(ends) > 0:
            raise ValueError(f"temperature is {temperature}; it must be positive to its end, 1 is usual")
        self.game, self.temperature, self.hard = game, temperature, hard

    def check(self, players: SupportsAdversarial) -> None:
        self.game.check(players.critic)

    def forward(
        self, players: SupportsAdversarial, real: Batch, *, rng: torch.Generator, step: int, total: int
    ) -> EstimatorOutput:
        heat = self.temperature(step, total) if callable(self.temperature) else self.temperature
        n, t = real.tokens.shape
        fake, mask, entropy = relaxed(players.generator, n, t, temperature=heat, hard=self.hard, rng=rng)
        with torch.no_grad():
            on_real = critic_scores(players.critic, real.tokens, real.mask)
        on_fake = critic_scores(players.critic, fake, mask)
        loss = self.game.generator(on_real, on_fake)
        return EstimatorOutput(loss, {"generator_loss": loss.detach(), "entropy": entropy, "temperature": heat})


def relaxed(
    generator: LanguageModel, n: int, length: int, *, temperature: float, hard: bool, rng: torch.Generator
) -> tuple[Float[Tensor, "n t v"], Bool[Tensor, "n t"], Float[Tensor, ""]]:
    """`n` texts of relaxed one-hots, their masks, and the entropy of the choices that made them (nats per token).

    Each token is read as it was written, relaxed. A text ends where EOS has the largest share; PAD follows.
    """
    at = generator.start(n, rng=rng)
    padding = F.one_hot(torch.full((n,), PAD, device=at.logits.device), generator.vocab_size).to(at.logits)
    live = torch.ones(n, dtype=torch.bool, device=at.logits.device)
    columns, masks, entropies = [], [], []
    for i in range(length):
        with torch.no_grad():
            scores = at.logits.log_softmax(1)
            entropies.append(-(scores.exp() * scores.clamp_min(-1e4)).sum(1))
        noise = torch.empty(n, generator.vocab_size, device=rng.device).exponential_(generator=rng)
        soft = ((at.logits - noise.to(at.logits.device).clamp_min(1e-30).log()) / temperature).softmax(1)
        chosen = soft.argmax(1)
        if hard:
            soft = F.one_hot(chosen, generator.vocab_size) + soft - soft.detach()
        columns.append(torch.where(live[:, None], soft, padding))
        masks.append(live)
        live = live & (chosen != EOS)
        if i + 1 < length:
            at = generator.step(at.state, columns[-1])
    mask = torch.stack(masks, 1)
    return torch.stack(columns, 1), mask, torch.stack(entropies, 1)[mask].mean()
