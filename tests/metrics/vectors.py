"""An encoder for tests: a text is its own vector, written out."""

from dataclasses import dataclass

import numpy as np
import torch

from gentext.types import Samples


@dataclass(frozen=True)
class Written:
    """Reads "0.5 -1" as the vector (0.5, -1)."""

    width: int

    def encode(self, texts):
        return torch.tensor([[float(x) for x in text.split()] for text in texts]).reshape(-1, self.width)

    def signature(self):
        return f"written-{self.width}"


def cloud(n, d, seed, shift=0.0):
    """n random vectors, and the texts that spell them."""
    points = np.random.default_rng(seed).normal(shift, 1.0, (n, d)).astype(np.float32)
    return points, Samples(tuple(" ".join(map(repr, map(float, row))) for row in points))
