"""What a context gives to the n-grams that were seen after it, and what it leaves to the next shorter one."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from gentext.checks import one_of, positive, share

KINDS = ("kneser_ney", "absolute", "witten_bell", "jelinek_mercer")


@dataclass(frozen=True)
class Smoothing:
    """p(w | h) = (c(h w) - D) / shares(h) + the rest of 1 times p(w | h'), down to the uniform distribution.

    kneser_ney: adjusted counts, and discounts for those of 1, 2 and more (modified Kneser-Ney).
    absolute: one `discount` for all counts (Ney, Essen and Kneser 1994).
    witten_bell: no discount; each different token seen after h counts once for the unseen (Witten and Bell 1991).
    jelinek_mercer: no discount; `weight` is the share of what was seen, whatever h is (Jelinek and Mercer 1980).
    Source: Chen and Goodman 1998, section 2. Differs: unigrams are interpolated too, so that no token is impossible;
    Jelinek and Mercer fit a weight to each range of counts.
    """

    kind: str = "kneser_ney"
    discount: float = 0.75
    weight: float = 0.7

    def __post_init__(self) -> None:
        one_of("smoothing", self.kind, KINDS)
        share(discount=self.discount)
        positive(discount=self.discount, weight=self.weight)
        share(weight=self.weight)

    @property
    def flat(self) -> float | None:
        """The discount of every count as it is; None: those of adjusted counts, which are estimated."""
        return {"kneser_ney": None, "absolute": self.discount}.get(self.kind, 0.0)

    def shares(self, totals: Float[Tensor, " n"], types: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The denominator of each context, of its tokens in all and of how many different ones there are."""
        if self.kind == "witten_bell":
            return totals + types
        return totals / self.weight if self.kind == "jelinek_mercer" else totals
