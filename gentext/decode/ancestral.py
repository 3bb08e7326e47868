"""Sampling token by token, from the whole distribution or from a truncated one; greedy is its narrowest case."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.checks import at_least, between
from gentext.decode import filters
from gentext.decode.base import BaseDecoder
from gentext.decode.chunks import check, join, split
from gentext.decode.sampling import draw, draw_within, likeliest
from gentext.decode.tempered import Tempered
from gentext.language_model import LanguageModel, Unmasker
from gentext.types import EOS, PAD, Batch, select


@dataclass(frozen=True)
class Ancestral(BaseDecoder):
    """Sequences drawn token by token; `top_k=1` is greedy search.

    Applied in this order: the rules (see Rules), temperature, top_k (0: off), top_p, min_p, typical (1: off).
    batch_size: rows drawn at once at most. The same `rng` gives the same draw for the same batch_size.

    Example:
        >>> import torch
        >>> from gentext.models import LSTM
        >>> draw = Ancestral(temperature=0.7, top_k=5)
        >>> draw(LSTM(9, layers=1, width=8), 3, 4, rng=torch.Generator().manual_seed(0)).tokens.shape
        torch.Size([3, 4])
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be positive. Give top_k=1 for greedy search")
        at_least(0, top_k=self.top_k)
        for name in ("top_p", "typical"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a mass in (0, 1], and 1 keeps all")
        between(0, 1, min_p=self.min_p)

    @property
    def plain(self) -> bool:
        """Whether this draws from the family's own distribution: neither truncated, tempered nor ruled."""
        keeps_all = self.top_k == 0 and self.top_p == 1 and self.min_p == 0 and self.typical == 1
        return self.temperature == 1 and keeps_all and self.rules.idle

    @property
    def tokenwise(self) -> bool:
        return self.rules.idle

    def unmasking(self) -> Unmasker | None:
        """One place a pass in a random order, each token drawn as here; None under rules that read what was said."""
        from gentext.decode import Unmask  # a subclass of this class: the package finds it when it is asked for

        return Unmask(**vars(self)) if replace(self.rules, min_len=0, ban_unk=False).idle else None

    def choose(self, logits: Float[Tensor, "n v"], rng: torch.Generator) -> Int[Tensor, " n"]:
        return self._next(logits, None, rng)

    def distribution(self, family: LanguageModel, length: int | None = None) -> LanguageModel | None:
        """What this draws from: the family, or the family at another temperature; None where it truncates or rules.

        length: every draw is made so long. A family of inexact likelihood has none at another temperature; at its own
        its bound holds for texts of one length too.
        """
        if self.plain and (length is None or family.likelihood != "exact"):
            return family
        return Tempered(family, self.temperature, length) if replace(self, temperature=1.0).plain else None

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
        check(n, max_len, prompt, self.min_len)
        parts = split(n, family.vocab_size, self.batch_size, prompt)
        return join([self._rows(family, rows, max_len, rng, given) for rows, given in parts], prompt)

    @torch.inference_mode()  # a quarter off the time of a step of one row; `join` makes ordinary tensors of these
    def _rows(self, family: LanguageModel, n: int, max_len: int, rng: torch.Generator, prompt: Tensor | None) -> Tensor:
        at = family.start(n, rng=rng) if prompt is None else family.prime(prompt, rng=rng)
        tokens = torch.full((n, max_len), PAD, device=at.logits.device)
        row = torch.arange(n, device=tokens.device)  # the row of `tokens` that each line of the state writes
        live, rules, going = torch.ones_like(row, dtype=torch.bool), self.rules, n
        for i in range(max_len):
            logits = at.logits if rules.idle else rules(at.logits, tokens[row, :i])
            chosen = self._next(logits, live if going < len(row) else None, rng)
            tokens[row, i] = chosen
            live = live & (chosen != EOS)
            going = int(live.sum())
            if going == 0 or i + 1 == max_len:
                break
            state = at.state
            if going <= len(row) // 2:  # copying a state costs a step or so: worth it once half of it is idle
                kept = live.nonzero()[:, 0]
                state, row, chosen, live = select(state, kept), row[kept], chosen[kept], live[kept]
            at = family.step(state, chosen if going == len(row) else torch.where(live, chosen, EOS))
        return tokens

    def _next(self, logits: Tensor, live: Tensor | None, rng: torch.Generator) -> Tensor:
        """The next token of every line, PAD for those that are not `live` (None: all are)."""
        logits = self._truncate(logits)
        if live is not None:
            logits = torch.where(live[:, None], logits, 0.0)  # a family need not know how to go on after EOS
        if self.top_k == 1:
            chosen = likeliest(logits)
        elif self.typical < 1:
            chosen = draw_within(logits, filters.typicality, self.typical, rng)
        elif self.top_p < 1 and self.min_p == 0:
            chosen = draw_within(logits, None, self.top_p, rng)
        else:
            chosen = draw(logits, rng)
        return chosen if live is None else torch.where(live, chosen, PAD)

    def _truncate(self, logits: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        """The logits under all settings but a nucleus that comes last: that need not be found to be drawn from."""
        if self.temperature != 1:
            logits = logits / self.temperature
        if self.top_k > 1:
            logits = filters.top_k(logits, self.top_k)
        if self.top_p < 1 and (self.min_p > 0 or self.typical < 1):
            logits = filters.top_p(logits, self.top_p)
        if self.min_p > 0:
            logits = filters.min_p(logits, self.min_p)
        return logits
