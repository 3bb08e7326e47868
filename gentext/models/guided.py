"""A model given that its text fits an automaton, and any family led by one to texts that fit."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.language_model import LanguageModel
from gentext.types import State, Step


class FittingModel(LanguageModel):
    """A model given that its text fits an automaton and ends in time: its likelihood is the conditional one."""

    @abstractmethod
    def log_fit(self, state: State) -> Float[Tensor, "n v"]:
        """log p(the text fits | tokens so far, next token), up to a constant of each row; -inf where it cannot.

        A text that has ended, or fits no more, has EOS alone.
        """


class Guided(LanguageModel):
    """A family's next-token probabilities times how likely the text is, under a guide, to fit once the token is read.

    Each text that ends fits: the guide gives a token from which none can fit the weight 0. The conditions are of what
    is written, and not of the prompt. Where the guide is the family's own distribution this is exact.

    Args:
        family: that writes.
        guide: an HMM or an n-gram, given that the text fits.
        index: the guide's id of each token of the family; None: they are the same.

    Source: Zhang et al. 2024 (Ctrl-G), equation 3: p(x_t | x_<t, a) ~ p_lm(x_t | x_<t) p_guide(a | x_<=t).
    """

    def __init__(self, family: LanguageModel, guide: FittingModel, index: Int[Tensor, " v"] | None = None) -> None:
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


def shares(scale: Float[Tensor, "n c"], end: Float[Tensor, " n"]) -> list[Float[Tensor, " n"]]:
    """The greatest of each row's log scales, then the share of each of the others, and of the end's, in its scale."""
    scale = torch.cat([scale, end[:, None]], 1)
    top = scale.amax(1).clamp(min=torch.finfo(scale.dtype).min)  # finite, where nothing fits
    return [top, *(scale - top[:, None]).exp().unbind(1)]
