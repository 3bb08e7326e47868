"""A family small enough to enumerate: a chain over a handful of tokens with random transitions."""

import itertools

import pytest
import torch

from gentext.language_model import LanguageModel, SupportsHidden
from gentext.types import BOS, EOS, PAD, RESERVED, Step


class Chain(LanguageModel, SupportsHidden):
    """A bigram table; its state is the token read last, its representation the table's row."""

    def __init__(self, vocab_size: int, *, seed: int = 0, scale: float = 1.5) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        table = scale * torch.randn(vocab_size, vocab_size, generator=torch.Generator().manual_seed(seed))
        table[:, [PAD, BOS]] = -torch.inf
        self.register_buffer("table", table)

    def start(self, n, *, rng=None):
        return self.step(None, torch.full((n,), BOS))

    def step(self, state, tokens):
        return Step(self.table[tokens], {"last": tokens})

    def hidden(self, state):
        return self.table[state["last"]].clamp_min(-3)

    def enumerate(self, max_len):
        """Every draw of `max_len` tokens at most and its log-probability: ended ones, and those that max_len cuts."""
        log_prob = self.table.log_softmax(-1)
        words = [t for t in range(self.vocab_size) if t not in (PAD, BOS, EOS)]
        found = {}
        for length in range(max_len + 1):
            for body in itertools.product(words, repeat=length):
                row = (*body, EOS) if length < max_len else body
                found[row] = float(sum(log_prob[a, b] for a, b in itertools.pairwise((BOS, *row))))
        return found


@pytest.fixture
def chain():
    return Chain(RESERVED + 3)


@pytest.fixture
def make_chain():
    return Chain


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)
