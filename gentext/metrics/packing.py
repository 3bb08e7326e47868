"""Texts as tensors, for metrics whose state must be the text itself: tensors sync over processes, strings do not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor


def pack(texts: Sequence[str]) -> tuple[UInt8[Tensor, " t"], Int[Tensor, " n"]]:
    """The texts end to end as UTF-8 bytes, and the bytes of each."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = torch.tensor([len(part) for part in parts], dtype=torch.long)
    return torch.from_numpy(np.frombuffer(b"".join(parts), dtype=np.uint8).copy()), lengths


def unpack(packed: UInt8[Tensor, " t"], lengths: Int[Tensor, " n"]) -> list[str]:
    """The texts that were packed."""
    whole = packed.cpu().numpy().tobytes()
    edges = [0, *lengths.cumsum(0).tolist()]
    return [whole[begin:end].decode("utf-8", "surrogatepass") for begin, end in pairwise(edges)]
