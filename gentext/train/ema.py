"""The weights that are judged: a moving average of those that train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class EMA:
    """An exponential moving average of what moves in a module; with decay 0 it is the module's own weights.

    What moves: the parameters that ask for a gradient, and the buffers of real numbers that are saved, such as the
    statistics of a batch normalisation, which belong to the weights that they were taken under.
    The decay rises to its value as (1 + step) / (10 + step), so that the random start is forgotten early.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        saved = {id(tensor) for tensor in module.state_dict(keep_vars=True).values()}
        buffers = [b for b in module.buffers() if b.is_floating_point() and id(b) in saved]
        self._moving = [*(p for p in module.parameters() if p.requires_grad), *buffers]
        self.decay = decay
        self.weights = [tensor.detach().clone() for tensor in self._moving] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        if self.decay:
            kept = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.weights, [tensor.detach() for tensor in self._moving], 1 - kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averaged weights inside, its own again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for tensor, weight in zip(self._moving, self.weights, strict=False):  # none where nothing is averaged
            held = tensor.detach().clone()
            tensor.copy_(weight)
            weight.copy_(held)
