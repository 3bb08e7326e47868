"""In what hidden states a text was written: filtered, smoothed, and the likeliest path.

Raises ValueError for a text that is impossible.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.models.hmm.forward_backward import Trellis, pack
from gentext.models.hmm.parameters import HMMParameters


def filtered(
    probabilities: HMMParameters, tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"]
) -> Float[Tensor, "n t s"]:
    """p(state | the tokens so far, this one included); zero where the mask is false."""
    trellis, start = _trellis(probabilities, tokens, mask)
    beliefs, scales = trellis.forward(start)
    _check(scales > 0)
    return _spread(trellis, beliefs, tokens)


def smoothed(
    probabilities: HMMParameters, tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"]
) -> Float[Tensor, "n t s"]:
    """p(state | the whole text), zero where the mask is false; its argmax is posterior decoding."""
    trellis, start = _trellis(probabilities, tokens, mask)
    beliefs, scales = trellis.forward(start)
    _check(scales > 0)
    return _spread(trellis, trellis.backward(beliefs, scales).posterior, tokens)


def viterbi(
    probabilities: HMMParameters, tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"]
) -> tuple[Int[Tensor, "n t"], Float[Tensor, " n"]]:
    """The likeliest path of states of each text, -1 where the mask is false, and log p(path, text), nats.

    Source: Viterbi 1967.
    """
    logs = probabilities.map(lambda table: table.double().log())
    rows, block = torch.arange(len(tokens), device=tokens.device), logs.block[tokens]
    best = logs.initial.view(logs.blocks, -1)[block[:, 0]] + logs.emission[tokens[:, 0]]
    moves, came = Moves(probabilities), []
    for t in range(1, tokens.shape[1]):
        joint, back = moves.best(best, block[:, t - 1], block[:, t])
        best = torch.where(mask[:, t, None], joint + logs.emission[tokens[:, t]], best)
        came.append(back)
    top, state = best.max(1)
    _check(top > -torch.inf)
    path = torch.full_like(tokens, -1)
    for t in range(tokens.shape[1] - 1, -1, -1):
        path[:, t] = torch.where(mask[:, t], block[:, t] * logs.per_block + state, -1)
        if t:
            state = torch.where(mask[:, t], came[t - 1][rows, state], state)
    return path, top


class Moves:
    """log p(next state | state) from one block to another, multiplied out once for each pair of blocks that is met."""

    def __init__(self, probabilities: HMMParameters) -> None:
        self.tables, self.met = probabilities, dict[tuple[int, int], Tensor]()

    def best(
        self, score: Float[Tensor, "n k"], source: Int[Tensor, " n"], target: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
        """The best score in each next state, and the state that it comes from."""
        pairs = zip(source.tolist(), target.tolist(), strict=True)  # row by row, for a row may need k x k cells
        found = [(row[:, None] + self[pair]).max(0) for row, pair in zip(score, pairs, strict=True)]
        return torch.stack([values for values, _ in found]), torch.stack([states for _, states in found])

    def __getitem__(self, pair: tuple[int, int]) -> Float[Tensor, "k k"]:
        if pair not in self.met:
            first, *rest = self.tables.parts(*torch.tensor(pair, device=self.tables.block.device)[:, None])
            whole = first[0].double()
            for part in rest:
                whole = whole @ part[0].double()
            self.met[pair] = whole.log()
        return self.met[pair]


def _trellis(probabilities: HMMParameters, tokens: Tensor, mask: Tensor) -> tuple[Trellis, Float[Tensor, "n k"]]:
    """In float64, whose range no text of real words leaves; and where each row begins."""
    wide, packed = probabilities.map(torch.Tensor.double), pack(tokens, mask)
    first = wide.block[packed.tokens[: packed.sizes[0]]]
    return Trellis(wide, packed), wide.initial.view(wide.blocks, -1)[first]


def _check(possible: Bool[Tensor, "..."]) -> None:
    if not possible.all():
        raise ValueError(
            "a text is impossible under this HMM, so that no state can have written it; leave it out, or train with "
            "transition_prior and emission_prior above 0"
        )


def _spread(trellis: Trellis, packed: Float[Tensor, "tokens k"], tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t s"]:
    """Each token's row over the states of all blocks, at its place in the batch."""
    tables = trellis.tables
    whole = packed.new_zeros(tokens.numel(), tables.blocks, tables.per_block)
    whole[trellis.packed.cells, tables.block[trellis.packed.tokens]] = packed
    return whole.view(*tokens.shape, -1)
