"""Losses of adversarial training: what the critic and what the generator minimise, given the critic's scores.

`real` and `fake` are scores on real and on generated text, of any shape, whose elements all count alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gentext.checks import ArgumentError, at_least, one_of, positive
from gentext.language_model import Critic
from gentext.types import Batch, CriticTexts

CriticScores = Float[Tensor, "..."]
Cost = Float[Tensor, ""]


@runtime_checkable
class AdversarialLoss(Protocol):
    """`penalty` weighs the critic's slope between real and generated text (see `slope`) in what it makes small.

    logit: whether the score's sigmoid is the probability of being real.
    """

    penalty: float
    logit: bool

    def check(self, critic: Critic) -> None:
        """Raises: ValueError where the game cannot be played with this critic's scores."""
        ...

    def critic(self, real: CriticScores, fake: CriticScores) -> Cost: ...

    def generator(self, real: CriticScores, fake: CriticScores) -> Cost: ...

    def score(self, scores: CriticScores, real: CriticScores) -> CriticScores:
        """How real each text is (of a dense critic, each token); what rewards and accuracies rest on."""
        ...


class Rule(NamedTuple):
    """The loss of each player; the critic's third argument is the target of a score on real text."""

    critic: Callable[[Tensor, Tensor, float], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]


def _log_loss(real: Tensor, fake: Tensor, target: float) -> Tensor:
    return F.softplus(-real).mean() + (1 - target) * real.mean() + F.softplus(fake).mean()


def _square(real: Tensor, fake: Tensor, target: float) -> Tensor:
    return ((real - target).square().mean() + fake.square().mean()) / 2


def _pairs(real: Tensor, fake: Tensor) -> Tensor:
    if real.shape != fake.shape:
        raise ValueError(
            f"rule=relativistic sets each score on real text against one on generated text, and there are "
            f"{real.numel()} and {fake.numel()}: a dense critic wants rule=relativistic_average"
        )
    return real - fake


def _both(real: Tensor, fake: Tensor) -> Tensor:
    """Real text should be more real than generated text is on average, and the other way round."""
    return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()


RULES = {
    "standard": Rule(_log_loss, lambda real, fake: -F.softplus(fake).mean()),
    "non_saturating": Rule(_log_loss, lambda real, fake: F.softplus(-fake).mean()),
    "least_squares": Rule(_square, lambda real, fake: (fake - 1).square().mean() / 2),
    "hinge": Rule(
        lambda real, fake, _: F.relu(1 - real).mean() + F.relu(1 + fake).mean(), lambda _, fake: -fake.mean()
    ),
    "wasserstein": Rule(lambda real, fake, _: fake.mean() - real.mean(), lambda _, fake: -fake.mean()),
    "relativistic": Rule(
        lambda real, fake, _: F.softplus(-_pairs(real, fake)).mean(),
        lambda real, fake: F.softplus(_pairs(real, fake)).mean(),
    ),
    "relativistic_average": Rule(lambda real, fake, _: _both(real, fake), lambda real, fake: _both(fake, real)),
}
LOGIT = ("standard", "non_saturating", "relativistic", "relativistic_average")
RELATIVE = ("wasserstein", "relativistic", "relativistic_average")  # a number added to all scores changes nothing
SMOOTHED = ("standard", "non_saturating", "least_squares")


@dataclass(frozen=True)
class PointwiseLoss:
    """Losses of a critic whose score is a number, the higher the more real.

    rule: standard | non_saturating (Goodfellow et al. 2014), least_squares (Mao et al. 2017), hinge (Lim and Ye 2017),
      wasserstein (Arjovsky et al. 2017), relativistic | relativistic_average (Jolicoeur-Martineau 2018).
    smoothing: by how much the target of real text alone falls short of 1 (Salimans et al. 2016, section 3.4).
    penalty: weight of the gradient penalty; 10 is usual with wasserstein.

    Example:
        >>> loss = PointwiseLoss("hinge")
        >>> real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.0])
        >>> float(loss.critic(real, fake)), float(loss.generator(real, fake))
        (0.75, 1.0)
    """

    rule: str = "non_saturating"
    smoothing: float = 0.0
    penalty: float = 0.0

    def __post_init__(self) -> None:
        one_of("rule", self.rule, RULES)
        if not 0 <= self.smoothing < 1:
            raise ArgumentError("smoothing", f"is {self.smoothing}; it must be a share in [0, 1), 0.1 is usual")
        if not 0 <= self.penalty < math.inf:
            raise ArgumentError("penalty", f"is {self.penalty}; it must be 0 or more: 10 is usual, and 0 is none")
        if self.smoothing and self.rule not in SMOOTHED:
            raise ValueError(f"rule={self.rule} has no target to smooth; use smoothing=0, or {' or '.join(SMOOTHED)}")

    @property
    def logit(self) -> bool:
        return self.rule in LOGIT

    def check(self, critic: Critic) -> None:
        if critic.outputs == 0:
            raise ValueError(
                f"{type(critic).__name__} models texts and does not judge them: loss=cooperative, or another critic, "
                "such as model@family.critic=text_cnn"
            )
        if critic.outputs > 1:
            raise ValueError(
                f"rule={self.rule} wants a score and not {critic.outputs} features; give model@family.critic=text_cnn"
            )
        if critic.dense and self.rule == "relativistic":
            raise ValueError(
                "rule=relativistic pairs texts, and a dense critic judges tokens: rule=relativistic_average"
            )

    def critic(self, real: CriticScores, fake: CriticScores) -> Cost:
        return RULES[self.rule].critic(real, fake, 1 - self.smoothing)

    def generator(self, real: CriticScores, fake: CriticScores) -> Cost:
        return RULES[self.rule].generator(real, fake)

    def score(self, scores: CriticScores, real: CriticScores) -> CriticScores:
        """The score; where only differences are played for, how far it lies above real text's mean."""
        return scores - real.mean() if self.rule in RELATIVE else scores


@dataclass(frozen=True)
class RankingLoss:
    """Losses of a critic whose score is a row of features: texts are ranked by cosine to real references.

    sharpness: gamma, of likenesses (cosines) in the exponent.
    Source: Lin et al. 2017 (RankGAN), equations 2 to 6.
    Differs: references and comparison sets are the batch's own, and not drawn from elsewhere: of real texts one half
    are references, and the other half are ranked among the generated ones, which are ranked among them.

    Example:
        >>> real, fake = torch.eye(4), torch.ones(2, 4)
        >>> RankingLoss().score(fake, real).shape  # log rank of each generated text, over that of chance
        torch.Size([2])
    """

    logit: ClassVar[bool] = False
    sharpness: float = 5.0
    penalty: float = 0.0

    def __post_init__(self) -> None:
        positive(sharpness=self.sharpness)
        at_least(0, penalty=self.penalty)

    def check(self, critic: Critic) -> None:
        if critic.dense or critic.outputs == 1:
            raise ValueError("a rank compares the features of texts; give model@family.critic=ranker")

    def critic(self, real: CriticScores, fake: CriticScores) -> Cost:
        """-log rank of real texts, -log(1 - rank) of generated ones."""
        references, ranked = _halves(real)
        above = _log_rank(ranked, fake, references, self.sharpness)
        below = _log_rank(fake, ranked, references, self.sharpness)
        return -above.mean() - torch.log1p(-below.exp().clamp(max=1 - 1e-6)).mean()

    def generator(self, real: CriticScores, fake: CriticScores) -> Cost:
        """-log rank of generated texts."""
        references, others = _halves(real)
        return -_log_rank(fake, others, references, self.sharpness).mean()

    def score(self, scores: CriticScores, real: CriticScores) -> CriticScores:
        """log rank of each text among real ones, over that of chance, so that their number does not move its level."""
        references, others = _halves(real)
        return _log_rank(scores, others, references, self.sharpness) + math.log(len(others) + 1)


def _halves(real: Float[Tensor, "n k"]) -> Sequence[Float[Tensor, "_ k"]]:
    """Every other text, for a batch of lines is sorted by length."""
    return (real[::2], real[1::2]) if len(real) > 1 else (real, real)


def _log_rank(
    texts: Float[Tensor, "n k"], among: Float[Tensor, "m k"], references: Float[Tensor, "u k"], sharpness: float
) -> Float[Tensor, " n"]:
    """log of the mean, over references u, of exp(gamma a(text, u)) / (exp(gamma a(text, u)) + the same of the others).

    a is the cosine.
    """
    texts, among, references = (F.normalize(x, dim=1) for x in (texts, among, references))
    near = sharpness * texts @ references.T  # n x u
    others = torch.logsumexp(sharpness * among @ references.T, 0)  # u
    return torch.logsumexp(near - torch.logaddexp(near, others), 1) - math.log(len(references))


def gradient_penalty(critic: Critic, real: Batch, fake: Batch | CriticTexts, rng: torch.Generator) -> Cost:
    """The mean of (|gradient| - 1)^2 of the critic's score at points drawn between real and generated text.

    The points lie between one-hots and the gradient is by these: were it by embeddings, a critic would grow those and
    stay as steep as it likes. Of several scores the mean counts; of a dense critic's, over the tokens of either text.
    Source: Gulrajani et al. 2017, section 4.
    """
    share = torch.rand(len(real), generator=rng, device=rng.device).to(real.tokens.device)[:, None, None]
    at = torch.lerp(critic.embed(real.tokens), critic.embed(fake.tokens), share)  # embedding is linear in one-hots
    scores = critic.forward_embedded(at)
    if critic.dense:
        mask = real.mask | fake.mask
        score = torch.where(mask, scores, 0.0).sum(1) / mask.sum(1)
    else:
        score = scores.mean(1)
    (gradient,) = torch.autograd.grad(score.sum(), at, create_graph=True)
    table = critic.embed(torch.arange(critic.vocab_size, device=at.device)[None])[0]
    square = ((gradient @ (table.T @ table)) * gradient).sum((1, 2))  # of the gradient by one-hots, which is g table'
    return (square.clamp_min(1e-12).sqrt() - 1).square().mean()
