"""A language of three symbols whose generator and rewards can be enumerated."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from gentext.language_model import Critic, LanguageModel, SupportsAdversarial
from gentext.types import BOS, EOS, PAD, RESERVED, UNK, Batch, Step, pad

V = RESERVED + 2
SYMBOLS = (EOS, 4, 5)


class Bigram(LanguageModel):
    """Logits that depend on the token before and on how many there were; EOS and two words can be said."""

    def __init__(self, *, length: int = 4, sharp: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.vocab_size = V
        self.table = nn.Parameter(sharp * torch.randn(length + 1, V, V, generator=rng))
        banned = torch.zeros(V)
        banned[[PAD, BOS, UNK]] = -torch.inf
        self.register_buffer("banned", banned)

    def start(self, n, *, rng=None):
        return self.step(torch.full((n,), -1), torch.full((n,), BOS))

    def step(self, state, tokens):
        at = (state + 1).clamp(max=len(self.table) - 1)
        row = tokens if tokens.is_floating_point() else F.one_hot(tokens, V).float()
        return Step(torch.einsum("nv,nvw->nw", row, self.table[at]) + self.banned, at)


class Bag(Critic):
    """A critic whose score is a sum over tokens, by token and place: linear in relaxed one-hots."""

    dense, outputs, vocab_size = False, 1, V

    def __init__(self, length: int = 4, seed: int = 1) -> None:
        super().__init__()
        self.worth = nn.Parameter(torch.randn(length, V, generator=torch.Generator().manual_seed(seed)))

    def embed(self, tokens):
        return tokens if tokens.is_floating_point() else F.one_hot(tokens, V).float()

    def forward_embedded(self, vectors):
        return torch.einsum("ntv,tv->n", vectors, self.worth[: vectors.shape[1]])[:, None]

    def forward(self, tokens):
        return self.forward_embedded(self.embed(tokens))


class Players(nn.Module, SupportsAdversarial):
    def __init__(self, generator, critic):
        super().__init__()
        self.generator, self.critic = generator, critic


def texts(length: int) -> Batch:
    """Every text of `length` tokens at most: finished ones, and those that are cut."""
    finished = [[*words, EOS] for k in range(length) for words in itertools.product((4, 5), repeat=k)]
    return pad([*finished, *map(list, itertools.product((4, 5), repeat=length))], width=length)
