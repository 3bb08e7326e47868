"""A family at another temperature: itself a distribution, whose likelihood is known."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.types import Family, State, Step, Tokens


class Tempered(Family):
    """The distribution that a family is drawn from at a temperature: its logits by `temperature`, token by token.

    A prompt means what it means to the family. Where the family's likelihood is no exact one, as where z is summed
    over, this has none: log p(x | z) of one z is not even a bound.
    """

    def __init__(self, family: Family, temperature: float) -> None:
        super().__init__()
        self.family, self.temperature = family, temperature
        self.vocab_size = family.vocab_size
        self.likelihood = "exact" if family.likelihood == "exact" else "none"

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._at(self.family.start(n, rng=rng))

    def step(self, state: State, tokens: Tokens) -> Step:
        return self._at(self.family.step(state, tokens))

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._at(self.family.prime(prompt, rng=rng))

    def _at(self, step: Step) -> Step:
        return Step(step.logits / self.temperature, step.state)
