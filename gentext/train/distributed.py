"""The processes that train one model together; one alone is a group too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from gentext.types import Batch, State, map_state


@dataclass(frozen=True)
class ProcessGroup:
    """Every process takes the same batches in the same order and computes its own rows of each.

    sharded: each holds a part of the weights and of the optimisers' state only, and fetches the rest as it is needed.
    """

    rank: int = 0
    world: int = 1
    sharded: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """A module with the same outputs whose backward pass leaves the mean of all processes' gradients.

        Its outputs must be the loss and nothing else that requires a gradient: a parameter that they do not depend on
        counts as unused, and is not waited for.
        """
        if self.world == 1 or self.sharded:
            return module
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=True)

    def shard(self, module: nn.Module, device: torch.device) -> None:
        """Divide the parameters over the processes, in place, where they are to be sharded."""
        if self.world == 1 or not self.sharded:
            return
        mesh = init_device_mesh(device.type, (self.world,))
        for blocks in [child for child in module.modules() if isinstance(child, nn.ModuleList)]:
            for block in blocks:
                # a recurrent layer's kernels want the plain tensors that they were built with
                if not isinstance(block, nn.RNNBase | nn.RNNCellBase):
                    fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh)

    def local_rows(self, batch: Batch) -> Batch:
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
        summed = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(summed)
        return summed.tolist()

    def broadcast(self, values: Sequence[float]) -> list[float]:
        """The figures of the process that leads: what all must agree on, such as the time."""
        if self.world == 1:
            return list(values)
        shared = torch.tensor(list(values), dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return shared.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def broadcast_object(self, value: Any) -> Any:
        """The leading process's value."""
        if self.world == 1:
            return value
        shared = [value]
        dist.broadcast_object_list(shared, src=0, device=torch.device("cpu"))
        return shared[0]

    def broadcast_weights(self, module: nn.Module) -> None:
        """Give every process the leading one's weights."""
        if self.world > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)


def gather_tensor(tensor: Tensor) -> Tensor:
    """The tensor, gathered if it is sharded; every process has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather_tree(tree: State) -> State:
    """The pytree with every sharded tensor gathered, on the CPU; every process has to ask for it."""
    return map_state(tree, lambda tensor: gather_tensor(tensor).cpu() if isinstance(tensor, DTensor) else tensor)


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as `like` is divided over the processes."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor
