"""A family of your own: a GRU language model. `start` and `step` are all that gentext needs of it."""

from __future__ import annotations

import torch
from torch import nn

from gentext.language_model import LanguageModel
from gentext.types import BOS, PAD, State, Step, Tokens


class GRU(LanguageModel):
    """A GRU of one layer. Its state is the hidden vector, [n d]."""

    def __init__(self, vocab_size: int, width: int = 64) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = nn.Embedding(vocab_size, width)
        self.cell = nn.GRUCell(width, width)
        self.output = nn.Linear(width, vocab_size)

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        first = torch.full((n,), BOS, device=self.output.weight.device)
        return self.step(self.output.weight.new_zeros(n, self.cell.hidden_size), first)

    def step(self, state: State, tokens: Tokens) -> Step:
        read = tokens @ self.embedding.weight if tokens.is_floating_point() else self.embedding(tokens)
        state = self.cell(read, state)
        logits = self.output(state)
        logits[:, [PAD, BOS]] = -torch.inf  # neither is ever emitted
        return Step(logits, state)
