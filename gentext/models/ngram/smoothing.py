"""What a context gives to the n-grams that were seen after it, and what it leaves to the next shorter one."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.checks import one_of, positive, share

KINDS = ("kneser_ney", "absolute", "witten_bell", "jelinek_mercer", "katz", "stupid_backoff")
RELIABLE = 5  # counts above it Katz takes as they are

log = logging.getLogger("gentext")


@dataclass(frozen=True)
class Smoothing:
    """What is taken off the counts after a context h, and who gets it.

    Interpolated, p(w | h) = (c(h w) - D) / shares(h) + the rest of 1 times p(w | h'), down to the uniform distribution:

    kneser_ney: adjusted counts, and discounts for those of 1, 2 and more (modified Kneser-Ney).
    absolute: one `discount` for all counts (Ney, Essen and Kneser 1994).
    witten_bell: no discount; each different token seen after h counts once for the unseen (Witten and Bell 1991).
    jelinek_mercer: no discount; `weight` is the share of what was seen, whatever h is (Jelinek and Mercer 1980).

    Backed off, what was not seen after h alone has a part of p(w | h'):

    katz: the discounts of Good and Turing for counts up to 5, or where the counts allow none `discount` (Katz 1987).
    stupid_backoff: no discount; the unseen score `alpha` times what they score after h' (Brants et al. 2007).
    Source: Chen and Goodman 1998, section 2. Differs: unigrams are smoothed too, so that no token is impossible;
    Jelinek and Mercer fit a weight to each range of counts; a context of high counts alone, of which Katz takes nothing
    off, counts once more for the unseen (as SRILM has it); the scores of stupid back-off are divided by their sum.
    """

    kind: str = "kneser_ney"
    discount: float = 0.75
    weight: float = 0.7
    alpha: float = 0.4

    def __post_init__(self) -> None:
        one_of("smoothing", self.kind, KINDS)
        share(discount=self.discount)
        positive(discount=self.discount, weight=self.weight, alpha=self.alpha)
        share(weight=self.weight)

    @property
    def adjusts(self) -> bool:
        """Whether lower orders count the different tokens before an n-gram, and not its occurrences."""
        return self.kind == "kneser_ney"

    @property
    def backs_off(self) -> bool:
        """Whether a shorter context speaks of the unseen alone."""
        return self.kind in ("katz", "stupid_backoff")

    @property
    def steps(self) -> int:
        """How many counts, 1, 2 and so on, have a discount of their own; the last stands for all above it."""
        return RELIABLE + 1 if self.kind == "katz" else 3

    def discounts(self, raw: Int[Tensor, " n"], order: int) -> tuple[float, ...]:
        """What is taken off the counts 1, 2, ..., where it follows from the counts as they are."""
        if self.kind != "katz":
            return (self.discount if self.kind == "absolute" else 0.0,) * self.steps
        tally = torch.bincount(raw.clamp_max(RELIABLE + 2), minlength=RELIABLE + 3).tolist()
        return _good_turing(tally, order, self.discount)

    def shares(self, totals: Float[Tensor, " n"], types: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The denominator of each context, of its tokens in all and of how many different ones there are."""
        if self.kind == "witten_bell":
            return totals + types
        return totals / self.weight if self.kind == "jelinek_mercer" else totals

    def back_off(
        self,
        kept: Float[Tensor, " c"],
        unseen: Float[Tensor, " c"],
        totals: Float[Tensor, " c"],
        below: Float[Tensor, " c"],
    ) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Of each context what the shares of the seen are multiplied by, the back-off, and the sum of the scores.

        Args:
            kept: what the shares of the seen, less their discounts, sum to.
            unseen: p(w | h'), summed over what was not seen after h; 0 where that is nothing.
            totals: how many tokens were seen after it.
            below: the sum of the scores after h'.
        """
        if self.kind == "stupid_backoff":
            sums = kept + self.alpha * below * unseen
            return 1 / sums, self.alpha * below / sums, sums
        scale = torch.where(kept < 1 - 1e-9, 1.0, totals / (totals + 1))
        scale = torch.where(unseen > 0, scale, 1 / kept)
        return scale, torch.where(unseen > 0, (1 - scale * kept) / unseen, 1.0), below


def _good_turing(n: list[int], order: int, discount: float) -> tuple[float, ...]:
    """r - r* of the counts r = 1 to 5, renormalised as Katz does so that those above lose nothing; 0 for these.

    Source: Chen and Goodman 1998, equation 15.
    """
    if all(n[1 : RELIABLE + 2]):
        high = (RELIABLE + 1) * n[RELIABLE + 1] / n[1]
        kept = (
            [((r + 1) * n[r + 1] / (r * n[r]) - high) / (1 - high) for r in range(1, RELIABLE + 1)] if high != 1 else []
        )
        if kept and all(0 < d <= 1 for d in kept):
            return (*(r * (1 - d) for r, d in enumerate(kept, 1)), 0.0)
    log.warning(
        "n-grams of order %d are too few or too regular for Good and Turing's discounts (%s of them occur 1 to %d "
        "times): %g is taken off each count instead",
        *(order, ", ".join(map(str, n[1 : RELIABLE + 2])), RELIABLE + 1, discount),
    )
    return (discount,) * (RELIABLE + 1)
