"""A family at another temperature, or given the length of a text: itself a distribution, whose likelihood is known."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.language_model import LanguageModel
from gentext.types import EOS, State, Step, Tokens


class Tempered(LanguageModel):
    """The distribution that a family is drawn from at a temperature: its logits by `temperature`, token by token.

    length: every text has exactly so many tokens, so that EOS costs nothing after them and cannot come before; null:
      it comes when it comes.
    A prompt means what it means to the family. Where the family's likelihood is no exact one, as where z is summed
    over, this has none: log p(x | z) of one z is not even a bound.
    """

    def __init__(self, family: LanguageModel, temperature: float, length: int | None = None) -> None:
        super().__init__()
        self.family, self.temperature, self.length = family, temperature, length
        self.vocab_size = family.vocab_size
        self.likelihood = "exact" if family.likelihood == "exact" else "none"

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._begin(self.family.start(n, rng=rng))

    def step(self, state: State, tokens: Tokens) -> Step:
        inner, written = state
        return self._at(self.family.step(inner, tokens), written + 1)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._begin(self.family.prime(prompt, rng=rng))

    def _begin(self, step: Step) -> Step:
        return self._at(step, torch.zeros(len(step.logits), dtype=torch.long, device=step.logits.device))

    def _at(self, step: Step, written: Int[Tensor, " n"]) -> Step:
        logits = step.logits if self.temperature == 1 else step.logits / self.temperature
        if self.length is not None:
            end = torch.tensor([EOS], device=logits.device)
            over = written >= self.length
            if bool(over.any()):
                ends = torch.arange(logits.shape[1], device=logits.device) == EOS
                logits = logits.masked_fill(torch.where(over[:, None], ~ends, ends), -torch.inf)
            else:  # of nearly every step: one pass over the logits, and not three
                logits = logits.index_fill(1, end, -torch.inf)
        return Step(logits, (step.state, written))
