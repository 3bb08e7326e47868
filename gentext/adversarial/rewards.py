"""Rewards of a policy gradient, as functions of a critic's score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from gentext.checks import finite, positive

Scored = Float[Tensor, "..."]


class Reward(ABC):
    """From a critic's score to the reward of a policy gradient. of_a_logit: the score is read as a logit."""

    of_a_logit: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, score: Scored) -> Scored: ...


@dataclass(frozen=True)
class ProbabilityReward(Reward):
    """D, the probability of being real, from `low` to `high`.

    Source: Yu et al. 2017 (SeqGAN), low=0 high=1; de Masson d'Autume et al. 2019 (ScratchGAN), low=-1.

    >>> ProbabilityReward(low=-1.0)(torch.tensor([0.0, 100.0]))
    tensor([0., 1.])
    """

    of_a_logit: ClassVar[bool] = True
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        finite(low=self.low, high=self.high)

    def __call__(self, score: Scored) -> Scored:
        return self.low + (self.high - self.low) * score.sigmoid()


@dataclass(frozen=True)
class OddsReward(Reward):
    """D / (1 - D), at most `highest`. Source: Che et al. 2017 (MaliGAN), equation 5.

    >>> OddsReward(highest=20.0)(torch.tensor([0.0, 5.0]))
    tensor([ 1., 20.])
    """

    of_a_logit: ClassVar[bool] = True
    highest: float = 20.0

    def __post_init__(self) -> None:
        positive(highest=self.highest)

    def __call__(self, score: Scored) -> Scored:
        return score.exp().clamp(max=self.highest)


@dataclass(frozen=True)
class IdentityReward(Reward):
    """The score itself: of a Wasserstein critic, or the log rank of RankGAN.

    >>> IdentityReward()(torch.tensor([-0.5]))
    tensor([-0.5000])
    """

    def __call__(self, score: Scored) -> Scored:
        return score


@dataclass(frozen=True)
class ConstantReward(Reward):
    """The same for all texts: a control.

    Without a baseline it is no neutral one: it raises whatever is drawn, and so lowers the entropy.

    >>> ConstantReward(2.0)(torch.tensor([-0.5, 3.0]))
    tensor([2., 2.])
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        finite(value=self.value)

    def __call__(self, score: Scored) -> Scored:
        return torch.full_like(score, self.value)
