"""A family at another temperature: itself a distribution, whose likelihood is known."""

from __future__ import annotations

import torch

from gentext.types import Family, State, Step, Tokens


class Tempered(Family):
    """The distribution that a family is drawn from at a temperature: its logits by `temperature`, token by token."""

    def __init__(self, family: Family, temperature: float) -> None:
        super().__init__()
        self.family, self.temperature = family, temperature
        self.vocab_size, self.likelihood = family.vocab_size, family.likelihood

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._at(self.family.start(n, rng=rng))

    def step(self, state: State, tokens: Tokens) -> Step:
        return self._at(self.family.step(state, tokens))

    def _at(self, step: Step) -> Step:
        return Step(step.logits / self.temperature, step.state)
