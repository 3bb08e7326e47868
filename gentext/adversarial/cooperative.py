"""Cooperative training: the generator follows a mediator, a language model of real and generated text alike."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.adversarial.estimator import Estimator, EstimatorOutput, drawn
from gentext.adversarial.losses import Cost, CriticScores
from gentext.language_model import Critic, LanguageModel, SupportsAdversarial
from gentext.types import PAD, Batch


class Mediator(Critic):
    """A language model in a critic's place: the score of a text is its log-probability.

    Example:
        >>> from gentext.models import LSTM
        >>> mediator = Mediator(LSTM(9, layers=1, width=8))
        >>> mediator(torch.tensor([[4, 5, 6, 2], [7, 2, 0, 0]])).shape
        torch.Size([2])
    """

    outputs = 0

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        if model.likelihood != "exact":
            raise ValueError(
                f"a mediator needs the exact likelihood of a text, and {type(model).__name__} gives another; "
                "give model@family.critic.model=lstm"
            )
        self.model, self.vocab_size = model, model.vocab_size

    def forward(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, " n"]:
        mask = tokens != PAD
        longest = int(mask.sum(1).max())
        return self.model(Batch(tokens[:, :longest], mask[:, :longest])).log_prob.sum(1)


class CooperativeLoss:
    """The mediator learns real and generated texts in equal parts by likelihood, and nobody tells them apart.

    Every text counts alike, whatever its length: by the token, the mediator of short and of long texts would not be the
    even mixture of the two.
    Source: Lu et al. 2019, section 3.2 (the objective of the mediator).
    """

    logit: ClassVar[bool] = False
    penalty: float = 0.0

    def check(self, critic: Critic) -> None:
        if not isinstance(critic, Mediator):
            raise ValueError(
                f"cooperative training wants a language model of both kinds of text, and {type(critic).__name__} is "
                "none; give model@family.critic=mediator"
            )

    def critic(self, real: CriticScores, fake: CriticScores) -> Cost:
        return -(real.mean() + fake.mean()) / 2

    def generator(self, real: CriticScores, fake: CriticScores) -> Cost:
        """Minus the log-probability of generated texts; `Cooperative` compares all of the vocabulary instead."""
        return -fake.mean()

    def score(self, scores: CriticScores, real: CriticScores) -> CriticScores:
        return scores


class Cooperative(Estimator):
    """The divergence of the generator's next token from the mediator's, after every beginning of its own texts.

    Summed over the tokens up to EOS, the mean over texts. The sum over the vocabulary is exact, so that no reward, no
    baseline and no rollout is needed; what is drawn are the beginnings, which get no gradient of their own. Where the
    mediator is the mean of truth and generator, this is one of the two whose mean is their Jensen-Shannon divergence.
    Source: Lu et al. 2019 (CoT), equations 6 to 12; desire2020/CoT at 05f3908.

    Example:
        >>> from gentext.adversarial import TextGAN
        >>> from gentext.models import LSTM
        >>> from gentext.types import pad
        >>> players = TextGAN(LSTM(9, layers=1, width=8), Mediator(LSTM(9, layers=1, width=8)))
        >>> real, rng = pad([[4, 5, 2], [6, 2]]), torch.Generator().manual_seed(0)
        >>> sorted(Cooperative()(players, real, rng=rng, step=1, total=10).figures)
        ['divergence', 'entropy', 'generator_loss']
    """

    game: CooperativeLoss

    def __init__(self) -> None:
        super().__init__()
        self.game = CooperativeLoss()

    def check(self, players: SupportsAdversarial) -> None:
        self.game.check(players.critic)
        if players.generator.likelihood != "exact":
            raise ValueError(
                f"cooperative training compares the next token's probabilities, and {type(players.generator).__name__} "
                "gives a bound of a whole text; try model@family.generator=lstm"
            )

    def forward(
        self, players: SupportsAdversarial, real: Batch, *, rng: torch.Generator, step: int, total: int
    ) -> EstimatorOutput:
        generator, critic = players.generator, players.critic
        assert isinstance(critic, Mediator)
        n, length = real.tokens.shape
        fake = drawn(generator, n, length, rng)
        longest = int(fake.lengths.max())
        mask = fake.mask[:, :longest]
        at = generator.start(n)
        with torch.no_grad():
            among = critic.model.start(n)
        divergences, entropies = [], []
        for i, tokens in enumerate(fake.tokens[:, :longest].T):
            log_prob = at.logits.log_softmax(1)
            prob = log_prob.exp()
            gap = (log_prob - among.logits.log_softmax(1)).masked_fill(log_prob == -torch.inf, 0.0)
            divergences.append((prob * gap).sum(1))
            entropies.append(torch.special.entr(prob.detach()).sum(1))
            if i + 1 < longest:
                at = generator.step(at.state, tokens)
                with torch.no_grad():
                    among = critic.model.step(among.state, tokens)
        divergence = torch.where(mask, torch.stack(divergences, 1), 0.0).sum(1)
        loss = divergence.mean()
        return EstimatorOutput(
            loss,
            {
                "generator_loss": loss.detach(),
                "divergence": divergence.detach().sum() / mask.sum(),
                "entropy": torch.stack(entropies, 1)[mask].mean(),
            },
        )
