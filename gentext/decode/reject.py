"""Discriminator rejection sampling: draws that a discriminator takes for the model's are mostly thrown away."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.checks import ArgumentError, at_least
from gentext.decode.candidates import JudgedDecoder, draw_until, needs_odds, one_prompt
from gentext.decode.chunks import check
from gentext.language_model import Judge, LanguageModel
from gentext.types import Batch


@dataclass(frozen=True, kw_only=True)
class Reject(JudgedDecoder):
    """Draws that are kept with a probability that grows with a discriminator's odds.

    A text of log-odds d is kept with probability sigmoid(d - m - log(1 - exp(d - m - 1e-6)) - gamma), m the highest
    log-odds so far. The constant gamma is calibrated on `burn_in` draws, and again whenever m rises, so that a share
    `accept` of draws is kept; the exact ratio p(x) / q(x) would need gamma 0, which keeps almost nothing.

    burn_in: draws for m and gamma, which are thrown away.
    most: draws for each text at most.
    Source: Azadi et al. 2019, equations 8 and 9.
    Differs: gamma is chosen for a share of kept draws, where theirs is a percentile of the log-odds.
    Raises: ValueError, with the rate, where `most` draws do not suffice.

    Example:
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> class Length(Judge):
        ...     odds = True
        ...     def score(self, batch):
        ...         return batch.lengths.double() - 2
        >>> model = NGram(7, order=1)
        >>> _ = model.accumulate(pad([[4, 4, 5, 2]] * 9)); model.maximize()
        >>> rng = torch.Generator().manual_seed(0)
        >>> len(Reject(judge=Length(), burn_in=50, accept=0.5)(model, 3, 4, rng=rng))
        3
    """

    judge: Judge
    accept: float = 0.1
    burn_in: int = 2000
    most: int = 200

    def __post_init__(self) -> None:
        at_least(1, burn_in=self.burn_in, most=self.most)
        if not 0 < self.accept < 1:
            raise ArgumentError("accept", f"is {self.accept}; it is a share of draws between 0 and 1")
        needs_odds(self.judge)

    @torch.no_grad()
    def __call__(
        self,
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """`n` sequences of `max_len` tokens at most, EOS included."""
        check(n, max_len, prompt, 0)
        given = one_prompt("decode=reject", prompt, "give decode=rerank")

        def draw(size: int) -> Batch:
            return self.draw(family, size, max_len, rng, None if given is None else given.expand(size, -1))

        burnt = self._odds(draw(self.burn_in))
        highest = burnt.max()
        gamma = self._constant(burnt, highest)

        def keep(batch: Batch) -> Bool[Tensor, " m"]:
            nonlocal highest, gamma
            odds = self._odds(batch)
            if float(odds.max()) > float(highest):
                highest = odds.max()
                gamma = self._constant(burnt, highest)
            uniform = torch.rand(len(batch), generator=rng, device=rng.device).to(odds)
            return uniform < acceptance(odds, highest, gamma)

        return draw_until(draw, keep, n, most=self.most, share=self.accept, name="decode=reject", advice="raise accept")

    def _odds(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.judge.score(batch).double()

    def _constant(self, odds: Float[Tensor, " n"], highest: Float[Tensor, ""]) -> float:
        """The gamma by which the mean acceptance of these draws is `accept`, by bisection."""
        reach = 100.0 + float(highest - odds.min())
        low, high = -reach, reach
        for _ in range(60):
            middle = (low + high) / 2
            if float(acceptance(odds, highest, middle).mean()) > self.accept:
                low = middle
            else:
                high = middle
        return (low + high) / 2


def acceptance(odds: Float[Tensor, " n"], highest: Float[Tensor, ""], gamma: float) -> Float[Tensor, " n"]:
    """The probability that a text of these log-odds is kept (Azadi et al. 2019, equation 8)."""
    below = odds - highest
    return (below - torch.log1p(-torch.exp(below - 1e-6)) - gamma).sigmoid()
