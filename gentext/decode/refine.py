"""Rewriting: what a judge likes least is written again, and kept where the judge prefers it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.checks import ArgumentError, at_least
from gentext.decode.candidates import JudgedDecoder
from gentext.decode.chunks import check, join
from gentext.language_model import Judge, LanguageModel, SupportsInfilling
from gentext.types import EOS, GAP, Batch


@dataclass(frozen=True, kw_only=True)
class Refine(JudgedDecoder):
    """Texts of which, round by round, the share that the judge likes least is rewritten.

    Of a text a random part is kept and the rest is drawn anew: by infilling a span where the family conditions on any
    part (an HMM), else as a continuation of the beginning. The judge's favourite of the old and the new text stays.

    rounds: of rewriting.  share: of the texts, rewritten in each.

    Example:
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> class Length(Judge):
        ...     def score(self, batch):
        ...         return batch.lengths.double()
        >>> model = NGram(7, order=1)
        >>> _ = model.accumulate(pad([[4, 4, 5, 2]] * 9)); model.maximize()
        >>> rng = torch.Generator().manual_seed(0)
        >>> len(Refine(judge=Length(), rounds=2)(model, 3, 4, rng=rng))
        3
    """

    judge: Judge
    rounds: int = 4
    share: float = 0.5

    def __post_init__(self) -> None:
        at_least(1, rounds=self.rounds)
        if not 0 < self.share <= 1:
            raise ArgumentError("share", f"is {self.share}; it is a share of the texts, above 0 and at most 1")

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
        if prompt is not None:
            raise ValueError("decode=refine rewrites texts from their beginnings, and takes no prompts; use rerank")
        batch = self.draw(family, n, max_len, rng, None)
        scores = self.judge.score(batch)
        for _ in range(self.rounds):
            worst = scores.argsort()[: max(1, round(self.share * n))]
            old = batch.rows(worst)
            new = self._rewritten(family, old, max_len, rng)
            judged = self.judge.score(new)
            better = (judged > scores[worst]).nonzero()[:, 0]
            both = join([batch.tokens, new.tokens], None)
            index = torch.arange(n, device=worst.device)
            index[worst[better]] = n + better
            batch, scores = both.rows(index), scores.index_put((worst[better],), judged[better])
        return batch

    def _rewritten(self, family: LanguageModel, old: Batch, max_len: int, rng: torch.Generator) -> Batch:
        """Each text with a part of it kept, the rest drawn anew, in the order of `old`."""
        words = (old.mask & (old.tokens != EOS)).sum(1)
        u = torch.rand(len(old), 2, generator=rng, device=rng.device).to(old.tokens.device)
        if isinstance(family, SupportsInfilling) and self.base.min_len < max_len:  # what fills a span ends as it likes
            return self._infilled(family, old, words, u, max_len, rng)
        kept = (u[:, 0] * words).long().clamp_max(max_len - 1)  # tokens of the beginning
        parts, order = [], []
        for length in kept.unique().tolist():  # one prompt length at a time, for a state counts what all rows have read
            rows = (kept == length).nonzero()[:, 0]
            start = old.tokens[rows, :length] if length else None
            rest = self.lasting(max(0, self.base.min_len - length)) if self.base.min_len else self
            new = rest.draw(family, len(rows), max_len - length, rng, start)
            tokens = new.tokens if start is None else torch.cat([start, new.tokens], 1)
            parts.append(tokens)
            order.append(rows)
        return join(parts, None).rows(torch.cat(order).argsort())

    def _infilled(
        self,
        family: SupportsInfilling,
        old: Batch,
        words: Int[Tensor, " n"],
        u: Tensor,
        max_len: int,
        rng: torch.Generator,
    ) -> Batch:
        """A random span of each text is replaced by any number of tokens."""
        ends = (u * (words[:, None] + 1)).long().sort(1).values.tolist()
        parts = []
        for row, length, (start, end) in zip(old.tokens.tolist(), words.tolist(), ends, strict=True):
            # a text that max_len cut has no EOS and no room for one: its end is given up
            kept = row[end:length] if EOS in row else []
            given = family.given([[*row[:start], GAP, *kept]], max_len)
            parts.append(self.draw(given, 1, max_len, rng, None).tokens)
        return join(parts, None)
