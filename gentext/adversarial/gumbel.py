"""Gumbel-softmax: relaxed tokens, through which the critic's gradient reaches the generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from gentext.adversarial.critics import critic_scores
from gentext.adversarial.estimator import Estimator, EstimatorOutput
from gentext.adversarial.losses import AdversarialLoss
from gentext.checks import one_of
from gentext.language_model import LanguageModel, SupportsAdversarial
from gentext.schedules import Schedule
from gentext.types import EOS, PAD, Batch, CriticTexts

READ_BACK = ("relaxed", "sampled")
CRITIC_LEARNS = ("samples", "relaxed")


class Gumbel(Estimator):
    """The generator's loss on relaxed texts, whose tokens are softmax((logits + Gumbel noise) / temperature).

    temperature: a number or a schedule, which ends with the run.
    hard: the critic and the generator read one-hots, and only the gradient is that of the softmax (straight-through).
    read_back: what the generator reads of its own text. relaxed: its relaxed tokens, through which a gradient flows.
      sampled: the likeliest word of each, so that a gradient reaches earlier tokens by way of the state alone.
    critic_learns: from what texts the critic learns. samples: the generator's own. relaxed: such as move the generator,
      which a critic can tell from real ones by their not being one-hots, unless the temperature is low.
    Source: Jang et al. 2017; Maddison et al. 2017; Kusner and Hernández-Lobato 2016 for text. Of RelGAN's code are
    read_back=sampled and critic_learns=relaxed.

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

    def __init__(
        self,
        game: AdversarialLoss,
        *,
        temperature: float | Schedule = 1.0,
        hard: bool = False,
        read_back: str = "relaxed",
        critic_learns: str = "samples",
    ) -> None:
        super().__init__()
        one_of("read_back", read_back, READ_BACK)
        one_of("critic_learns", critic_learns, CRITIC_LEARNS)
        ends = (temperature(0, 1), temperature(1, 1)) if callable(temperature) else (temperature,)
        if not min(ends) > 0:
            raise ValueError(f"temperature is {temperature}; it must be positive to its end, 1 is usual")
        self.game, self.temperature, self.hard = game, temperature, hard
        self.read_back, self.critic_learns = read_back, critic_learns

    def check(self, players: SupportsAdversarial) -> None:
        self.game.check(players.critic)

    def forward(
        self, players: SupportsAdversarial, real: Batch, *, rng: torch.Generator, step: int, total: int
    ) -> EstimatorOutput:
        heat = self._heat(step, total)
        fake, mask, logits = self._relaxed(players, *real.tokens.shape, heat=heat, rng=rng)
        with torch.no_grad():
            on_real = critic_scores(players.critic, real.tokens, real.mask)
        on_fake = critic_scores(players.critic, fake, mask)
        loss = self.game.generator(on_real, on_fake)
        entropy = torch.stack([_entropy(at.detach()) for at in logits], 1)[mask].mean()
        return EstimatorOutput(loss, {"generator_loss": loss.detach(), "entropy": entropy, "temperature": heat})

    @torch.no_grad()
    def for_critic(
        self,
        players: SupportsAdversarial,
        sizes: Sequence[int],
        length: int,
        *,
        rng: torch.Generator,
        step: int,
        total: int,
    ) -> Iterator[Batch | CriticTexts]:
        if self.critic_learns == "samples" or not sizes:
            yield from super().for_critic(players, sizes, length, rng=rng, step=step, total=total)
            return
        # all at once, which takes four fifths of the time: the generator rests until the critic has learnt
        fake, mask, _ = self._relaxed(players, sum(sizes), length, heat=self._heat(step, total), rng=rng)
        yield from map(CriticTexts, fake.split(list(sizes)), mask.split(list(sizes)))

    def _heat(self, step: int, total: int) -> float:
        return self.temperature(step, total) if callable(self.temperature) else self.temperature

    def _relaxed(
        self, players: SupportsAdversarial, n: int, length: int, *, heat: float, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        sampled = self.read_back == "sampled"
        return relaxed(players.generator, n, length, temperature=heat, hard=self.hard, sampled=sampled, rng=rng)


def relaxed(
    generator: LanguageModel,
    n: int,
    length: int,
    *,
    temperature: float,
    hard: bool,
    sampled: bool = False,
    rng: torch.Generator,
) -> tuple[Float[Tensor, "n t v"], Bool[Tensor, "n t"], list[Float[Tensor, "n v"]]]:
    """`n` texts of relaxed one-hots, their masks, and the logits of each token in turn.

    Each token is read as it was written, relaxed, or where `sampled` as its likeliest word. A text ends where EOS has
    the largest share; PAD follows.
    """
    at = generator.start(n, rng=rng)
    padding = F.one_hot(torch.full((n,), PAD, device=at.logits.device), generator.vocab_size).to(at.logits)
    live = torch.ones(n, dtype=torch.bool, device=at.logits.device)
    columns, masks, logits = [], [], []
    for i in range(length):
        logits.append(at.logits)
        noise = exponential(n, generator.vocab_size, rng).to(at.logits.device)
        soft = ((at.logits - noise.clamp_min(1e-30).log()) / temperature).softmax(1)
        chosen = soft.argmax(1)
        if hard:
            soft = F.one_hot(chosen, generator.vocab_size) + soft - soft.detach()
        columns.append(torch.where(live[:, None], soft, padding))
        read = chosen.where(live, PAD) if sampled else columns[-1]
        masks.append(live)
        live = live & (chosen != EOS)
        if i + 1 < length:
            at = generator.step(at.state, read)
    return torch.stack(columns, 1), torch.stack(masks, 1), logits


def exponential(n: int, width: int, rng: torch.Generator) -> Float[Tensor, "n width"]:
    """Draws of the exponential distribution of mean 1, in a third of the time of torch's own on a CPU.

    A uniform number of single precision is a multiple of 2^-24. Where it is small the bits below are drawn too: there
    it is decided whether an improbable word comes first.
    """
    uniform = torch.rand(n, width, generator=rng, device=rng.device)
    small = (uniform < 2**-10).nonzero(as_tuple=True)
    uniform[small] += 2**-24 * torch.rand(len(small[0]), generator=rng, device=rng.device)
    return -torch.log1p(-uniform)


def _entropy(logits: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
    """Nats of each choice."""
    scores = logits.log_softmax(1)
    return -(scores.exp() * scores.clamp_min(-1e4)).sum(1)
