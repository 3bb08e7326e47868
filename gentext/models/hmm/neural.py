"""The HMM whose tables are made from embeddings of its states and words, which share what they learn."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gentext.language_model import SupportsPrepare
from gentext.models.hmm.base import BaseHMM, block_log_softmax
from gentext.models.hmm.model import Clustering, count_words
from gentext.models.hmm.parameters import HMMParameters
from gentext.models.layers import drop
from gentext.types import Batch


class NeuralHMM(BaseHMM, SupportsPrepare):
    """A hidden Markov model parametrised by embeddings, which learns by descent (`train=gradient loss=nll`).

    A state's vector, through one residual layer for each use, says what it emits, where it leads to and how one gets
    there. With `rank`, two states meet through that many features, of which each has a distribution (so that none is
    negative). `clusters` gives the blocks their words.
    Source: Chiu and Rush 2020, section 3 (parametrisation, blocks, state dropout); Chiu, Deng and Rush 2021 (low rank).
    Differs: ReLU residual layers after RMS normalisation; words have vectors of their own, not made of characters, and
    a bias that begins as their frequency; features are softmaxes, not random-feature kernels.

    Example:
        >>> from gentext.types import pad
        >>> NeuralHMM(9, states=4, width=8).log_prob(pad([[4, 5, 2], [6, 2]])).shape
        torch.Size([2])
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        states: int = 1024,
        width: int = 128,
        blocks: int = 1,
        rank: int | None = None,
        clusters: Clustering | None = None,
        dropout: float = 0.1,
        state_dropout: float = 0.1,
    ) -> None:
        super().__init__(vocab_size, states, blocks, rank, state_dropout=state_dropout)
        self.clusters, self.dropout = clusters, dropout
        self.vectors = nn.Parameter(torch.randn(states, width))
        self.words = nn.Parameter(torch.randn(vocab_size, width) * width**-0.5)
        self.frequency = nn.Parameter(torch.zeros(vocab_size))
        self.first = nn.Parameter(torch.zeros(width))
        self.leaving, self.entering, self.emitting = Residual(width), Residual(width), Residual(width)
        if rank is not None:
            self.features = nn.Parameter(torch.randn(2, rank, width) * width**-0.5)
        else:
            self.meeting = nn.Parameter(torch.randn(width, width) / width)

    def log_tables(self) -> HMMParameters:
        vectors, empty = drop(self.vectors, self.dropout, self.training), self.empty
        enter = self.entering(vectors)
        initial = (enter @ self.first).masked_fill(empty, -torch.inf).log_softmax(0)
        leave = self.leaving(vectors)
        if self.rank is None:
            factors = [leave @ self.meeting @ enter.T]
        else:
            factors = [(leave @ self.features[0].T).log_softmax(1), self.features[1] @ enter.T]
        factors[-1] = factors[-1].masked_fill(empty, -torch.inf).log_softmax(1)
        return HMMParameters(initial, tuple(factors), self._emission(self.emitting(vectors)), self.block)

    def _emission(self, vectors: Float[Tensor, "s d"]) -> Float[Tensor, "v k"]:
        """log p(word | the i-th state of its block), block by block."""
        order, counts = self.block.argsort(stable=True), self.block.bincount(minlength=self.blocks).tolist()
        parts = zip(self.words[order].split(counts), vectors.chunk(self.blocks), strict=True)
        logits = torch.cat([words @ states.T for words, states in parts])[order.argsort()]
        return block_log_softmax(logits + self.frequency[:, None], self.block, self.blocks)

    @torch.no_grad()
    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None:
        """Look at the training text: sort its words into blocks, and begin with their frequencies.

        With another run's parameters nothing is left to begin.
        """
        words, bigrams = count_words(batches, self.vocab_size)
        if self.states > int(words.sum()):
            raise ValueError(
                f"states={self.states} is more than the {int(words.sum())} tokens of the training text; give fewer"
            )
        if self.begun:
            return
        self.frequency.copy_(words.clamp(min=0.5).log())
        if self.blocks > 1 and self.clusters is not None:
            self.block.copy_(torch.from_numpy(self.clusters(bigrams, self.blocks, rng=rng)))


class Residual(nn.Module):
    """A vector plus what one hidden layer makes of it, normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.RMSNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Float[Tensor, "s d"]) -> Float[Tensor, "s d"]:
        x = self.norm(x)
        return x + self.down(self.up(x).relu())
