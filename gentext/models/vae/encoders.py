"""What a VAE reads a text with: one vector for each text, from both of its directions.

Embeddings begin at their usual spread of one, ten times a language model's: so z tells texts apart from the first step.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gentext.checks import at_least, depth, share
from gentext.models.layers import Embedding, TextEncoder, drop, locked
from gentext.models.seq2seq import Bidirectional
from gentext.models.transformer.attention import Sinusoidal
from gentext.models.transformer.block import Block
from gentext.types import Batch


class LSTMEncoder(TextEncoder):
    """Bidirectional LSTMs; a text's vector is both directions' last states. An even `width` is shared between them.

    Example:
        >>> from gentext.types import pad
        >>> LSTMEncoder(9, width=8)(pad([[4, 5, 2], [6, 2]])).shape
        torch.Size([2, 8])
    """

    def __init__(self, vocab_size: int, *, layers: int = 1, width: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        depth(layers=layers)
        at_least(1, width=width)
        share(dropout=dropout)
        if width % 2:
            raise ValueError(f"the encoder's width is {width}; half of it reads each way, so it must be even")
        self.width, self.dropout = width, dropout
        self.embedding = Embedding(vocab_size, width)
        self.layers = nn.ModuleList(Bidirectional(width, width) for _ in range(layers))

    def forward(self, batch: Batch) -> Float[Tensor, "n d"]:
        lengths = batch.lengths.clamp_min(1)
        x = self.embedding(batch.tokens)
        for layer in self.layers:
            x, last = layer(locked(x, self.dropout, self.training), lengths)
        return drop(last, self.dropout, self.training)


class TransformerEncoder(TextEncoder):
    """A Transformer whose tokens read the whole text; a text's vector is the mean of their outputs.

    Example:
        >>> from gentext.types import pad
        >>> TransformerEncoder(9, layers=1, heads=2, width=8)(pad([[4, 5, 2], [6, 2]])).shape
        torch.Size([2, 8])
    """

    def __init__(
        self, vocab_size: int, *, layers: int = 2, heads: int = 4, width: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        depth(layers=layers)
        at_least(1, heads=heads, width=width)
        share(dropout=dropout)
        if width % 2 or width % heads:
            raise ValueError(f"the encoder's width {width} is odd or not {heads} heads; give for example {heads * 32}")
        self.width, self.dropout = width, dropout
        self.embedding = Embedding(vocab_size, width)
        self.positions = Sinusoidal(width)
        self.blocks = nn.ModuleList(
            Block(width, heads, 4 * width, "layer", "gelu", False, True, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, batch: Batch) -> Float[Tensor, "n d"]:
        t = batch.tokens.shape[1]
        x = drop(self.embedding(batch.tokens) + self.positions.added(0, t, None), self.dropout, self.training)
        real = batch.mask | ~batch.mask.any(1, keepdim=True)  # a row without a token reads something all the same
        for block in self.blocks:
            x, _ = block(x, None, real[:, None, None], None, 0, 0)
        return torch.where(real[..., None], self.norm(x), 0.0).sum(1) / real.sum(1, keepdim=True)
