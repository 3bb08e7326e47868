"""One seed, many independent streams of random numbers, each with a name."""

from __future__ import annotations

import hashlib

import torch

from gentext.checks import ArgumentError


class Streams:
    """`Streams(seed)("sample")` is the generator of one purpose: a new consumer never shifts another's numbers.

    Example:
        >>> one, other = Streams(0), Streams(0)
        >>> _ = torch.rand(9, generator=other("a new consumer"))
        >>> torch.equal(torch.rand(3, generator=one("sample")), torch.rand(3, generator=other("sample")))
        True
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 2**63:
            raise ArgumentError("seed", f"is {seed}; it must lie in 0 .. 2^63 - 1, such as 0")
        self.seed = seed
        self._streams: dict[tuple[str, str], torch.Generator] = {}

    def __call__(self, name: str, device: str | torch.device = "cpu") -> torch.Generator:
        """The generator called `name`, the same object at every call, seeded by the pair (seed, name)."""
        key = (name, str(device))
        if key not in self._streams:
            self._streams[key] = torch.Generator(device).manual_seed(self.derive(name))
        return self._streams[key]

    def derive(self, name: str) -> int:
        """A 63-bit integer made of (seed, name), for libraries that take an integer."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Where every stream stands, keyed `device/name`."""
        return {f"{device}/{name}": stream.get_state() for (name, device), stream in self._streams.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        for key, value in state.items():
            device, name = key.split("/", 1)
            self(name, device).set_state(value.cpu())
