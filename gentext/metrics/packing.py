"""Texts as numbers, for metrics whose state must be the text itself: numbers sync over processes, strings do not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray


def pack(texts: Sequence[str]) -> tuple[UInt8[ndarray, " t"], Int[ndarray, " n"]]:
    """The texts end to end as UTF-8 bytes, and the bytes of each."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return np.frombuffer(b"".join(parts), dtype=np.uint8).copy(), lengths


def unpack(packed: UInt8[ndarray, " t"], lengths: Int[ndarray, " n"]) -> list[str]:
    """The texts that were packed."""
    whole = packed.tobytes()
    edges = [0, *lengths.cumsum().tolist()]
    return [whole[begin:end].decode("utf-8", "surrogatepass") for begin, end in pairwise(edges)]
