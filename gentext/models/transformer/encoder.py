"""A Transformer in which every token reads the whole text: an encoder's, and that of families that fill masks."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gentext.checks import at_least, depth, share
from gentext.models.layers import drop
from gentext.models.transformer.attention import position_kind
from gentext.models.transformer.block import Block, normed


class Encoder(nn.Module):
    """Vectors of tokens to vectors of tokens in their text. It holds no embedding: its owner has one, and may share it.

    Its arguments are those of `Transformer`. Source: Vaswani et al. 2017; Devlin et al. 2019 (BERT's is such).

    >>> encoder = Encoder(8, layers=1, heads=2).eval()
    >>> encoder(torch.zeros(2, 5, 8), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int = 4,
        heads: int = 4,
        inner: int | None = None,
        positions: str = "sinusoidal",
        context: int = 1024,
        norm: str = "layer",
        post_norm: bool = False,
        activation: str = "relu",
        qk_norm: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        depth(layers=layers)
        at_least(1, heads=heads, width=width, inner=inner, context=context)
        share(dropout=dropout)
        if width % (2 * heads):
            raise ValueError(f"width {width} is not {heads} heads of an even size; give for example {2 * heads * 16}")
        self.width, self.dropout = width, dropout
        self.positions = position_kind(positions, width, heads, context, both=True)
        self.limit = self.positions.limit
        self.blocks = nn.ModuleList(
            Block(
                *(width, heads, inner or 4 * width, norm, activation, qk_norm, bias, dropout),
                pre=not post_norm,
                causal=False,
            )
            for _ in range(layers)
        )
        self.norm = nn.Identity() if post_norm else normed(norm, width, bias)

    def forward(self, x: Float[Tensor, "n t d"], real: Bool[Tensor, "n t"] | None) -> Float[Tensor, "n t d"]:
        """The vectors after all blocks.

        real: false where there is padding, which nobody reads; one a row at least. None: no padding at all.
        """
        t = x.shape[1]
        if self.limit is not None and t > self.limit:
            raise ValueError(
                f"a text of {t} tokens, and this encoder's learned positions end at {self.limit}; give a shorter one, "
                f"or train with family.context={t} or family.positions=sinusoidal"
            )
        added, bias = self.positions.added(0, t, None), self.positions.bias(0, t)
        x = drop(x if added is None else x + added, self.dropout, self.training)
        rotation, mask = self.positions.rotation(0, t, None), bias
        if real is not None:
            seen = real[:, None, None]
            mask = seen if bias is None else bias.masked_fill(~seen, -torch.inf)
        for block in self.blocks:
            x, _ = block(x, rotation, mask, None, 0, 0)
        return self.norm(x)

    def flops(self, tokens: int, length: int) -> float:
        """Two for each weight and token, and attention over texts of `length` tokens."""
        matrices = sum(m.weight.numel() for m in self.blocks.modules() if isinstance(m, nn.Linear))
        return 2.0 * tokens * (matrices + 2 * len(self.blocks) * min(tokens, length) * self.width)
