"""Sequence to sequence: a bidirectional LSTM reads a source, an LSTM with attention over it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.checks import at_least, depth, one_of, share
from gentext.data.tokenizer import Tokenizer
from gentext.language_model import (
    LanguageModel,
    SupportsConditioning,
    SupportsHidden,
    SupportsLogits,
    SupportsTextPanels,
)
from gentext.models.layers import Embedding, ModuleList, at_columns, conditioned, drop_places, locked, teacher_forced
from gentext.models.lstm import Condition, Layers
from gentext.models.output import output_layer
from gentext.panels import Heatmap, Panel, numbered, spelling
from gentext.types import BOS, EOS, PAD, Batch, Outputs, Step, Tokens, map_state


class DecoderState(NamedTuple):
    """The state of the decoder: of its layers, of attention, and the encoded source."""

    layers: Layers
    attended: Float[Tensor, "n d"]  # fed into the next step, and what the next token is predicted from
    memory: Float[Tensor, "n p d"]
    keys: Float[Tensor, "n p d"]  # the memory as attention compares it
    absent: Float[Tensor, "n p"]  # -inf where there is no source token, else 0
    given: Float[Tensor, "n z"] | None  # what it writes under besides


class Seq2Seq(LanguageModel, SupportsConditioning, SupportsHidden, SupportsLogits, SupportsTextPanels):
    """An encoder and a decoder; the state is the decoder's and the encoded source.

    Of a prompt, what stands before its EOS is the source, and what follows begins the target: so a source is
    translated, and a prompt without an EOS is gone on from. No prompt is an empty source, which is EOS alone.
    A vector that `condition` made room for takes the place of a source: the decoder begins at it, it joins every input,
    and a prompt is gone on from.
    Label smoothing asks for the term `uniform`, the mean log-probability of all tokens, which is given while training.

    word_dropout: the share of input tokens that the decoder reads as UNK in training (Bowman et al. 2016).
    cutoffs: where clusters of rarer words begin, of an adaptive softmax (Grave et al. 2017); None: a full softmax.
    Sources: Luong, Pham and Manning 2015 (equations 5, 7 and 8; input feeding, section 3.3); Bahdanau, Cho and Bengio
    2015 for the other score and the bidirectional encoder.
    Differs: Bahdanau's score stands in Luong's order, after the decoder's step; the decoder's first state is one
    projection of the encoder's two ends; source and text share the embedding; dropout has one mask a sequence.

    Example:
        >>> prompt, answer = torch.tensor([[4, 5, 2]]), torch.tensor([[6, 2]])
        >>> Seq2Seq(9, width=8).log_prob(Batch(answer, answer > 0, prompt)).shape
        torch.Size([1])
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        layers: int = 1,
        width: int = 256,
        embedding: int | None = None,
        attention: str = "luong",
        tied: bool = True,
        cutoffs: Sequence[int] | None = None,
        dropout: float = 0.3,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        depth(layers=layers)
        at_least(1, width=width, embedding=embedding)
        share(dropout=dropout, word_dropout=word_dropout)
        one_of("attention", attention, ATTENTIONS)
        if width % 2:
            raise ValueError(f"width is {width}; half of it reads each way, so it must be even")
        embedding = embedding or width
        size = embedding if tied else width
        self.vocab_size, self.dropout, self.word_dropout = vocab_size, dropout, word_dropout
        self.embedding = Embedding(vocab_size, embedding)
        self.encoder = nn.ModuleList(Bidirectional(a, width) for a in [embedding, *[width] * (layers - 1)])
        self.bridge = nn.Linear(width, 2 * layers * width)
        self.layers = ModuleList(nn.LSTMCell(a, width) for a in [embedding + size, *[width] * (layers - 1)])
        self.attention = ATTENTIONS[attention](width)
        self.attend = nn.Linear(2 * width, size)
        self.output = output_layer(vocab_size, size, tied=self.embedding if tied else None, bias=True, cutoffs=cutoffs)
        self.under: Condition | None = None
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def condition(self, width: int, *, skip: bool = False) -> None:
        sizes = [cell.hidden_size for cell in self.layers]
        output = self.attend.out_features if skip else None
        self.under = Condition(width, sizes, self.embedding.embedding_dim, output)
        self.bridge.requires_grad_(False)  # what is given takes its place

    def start(self, n: int, *, rng: torch.Generator | None = None, given: Float[Tensor, "n z"] | None = None) -> Step:
        return self._begin(torch.full((n, 1), EOS, device=self.embedding.weight.device), given)

    def prime(
        self,
        prompt: Int[Tensor, "n p"],
        *,
        rng: torch.Generator | None = None,
        given: Float[Tensor, "n z"] | None = None,
    ) -> Step:
        if given is not None:
            return self.read(self.start(len(prompt), given=given), prompt)
        source, prefix = split(prompt)
        at = self._begin(source)
        return at if prefix is None else self.read(at, prefix)

    def step(self, state: DecoderState, tokens: Tokens) -> Step:
        state = self._write(state, self._joined(self.embedding(tokens), state.given))
        return Step(self.output(self.hidden(state)), state)

    def hidden(self, state: DecoderState) -> Float[Tensor, "n d"]:
        return self._skipped(state.attended, state.given)

    def forward(self, batch: Batch, given: Float[Tensor, "n z"] | None = None) -> Outputs:
        mode = "training" if self.training else "scoring"
        none = torch.full((len(batch), 1), EOS, device=batch.tokens.device)
        source, prefix = (none, batch.prompt) if batch.prompt is None or given is not None else split(batch.prompt)
        state, first = self._encode(source, given), None
        if batch.carry and mode in self.carried:
            first, layers, attended = self.carried[mode]
            state = state._replace(layers=layers, attended=attended)
        inputs, columns = teacher_forced(replace(batch, prompt=prefix), first)
        inputs = drop_places(inputs, self.word_dropout, self.training)
        seen = []
        for x in locked(self._joined(self.embedding(inputs), given), self.dropout, self.training).unbind(1):
            state = self._write(state, x)
            seen.append(state.attended)
        self.carried[mode] = map_state((batch.tokens[:, -1], state.layers, state.attended), torch.Tensor.detach)
        hidden = at_columns(self._skipped(torch.stack(seen, 1), given), columns)
        dropped = locked(hidden, self.dropout, self.training)
        log_prob = self.output.log_prob(dropped, batch.tokens, batch.mask)
        if not self.training:
            return Outputs(log_prob, hidden)
        return Outputs(log_prob, hidden, self.output.terms(dropped, batch.tokens, batch.mask, log_prob))

    def text_panels(self, batch: Batch, tokenizer: Tokenizer) -> list[Panel]:
        """What each token was written from: the alignment with the source."""
        source, prefix = split(batch.prompt if batch.prompt is not None else torch.full_like(batch.tokens[:, :1], EOS))
        text = batch.tokens[0][batch.mask[0]]
        if prefix is not None:
            text = torch.cat([prefix[0][prefix[0] != PAD], text])
        written, read = (numbered(spelling(tokenizer, ids.tolist())) for ids in (text, source[0]))
        shares = self.alignment(source, text[None, :-1])[0].tolist()
        note = "Rows: the word about to be written. Columns: the source's words that its attention reads."
        return [Heatmap("Alignment with the source", note, written, read, shares, "share")]

    def alignment(self, source: Int[Tensor, "n p"], tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t_and_start p"]:
        """The share of attention that each source token gets, at the start and after each token."""
        scores: list[Tensor] = []
        hook = self.attention.register_forward_hook(lambda _, __, found: scores.append(found))
        try:
            at = self._begin(source)
            for column in tokens.T:
                at = self.step(at.state, column)
        finally:
            hook.remove()
        return (torch.stack(scores, 1) + at.state.absent[:, None]).softmax(-1)

    def logits(self, outputs: Outputs) -> Float[Tensor, "n t v"]:
        return self.output(outputs.hidden)

    def flops(self, tokens: int) -> float:
        """Two for each weight and token, of a source as long as the text; attention's own products are not in it."""
        parts = (self.encoder, self.layers, self.attention, self.attend)
        matrices = sum(p.numel() for part in parts for p in part.parameters() if p.dim() == 2)
        return 2.0 * tokens * matrices + self.output.flops(tokens)

    def _begin(self, source: Int[Tensor, "n p"], given: Float[Tensor, "n z"] | None = None) -> Step:
        return self.step(self._encode(source, given), torch.full((len(source),), BOS, device=source.device))

    def _encode(self, source: Int[Tensor, "n p"], given: Float[Tensor, "n z"] | None) -> DecoderState:
        """The decoder's first state. PAD on the right of a row is no part of it."""
        lengths = (source != PAD).sum(1)
        x = self.embedding(source)
        for layer in self.encoder:
            x, ends = layer(locked(x, self.dropout, self.training), lengths)
        absent = torch.zeros(source.shape, device=x.device).masked_fill(source == PAD, -torch.inf)
        attended = x.new_zeros(len(x), self.attend.out_features)
        first = self._bridged(ends) if given is None else conditioned(self.under).layers(given)
        return DecoderState(first, attended, x, self.attention.keys(x), absent, given)

    def _bridged(self, ends: Float[Tensor, "n d"]) -> Layers:
        first = self.bridge(ends).tanh().chunk(2 * len(self.layers), -1)
        return tuple(zip(first[::2], first[1::2], strict=True))

    def _joined(self, x: Float[Tensor, "n *t e"], given: Float[Tensor, "n z"] | None) -> Float[Tensor, "n *t e"]:
        return x if given is None else conditioned(self.under).joined(x, given)

    def _skipped(self, x: Float[Tensor, "n *t d"], given: Float[Tensor, "n z"] | None) -> Float[Tensor, "n *t d"]:
        return x if given is None else conditioned(self.under).skipped(x, given)

    def _write(self, state: DecoderState, x: Float[Tensor, "n e"]) -> DecoderState:
        """The state after the vectors `x` of a token each were read."""
        x, layers = torch.cat([x, state.attended], -1), []
        for cell, at in zip(self.layers, state.layers, strict=True):
            layers.append(cell(x, at))
            x = layers[-1][0]
        share = (self.attention(x, state.keys) + state.absent).softmax(-1)
        found = torch.bmm(share[:, None], state.memory)[:, 0]
        return state._replace(layers=tuple(layers), attended=self.attend(torch.cat([found, x], -1)).tanh())


class Bidirectional(nn.Module):
    """A layer of two LSTMs, one for each direction, half of the width each."""

    def __init__(self, embedding: int, width: int) -> None:
        super().__init__()
        self.onward = nn.LSTM(embedding, width // 2, batch_first=True)
        self.back = nn.LSTM(embedding, width // 2, batch_first=True)

    def forward(
        self, x: Float[Tensor, "n p e"], lengths: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n p d"], Float[Tensor, "n d"]]:
        """The outputs at every place, and both directions' last."""
        place = torch.arange(x.shape[1], device=x.device)
        turned = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)[..., None]  # padding stays
        onward = self.onward(x)[0]
        back = self.back(x.gather(1, turned.expand_as(x)))[0]
        back = back.gather(1, turned.expand_as(back))
        last = onward.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, onward.shape[-1]))[:, 0]
        return torch.cat([onward, back], -1), torch.cat([last, back[:, 0]], -1)


class Luong(nn.Module):
    """h W m, the general score."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width, bias=False)

    def keys(self, memory: Float[Tensor, "n p d"]) -> Float[Tensor, "n p d"]:
        return self.project(memory)

    def forward(self, h: Float[Tensor, "n d"], keys: Float[Tensor, "n p d"]) -> Float[Tensor, "n p"]:
        return torch.bmm(keys, h[..., None])[..., 0]


class Bahdanau(nn.Module):
    """v tanh(W h + U m), the additive score."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width, bias=False)
        self.query = nn.Linear(width, width)
        self.weigh = nn.Linear(width, 1, bias=False)

    def keys(self, memory: Float[Tensor, "n p d"]) -> Float[Tensor, "n p d"]:
        return self.project(memory)

    def forward(self, h: Float[Tensor, "n d"], keys: Float[Tensor, "n p d"]) -> Float[Tensor, "n p"]:
        return self.weigh((keys + self.query(h)[:, None]).tanh())[..., 0]


ATTENTIONS = {"luong": Luong, "bahdanau": Bahdanau}


def split(prompt: Int[Tensor, "n p"]) -> tuple[Int[Tensor, "n s"], Int[Tensor, "n q"] | None]:
    """The source of each row (through its last EOS; EOS alone where it has none), and the target's first tokens."""
    place = torch.arange(prompt.shape[1], device=prompt.device)
    ends = torch.where(prompt == EOS, place + 1, 0).amax(1, keepdim=True)
    source = prompt.masked_fill(place >= ends, PAD)
    source[:, 0] = torch.where(ends[:, 0] == 0, EOS, source[:, 0])
    prefix = (prompt != PAD) & (place >= ends)
    if not bool(prefix.any()):
        return source, None
    order = (~prefix).long().argsort(dim=1, stable=True)
    return source, prompt.masked_fill(~prefix, PAD).gather(1, order)
