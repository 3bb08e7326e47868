"""Long short-term memory language models: plain, and regularised as AWD-LSTM."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gentext.checks import at_least, depth, share
from gentext.language_model import LanguageModel, SupportsConditioning, SupportsHidden, SupportsLogits
from gentext.models.layers import Embedding, ModuleList, at_columns, conditioned, drop_places, locked, teacher_forced
from gentext.models.output import output_layer
from gentext.types import BOS, Batch, Outputs, Step, Tokens, map_state


class LSTMState(NamedTuple):
    """The state of every layer, and the vector that the text is conditioned on, if any."""

    layers: Layers
    given: Float[Tensor, "n z"] | None


class LSTM(LanguageModel, SupportsConditioning, SupportsHidden, SupportsLogits):
    """A stack of LSTMs; the state is (h, c) of each layer, and the vector that `condition` made room for.

    Source: Merity, Keskar and Socher 2018 (AWD-LSTM) for the dropouts, each 0 by default, and AR and TAR, which come
    as the terms `ar` and `tar` per token. All of it acts in `forward` while training; `step` never drops.
    word_dropout: the share of input tokens read as UNK in training (Bowman et al. 2016); drop_words drops types.
    cutoffs: where clusters of rarer words begin, of an adaptive softmax (Grave et al. 2017); None: a full softmax.
    Differs: TAR is averaged over t tokens and not t - 1; the optimiser is the loop's; a given vector is projected and
    added to the embedding where He et al. 2019 concatenate it, which comes to the same gates.

    Example:
        >>> from gentext.types import pad
        >>> model = LSTM(9, layers=1, width=8)
        >>> model(pad([[4, 5, 2], [6, 2]])).log_prob.shape
        torch.Size([2, 3])
        >>> model.step(model.start(2).state, torch.tensor([4, 6])).logits.shape
        torch.Size([2, 9])
    """

    layers: ModuleList[nn.LSTM]

    def __init__(
        self,
        vocab_size: int,
        *,
        layers: int = 2,
        width: int = 256,
        embedding: int | None = None,
        tied: bool = True,
        cutoffs: Sequence[int] | None = None,
        drop_words: float = 0.0,
        word_dropout: float = 0.0,
        drop_input: float = 0.0,
        drop_hidden: float = 0.0,
        drop_output: float = 0.0,
        drop_weight: float = 0.0,
    ) -> None:
        super().__init__()
        depth(layers=layers)
        at_least(1, width=width, embedding=embedding)
        share(word_dropout=word_dropout, drop_words=drop_words, drop_input=drop_input, drop_hidden=drop_hidden)
        share(drop_output=drop_output, drop_weight=drop_weight)
        embedding = embedding or width
        self.vocab_size = vocab_size
        self.drop_input, self.drop_hidden, self.drop_output = drop_input, drop_hidden, drop_output
        self.drop_weight, self.word_dropout = drop_weight, word_dropout
        self.embedding = Embedding(vocab_size, embedding, drop=drop_words)
        widths = [embedding, *[width] * (layers - 1), embedding if tied else width]
        self.layers = ModuleList(nn.LSTM(a, b, batch_first=True) for a, b in itertools.pairwise(widths))
        self.output = output_layer(
            vocab_size, widths[-1], tied=self.embedding if tied else None, bias=True, cutoffs=cutoffs
        )
        self.under: Condition | None = None
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def condition(self, width: int, *, skip: bool = False) -> None:
        sizes = [layer.hidden_size for layer in self.layers]
        self.under = Condition(width, sizes, self.embedding.embedding_dim, sizes[-1] if skip else None)

    def start(self, n: int, *, rng: torch.Generator | None = None, given: Float[Tensor, "n z"] | None = None) -> Step:
        first = torch.full((n,), BOS, device=self.embedding.weight.device)
        return self.step(LSTMState(self._first(n, given), given), first)

    def step(self, state: LSTMState, tokens: Tokens) -> Step:
        x, new = self.embedding(tokens), []
        if state.given is not None:
            x = conditioned(self.under).joined(x, state.given)
        for layer, at in zip(self.layers, state.layers, strict=True):
            at = torch.lstm_cell(x, at, *layer.all_weights[0])
            x = at[0]
            new.append(at)
        state = LSTMState(tuple(new), state.given)
        return Step(self.output(self.hidden(state)), state)

    def hidden(self, state: LSTMState) -> Float[Tensor, "n d"]:
        h = state.layers[-1][0]
        return h if state.given is None else conditioned(self.under).skipped(h, state.given)

    def forward(self, batch: Batch, given: Float[Tensor, "n z"] | None = None) -> Outputs:
        first, state = self._begin(batch, given)
        inputs, columns = teacher_forced(batch, first)
        x, ends = self.embedding(drop_places(inputs, self.word_dropout, self.training)), []
        x = locked(x if given is None else conditioned(self.under).joined(x, given), self.drop_input, self.training)
        for i, (layer, (h, c)) in enumerate(zip(self.layers, state, strict=True)):
            x = locked(x, self.drop_hidden if i else 0.0, self.training)
            x, (h, c) = self._run(layer, x, (h[None].contiguous(), c[None].contiguous()))
            ends.append((h[0], c[0]))
        self.carried[self._mode] = map_state((batch.tokens[:, -1], tuple(ends)), torch.Tensor.detach)
        hidden = at_columns(x if given is None else conditioned(self.under).skipped(x, given), columns)
        dropped = locked(hidden, self.drop_output, self.training)
        log_prob = self.output.log_prob(dropped, batch.tokens, batch.mask)
        return Outputs(log_prob, hidden, self._terms(hidden, dropped, batch, log_prob) if self.training else {})

    def logits(self, outputs: Outputs) -> Float[Tensor, "n t v"]:
        return self.output(outputs.hidden)

    def flops(self, tokens: int) -> float:
        cells = sum(8 * layer.hidden_size * (layer.input_size + layer.hidden_size) for layer in self.layers)
        return float(tokens * cells) + self.output.flops(tokens)

    @property
    def _mode(self) -> str:
        return "training" if self.training else "scoring"

    def _begin(self, batch: Batch, given: Tensor | None) -> tuple[Tensor | None, Layers]:
        if batch.carry and self._mode in self.carried:
            return self.carried[self._mode]
        return None, self._first(len(batch), given)

    def _first(self, n: int, given: Tensor | None) -> Layers:
        if given is not None:
            return conditioned(self.under).layers(given)
        zero = [self.embedding.weight.new_zeros(n, layer.hidden_size) for layer in self.layers]
        return tuple((h, h) for h in zero)

    def _run(self, layer: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not (self.training and self.drop_weight):
            return layer(x, state)
        recurrent = {"weight_hh_l0": F.dropout(layer.get_parameter("weight_hh_l0"), self.drop_weight)}
        return torch.func.functional_call(layer, recurrent, (x, state))

    def _terms(self, hidden: Tensor, dropped: Tensor, batch: Batch, log_prob: Tensor) -> dict[str, Tensor]:
        """AR: the size of the dropped output. TAR: how far the output moves in a step. Then label smoothing."""
        moved = F.pad(hidden[:, 1:] - hidden[:, :-1], (0, 0, 1, 0))
        return {
            "ar": dropped.square().mean(-1) * batch.mask,
            "tar": moved.square().mean(-1) * batch.mask,
            **self.output.terms(dropped, batch.tokens, batch.mask, log_prob),
        }


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
