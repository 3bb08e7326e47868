"""A block of a Transformer: attention and a feed-forward net, each beside a residual stream."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gentext.checks import one_of
from gentext.models.layers import drop
from gentext.models.transformer.attention import Rotation, remember, rotate
from gentext.models.transformer.kernels import RMSNorm, relu2, rms_norm


def swiglu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """SiLU of every other unit times its neighbour (Shazeer 2020): half the width."""
    return F.silu(x[..., ::2]) * x[..., 1::2]


ACTIVATIONS = {"relu2": relu2, "gelu": partial(F.gelu, approximate="tanh"), "swiglu": swiglu}
NORMS = ("rms", "layer")


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x))."""

    def __init__(self, width, heads, inner, norm, activation, qk_norm, bias, dropout) -> None:
        super().__init__()
        one_of("activation", activation, ACTIVATIONS)
        self.heads, self.qk_norm, self.dropout = heads, qk_norm, dropout
        self.activation = ACTIVATIONS[activation]
        self.before_attention, self.before_feedforward = normed(norm, width, bias), normed(norm, width, bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.mix = nn.Linear(width, width, bias=bias)
        self.up = nn.Linear(width, inner * (2 if activation == "swiglu" else 1), bias=bias)
        self.down = nn.Linear(inner, width, bias=bias)
        for linear in (self.qkv, self.mix, self.up, self.down):
            nn.init.normal_(linear.weight, std=0.5 * linear.in_features**-0.5)
            if bias:
                nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.down.weight)

    def forward(
        self,
        x: Float[Tensor, "n t d"],
        rotation: Rotation | None,
        mask: Tensor | None,
        slots: Float[Tensor, "n 2 h c e"] | None,
        start: int,
        first: int,
    ) -> tuple[Float[Tensor, "n t d"], Float[Tensor, "n 2 h s e"] | None]:
        """The stream after this block, and `slots`, this layer's memory, with `x` in it from `start` on.

        What is read begins at slot `first`.
        """
        seen, slots = self._attend(self.before_attention(x), rotation, mask, slots, start, first)
        x = x + drop(self.mix(seen), self.dropout, self.training)
        inner = self.activation(self.up(self.before_feedforward(x)))
        return x + drop(self.down(inner), self.dropout, self.training), slots

    def project(self, x: Float[Tensor, "n t d"], rotation: Rotation | None) -> tuple[Float[Tensor, "n h t e"], ...]:
        """Queries, keys and values of each head."""
        n, t, width = x.shape
        qkv = self.qkv(x).view(n, t, 3, self.heads, width // self.heads)
        qk, v = qkv.split((2, 1), 2)
        if self.qk_norm:
            qk = rms_norm(qk)
        if rotation is not None:
            qk = rotate(qk, rotation)
        q, k = qk.transpose(1, 3).unbind(2)
        return q, k, v[:, :, 0].transpose(1, 2)

    def _attend(self, x, rotation, mask, slots, start, first):
        n, t, width = x.shape
        q, k, v = self.project(x, rotation)
        if slots is not None:
            slots = remember(slots, k, v, start)
            k, v = slots[:, :, :, first : start + t].unbind(1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and t > 1)
        return y.transpose(1, 2).reshape(n, t, width), slots


def normed(kind: str, width: int, bias: bool) -> nn.Module:
    """The normalisation of this kind."""
    one_of("norm", kind, NORMS)
    return RMSNorm() if kind == "rms" else nn.LayerNorm(width, bias=bias)
