"""Classifiers that are trained by gradients: an encoder makes a vector of a text, a feed-forward net labels it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.checks import at_least, one_of, share
from gentext.models.classifier.base import Classifier
from gentext.models.layers import Embedding, ModuleList, TextEncoder, drop
from gentext.types import PAD, Batch

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "leaky_relu": nn.LeakyReLU}


class NeuralClassifier(Classifier):
    """p(label | text) of a text's vector.

    Args:
        vocab_size: of the tokenizer.
        encoder: from a Batch to a vector for each text; it has a `width`.
        labels: how many there are.
        max_len: tokens of the longest label, EOS included.
        hidden: the widths of the layers between vector and labels.
        activation: after each of these: relu, sigmoid, tanh or leaky_relu.
        dropout: of what these layers read.

    >>> model = NeuralClassifier(9, MeanEmbedding(9, width=4), labels=2, max_len=2)
    >>> model.scores(torch.tensor([[4, 5, 6]])).exp().sum(1).round().tolist()
    [1.0]
    """

    def __init__(
        self,
        vocab_size: int,
        encoder: TextEncoder,
        *,
        labels: int | None,
        max_len: int,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(vocab_size, labels=labels, max_len=max_len)
        one_of("activation", activation, ACTIVATIONS)
        share(dropout=dropout)
        for width in hidden:
            at_least(1, hidden=width)
        self.encoder = encoder
        widths = [encoder.width, *hidden]
        layers: list[nn.Module] = []
        for before, after in zip(widths, [*hidden, self.labels], strict=True):
            layers += [nn.Dropout(dropout), nn.Linear(before, after), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])

    def scores(self, texts: Int[Tensor, "n p"]) -> Float[Tensor, "n c"]:
        return self.layers(self.encoder(Batch(texts, texts != PAD))).log_softmax(-1)


class MeanEmbedding(TextEncoder):
    """The mean of a text's token vectors: the order of its words is lost.

    Example:
        >>> from gentext.types import pad
        >>> MeanEmbedding(9, width=8)(pad([[4, 5, 2], [6, 2]])).shape
        torch.Size([2, 8])
    """

    def __init__(self, vocab_size: int, *, width: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        at_least(1, width=width)
        share(dropout=dropout)
        self.width, self.dropout = width, dropout
        self.embedding = Embedding(vocab_size, width)

    def forward(self, batch: Batch) -> Float[Tensor, "n d"]:
        tokens = batch.tokens.masked_fill(~batch.mask, PAD)
        total = F.embedding_bag(tokens, self.embedding.weight, mode="sum", padding_idx=PAD)  # no vector a place is held
        return drop(total / batch.lengths.clamp_min(1)[:, None], self.dropout, self.training)


class Convolutions(TextEncoder):
    """Filters of several widths over a text's token vectors, the maximum of each over time.

    filters: how many of each width.
    Source: Kim 2014 (CNN-rand).  Differs: no limit on the norm of the last layer.

    Example:
        >>> from gentext.types import pad
        >>> Convolutions(9, embedding=4, filters={2: 3, 3: 5})(pad([[4, 5, 2], [6, 2]])).shape
        torch.Size([2, 8])
    """

    def __init__(
        self, vocab_size: int, *, embedding: int = 128, filters: Mapping[int, int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        at_least(1, embedding=embedding, filters=min(filters.values(), default=0))
        share(dropout=dropout)
        self.dropout = dropout
        self.embedding = Embedding(vocab_size, embedding)
        self.filters = ModuleList(nn.Conv1d(embedding, number, int(width)) for width, number in filters.items())
        self.longest = max(map(int, filters))
        self.width = sum(filters.values())

    def forward(self, batch: Batch) -> Float[Tensor, "n d"]:
        vectors = torch.where(batch.mask[..., None], self.embedding(batch.tokens), 0.0)
        vectors = drop(vectors, self.dropout, self.training).transpose(1, 2)
        # one more than the widest filter past the end, so that each text, however short, fills a window
        vectors = F.pad(vectors, (self.longest - 1, self.longest - 1))
        found = [self._maximum(convolve, vectors, batch.lengths) for convolve in self.filters]
        return torch.cat(found, 1)

    def _maximum(self, convolve: nn.Conv1d, vectors: Float[Tensor, "n d s"], lengths: Tensor) -> Float[Tensor, "n k"]:
        """The maximum over the windows that hold a token of the text, so that a batch's width moves nothing."""
        found = convolve(vectors).relu()
        wide = convolve.kernel_size[0]
        at = torch.arange(found.shape[2], device=found.device) + wide  # one past the window's last place
        last = lengths.clamp_min(1)[:, None] + self.longest - 1 + wide - 1
        inside = (at > self.longest - 1) & (at <= last)
        return torch.where(inside[:, None], found, 0.0).amax(2)
