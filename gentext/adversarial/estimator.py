"""The base of gradient estimators, and the generated texts that they use: of one width, PAD after EOS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gentext.adversarial.losses import AdversarialLoss
from gentext.decode import Ancestral
from gentext.language_model import LanguageModel, SupportsAdversarial
from gentext.types import PAD, Batch, CriticTexts


class EstimatorOutput(NamedTuple):
    """The result of an estimator on one batch of generated texts."""

    loss: Float[Tensor, ""]  # whose gradient moves the generator, and a learnt baseline
    figures: dict[str, float | Tensor]  # what is logged


class Estimator(nn.Module):
    """A module, so that what it learns (a baseline) is saved and restored with the players.

    Example: one under which the generator only learns to end its texts.
        >>> class Brief(Estimator):
        ...     def forward(self, players, real, *, rng, step, total):
        ...         first = players.generator.start(len(real)).logits.log_softmax(-1)
        ...         return EstimatorOutput(-first[:, 2].mean(), {})
        >>> Brief().entropy is None
        True
    """

    game: AdversarialLoss
    entropy: float | None = None  # weight of an entropy bonus; None: the estimator has none

    def check(self, players: SupportsAdversarial) -> None:
        """Raises: ValueError where these players cannot be moved so."""

    def forward(
        self, players: SupportsAdversarial, real: Batch, *, rng: torch.Generator, step: int, total: int
    ) -> EstimatorOutput:
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

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
        """Batches of generated texts, of these sizes, from which the critic learns in a round."""
        for n in sizes:
            yield drawn(players.generator, n, length, rng)


def fixed(batch: Batch, length: int) -> Batch:
    """The same texts, `length` columns wide."""
    more = (0, length - batch.tokens.shape[1])
    return Batch(F.pad(batch.tokens, more, value=PAD), F.pad(batch.mask, more, value=False))


def drawn(generator: LanguageModel, n: int, length: int, rng: torch.Generator) -> Batch:
    """`n` texts from the generator's own distribution, `length` columns wide; one that is cut there has no EOS."""
    return fixed(generator.sample(n, length, decoder=Ancestral(), rng=rng), length)
