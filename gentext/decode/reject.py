"""Discriminator rejection sampling: draws that a discriminator takes for the model's are mostly thrown away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.checks import ArgumentError, at_least
from gentext.decode.candidates import JudgedDecoder, draw_until, needs_odds, one_prompt
from gentext.decode.chunks import check
from gentext.decode.reweighted import SupportsReweighting, Weigh, fixed_draws
from gentext.language_model import Judge, LanguageModel
from gentext.types import Batch


@dataclass(frozen=True, kw_only=True)
class Reject(SupportsReweighting, JudgedDecoder):
    """Draws that are kept with a probability that grows with a discriminator's odds.

    A text of log-odds d is kept with probability a(d) = sigmoid(d - m - log(1 - exp(d - m - 1e-6)) - gamma), m the
    highest log-odds of `burn_in` draws, gamma such that a share `accept` of these would be kept; the exact ratio
    p(x) / q(x) would need gamma 0, which keeps almost nothing. So a text has its own probability times a(d) / E[a(d)]:
    `distribution`.

    burn_in: draws for m and gamma, which are thrown away; always the same ones, but of a prompt or of one length.
    most: draws for each text at most.
    Source: Azadi et al. 2019, equations 8 and 9.
    Differs: gamma is chosen for a share of kept draws, where theirs is a percentile of the log-odds; m does not rise
    with later draws, so that all are of one distribution: what is above it is kept as what is at it.
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

        fixed = given is None and self.base.min_len < max_len  # texts of one length have no `distribution`
        if fixed:
            self.count.drawn += self.burn_in
        highest, gamma = self._constants(family, None if fixed else draw(self.burn_in))

        def keep(batch: Batch) -> Bool[Tensor, " m"]:
            odds = self.score(family, batch)
            uniform = torch.rand(len(batch), generator=rng, device=rng.device).to(odds)
            return uniform < log_acceptance(odds, highest, gamma).exp()

        return draw_until(draw, keep, n, most=self.most, share=self.accept, name="decode=reject", advice="raise accept")

    def score(self, family: LanguageModel, batch: Batch) -> Float[Tensor, " n"]:
        return self.judge.score(batch).double()

    @property
    def convention(self) -> str:
        return f"drs:{self.accept:g}"

    def weighing(self, family: LanguageModel) -> Weigh:
        highest, gamma = self._constants(family, None)

        def weigh(scores: Float[Tensor, " n"], bank: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
            kept = log_acceptance(bank, highest, gamma).logsumexp(0) - math.log(len(bank))
            return log_acceptance(scores, highest, gamma) - kept

        return weigh

    def _constants(self, family: LanguageModel, burnt: Batch | None) -> tuple[Float[Tensor, ""], float]:
        """m, and the gamma by which the mean acceptance of these draws is `accept`, by bisection."""
        burnt = fixed_draws(family, self.base, self.burn_in, "decode/burn_in") if burnt is None else burnt
        odds = self.score(family, burnt)
        highest = odds.max()
        reach = 100.0 + float(highest - odds.min())
        low, high = -reach, reach
        for _ in range(60):
            middle = (low + high) / 2
            if float(log_acceptance(odds, highest, middle).exp().mean()) > self.accept:
                low = middle
            else:
                high = middle
        return highest, (low + high) / 2


def log_acceptance(odds: Float[Tensor, " n"], highest: Float[Tensor, ""], gamma: float) -> Float[Tensor, " n"]:
    """log of the probability that a text of these log-odds is kept (Azadi et al. 2019, equation 8)."""
    below = (odds - highest).clamp_max(0.0)
    return torch.nn.functional.logsigmoid(below - torch.log1p(-torch.exp(below - 1e-6)) - gamma)
