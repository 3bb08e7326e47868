"""Several candidates for each text, of which a judge decides: the best one, or one drawn by the judge's odds."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.checks import ArgumentError, at_least, one_of
from gentext.data.tokenizer import Tokenizer
from gentext.decode.ancestral import Ancestral
from gentext.decode.chunks import check, join
from gentext.decode.reweighted import SupportsReweighting, Weigh
from gentext.language_model import Decoder, Judge, LanguageModel
from gentext.types import Batch

AT_ONCE = 4096  # candidates that are held at a time


@dataclass
class Count:
    """How many texts a decoder has drawn, for the costs of a row."""

    drawn: int = 0


@dataclass(frozen=True, kw_only=True)
class JudgedDecoder(Decoder):
    """A decoder that draws more texts than it gives. base: what draws them."""

    base: Decoder = field(default_factory=Ancestral)
    count: Count = field(default_factory=Count, init=False, repr=False, compare=False)

    def reading(self, tokenizer: Tokenizer) -> JudgedDecoder:
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name in ("base", "judge")}
        made = replace(self, **{name: part.reading(tokenizer) for name, part in parts.items() if part is not None})
        object.__setattr__(made, "count", self.count)  # what it draws is booked on this one
        return made

    @property
    def min_len(self) -> int:
        return self.base.min_len

    def lasting(self, length: int) -> JudgedDecoder:
        made = copy.copy(self)  # with its tokenizer, and the count of what it draws
        object.__setattr__(made, "base", self.base.lasting(length))
        return made

    def check(self, family: LanguageModel) -> None:
        self.base.check(family)

    def draw(
        self, family: LanguageModel, n: int, max_len: int, rng: torch.Generator, prompt: Int[Tensor, "n p"] | None
    ) -> Batch:
        self.count.drawn += n
        return family.sample(n, max_len, decoder=self.base, rng=rng, prompt=prompt)


def draw_until(
    draw: Callable[[int], Batch],
    keep: Callable[[Batch], Bool[Tensor, " m"]],
    n: int,
    *,
    most: int,
    name: str,
    advice: str,
    share: float | None = None,
) -> Batch:
    """The first `n` draws that are kept.

    Args:
        draw: this many texts.
        keep: which of them are kept.
        n: how many to keep.
        most: draws for each text at most.
        name: of the decoder, as an error names it.
        advice: what an error advises.
        share: of draws that is expected to be kept; measured where it is null.

    Raises:
        ValueError: if `most` draws do not suffice, with the rate.
    """
    kept: list[Tensor] = []
    held = tried = 0
    while held < n:
        if tried >= most * n:
            raise ValueError(
                f"{name} kept {held} of {tried} draws ({held / tried:.3%}), and {n} were asked for; raise most, ask "
                f"for fewer, or {advice}"
            )
        needed = (n - held) / share if share else 1.1 * (n - held) * tried / held if held else n - held
        size = min(AT_ONCE, max(64, round(needed)))
        batch = draw(size)
        rows = keep(batch).nonzero()[:, 0]
        kept.append(batch.tokens[rows])
        held, tried = held + len(rows), tried + size
    return join([part for part in kept if len(part)], None).rows(slice(0, n))


def one_prompt(name: str, prompt: Int[Tensor, "n p"] | None, advice: str) -> Int[Tensor, "1 p"] | None:
    """The prompt that all rows share. Raises: ValueError where they differ."""
    if prompt is not None and len(prompt.unique(dim=0)) > 1:
        raise ValueError(f"{name} draws until enough are kept, which different prompts do not allow; {advice}")
    return None if prompt is None else prompt[:1]


@dataclass(frozen=True, kw_only=True)
class ChosenDecoder(JudgedDecoder):
    """`candidates` draws for each text, of which one is chosen."""

    candidates: int = 16

    def __post_init__(self) -> None:
        at_least(2, candidates=self.candidates)

    @abstractmethod
    def choose(self, family: LanguageModel, batch: Batch, rng: torch.Generator) -> Int[Tensor, " n"]:
        """The row of each text's choice among `candidates` rows for each, which stand together."""

    @torch.no_grad()
    def __call__(
        self,
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """`n` sequences of `max_len` tokens at most, EOS included."""
        check(n, max_len, prompt, 0)
        parts, size = [], max(1, AT_ONCE // self.candidates)
        for at in range(0, n, size):
            here = min(size, n - at)
            given = None if prompt is None else prompt[at : at + here].repeat_interleave(self.candidates, 0)
            batch = self.draw(family, here * self.candidates, max_len, rng, given)
            parts.append(batch.tokens[self.choose(family, batch, rng)])
        return join(parts, prompt)


@dataclass(frozen=True, kw_only=True)
class Rerank(SupportsReweighting, ChosenDecoder):
    """The best of several draws.

    Of k candidates a text of score s is given with its own probability times (F(s)^k - F(s-)^k) / (F(s) - F(s-)), F the
    distribution function of the scores of draws: `distribution`, whose divergence from the base is log k - (k - 1) / k
    where no two texts score the same (Beirami et al. 2024, 2401.01879).

    by: `judge`; `likelihood`, the family's own log-probability over length ** length_penalty; or `sum` of the two, the
      latter times `weight`.

    >>> from gentext.models import NGram
    >>> from gentext.types import pad
    >>> model = NGram(7, order=1)
    >>> _ = model.accumulate(pad([[4, 4, 5, 2]] * 9)); model.maximize()
    >>> rng = torch.Generator().manual_seed(0)
    >>> Rerank(by="likelihood", candidates=20)(model, 1, 4, rng=rng).tokens.tolist()
    [[4, 4, 4, 4]]
    """

    judge: Judge | None = None
    by: Literal["judge", "likelihood", "sum"] = "judge"
    weight: float = 1.0
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("by", self.by, ("judge", "likelihood", "sum"))
        if self.by != "likelihood" and self.judge is None:
            raise ArgumentError("judge", "is null; give judge.run=FOLDER of a trained run, or by=likelihood")

    def check(self, family: LanguageModel) -> None:
        super().check(family)
        if self.by != "judge":
            needs_likelihood(self.by, family)

    def score(self, family: LanguageModel, batch: Batch) -> Float[Tensor, " n"]:
        scores = torch.zeros(len(batch), dtype=torch.double, device=batch.tokens.device)
        if self.by != "judge":
            own = likelihood(self.by, family, batch) / batch.lengths.clamp_min(1) ** self.length_penalty
            scores = scores + (own if self.by == "likelihood" else self.weight * own)
        if self.by != "likelihood":
            assert self.judge is not None
            scores = scores + self.judge.score(batch).to(scores)
        return scores

    def choose(self, family: LanguageModel, batch: Batch, rng: torch.Generator) -> Int[Tensor, " n"]:
        best = self.score(family, batch).view(-1, self.candidates).argmax(1)
        return best + torch.arange(len(best), device=best.device) * self.candidates

    @property
    def convention(self) -> str:
        return f"best:{self.candidates}"

    def weighing(self, family: LanguageModel) -> Weigh:
        powers = torch.arange(self.candidates)

        def weigh(scores: Float[Tensor, " n"], bank: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
            ranked, up = bank.sort().values, powers.to(scores)
            below, to = (
                ((torch.searchsorted(ranked, scores, side=side) + 0.5) / (len(bank) + 1)).log()[:, None]
                for side in ("left", "right")
            )
            return (up * to + (len(up) - 1 - up) * below).logsumexp(1)  # (to^k - below^k) / (to - below)

        return weigh


@dataclass(frozen=True, kw_only=True)
class Resample(SupportsReweighting, ChosenDecoder):
    """One of several draws, by the odds that a discriminator gives each of being people's text.

    A discriminator of people's and the model's text is a noise-contrastive critic: its odds estimate p(x) / q(x), so
    that q(x) times the odds is the residual energy-based model, of which this is sampling-importance-resampling. What
    it draws from is not that model itself but, of k candidates, r(x) = q(x) E[k w(x) / (w(x) + sum of the others' w)],
    which is `distribution`.

    Source: Deng et al. 2020, sections 3.2 and 3.3 (algorithm 1, with its top-k left to `base`).

    Example:
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> class Length(Judge):
        ...     odds = True
        ...     def score(self, batch):
        ...         return batch.lengths.double() - 2
        >>> model = NGram(7, order=1)
        >>> _ = model.accumulate(pad([[4, 4, 5, 2]] * 9)); model.maximize()
        >>> rng = torch.Generator().manual_seed(0)
        >>> len(Resample(judge=Length(), candidates=4)(model, 3, 4, rng=rng))
        3
    """

    judge: Judge

    def __post_init__(self) -> None:
        super().__post_init__()
        needs_odds(self.judge)

    def score(self, family: LanguageModel, batch: Batch) -> Float[Tensor, " n"]:
        return self.judge.score(batch).double()

    def choose(self, family: LanguageModel, batch: Batch, rng: torch.Generator) -> Int[Tensor, " n"]:
        odds = self.score(family, batch).view(-1, self.candidates).softmax(1)
        drawn = torch.multinomial(odds.to(rng.device), 1, generator=rng)[:, 0].to(odds.device)
        return drawn + torch.arange(len(drawn), device=drawn.device) * self.candidates

    @property
    def convention(self) -> str:
        return f"sir:{self.candidates}"

    def weighing(self, family: LanguageModel) -> Weigh:
        k = self.candidates

        def weigh(scores: Float[Tensor, " n"], bank: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
            others = bank[: len(bank) // (k - 1) * (k - 1)].view(-1, k - 1).logsumexp(1)[None]
            share = scores[:, None] - torch.logaddexp(scores[:, None], others)
            return share.logsumexp(1) + math.log(k / others.shape[1])

        return weigh


def likelihood(by: str, family: LanguageModel, batch: Batch) -> Float[Tensor, " n"]:
    """log q of each text. Raises: ValueError where the family has none."""
    needs_likelihood(by, family)
    parts = [family.log_prob(batch.rows(slice(at, at + 256))) for at in range(0, len(batch), 256)]
    return torch.cat(parts).double()


def needs_likelihood(by: str, family: LanguageModel) -> None:
    """Raises: ValueError where a family has none."""
    if family.likelihood == "none":
        raise ValueError(f"by={by} needs a likelihood, and {type(family).__name__} has none; give by=judge")


def needs_odds(judge: Judge) -> None:
    """Raises: ArgumentError where a judge's scores are no log-odds of human text."""
    if not judge.odds:
        raise ArgumentError(
            "judge", "gives no odds of human text: train a classifier on data=detection, or use decode=rerank"
        )
