"""A generator that learns from a critic: SeqGAN and its relatives."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.language_model import LanguageModel, SupportsPrepare
from gentext.types import Batch, Outputs, State, Step, Tokens


class TextGAN(LanguageModel):
    """`generator`, any differentiable family, and `critic`, which is there in training alone: the text is the former's.

    Source: Yu et al. 2017.
    """

    def __init__(self, generator: LanguageModel, critic: nn.Module) -> None:
        super().__init__()
        self.generator, self.critic = generator, critic
        self.vocab_size = generator.vocab_size
        self.likelihood, self.limit = generator.likelihood, generator.limit
        if isinstance(generator, SupportsPrepare):
            self.prepare = generator.prepare  # a generator that looks at the text before it is trained does so here too

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self.generator.start(n, rng=rng)

    def step(self, state: State, tokens: Tokens) -> Step:
        return self.generator.step(state, tokens)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self.generator.prime(prompt, rng=rng)

    def forward(self, batch: Batch) -> Outputs:
        return self.generator(batch)

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.generator.log_prob(batch)

    def size(self) -> int:
        """The generator's parameters: the critic writes nothing."""
        return self.generator.size()

    def flops(self, tokens: int) -> float:
        return self.generator.flops(tokens)
