"""How LSTMs write under a given vector, such as a VAE's z."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

Layers = tuple[tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]], ...]  # h and c of each


class Condition(nn.Module):
    """What a given vector of `width` numbers says to a stack of LSTMs.

    sizes: of the state of each layer, which begin at it.  embedding: of an input, all of which it joins.
    output: the size of what the output layer reads, which it joins too; None: it does not.
    """

    def __init__(self, width: int, sizes: list[int], embedding: int, output: int | None) -> None:
        super().__init__()
        self.sizes = sizes
        self.first = nn.Linear(width, 2 * sum(sizes))
        self.input = nn.Linear(width, embedding, bias=False)
        self.output = nn.Linear(width, output, bias=False) if output else None
        nn.init.uniform_(self.input.weight, -0.1, 0.1)
        self.input.weight.data *= width**-0.5  # a given vector begins as loud as a token, not ten times as loud

    def layers(self, given: Float[Tensor, "n z"]) -> Layers:
        cells = self.first(given).split([size for size in self.sizes for _ in range(2)], -1)
        return tuple((h.tanh(), c) for h, c in zip(cells[::2], cells[1::2], strict=True))

    def joined(self, x: Float[Tensor, "n *t e"], given: Float[Tensor, "n z"]) -> Float[Tensor, "n *t e"]:
        return x + _along(self.input(given), x)

    def skipped(self, x: Float[Tensor, "n *t d"], given: Float[Tensor, "n z"]) -> Float[Tensor, "n *t d"]:
        return x if self.output is None else x + _along(self.output(given), x)


def _along(added: Float[Tensor, "n e"], x: Float[Tensor, "n *t e"]) -> Float[Tensor, "n *1 e"]:
    """`added`, shaped so that it joins every time of `x`."""
    return added if x.dim() == 2 else added[:, None]
