"""A device without hardware: tensors with numbers of the CPU that do not mix with the CPU's, as those of a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

_GENERATOR, _MAKE = torch.Generator, torch.tensor
FUSED = sys.modules["torch.optim.optimizer"]  # torch deletes its name
DEVICE = torch.device("meta")  # one that needs no driver; what lies on it is no meta tensor but has numbers
ATEN = torch.ops.aten
CROSSING = (ATEN.copy_.default, ATEN._to_copy.default)  # a GPU's tensors go to and fro by these alone
INDEXING = (ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default)  # whose indices may lie on the CPU


class Claimed(Tensor):
    """Numbers on the CPU that claim to lie on `DEVICE`."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Claimed:
        about = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = Tensor._make_wrapper_subclass(cls, held.shape, device=DEVICE, **about)
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    # Not on Tensor itself: once its items were set and put back, torch takes a tensor without dimensions for a sequence
    def __getitem__(self, given: Any) -> Tensor:
        return Tensor.__getitem__(self, _index(given))

    def __setitem__(self, given: Any, value: Any) -> None:
        Tensor.__setitem__(self, _index(given), value)

    def tolist(self) -> Any:
        return self.detach().held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _index(given: Any) -> Any:
    """An index whose lists are tensors of the CPU, which may stand there."""
    if isinstance(given, tuple):
        return tuple(map(_index, given))
    return _MAKE(given) if isinstance(given, list) else given


class ClaimedDevice(TorchDispatchMode):
    """While it is entered, what is made on `DEVICE`, or brought there, claims to be there."""

    def __torch_dispatch__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if any(one.is_meta and not isinstance(one, Claimed) for one in tensors):
        raise RuntimeError(f"{func} is given a tensor without numbers")
    asked = kwargs.get("device")
    there = isinstance(tensors[0], Claimed) if tensors and func is CROSSING[0] else _claimed(tensors)
    if asked is not None:
        there, kwargs = torch.device(asked).type == DEVICE.type, {**kwargs, "device": torch.device("cpu")}
    if func not in CROSSING and _claimed(tensors):
        plain = [one for one in tensors if not isinstance(one, Claimed) and one.dim()]
        if func in INDEXING and isinstance(args[0], Claimed):
            plain = [one for one in plain if one.is_floating_point()]
        if plain:
            raise RuntimeError(f"{func} is given tensors of two devices; of the CPU {[tuple(p.shape) for p in plain]}")
    given, named = tree_map_only(Claimed, lambda one: one.held, (args, kwargs))
    found = func(*given, **named)
    if not there:
        return found
    written = [one for one in func._schema.arguments if one.alias_info is not None and one.alias_info.is_write]
    if written and func._schema.returns:  # in place, or into `out`
        first = written[0].name
        place = [one.name for one in func._schema.arguments].index(first)
        return kwargs[first] if first in kwargs else args[place]
    return tree_map_only(Tensor, Claimed, found)


def _claimed(tensors: list[Tensor]) -> bool:
    return any(isinstance(one, Claimed) for one in tensors)


@contextmanager
def claimed_device() -> Iterator[None]:
    """`DEVICE` is there, with the little that torch asks of a device beside its kernels."""
    make, loaded = torch.tensor, safetensors.torch.load_file

    class Generator(torch.Generator):
        def __new__(cls, device: Any = "cpu") -> torch.Generator:
            return _GENERATOR("cpu")  # random numbers of the CPU, as they are wherever a generator is given

    def tensor(data: Any, *, device: Any = None, **about: Any) -> Tensor:
        return make(data, **about) if device is None else make(data, **about).to(device)

    def gru(self: torch.nn.GRU, given: Tensor, *state: Any) -> tuple[Tensor, Tensor]:
        self.batch_first = False  # torch would transpose the output in place, and the claim would not change its shape
        try:
            out, last = recurrent(self, given.transpose(0, 1), *state)
        finally:
            self.batch_first = True
        return out.transpose(0, 1), last

    recurrent = torch.nn.GRU.forward
    with pytest.MonkeyPatch.context() as patch, ClaimedDevice():
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "tensor", tensor)
        patch.setattr(torch.nn.GRU, "forward", gru)  # all of ours are batch_first
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        patch.setattr(torch, "is_autocast_enabled", lambda *_: False)
        patch.setattr(torch._C, "_InferenceMode", lambda _: torch.no_grad())  # it refuses wrapped tensors
        patch.setattr(FUSED, "_get_fused_kernels_supported_devices", lambda: ["cpu", DEVICE.type])
        patch.setattr(
            safetensors.torch,
            "load_file",
            lambda path, device="cpu", **_: {name: held.to(device) for name, held in loaded(path).items()},
        )
        torch._C._set_only_lift_cpu_tensors(True)  # numbers that torch itself makes tensors of come by here too
        try:
            yield
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
