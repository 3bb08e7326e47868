"""Causal self-attention for the Transformer: positions, and the memory of keys and values that a step reads."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.checks import one_of

Rotation = tuple[Float[Tensor, "*n t 1 1 e"], Float[Tensor, "*n t 1 1 e"]]  # cosines, signed sines


class Positions(nn.Module):
    """No positions at all, and what each kind may say: vectors to add, a rotation of queries and keys, a bias."""

    limit: int | None = None  # positions that it knows; None: any number

    def added(self, start: int, end: int, skip: Int[Tensor, " n"] | None) -> Float[Tensor, "*n t d"] | None:
        """Vectors for the tokens start .. end - 1; rows that begin with `skip` padding tokens start later."""
        return None

    def rotation(self, start: int, t: int, skip: Int[Tensor, " n"] | None) -> Rotation | None:
        """For the tokens start .. start + t - 1, likewise; beside a prefix, not turned itself, places count."""
        return None

    def bias(self, start: int, t: int) -> Float[Tensor, "h t s"] | None:
        """What is added to the scores of `t` queries, the first at `start`, over all keys so far."""
        return None


class Learned(Positions):
    """A vector for each position (Gehring et al. 2017), GPT-2's kind: no further than `limit`."""

    def __init__(self, limit: int, width: int) -> None:
        super().__init__()
        self.limit = limit
        self.weight = nn.Parameter(torch.randn(limit, width) * 0.02)

    def added(self, start: int, end: int, skip: Int[Tensor, " n"] | None) -> Float[Tensor, "*n t d"]:
        if skip is None:
            return self.weight[start:end]
        return F.embedding(_places(start, end, skip), self.weight)


class Sinusoidal(Positions):
    """Sines and cosines of geometric wavelengths (Vaswani et al. 2017, section 3.5), halves side by side."""

    frequency: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequency", _frequencies(width, 10_000.0), persistent=False)

    def added(self, start: int, end: int, skip: Int[Tensor, " n"] | None) -> Float[Tensor, "*n t d"]:
        place = torch.arange(start, end, device=self.frequency.device) if skip is None else _places(start, end, skip)
        angle = place[..., None] * self.frequency
        return torch.cat([angle.sin(), angle.cos()], -1)


class Rotary(Positions):
    """Queries and keys turned by an angle that grows with the position (Su et al. 2021), halves paired."""

    frequency: Tensor

    def __init__(self, head_width: int, base: float = 10_000.0) -> None:
        super().__init__()
        self.register_buffer("frequency", _frequencies(head_width, base), persistent=False)
        self.table = torch.empty(2, 0, 1, 1, head_width)  # no buffer: processes that train together share buffers

    def rotation(self, start: int, t: int, skip: Int[Tensor, " n"] | None) -> Rotation:
        if start + t > self.table.shape[1] or self.table.device != self.frequency.device:
            with torch.inference_mode(False):  # the table outlives the draw that may be asking
                angle = torch.arange(2 * (start + t), device=self.frequency.device)[:, None] * self.frequency
                cos, sin = angle.cos(), angle.sin()
                self.table = torch.stack([torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)])[:, :, None, None]
        place = slice(start, start + t) if skip is None else _places(start, start + t, skip)
        cos, sin = self.table[:, place].unbind()
        return cos, sin


class Relative(Positions):
    """A bias for each head and distance: one apart each while near, then in logarithmic buckets up to `furthest`.

    both: to the right too, half of the buckets for each side.
    Source: Raffel et al. 2020 (T5), section 2.1; all layers share the table.
    """

    def __init__(self, heads: int, buckets: int = 32, furthest: int = 128, *, both: bool = False) -> None:
        super().__init__()
        self.sides = 2 if both else 1
        self.buckets, self.furthest = buckets // self.sides, furthest
        self.weight = nn.Parameter(torch.zeros(buckets, heads))

    def bias(self, start: int, t: int) -> Float[Tensor, "h t s"]:
        keys = torch.arange(start + t, device=self.weight.device)
        back = keys[start:, None] - keys
        distance = back.abs() if self.sides == 2 else back.clamp_min(0)
        near = self.buckets // 2
        spread = torch.log(distance.clamp_min(1) / near) / math.log(self.furthest / near)
        far = (near + spread * (self.buckets - near)).long().clamp_max(self.buckets - 1)
        bucket = torch.where(distance < near, distance, far)
        if self.sides == 2:
            bucket = bucket + (back < 0) * self.buckets
        return F.embedding(bucket, self.weight).movedim(-1, 0)


POSITIONS = ("rotary", "learned", "sinusoidal", "relative", "none")


def position_kind(kind: str, width: int, heads: int, context: int, *, both: bool = False) -> Positions:
    """The positions of this kind; `both`: of an encoder, which reads what follows too."""
    one_of("positions", kind, POSITIONS)
    match kind:
        case "rotary":
            return Rotary(width // heads)
        case "learned":
            return Learned(context, width)
        case "sinusoidal":
            return Sinusoidal(width)
        case "relative":
            return Relative(heads, both=both)
    return Positions()


def rotate(x: Float[Tensor, "n t k h e"], rotation: Rotation) -> Float[Tensor, "n t k h e"]:
    """Queries and keys turned by their positions (rotary embedding, Su et al. 2021)."""
    cos, sin = rotation
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class Source(NamedTuple):
    """An encoded text as the blocks of a decoder read it."""

    memory: tuple[Float[Tensor, "n 2 h p e"], ...]  # keys and values of each layer
    real: Bool[Tensor, "n p"]  # false where there is padding


class Cache(NamedTuple):
    """What a Transformer has read: a pytree whose tensors have n rows, so that `select` gathers it.

    Keys and values lie in slots of which `length` are filled. A step writes its slot in place, unless another step was
    taken from the same state before (`written` is past its length): then it copies first. So states are values: two
    steps from one state, or a step from an old one, never disturb each other. `written` is one list for all
    states that share the memory; `select` gives its copy a list of its own.
    """

    memory: tuple[Float[Tensor, "n 2 h t d"], ...]  # keys and values of each layer
    last: Float[Tensor, "n d"]  # the newest hidden state
    skip: Int[Tensor, " n"] | None  # leading slots that hold padding, where prompts differ in length
    length: int
    written: list[int]
    shift: Float[Tensor, "n d"] | None = None  # what a given vector adds to every output
    source: Source | None = None  # the text that an encoder read


class Prefix(nn.Module):
    """What a given vector says to a Transformer: keys and values that every token reads, in each layer.

    Source: Li et al. 2020 (Optimus), section 3.1, "memory". skip: it joins the output, too.
    """

    def __init__(self, given: int, layers: int, heads: int, width: int, skip: bool) -> None:
        super().__init__()
        self.layers, self.heads = layers, heads
        self.keys_values = nn.Linear(given, layers * 2 * width)
        self.output = nn.Linear(given, width, bias=False) if skip else None

    def memory(self, given: Float[Tensor, "n z"]) -> tuple[Float[Tensor, "n 2 h 1 e"], ...]:
        slots = self.keys_values(given).view(len(given), self.layers, 2, self.heads, 1, -1)
        return tuple(slots.unbind(1))

    def shift(self, given: Float[Tensor, "n z"]) -> Float[Tensor, "n d"] | None:
        return None if self.output is None else self.output(given)


def room(cache: Cache, t: int) -> Cache:
    """The cache with slots for `t` more tokens that no other state may write to."""
    memory, capacity = cache.memory, cache.memory[0].shape[3]
    locked_in = memory[0].is_inference() and not torch.is_inference_mode_enabled()
    if cache.written[0] == cache.length and cache.length + t <= capacity and not locked_in:
        return cache
    if cache.length + t > capacity:
        capacity = max(2 * capacity, cache.length + t, 32)
    grown = []
    for old in memory:
        new = old.new_empty(*old.shape[:3], capacity, old.shape[4])
        new[:, :, :, : cache.length] = old[:, :, :, : cache.length]
        grown.append(new)
    return cache._replace(memory=tuple(grown), written=[cache.length])


def shifted(cache: Cache, by: Int[Tensor, " n"], prefix: int) -> Cache:
    """The cache with the last `by` slots of each row, which hold padding, moved before all others but the prefix."""
    t = cache.length - prefix
    order = (torch.arange(t, device=by.device) - by[:, None]) % t
    moved = []
    for slots in cache.memory:
        first, rest = slots[:, :, :, : cache.length].split((prefix, t), 3)
        index = order[:, None, None, :, None].expand_as(rest)
        moved.append(torch.cat([first, rest.gather(3, index)], 3))
    skip = by if cache.skip is None else cache.skip + by
    return cache._replace(memory=tuple(moved), skip=skip, written=[cache.length])


def remember(
    slots: Float[Tensor, "n 2 h c e"], k: Float[Tensor, "n h t e"], v: Float[Tensor, "n h t e"], start: int
) -> Float[Tensor, "n 2 h s e"]:
    """The memory of a layer with `k` and `v` in the slots from `start` on; a new one where a gradient is to flow."""
    if torch.is_grad_enabled():
        return torch.cat([slots[:, :, :, :start], torch.stack([k, v], 1)], 3)
    end = start + k.shape[2]
    slots[:, 0, :, start:end] = k
    slots[:, 1, :, start:end] = v
    return slots


def causal(
    n: int, start: int, t: int, skip: Int[Tensor, " n"] | None, context: int, device: torch.device
) -> Bool[Tensor, "n 1 t s"]:
    """Which of start + t slots each of the last t may read: `context` back from itself, no padding.

    A padding slot reads itself, for softmax wants something to read.
    """
    keys = torch.arange(start + t, device=device)
    queries = keys[start:, None]
    seen = ((keys <= queries) & (keys > queries - context))[None].expand(n, -1, -1)
    if skip is not None:
        seen = seen & ((keys >= skip[:, None])[:, None] | (keys == queries))
    return seen[:, None]


def _places(start: int, end: int, skip: Int[Tensor, " n"]) -> Int[Tensor, "n t"]:
    return (torch.arange(start, end, device=skip.device) - skip[:, None]).clamp_min(0)


def _frequencies(width: int, base: float) -> Float[Tensor, " half"]:
    return base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
