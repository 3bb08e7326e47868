"""The processes that train one model together; one alone is a group too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gentext.types import Batch


@dataclass(frozen=True)
class Group:
    """Every process takes the same batches in the same order and computes its own rows of each."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module whose backward pass leaves the mean of all processes' gradients."""
        if self.world == 1:
            return module
        return DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch, the same of every batch, so that carried states stay with their rows."""
        if self.world == 1:
            return batch
        size = -(-len(batch) // self.world)
        mine = batch.rows(slice(self.rank * size, (self.rank + 1) * size))
        if len(mine):
            return mine
        idle = batch.rows(slice(0, 1))  # none is left for it, but its gradient is waited for: a row that counts nothing
        return replace(idle, mask=torch.zeros_like(idle.mask))

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        if self.world == 1:
            return list(values)
        summed = self._tensor(values)
        dist.all_reduce(summed)
        return summed.tolist()

    def lead(self, values: Sequence[float]) -> list[float]:
        """The values of the process that leads: what all must agree on, such as the time."""
        if self.world == 1:
            return list(values)
        shared = self._tensor(values)
        dist.broadcast(shared, src=0)
        return shared.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, module: nn.Module) -> None:
        """Give every process the leading one's weights."""
        if self.world > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)

    def _tensor(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(list(values), dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
