"""The weights that are judged: a moving average of those that train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """An exponential moving average of a module's parameters; with decay 0 it is the parameters themselves.

    The decay rises to its value as (1 + step) / (10 + step), so that the random start is forgotten early.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.decay = decay
        self.weights = [p.detach().clone() for p in self._parameters] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        if self.decay:
            kept = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.weights, [p.detach() for p in self._parameters], 1 - kept)

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
        for parameter, weight in zip(self._parameters, self.weights, strict=False):  # none where nothing is averaged
            held = parameter.detach().clone()
            parameter.copy_(weight)
            weight.copy_(held)
