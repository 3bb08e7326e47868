"""A block of a Transformer: attention and a feed-forward net, each beside a residual stream."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gentext.checks import one_of
from gentext.models.layers import drop
from gentext.models.transformer.attention import Rotation, remember, rotate
from gentext.models.transformer.kernels import RMSNorm, relu2, rms_norm


def swiglu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """SiLU of every other unit times its neighbour (Shazeer 2020): half the width."""
    return F.silu(x[..., ::2]) * x[..., 1::2]


ACTIVATIONS = {"relu": F.relu, "relu2": relu2, "gelu": partial(F.gelu, approximate="tanh"), "swiglu": swiglu}
NORMS = ("rms", "layer")


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)).

    pre: false: norm(x + attention(x)), then norm(x + feedforward(x)), as Vaswani et al. 2017 have it.
    cross: between the two it attends to a source.
    causal: false: without a mask a token reads those after it too.
    """

    def __init__(
        self, width, heads, inner, norm, activation, qk_norm, bias, dropout, *, pre=True, cross=False, causal=True
    ) -> None:
        super().__init__()
        one_of("activation", activation, ACTIVATIONS)
        self.heads, self.qk_norm, self.dropout, self.pre, self.causal = heads, qk_norm, dropout, pre, causal
        self.activation = ACTIVATIONS[activation]
        self.before_attention, self.before_feedforward = normed(norm, width, bias), normed(norm, width, bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.mix = nn.Linear(width, width, bias=bias)
        self.up = nn.Linear(width, inner * (2 if activation == "swiglu" else 1), bias=bias)
        self.down = nn.Linear(inner, width, bias=bias)
        layers, last = [self.qkv, self.mix, self.up, self.down], [self.mix, self.down]
        if cross:
            self.before_source = normed(norm, width, bias)
            self.query, self.keys_values = nn.Linear(width, width, bias=bias), nn.Linear(width, 2 * width, bias=bias)
            self.mix_source = nn.Linear(width, width, bias=bias)
            layers, last = [*layers, self.query, self.keys_values, self.mix_source], [*last, self.mix_source]
        for linear in layers:
            nn.init.normal_(linear.weight, std=0.5 * linear.in_features**-0.5)
            if bias:
                nn.init.zeros_(linear.bias)
        for linear in last:
            nn.init.zeros_(linear.weight)

    def forward(
        self,
        x: Float[Tensor, "n t d"],
        rotation: Rotation | None,
        mask: Tensor | None,
        slots: Float[Tensor, "n 2 h c e"] | None,
        start: int,
        first: int,
        source: tuple[Float[Tensor, "n 2 h p e"], Bool[Tensor, "n p"]] | None = None,
    ) -> tuple[Float[Tensor, "n t d"], Float[Tensor, "n 2 h s e"] | None]:
        """The stream after this block, and `slots`, this layer's memory, with `x` in it from `start` on.

        What is read begins at slot `first`. source: keys and values of this layer, and which of them are real.
        """
        seen, slots = self._attend(self._enter(self.before_attention, x), rotation, mask, slots, start, first)
        x = self._leave(self.before_attention, x, self.mix(seen))
        if source is not None:
            q = self.heads_of(self.query(self._enter(self.before_source, x)))
            keys, values = source[0].unbind(1)
            seen = F.scaled_dot_product_attention(q, keys, values, attn_mask=source[1][:, None, None])
            x = self._leave(self.before_source, x, self.mix_source(seen.transpose(1, 2).reshape(x.shape)))
        inner = self.activation(self.up(self._enter(self.before_feedforward, x)))
        return self._leave(self.before_feedforward, x, self.down(inner)), slots

    def source(self, x: Float[Tensor, "n p d"]) -> Float[Tensor, "n 2 h p e"]:
        """The keys and values under which this block reads an encoded text."""
        return torch.stack([self.heads_of(half) for half in self.keys_values(x).chunk(2, -1)], 1)

    def heads_of(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n h t e"]:
        """Vectors cut into the heads' parts."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _enter(self, norm: nn.Module, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """What a sublayer reads of the stream."""
        return norm(x) if self.pre else x

    def _leave(
        self, norm: nn.Module, x: Float[Tensor, "n t d"], added: Float[Tensor, "n t d"]
    ) -> Float[Tensor, "n t d"]:
        """The stream after a sublayer."""
        x = x + drop(added, self.dropout, self.training)
        return x if self.pre else norm(x)

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
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal and mask is None and t > 1)
        return y.transpose(1, 2).reshape(n, t, width), slots


def normed(kind: str, width: int, bias: bool) -> nn.Module:
    """The normalisation of this kind."""
    one_of("norm", kind, NORMS)
    return RMSNorm() if kind == "rms" else nn.LayerNorm(width, bias=bias)
