"""Contrastive search: a probable token whose representation is unlike those before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.checks import at_least, between
from gentext.decode.base import BaseDecoder
from gentext.decode.chunks import check, join, split
from gentext.decode.sampling import likeliest
from gentext.language_model import LanguageModel, SupportsHidden
from gentext.types import EOS, PAD, Batch, State, select


@dataclass(frozen=True)
class Contrastive(BaseDecoder):
    """Sequences that take, among the `top_k` most probable tokens, the one of the best (1 - alpha) p - alpha s.

    s is the greatest cosine between its hidden state and those before it. Source: Su et al. 2022, eq. 5.
    Differs: of a prompt only the last token's hidden state is compared, for a prompt may be a source to translate.
      A last token that a model of limited length cannot read is the most probable one.

    Example:
        >>> from gentext.models import LSTM
        >>> Contrastive(top_k=2)(LSTM(9, layers=1, width=8), 3, 4, rng=torch.Generator()).tokens.shape[0]
        3
    """

    top_k: int = 4
    alpha: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, top_k=self.top_k)
        between(0, 1, alpha=self.alpha)

    def check(self, family: LanguageModel) -> None:
        supports(family)

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
        """One sequence for each row. `rng` draws only what is latent in the family."""
        check(n, max_len, prompt, self.min_len)
        hidden = supports(family).hidden
        parts = split(n, family.vocab_size, max(1, self.batch_size // self.top_k), prompt)
        return join([self._rows(family, hidden, rows, max_len, rng, given) for rows, given in parts], prompt)

    def _rows(
        self,
        family: LanguageModel,
        hidden_of: Callable[[State], Tensor],
        n: int,
        max_len: int,
        rng: torch.Generator,
        prompt: Tensor | None,
    ) -> Tensor:
        at = family.start(n, rng=rng) if prompt is None else family.prime(prompt, rng=rng)
        tokens = torch.full((n, max_len), PAD, device=at.logits.device)
        row = torch.arange(n, device=tokens.device)
        given = 0 if prompt is None else prompt.shape[1]
        past = _unit(hidden_of(at.state))[:, None]  # n x t x d
        for i in range(max_len):
            logits = at.logits if self.rules.idle else self.rules(at.logits, tokens[row, :i])
            if family.limit is not None and given + 1 + i >= family.limit:  # no candidate can be read: the last token
                tokens[row, i] = likeliest(logits)
                break
            k = min(self.top_k, logits.shape[-1])
            value, candidate = logits.softmax(-1).topk(k, -1)
            line = torch.arange(len(row), device=row.device).repeat_interleave(k)
            longer = family.step(select(at.state, line), candidate.flatten())
            hidden = _unit(hidden_of(longer.state)).unflatten(0, (-1, k))  # n x k x d
            likeness = torch.einsum("nkd,ntd->nkt", hidden, past).amax(-1)
            merit = ((1 - self.alpha) * value - self.alpha * likeness).masked_fill(value == 0, -torch.inf)
            best = likeliest(merit)
            chosen = candidate.gather(1, best[:, None])[:, 0]
            tokens[row, i] = chosen
            live = (chosen != EOS).nonzero()[:, 0]
            if len(live) == 0 or i + 1 == max_len:
                break
            at = select(longer, live * k + best[live])
            past = torch.cat([past[live], hidden[live, best[live]][:, None]], 1)
            row = row[live]
        return tokens


def supports(family: LanguageModel) -> SupportsHidden:
    """The family. Raises: ValueError where it shows no hidden states."""
    if isinstance(family, SupportsHidden):
        return family
    raise ValueError(
        f"{type(family).__name__} shows no hidden states, which contrastive search compares; "
        "try decode=top_p or decode=beam"
    )


def _unit(hidden: Tensor) -> Tensor:
    return torch.nn.functional.normalize(hidden.float(), dim=-1)
