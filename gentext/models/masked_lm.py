"""A masked language model: a Transformer that reads a text from both sides and says what stands behind its masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.checks import at_least, one_of, share
from gentext.language_model import Decoder, LanguageModel, SupportsFullConditionals, SupportsPrepare, SupportsSubwords
from gentext.models.layers import Embedding
from gentext.models.output import Output
from gentext.models.transformer.encoder import Encoder
from gentext.types import BOS, EOS, PAD, RESERVED, UNK, Batch, FullConditionals, Outputs, Step, Tokens

SAMPLERS = {"gibbs": 4, "mask_predict": 10}  # and their iterations
ROWS = 512  # sequences drawn at once


class Line(NamedTuple):
    """Texts as they are read: BOS, the prompt, the text, and no padding between them."""

    tokens: Int[Tensor, "n s"]
    real: Bool[Tensor, "n s"]
    columns: Int[Tensor, "n t"]  # where each token of the text stands


class Filling(NamedTuple):
    """Texts of a known length that are written from left to right, the rest of each masked."""

    tokens: Int[Tensor, "n s"]  # BOS and the text, EOS at its end
    place: Int[Tensor, " n"]  # the first masked token
    last: Int[Tensor, " n"]  # where EOS stands


class MaskedLM(LanguageModel, SupportsFullConditionals, SupportsPrepare, SupportsSubwords):
    """An encoder that predicts tokens from all others around them; it has no likelihood, but a pseudo-likelihood.

    `forward` hides a share of each text's tokens and gives their log-probabilities divided by that share, which is in
    the mean a log-probability of every token. `log_prob` is the pseudo-log-likelihood: every token, EOS included, given
    all others. It is no probability of the text: it does not sum to one, and how long the text is costs nothing.
    A draw has a length drawn from those of the training text, and is filled by Gibbs sampling or by mask-predict where
    the decoder samples; where it searches (beam, contrastive) or has rules, from left to right.

    mask: the share of tokens that are hidden, of which 80 % are masked, 10 % read as a random token and 10 % as
      themselves; null: drawn for every text anew, as mask-predict and other samplers that begin with masks alone want.
    whole_words: hide the tokens of a word together, where the tokenizer has subwords.
    sampler: gibbs begins at masks alone and draws every token anew, in a random order, `iterations` times (null: 4);
      mask_predict fills all masks `iterations` times (10), and keeps more each time of those it is surest of.
    Other arguments are those of `Transformer`.
    Sources: Devlin et al. 2019 (BERT); Salazar et al. 2020 (equation 1: pseudo-log-likelihood); Wang and Cho 2019
    (Gibbs sampling); Ghazvininejad et al. 2019 (mask-predict).
    Differs: no pairs of sentences; lengths come from the training text and not from a length predictor; Gibbs sampling
    takes each place once in every sweep.

    >>> from gentext.types import pad
    >>> family = MaskedLM(9, layers=1, heads=2, width=8).eval()
    >>> family.log_prob(pad([[4, 5, 2]])).shape, family.likelihood
    (torch.Size([1]), 'pseudo')
    """

    likelihood = "pseudo"
    context: int
    encoder: Encoder
    lengths: Tensor
    inside: Tensor

    def __init__(
        self,
        vocab_size: int,
        *,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        inner: int | None = None,
        positions: str = "sinusoidal",
        context: int = 512,
        norm: str = "layer",
        post_norm: bool = False,
        activation: str = "relu",
        qk_norm: bool = False,
        bias: bool = True,
        tied: bool = True,
        dropout: float = 0.1,
        mask: float | None = 0.15,
        whole_words: bool = True,
        sampler: str = "gibbs",
        iterations: int | None = None,
    ) -> None:
        super().__init__()
        at_least(1, iterations=iterations)
        one_of("sampler", sampler, SAMPLERS)
        if mask is not None:
            share(mask=mask)
            if mask == 0:
                raise ValueError("mask is 0, and nothing would be learned; give a share such as 0.15, or null")
        self.vocab_size, self.context, self.mask, self.whole_words = vocab_size, context, mask, whole_words
        self.sampler, self.iterations = sampler, iterations or SAMPLERS[sampler]
        parts = {"inner": inner, "positions": positions, "norm": norm, "post_norm": post_norm}
        parts |= {"activation": activation, "qk_norm": qk_norm, "bias": bias, "dropout": dropout}
        self.encoder = Encoder(width, layers=layers, heads=heads, context=context + 1, **parts)
        self.limit = None if self.encoder.limit is None else context
        self.embedding = Embedding(vocab_size, width, scale=width**0.5)
        self.masked = nn.Parameter(torch.randn(width))  # what is read in a mask's place
        self.output = Output(vocab_size, width, tied=self.embedding if tied else None, bias=True)
        self.register_buffer(
            "lengths", torch.zeros(context + 1, dtype=torch.long)
        )  # how many texts have so many tokens
        self.register_buffer("inside", torch.zeros(vocab_size, dtype=torch.bool))  # ids that go on another's word
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None:
        """Count how many training texts have how many tokens."""
        self.lengths.zero_()  # another run's, where it begins with those weights
        for batch in batches:
            self.lengths += batch.lengths.clamp_max(self.context).bincount(minlength=self.context + 1)

    def subwords(self, inside: Bool[Tensor, " v"]) -> None:
        self.inside.copy_(inside)

    def forward(self, batch: Batch) -> Outputs:
        line = _line(batch)
        share, chosen = self._chosen(line, batch)
        luck = torch.rand(chosen.shape, device=chosen.device)
        other = torch.randint(min(RESERVED, self.vocab_size - 1), self.vocab_size, luck.shape, device=luck.device)
        read = line.tokens.scatter(1, line.columns, torch.where(chosen & (luck >= 0.9), other, batch.tokens))
        hidden = self._read(read, line.real, self._at(line, chosen & (luck < 0.8)))
        hidden = hidden.gather(1, line.columns[..., None].expand(-1, -1, hidden.shape[-1]))
        return Outputs(self.output.log_prob(hidden, batch.tokens, chosen) / share, hidden)

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        """The pseudo-log-likelihood: one pass for every token of the longest text."""
        line, total = _line(batch), []
        for j in range(batch.tokens.shape[1]):
            here = torch.zeros_like(batch.mask)
            here[:, j] = batch.mask[:, j]
            hidden = self._read(line.tokens, line.real, self._at(line, here))
            at = line.columns[:, j : j + 1, None].expand(-1, -1, hidden.shape[-1])
            total.append(
                self.output.log_prob(hidden.gather(1, at), batch.tokens[:, j : j + 1], batch.mask[:, j : j + 1])
            )
        return torch.cat(total, 1).sum(1)

    def full_conditionals(self, batch: Batch) -> FullConditionals:
        """Of every token, EOS included, whose log-probabilities add up to `log_prob`."""
        t = int(batch.lengths[0])
        if not t:
            raise ValueError("the text is empty; give it a word")
        rows = batch.rows(torch.zeros(t, dtype=torch.long, device=batch.tokens.device))
        line = _line(rows)
        own = torch.arange(t, device=batch.tokens.device)
        here = torch.zeros_like(rows.mask)
        here[own, own] = True
        hidden = self._read(line.tokens, line.real, self._at(line, here))[own, line.columns[own, own]]
        return FullConditionals(self.output(hidden), batch.tokens[0, :t], line.tokens[0][line.real[0]])

    def sample(
        self,
        n: int,
        max_len: int,
        *,
        decoder: Decoder,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        if not decoder.tokenwise:
            return super().sample(n, max_len, decoder=decoder, rng=rng, prompt=prompt)
        max_len = self.room(max_len, prompt)
        parts = [self._draw(rows, max_len, decoder, rng, given) for rows, given in _parts(n, prompt)]
        tokens = torch.cat([nn.functional.pad(part, (0, max_len - part.shape[1])) for part in parts])
        width = max(1, int((tokens != PAD).sum(1).max()))
        return Batch(tokens[:, :width], tokens[:, :width] != PAD, prompt)

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self.prime(torch.full((n, 0), PAD, device=self.masked.device), rng=rng)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._next(self._empty(prompt, rng, self.context))

    def step(self, state: Filling, tokens: Tokens) -> Step:
        """The next masked token's logits; a text that has all of its own says EOS."""
        if tokens.is_floating_point():
            tokens = tokens.argmax(-1)
        place = state.place[:, None].clamp_max(state.tokens.shape[1] - 1)
        written = state.tokens.scatter(1, place, torch.where(state.place < state.last, tokens, EOS)[:, None])
        return self._next(state._replace(tokens=written, place=state.place + 1))

    def flops(self, tokens: int) -> float:
        """Two for each weight and token of one pass, and attention; a score takes a pass for every token of a text."""
        return self.encoder.flops(tokens, self.context) + 2.0 * tokens * self.output.weight.numel()

    def _chosen(self, line: Line, batch: Batch) -> tuple[Float[Tensor, "n 1"], Bool[Tensor, "n t"]]:
        """The share of each text that is hidden, and the tokens that are."""
        tokens, mask = batch.tokens, batch.mask
        if self.mask is None:
            least = 1 / mask.sum(1, keepdim=True).clamp_min(1)
            share = least + (1 - least) * torch.rand(least.shape, device=least.device)
        else:
            share = torch.full((len(tokens), 1), self.mask, device=tokens.device)
        word = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        if self.whole_words:
            begins = ~self.inside[tokens]
            begins[:, 0] = True
            word = begins.long().cumsum(1) - 1
        return share, mask & (torch.rand(mask.shape, device=mask.device).gather(1, word) < share)

    def _at(self, line: Line, here: Bool[Tensor, "n t"]) -> Bool[Tensor, "n s"]:
        """Tokens of the text as places of the line."""
        return torch.zeros_like(line.real).scatter(1, line.columns, here)

    def _read(
        self, tokens: Int[Tensor, "n s"], real: Bool[Tensor, "n s"], masked: Bool[Tensor, "n s"]
    ) -> Float[Tensor, "n s d"]:
        return self.encoder(torch.where(masked[..., None], self.masked, self.embedding(tokens)), real)

    def _logits(self, hidden: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        """Of a token before the end."""
        logits = self.output(hidden)
        logits[:, EOS] = -torch.inf
        return logits

    def _empty(self, prompt: Int[Tensor, "n p"], rng: torch.Generator | None, most: int) -> Filling:
        """Texts that go on from the prompt, of `most` tokens more at most: lengths drawn, the rest masked."""
        given = (prompt != PAD).sum(1)
        size = torch.arange(len(self.lengths), device=prompt.device)
        after = size - given[:, None]  # tokens that are to come, EOS among them
        counts = torch.where((after > 0) & (after <= most), self.lengths.to(torch.float64), 0.0)
        none = counts.sum(1, keepdim=True) == 0  # no training text is such: any length is as good
        counts = torch.where(none, ((size > 0) & (size <= most)).to(counts.dtype), counts)
        device = prompt.device if rng is None else rng.device
        luck = torch.rand(len(prompt), generator=rng, dtype=torch.float64, device=device).to(prompt.device)
        passed = counts.cumsum(1) <= luck[:, None] * counts.sum(1, keepdim=True)
        length = passed.sum(1).clamp_max(len(self.lengths) - 1)
        last = torch.where(none[:, 0], given + length, length)
        width = int(last.max()) + 1
        line = _line(Batch(prompt, prompt != PAD))
        tokens = nn.functional.pad(line.tokens, (0, max(0, width - line.tokens.shape[1])), value=UNK)[:, :width]
        tokens = torch.where(torch.arange(width, device=tokens.device) <= given[:, None], tokens, UNK)
        return Filling(tokens.scatter(1, last[:, None], EOS), given + 1, last)

    def _next(self, state: Filling) -> Step:
        columns = torch.arange(state.tokens.shape[1], device=state.tokens.device)
        masked = (columns >= state.place[:, None]) & (columns < state.last[:, None])
        hidden = self._read(state.tokens, columns <= state.last[:, None], masked)
        place = state.place.clamp_max(len(columns) - 1)
        logits = self._logits(hidden[torch.arange(len(place), device=place.device), place])
        only = torch.full_like(logits, -torch.inf)
        only[:, EOS] = 0.0
        return Step(torch.where((state.place >= state.last)[:, None], only, logits), state)

    def _draw(
        self, n: int, max_len: int, decoder: Decoder, rng: torch.Generator, prompt: Int[Tensor, "n p"] | None
    ) -> Int[Tensor, "n t"]:
        """Texts after their prompts, PAD at their ends."""
        given = torch.full((n, 0), PAD, device=self.masked.device) if prompt is None else prompt
        state = self._empty(given, rng, max_len)
        columns = torch.arange(state.tokens.shape[1], device=given.device)
        free = (columns >= state.place[:, None]) & (columns < state.last[:, None])
        fill = self._gibbs if self.sampler == "gibbs" else self._mask_predict
        tokens = fill(state.tokens, columns <= state.last[:, None], free, decoder, rng)
        kept = (columns >= state.place[:, None]) & (columns <= state.last[:, None])
        order = (~kept).long().argsort(dim=1, stable=True)
        return torch.where(kept, tokens, PAD).gather(1, order)[:, :max_len]

    def _gibbs(self, tokens, real, free, decoder, rng):
        masked = free.clone()
        rows = torch.arange(len(tokens), device=tokens.device)
        for _ in range(self.iterations):
            luck = torch.rand(free.shape, generator=rng, device=rng.device).to(tokens.device)
            order = torch.where(free, luck, 2.0).argsort(dim=1)
            for turn in range(int(free.sum(1).max())):
                place = order[:, turn]
                on = free[rows, place] & (turn < free.sum(1))
                masked[rows, place] |= on
                chosen = decoder.choose(self._logits(self._read(tokens, real, masked)[rows, place]), rng)
                tokens = tokens.scatter(1, place[:, None], torch.where(on, chosen, tokens[rows, place])[:, None])
                masked[rows, place] &= ~on
        return tokens

    def _mask_predict(self, tokens, real, free, decoder, rng):
        masked, size = free, free.sum(1)
        sure = torch.where(free, torch.zeros_like(tokens, dtype=torch.float), 2.0)  # of each token when it was chosen
        for turn in range(1, self.iterations + 1):
            at = masked.nonzero(as_tuple=True)
            if len(at[0]) == 0:
                break
            logits = self._logits(self._read(tokens, real, masked)[at])
            chosen = decoder.choose(logits, rng)
            tokens = tokens.index_put(at, chosen)
            sure = sure.index_put(at, logits.softmax(-1).gather(1, chosen[:, None])[:, 0].float())
            doubtful = (size * (self.iterations - turn) // self.iterations)[:, None]
            masked = free & (sure.argsort(dim=1).argsort(dim=1) < doubtful)
        return tokens


def _line(batch: Batch) -> Line:
    n, t = batch.tokens.shape
    start = batch.tokens.new_full((n, 1), BOS)
    prompt = batch.tokens[:, :0] if batch.prompt is None else batch.prompt
    tokens = torch.cat([start, prompt, batch.tokens], 1)
    real = torch.cat([torch.ones_like(start, dtype=torch.bool), prompt != PAD, batch.mask], 1)
    order = (~real).long().argsort(dim=1, stable=True)
    columns = 1 + (prompt != PAD).sum(1, keepdim=True) + torch.arange(t, device=tokens.device)
    return Line(tokens.gather(1, order), real.gather(1, order), columns)


def _parts(n: int, prompt: Int[Tensor, "n p"] | None) -> Iterator[tuple[int, Int[Tensor, "m p"] | None]]:
    for at in range(0, n, ROWS):
        yield min(ROWS, n - at), None if prompt is None else prompt[at : at + ROWS]
