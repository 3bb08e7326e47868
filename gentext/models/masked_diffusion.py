"""Masked diffusion: a Transformer that reads a text from both sides and writes it in any order, with a likelihood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.checks import at_least, between
from gentext.language_model import (
    Decoder,
    LanguageModel,
    SupportsFullConditionals,
    SupportsInfilling,
    SupportsPrepare,
    SupportsUnmasking,
)
from gentext.models.layers import Embedding
from gentext.models.output import Output, token_log_prob
from gentext.models.transformer.encoder import Encoder
from gentext.types import ANY, BOS, EOS, GAP, PAD, UNK, Batch, Canvas, FullConditionals, Outputs, Step, Tokens, pad

SEED = 20240611  # of the draws that a bound rests on


class Written(NamedTuple):
    """Texts that are written from left to right: a canvas, and the place of each that is next."""

    tokens: Int[Tensor, "n s"]
    masked: Bool[Tensor, "n s"]
    text: Bool[Tensor, "n s"]
    next: Int[Tensor, " n"]


class MaskedDiffusion(LanguageModel, SupportsUnmasking, SupportsFullConditionals, SupportsInfilling, SupportsPrepare):
    """Masked (absorbing-state) diffusion: a text begins as masks alone, and places are unmasked until all are known.

    The length comes first: p(text) = p(length) p(words | length), in `start` and `step` too. Its logits are a bias,
    which begins at the logarithm of the training texts' counts, plus a linear map of the mean vector of a prompt's
    tokens. The denoiser then reads the end of the text from the beginning, and no place after it: a pass costs what an
    autoregressive one of the same text does. Of a text without an EOS, cut after T tokens, the first factor is that of
    more than T tokens, and no end is read. So the probabilities of all texts of T tokens at most, or cut there, sum to
    one, for every T.

    A known token is carried over, and no mask, PAD, BOS or EOS is predicted (the SUBS parametrisation). `log_prob`
    estimates a bound on log p, the negative of the NELBO of continuous time: under a log-linear schedule L words
    cost, in the mean over t in (0, 1], 1/t times -log p of the masked ones. That equals the mean over all orders of
    -log p of writing the text in that order, one place at a time, and so bounds draws in a random order. Times are
    spread evenly over the `draws` of a text (in training: over the batch). Another order's likelihood is exact, and the
    decode setting's: `decode=unmask decode.unmask.order=confidence`.
    Differs from MDLM: of a time t, which is a multiple of 1/L, exactly t L places are masked, and not each with
    probability t: the mean is the same (Nie et al. 2025), and no smallest t is needed. The denoiser is not
    told the time, which the number of masks shows. The length is no part of the diffusion.

    draws: times, and masks, for each text in `log_prob`.
    weighting: the power of 1/t by which costs are multiplied in training. 1: the bound; 0: each masked token counts
      alike; the mean weight is about one under each. The optimum is the same where every conditional can be learned,
      and the gradient of the bound is noisy, for its weights differ by the length of a text.
    Other arguments are those of `Transformer`.
    Sources: Sahoo et al. 2024 (MDLM, 2406.07524); Shi et al. 2024 (MD4, 2406.04329); Ou et al. 2024 (2406.03736: the
    any-order equivalence); Nie et al. 2025 (LLaDA, 2502.09992); Kingma et al. 2021 (2107.00630: low-discrepancy times).

    >>> from gentext.types import pad
    >>> family = MaskedDiffusion(9, layers=1, heads=2, width=8, context=6).eval()
    >>> family.log_prob(pad([[4, 5, 2]])).shape, family.likelihood, family.convention
    (torch.Size([1]), 'bound', 'nelbo:16')
    """

    likelihood = "bound"
    sequential = False  # a text's next token is that of a text of its length
    context: int
    unread: Tensor
    offset: Tensor

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
        weighting: float = 1.0,
    ) -> None:
        super().__init__()
        at_least(1, draws=draws)
        between(0, 1, weighting=weighting)
        self.weighting = weighting
        self.vocab_size, self.context, self.limit, self.draws = vocab_size, context, context, draws
        self.convention = f"nelbo:{draws}"
        parts = {"inner": inner, "positions": positions, "norm": norm, "post_norm": post_norm}
        parts |= {"activation": activation, "qk_norm": qk_norm, "bias": bias, "dropout": dropout}
        self.encoder = Encoder(width, layers=layers, heads=heads, context=context + 2, **parts)
        self.embedding = Embedding(vocab_size, width)  # what is read in a mask's place is PAD's vector
        self.output = Output(vocab_size, width, tied=self.embedding if tied else None)
        self.length_bias = nn.Parameter(torch.zeros(context + 1))  # of 1, 2, ... tokens, EOS included; last: of more
        self.length_weight = nn.Parameter(torch.zeros(context + 1, width))
        offset = torch.zeros(vocab_size)
        offset[[PAD, BOS, EOS]] = -torch.inf
        self.register_buffer("offset", offset, persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None:
        """Begin with the lengths of the training texts, half a text more of each; or with another run's."""
        if self.begun:
            return
        counts = torch.zeros_like(self.length_bias)
        for batch in batches:
            counts += _length(batch, self.context).bincount(minlength=len(counts)).to(counts)
        with torch.no_grad():
            self.length_bias.copy_((counts + 0.5).log())

    def canvas(self, batch: Batch) -> Canvas:
        """Raises: ValueError where a prompt and its text have more than `context` tokens."""
        n, t = batch.tokens.shape
        line = torch.cat([batch.tokens.new_full((n, 1), BOS), torch.where(batch.mask, batch.tokens, PAD)], 1)
        column = torch.arange(t + 1, device=line.device).expand_as(line)
        given = torch.zeros_like(line[:, :1])
        if batch.prompt is not None:
            line = torch.cat([line[:, :1], batch.prompt, line[:, 1:]], 1)
            line = line.gather(1, (line == PAD).long().argsort(dim=1, stable=True))
            column = torch.arange(line.shape[1], device=line.device).expand_as(line)
            given = (batch.prompt != PAD).sum(1, keepdim=True)
        longest = int((given[:, 0] + batch.lengths).max()) if n else 0
        if longest > self.context:
            raise ValueError(
                f"a text of {longest} tokens, its prompt included, and this MaskedDiffusion has {self.context} places; "
                f"give a shorter one, or train with family.context={longest}"
            )
        text = (column > given) & (line != PAD) & (line != EOS)
        return Canvas(line, torch.zeros_like(text), text)

    def blank(
        self,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator | None = None,
        prompt: Int[Tensor, "n p"] | None = None,
        min_len: int = 0,
    ) -> Canvas:
        device = self.length_bias.device
        given = torch.zeros(n, dtype=torch.long, device=device) if prompt is None else (prompt != PAD).sum(1)
        room = (self.context - given).clamp(0, max_len)[:, None]
        odds = self._lengths(n, prompt).double().softmax(-1)
        odds[:, : min(min_len, self.context)] = 0.0
        luck = torch.rand(n, 1, generator=rng, dtype=torch.float64, device=device if rng is None else rng.device)
        luck = luck.to(device)
        total = odds.cumsum(1)
        words = (total <= luck * total[:, -1:]).sum(1, keepdim=True).clamp_max(self.context)
        place = torch.arange(int(room.max()) if n else 0, device=device)
        tokens = torch.where(place < words.minimum(room), UNK, PAD)
        tokens = torch.where((place == words) & (words < room), EOS, tokens)
        return self.canvas(Batch(tokens, tokens != PAD, prompt)).hidden()

    def length_log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        log_prob = self._lengths(len(batch), batch.prompt).log_softmax(-1)
        length = _length(batch, self.context)[:, None]
        beyond = torch.arange(self.context + 1, device=length.device) < batch.lengths[:, None]
        more = log_prob.masked_fill(beyond, -torch.inf).logsumexp(1)
        return torch.where(length[:, 0] == self.context, more, log_prob.gather(1, length)[:, 0])

    def masked_logits(self, canvas: Canvas, places: Bool[Tensor, "n s"]) -> Float[Tensor, "m v"]:
        return self.output(self._read(canvas)[places]).float() + self.offset

    def full_conditionals(self, batch: Batch) -> FullConditionals:
        """Of the words; the length is known, and so is where the text ends."""
        canvas = self.canvas(batch)
        places = canvas.text[0].nonzero()[:, 0]
        if not len(places):
            raise ValueError("the text is empty; give it a word")
        masked = torch.zeros(len(places), canvas.tokens.shape[1], dtype=torch.bool, device=places.device)
        masked[torch.arange(len(places)), places] = True
        rows = canvas.rows(torch.zeros_like(places))._replace(masked=masked)
        return FullConditionals(self.masked_logits(rows, masked), canvas.tokens[0][places], canvas.tokens[0])

    def forward(self, batch: Batch) -> Outputs:
        """One time a text. The log-probabilities are divided by it; that of the length stands at the last token.

        The term `nelbo` is their negative sum for each text.
        """
        device = batch.tokens.device
        rng = None if self.training else torch.Generator(device).manual_seed(SEED)
        n, t = batch.tokens.shape
        luck = torch.rand((), generator=rng, device=device) + torch.randperm(n, generator=rng, device=device)
        log_prob = self._log_prob(self.canvas(batch), luck / max(1, n), rng)
        if batch.prompt is None:
            log_prob = log_prob[:, 1:]
        else:
            first = 1 + (batch.prompt != PAD).sum(1, keepdim=True)
            column = (first + torch.arange(t, device=device)).clamp_max(log_prob.shape[1] - 1)
            log_prob = torch.where(batch.mask, log_prob.gather(1, column), 0.0)
        last = (batch.lengths[:, None] - 1).clamp_min(0)
        log_prob = log_prob.scatter_add(1, last, self.length_log_prob(batch)[:, None].to(log_prob))
        return Outputs(log_prob, terms={"nelbo": -log_prob.sum(1)})

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        """A bound on log p of each text: the mean over `draws` times and masks."""
        rng = torch.Generator(batch.tokens.device).manual_seed(SEED)
        canvas = self.canvas(batch)
        shift = torch.rand(len(batch), generator=rng, device=batch.tokens.device)
        total = torch.zeros_like(shift)
        for draw in range(self.draws):
            total += self._log_prob(canvas, (shift + draw) / self.draws, rng).sum(1)
        return self.length_log_prob(batch) + total / self.draws

    def sample(
        self,
        n: int,
        max_len: int,
        *,
        decoder: Decoder,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """A draw in a random order, one place a pass, or as `Unmask` says."""
        return super().sample(n, max_len, decoder=decoder.unmasking() or decoder, rng=rng, prompt=prompt)

    def given(self, patterns: Sequence[Sequence[int]], max_len: int) -> LanguageModel:
        """The texts that fit one pattern, unmasked from what it says; how long its gaps are: see `Infilled`."""
        return Infilled(self, patterns, max_len)

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._begin(torch.full((n, 0), PAD, device=self.offset.device), rng)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._begin(prompt, rng)

    def step(self, state: Written, tokens: Tokens) -> Step:
        if tokens.is_floating_point():
            tokens = tokens.argmax(-1)
        here = self._here(state)
        canvas = Canvas(*state[:3]).reveal(here, tokens[here.any(1)])
        return self._next(Written(*canvas, state.next + 1))

    def flops(self, tokens: int) -> float:
        """Two for each weight and token of one pass, and attention; `log_prob` takes `draws` passes."""
        return self.encoder.flops(tokens, self.context) + 2.0 * tokens * self.output.weight.numel()

    def _begin(self, prompt: Int[Tensor, "n p"], rng: torch.Generator | None) -> Step:
        canvas = self.blank(len(prompt), self.context, rng=rng, prompt=prompt)
        return self._next(Written(*canvas, 1 + (prompt != PAD).sum(1)))

    def _here(self, state: Written) -> Bool[Tensor, "n s"]:
        """The masked place of each text that is next; none where it has ended."""
        return state.masked & (torch.arange(state.masked.shape[1], device=state.next.device) == state.next[:, None])

    def _next(self, state: Written) -> Step:
        here = self._here(state)
        logits = torch.full((len(here), self.vocab_size), -torch.inf, device=here.device)
        logits[:, EOS] = 0.0
        going = here.any(1)
        if bool(going.any()):
            logits[going] = self.masked_logits(Canvas(*state[:3]).rows(going), here[going])
        return Step(logits, state)

    def _lengths(self, n: int, prompt: Int[Tensor, "n p"] | None) -> Float[Tensor, "n l"]:
        """Logits of 1, 2, ... tokens after a prompt, and of more than `context`."""
        if prompt is None:
            mean = self.length_weight.new_zeros(1, self.length_weight.shape[1])
        else:
            real = (prompt != PAD).unsqueeze(-1)
            mean = (self.embedding(prompt) * real).sum(1) / real.sum(1).clamp_min(1)
        return nn.functional.linear(mean, self.length_weight, self.length_bias).expand(n, -1)

    def _read(self, canvas: Canvas) -> Float[Tensor, "n s d"]:
        real = canvas.tokens != PAD
        vectors = self.embedding(canvas.tokens.masked_fill(canvas.masked, PAD))
        return self.encoder(vectors, None if bool(real.all()) else real)

    def _log_prob(
        self, canvas: Canvas, times: Float[Tensor, " n"], rng: torch.Generator | None
    ) -> Float[Tensor, "n s"]:
        """log p of each masked token over the time, in nats, at `times` in [0, 1) rounded up to multiples of 1/L."""
        places = canvas.text.sum(1)
        count = ((times * places).long() + 1).minimum(places)
        luck = torch.rand(canvas.text.shape, generator=rng, device=times.device).masked_fill(~canvas.text, 2.0)
        masked = canvas.text & (luck.argsort(dim=1).argsort(dim=1) < count[:, None])
        hidden = self._read(canvas._replace(masked=masked))[masked]
        weights = places / count.clamp_min(1)
        if self.training and self.weighting != 1:
            weights = 2 * (weights / 2) ** self.weighting
        weights = weights[:, None].expand_as(masked)[masked]
        found = token_log_prob(hidden, self.output.weight, self.offset, canvas.tokens[masked], weights)
        return found.new_zeros(masked.shape).masked_scatter(masked, found)


class Infilled(LanguageModel):
    """Texts of a masked diffusion that fit a pattern of ids, ANY and GAP.

    What the pattern says is known from the beginning, and the rest is unmasked. The length of a text with a gap is
    drawn from the family's own, of those that have room for it, and spread over its gaps with equal odds for every
    division. It has no likelihood.
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
        kind = pad(rows).tokens.to(self.family.length_bias.device)
        canvas = self.family.canvas(Batch(torch.where(kind == ANY, UNK, kind), kind != PAD))
        with torch.inference_mode():
            found = how.fill(self.family, canvas._replace(masked=nn.functional.pad(kind == ANY, (1, 0))), rng)
        return Batch(found, found != PAD)

    @property
    def _least(self) -> int:
        """Tokens of the shortest text, EOS included."""
        return 1 + sum(token != GAP for token in self.pattern)

    def _row(self, rng: torch.Generator) -> list[int]:
        """The pattern with as many ANY in place of each GAP as it gets."""
        gaps = self.pattern.count(GAP)
        if gaps == 0:
            return [*self.pattern, EOS]
        odds = self.family.length_bias.detach().double().cpu().softmax(0)[self._least - 1 : self.most]
        luck = torch.rand((), generator=rng, dtype=torch.float64, device=rng.device).item()
        more = int((odds.cumsum(0) <= luck * odds.sum()).sum().clamp_max(len(odds) - 1))
        bars = torch.randperm(more + gaps - 1, generator=rng, device=rng.device)[: gaps - 1].sort().values.tolist()
        sizes = [after - before - 1 for before, after in zip([-1, *bars], [*bars, more + gaps - 1], strict=True)]
        row: list[int] = []
        for token in self.pattern:
            row += [ANY] * sizes.pop(0) if token == GAP else [token]
        return [*row, EOS]


def _length(batch: Batch, most: int) -> Int[Tensor, " n"]:
    """The number of each text's length: 0 of one token, EOS; `most` of a text without an EOS, whatever it has."""
    ends = ((batch.tokens == EOS) & batch.mask).any(1)
    return torch.where(ends, batch.lengths - 1, most)
