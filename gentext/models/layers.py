"""What the neural families share: embedding, output layer, teacher forcing and dropout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from gentext.types import BOS, PAD, UNK, Batch

Under = TypeVar("Under", bound=nn.Module)

if TYPE_CHECKING:
    M = TypeVar("M", bound=nn.Module)

    class ModuleList(nn.ModuleList, Generic[M]):
        """torch's, which tells a type checker of what class its modules are."""

        def __init__(self, modules: Iterable[M]) -> None: ...
        def __iter__(self) -> Iterator[M]: ...
        @overload
        def __getitem__(self, idx: int) -> M: ...
        @overload
        def __getitem__(self, idx: slice) -> ModuleList[M]: ...
        def __getitem__(self, idx: Any) -> Any: ...

else:
    ModuleList = nn.ModuleList


class TextEncoder(nn.Module):
    """What reads a text into one vector: the base of what a VAE and a classifier read with.

    width: numbers of the vector.

    >>> class First(TextEncoder):
    ...     def __init__(self, vocab_size, width):
    ...         super().__init__()
    ...         self.width, self.embedding = width, torch.nn.Embedding(vocab_size, width)
    ...     def forward(self, batch):
    ...         return self.embedding(batch.tokens[:, 0])
    """

    width: int

    def forward(self, batch: Batch) -> Float[Tensor, "n d"]:
        raise NotImplementedError(f"{type(self).__name__} must define forward()")


def conditioned(under: Under | None) -> Under:
    """What a family reads a given vector with. Raises: ValueError where `condition` has made no room for one."""
    if under is None:
        raise ValueError("a vector is given to a family that has no room for one: call condition(width) first")
    return under


def teacher_forced(
    batch: Batch, first: Int[Tensor, " n"] | None = None
) -> tuple[Int[Tensor, "n s"], Int[Tensor, "n t"] | None]:
    """What is read, one token late, and at which column each token of the batch is predicted (None: its own).

    Reading begins with `first` (BOS), then the prompt, each row's PAD taken out, then the tokens but for the last.
    """
    n, t = batch.tokens.shape
    if first is None:
        first = batch.tokens.new_full((n,), BOS)
    if batch.prompt is None:
        return torch.cat([first[:, None], batch.tokens[:, :-1]], 1), None
    given = batch.prompt != PAD
    line = torch.cat([first[:, None], batch.prompt, batch.tokens], 1)
    real = torch.cat([torch.ones_like(given[:, :1]), given, batch.mask], 1)
    inputs = line.gather(1, (~real).long().argsort(dim=1, stable=True))[:, :-1]
    return inputs, given.sum(1, keepdim=True) + torch.arange(t, device=line.device)


def at_columns(hidden: Float[Tensor, "n s d"], columns: Int[Tensor, "n t"] | None) -> Float[Tensor, "n t d"]:
    """The hidden states at the columns that `teacher_forced` named."""
    return hidden if columns is None else hidden.gather(1, columns[..., None].expand(-1, -1, hidden.shape[-1]))


def drop(x: Float[Tensor, "*n d"], p: float, training: bool) -> Float[Tensor, "*n d"]:
    """`x` under dropout; nothing at all is called where none is due, for that too takes time in a short step."""
    return F.dropout(x, p) if training and p else x


def locked(x: Float[Tensor, "n t d"], p: float, training: bool) -> Float[Tensor, "n t d"]:
    """`x` under dropout with one mask a sequence, the same at every time (Gal and Ghahramani 2016)."""
    return x * F.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), p) if training and p else x


def drop_places(inputs: Int[Tensor, "n s"], p: float, training: bool) -> Int[Tensor, "n s"]:
    """`inputs` in training with a share `p` of their places, drawn one by one, read as UNK; BOS and PAD stay.

    Source: Bowman et al. 2016, section 3.1 (word dropout).
    """
    if not (training and p):
        return inputs
    dropped = torch.rand(inputs.shape, device=inputs.device) < p
    return torch.where(dropped & (inputs != BOS) & (inputs != PAD), UNK, inputs)


class Embedding(nn.Embedding):
    """Vectors of tokens: ids, or relaxed one-hots (rows of probabilities), through which a gradient flows.

    `drop` is the share of word types left out of a training batch, each everywhere at once.
    `scale` multiplies the vectors, where the output layer shares the matrix (Vaswani et al. 2017, section 3.4).
    Source: Gal and Ghahramani 2016, section 4.2.
    """

    def __init__(self, vocab_size: int, width: int, *, drop: float = 0.0, scale: float = 1.0) -> None:
        super().__init__(vocab_size, width)
        self.drop, self.scale = drop, scale

    def forward(self, tokens: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        if tokens.is_floating_point():
            return tokens @ self.weight * self.scale
        vectors = F.embedding(tokens, self.weight)
        if self.scale != 1:
            vectors = vectors * self.scale
        if self.training and self.drop:
            kept = F.dropout(vectors.new_ones(self.num_embeddings, 1), self.drop)
            vectors = vectors * kept[tokens]
        return vectors
