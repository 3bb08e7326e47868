"""Any family led by an HMM to texts that fit an automaton."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.language_model import LanguageModel
from gentext.models.hmm.constrained import ConstrainedHMM
from gentext.types import State, Step


class GuidedByHMM(LanguageModel):
    """A family's next-token probabilities times how likely the text is, under an HMM, to fit once the token is read.

    Each text that ends fits: the HMM gives a token from which none can fit the weight 0. The conditions are of what is
    written, and not of the prompt. Where the HMM is the family's own distribution this is exact.

    Args:
        family: that writes.
        guide: the HMM, given that the text fits.
        index: the guide's id of each token of the family; None: they are the same.

    Source: Zhang et al. 2024 (Ctrl-G), equation 3: p(x_t | x_<t, a) ~ p_lm(x_t | x_<t) p_hmm(a | x_<=t).
    """

    def __init__(self, family: LanguageModel, guide: ConstrainedHMM, index: Int[Tensor, " v"] | None = None) -> None:
        super().__init__()
        self.family, self.guide, self.vocab_size = family, guide, family.vocab_size
        self.index = torch.arange(family.vocab_size) if index is None else index
        self.likelihood = "none"

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._led(self.family.start(n, rng=rng), self.guide.start(n).state)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._led(self.family.prime(prompt, rng=rng), self.guide.start(len(prompt)).state)

    def step(self, state: State, tokens: Int[Tensor, " n"]) -> Step:
        own, led = state
        return self._led(self.family.step(own, tokens), self.guide.step(led, self.index[tokens]).state)

    def _led(self, step: Step, led: State) -> Step:
        logits = step.logits.log_softmax(-1) + self.guide.log_fit(led)[:, self.index].to(step.logits)
        return Step(logits, (step.state, led))
