"""Masked diffusion: a Transformer that reads a text from both sides and writes it in any order, with a likelihood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.checks import at_least
from gentext.language_model import Decoder, LanguageModel, SupportsInfilling, SupportsPrepare, SupportsUnmasking
from gentext.models.layers import Embedding
from gentext.models.output import Output, token_log_prob
from gentext.models.transformer.encoder import Encoder
from gentext.types import ANY, BOS, EOS, GAP, PAD, UNK, Batch, Canvas, Outputs, Step, Tokens, blank

SEED = 20240611  # of the draws that a bound rests on


class Written(NamedTuple):
    """Texts that are written from left to right: a canvas, and the place of each that is next."""

    tokens: Int[Tensor, "n s"]
    masked: Bool[Tensor, "n s"]
    text: Bool[Tensor, "n s"]
    next: Int[Tensor, " n"]


class MaskedDiffusion(LanguageModel, SupportsUnmasking, SupportsInfilling, SupportsPrepare):
    """Masked (absorbing-state) diffusion: a text begins as masks alone, and places are unmasked until all are known.

    Every text is read and written as `context` places. A text ends at its first EOS, and each place after it is EOS
    too. The denoiser knows this (part of the SUBS parametrisation here: a known token is carried over, no mask, PAD or
    BOS is predicted): it puts no EOS before a known word, and places after a known EOS cost nothing. So every outcome
    is one text, and the probabilities of all texts of `context` tokens at most, or cut there, sum to one. A window
    without an EOS is scored by its tokens alone, and what would follow stays masked.

    `log_prob` estimates a bound on log p, the negative of the NELBO of continuous time: under a log-linear schedule a
    text of L places costs, in the mean over t in (0, 1], 1/t times -log p of its masked tokens. That equals the mean
    over all orders of -log p of writing the text in that order, one place at a time, and so bounds draws in a random
    order. Times are spread evenly over the `draws` of a text (in training: over the batch). Another order's likelihood
    is exact, and the decode setting's: `decode=unmask decode.unmask.order=confidence`.
    Differs from MDLM: of a time t, which is a multiple of 1/L, exactly t L places are masked, and not each with
    probability t: the mean is the same (Nie et al. 2025, equation 6), and no smallest t is needed. The denoiser is not
    told the time, which the number of masks shows.

    draws: times, and masks, for each text in `log_prob`.
    Other arguments are those of `Transformer`.
    Sources: Sahoo et al. 2024 (MDLM); Shi et al. 2024; Ou et al. 2024 (the any-order equivalence); Kingma et al. 2021
    (low-discrepancy times).

    >>> from gentext.types import pad
    >>> family = MaskedDiffusion(9, layers=1, heads=2, width=8, context=6).eval()
    >>> family.log_prob(pad([[4, 5, 2]])).shape, family.likelihood, family.convention
    (torch.Size([1]), 'bound', 'nelbo:16')
    """

    likelihood = "bound"
    context: int
    lengths: Tensor

    def __init__(
        self,
        vocab_size: int,
        *,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        inner: int | None = None,
        positions: str = "rotary",
        context: int = 512,
        norm: str = "rms",
        post_norm: bool = False,
        activation: str = "relu2",
        qk_norm: bool = True,
        bias: bool = False,
        tied: bool = False,
        dropout: float = 0.0,
        draws: int = 16,
    ) -> None:
        super().__init__()
        at_least(1, draws=draws)
        self.vocab_size, self.context, self.limit, self.draws = vocab_size, context, context, draws
        self.convention = f"nelbo:{draws}"
        parts = {"inner": inner, "positions": positions, "norm": norm, "post_norm": post_norm}
        parts |= {"activation": activation, "qk_norm": qk_norm, "bias": bias, "dropout": dropout}
        self.encoder = Encoder(width, layers=layers, heads=heads, context=context + 1, **parts)
        self.embedding = Embedding(vocab_size, width)
        self.mask_vector = nn.Parameter(0.02 * torch.randn(width))  # what is read in a mask's place
        self.output = Output(vocab_size, width, tied=self.embedding if tied else None)
        self.register_buffer("lengths", torch.zeros(context + 1, dtype=torch.long))  # training texts of so many tokens
        nn.init.normal_(self.embedding.weight, std=0.02)

    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None:
        """Count how many training texts have how many tokens: what a blank of any number of words is drawn by."""
        for batch in batches:
            self.lengths += batch.lengths.clamp_max(self.context).bincount(minlength=self.context + 1)

    def canvas(self, batch: Batch) -> Canvas:
        """Raises: ValueError where a prompt and its text have more than `context` tokens."""
        n, t = batch.tokens.shape
        prompt = batch.tokens[:, :0] if batch.prompt is None else batch.prompt
        given = (prompt != PAD).sum(1, keepdim=True)
        longest = int((given[:, 0] + batch.lengths).max()) if n else 0
        if longest > self.context:
            raise ValueError(
                f"a text of {longest} tokens, its prompt included, and this MaskedDiffusion has {self.context} places; "
                f"give a shorter one, or train with family.context={longest}"
            )
        start = batch.tokens.new_full((n, 1), BOS)
        line = torch.cat([start, prompt, torch.where(batch.mask, batch.tokens, EOS)], 1)
        real = torch.cat([start == BOS, prompt != PAD, torch.ones_like(batch.mask)], 1)
        line = line.gather(1, (~real).long().argsort(dim=1, stable=True))[:, : self.context + 1]
        line = nn.functional.pad(line, (0, self.context + 1 - line.shape[1]), value=EOS)
        column = torch.arange(self.context + 1, device=line.device).expand_as(line)
        line = torch.where(column > given + t, EOS, line)  # the prompts' padding
        ends = ((batch.tokens == EOS) & batch.mask).any(1, keepdim=True)
        text = (column > given) & (ends | (column <= given + batch.lengths[:, None]))
        masked = (column > given) & ~text  # what would follow a text that was cut
        return Canvas(line, masked, text, torch.zeros_like(text))

    def masked_logits(self, canvas: Canvas, places: Bool[Tensor, "n s"]) -> Float[Tensor, "m v"]:
        logits = self.output(self._read(canvas)[places]).float()
        inside = _inside(canvas)[places]
        logits[:, EOS] = torch.where(inside, -torch.inf, logits[:, EOS])
        return logits

    def forward(self, batch: Batch) -> Outputs:
        """One time a text. The log-probabilities are divided by it; those of the places after EOS stand at EOS.

        The term `nelbo` is their negative sum for each text.
        """
        device = batch.tokens.device
        rng = None if self.training else torch.Generator(device).manual_seed(SEED)
        n = len(batch)
        luck = torch.rand((), generator=rng, device=device) + torch.randperm(n, generator=rng, device=device)
        canvas = self.canvas(batch)
        costs = self._costs(canvas, luck / max(1, n), rng)
        first = 1 + (0 if batch.prompt is None else (batch.prompt != PAD).sum(1, keepdim=True))
        place = torch.arange(costs.shape[1], device=device).expand_as(costs) - first
        column = place.minimum(batch.lengths[:, None] - 1).clamp_min(0)
        log_prob = -costs.new_zeros(batch.tokens.shape).scatter_add(1, column, costs)
        return Outputs(log_prob, terms={"nelbo": costs.sum(1)})

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        """A bound on log p of each text: the mean over `draws` times and masks."""
        rng = torch.Generator(batch.tokens.device).manual_seed(SEED)
        canvas = self.canvas(batch)
        shift = torch.rand(len(batch), generator=rng, device=batch.tokens.device)
        total = torch.zeros_like(shift)
        for draw in range(self.draws):
            total -= self._costs(canvas, (shift + draw) / self.draws, rng).sum(1)
        return total / self.draws

    def sample(
        self,
        n: int,
        max_len: int,
        *,
        decoder: Decoder,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """A draw in a random order, one place a pass, or as `Unmask` says; a search goes from left to right."""
        return super().sample(n, max_len, decoder=decoder.unmasking() or decoder, rng=rng, prompt=prompt)

    def given(self, patterns: Sequence[Sequence[int]], max_len: int) -> LanguageModel:
        """The texts that fit one pattern, unmasked from what it says; how long its gaps are: see `Infilled`."""
        return Infilled(self, patterns, max_len)

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._begin(blank(n, None, self.mask_vector.device))

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._begin(blank(len(prompt), prompt, prompt.device))

    def step(self, state: Written, tokens: Tokens) -> Step:
        if tokens.is_floating_point():
            tokens = tokens.argmax(-1)
        place = state.next.clamp_max(self.context)[:, None]
        inside = state.next[:, None] <= self.context
        tokens = torch.where(inside, tokens[:, None], state.tokens.gather(1, place))
        masked = state.masked.scatter(1, place, False)
        return self._next(Written(state.tokens.scatter(1, place, tokens), masked, state.text, state.next + 1))

    def flops(self, tokens: int) -> float:
        """Two for each weight and token of one pass, and attention; `log_prob` takes `draws` passes."""
        return self.encoder.flops(tokens, self.context) + 2.0 * tokens * self.output.weight.numel()

    def _begin(self, batch: Batch) -> Step:
        canvas = self.canvas(batch).hidden()
        first = (~canvas.text).sum(1)
        return self._next(Written(canvas.tokens, canvas.masked, canvas.text, first))

    def _next(self, state: Written) -> Step:
        canvas = Canvas(state.tokens, state.masked, state.text, torch.zeros_like(state.text))
        column = torch.arange(self.context + 1, device=state.next.device)
        logits = self.masked_logits(canvas, column == state.next.clamp_max(self.context)[:, None])
        over = (column == state.next[:, None]) & canvas.open
        only = torch.full_like(logits, -torch.inf)
        only[:, EOS] = 0.0  # after an EOS, or the last place
        return Step(torch.where(over.any(1)[:, None], logits, only), state)

    def _read(self, canvas: Canvas) -> Float[Tensor, "n s d"]:
        ended = canvas.ended
        vectors = self.embedding(torch.where(ended, EOS, canvas.tokens))
        vectors = torch.where((canvas.masked & ~ended)[..., None], self.mask_vector, vectors)
        return self.encoder(vectors, torch.ones_like(ended))

    def _costs(self, canvas: Canvas, times: Float[Tensor, " n"], rng: torch.Generator | None) -> Float[Tensor, "n s"]:
        """-log p of each masked token over the time, in nats, at `times` in [0, 1) rounded up to multiples of 1/L."""
        places = canvas.text.sum(1)
        count = (times * places).long().clamp_max(places - 1) + 1
        luck = torch.rand(canvas.text.shape, generator=rng, device=times.device).masked_fill(~canvas.text, 2.0)
        rank = luck.argsort(dim=1).argsort(dim=1)
        seen = canvas._replace(masked=canvas.masked | (canvas.text & (rank < count[:, None])))
        open_, inside = seen.open, _inside(seen)
        hidden_ = self._read(seen)
        weight, floor = self.output.weight, self.output.floor
        no_end = floor.index_fill(0, torch.tensor([EOS], device=floor.device), -torch.inf)
        log_prob = hidden_.new_zeros(open_.shape, dtype=torch.float32)
        for part, offset in ((open_ & inside, no_end), (open_ & ~inside, floor)):
            found = token_log_prob(hidden_[part], weight, offset, canvas.tokens[part])
            log_prob = log_prob.masked_scatter(part, found.float())
        return -log_prob * (places / count.clamp_min(1))[:, None]


class Infilled(LanguageModel):
    """Texts of a masked diffusion that fit a pattern of ids, ANY and GAP.

    What the pattern says is known from the beginning, and the rest is unmasked. The length of a text with a gap is
    drawn from those of the training texts that have room for it, and spread over its gaps with equal odds for every
    division. It has no likelihood, and no steps from left to right.
    Raises: ValueError for several patterns, and for one that is longer than `max_len`.
    """

    likelihood = "none"

    def __init__(self, family: MaskedDiffusion, patterns: Sequence[Sequence[int]], max_len: int) -> None:
        super().__init__()
        if len(patterns) != 1:
            raise ValueError("MaskedDiffusion takes one condition at a time: infill, or contains one phrase, or length")
        self.family, self.pattern, self.vocab_size = family, list(patterns[0]), family.vocab_size
        self.most = min(max_len, family.context)
        if self._least > self.most:
            raise ValueError(
                f"the pattern has {self._least} tokens, EOS included, and a text has {self.most} at most; give fewer "
                "words, or train with a larger max_len"
            )

    def sample(
        self,
        n: int,
        max_len: int,
        *,
        decoder: Decoder,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        how = decoder.unmasking()
        if how is None:
            raise ValueError(
                "infilling unmasks in any order, and this decoder writes from left to right; give decode=unmask or "
                "decode=ancestral"
            )
        rows = [self._row(rng) for _ in range(n)]
        device = self.family.mask_vector.device
        tokens = torch.full((n, self.family.context + 1), EOS)
        kind = torch.full(tokens.shape, EOS)
        for i, row in enumerate(rows):
            kind[i, 1 : len(row) + 1] = torch.tensor(row, dtype=torch.long)
        tokens = torch.where(kind == ANY, UNK, kind)
        tokens[:, 0] = BOS
        text = torch.arange(tokens.shape[1]).expand_as(tokens) > 0
        canvas = Canvas(tokens, kind == ANY, text, text & (kind != EOS))
        with torch.inference_mode():
            found = how.fill(self.family, Canvas(*(part.to(device) for part in canvas)), rng)
        width = max(1, int((found != PAD).sum(1).max()))
        return Batch(found[:, :width], found[:, :width] != PAD)

    @property
    def _least(self) -> int:
        """Tokens of the shortest text, EOS included."""
        return 1 + sum(token != GAP for token in self.pattern)

    def _row(self, rng: torch.Generator) -> list[int]:
        """The pattern with as many ANY in place of each GAP as it gets."""
        gaps = self.pattern.count(GAP)
        if gaps == 0:
            return self.pattern
        odds = self.family.lengths.double().cpu()[self._least : self.most + 1]
        odds = odds if odds.sum() else torch.ones_like(odds)
        luck = torch.rand((), generator=rng, dtype=torch.float64, device=rng.device).item()
        more = int((odds.cumsum(0) <= luck * odds.sum()).sum().clamp_max(len(odds) - 1))
        bars = torch.randperm(more + gaps - 1, generator=rng, device=rng.device)[: gaps - 1].sort().values.tolist()
        sizes = [after - before - 1 for before, after in zip([-1, *bars], [*bars, more + gaps - 1], strict=True)]
        row: list[int] = []
        for token in self.pattern:
            row += [ANY] * sizes.pop(0) if token == GAP else [token]
        return row


def _inside(canvas: Canvas) -> Bool[Tensor, "n s"]:
    """The places before a known word, or that hold one: no EOS can stand there."""
    words = canvas.words | (canvas.text & ~canvas.masked & (canvas.tokens != EOS))
    return words.flip(1).long().cumsum(1).flip(1) > 0
