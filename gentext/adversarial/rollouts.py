"""Monte-Carlo rollouts: the return of a token as the mean reward of texts that begin as its text does up to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.decode.chunks import LOGITS_AT_ONCE
from gentext.decode.sampling import draws
from gentext.language_model import LanguageModel
from gentext.types import EOS, PAD, Batch, select

RewardOf = Callable[[Batch], Float[Tensor, " n"]]


class Completions(NamedTuple):
    """m texts that a rollout drew, each from a prefix of one of the generator's texts."""

    texts: Batch
    row: Int[Tensor, " m"]  # the text that each goes on from
    at: Int[Tensor, " m"]  # the last token that it has in common with it


@torch.no_grad()
def rollout(
    generator: LanguageModel,
    batch: Batch,
    reward_of: RewardOf,
    *,
    rollouts: int,
    discount: float = 1.0,
    rng: torch.Generator,
) -> Float[Tensor, "n t"]:
    """The reward that a text may expect after token t; of its last token, its own reward. 0 after EOS.

    A reward that comes with a text's last token counts discount^k as the return of the token k before.
    Source: Yu et al. 2017, equation 4.
    """
    n, t = batch.tokens.shape
    own = Completions(batch, torch.arange(n, device=batch.tokens.device), batch.lengths - 1)
    parts = [own, *completions(generator, batch, rollouts, rng)]
    texts, mask = (torch.cat([getattr(part.texts, name) for part in parts]) for name in ("tokens", "mask"))
    row, at = torch.cat([part.row for part in parts]), torch.cat([part.at for part in parts])
    left = mask.sum(1) - 1 - at
    reward = reward_of(Batch(texts, mask)).float() * discount**left
    reward[n:] /= rollouts
    return reward.new_zeros(n * t).index_add_(0, row * t + at, reward).view(n, t)


@torch.inference_mode()
def completions(generator: LanguageModel, batch: Batch, rollouts: int, rng: torch.Generator) -> Iterator[Completions]:
    """Every unfinished beginning of every text, gone on with `rollouts` times; so many texts at a time as fit.

    All beginnings of those texts and all their rollouts are steps of one batch, and they share the prefix's state.
    """
    n, t = batch.tokens.shape
    size = max(1, LOGITS_AT_ONCE // (generator.vocab_size * (1 + rollouts * (t - 1))))
    for start in range(0, n if t > 1 else 0, size):
        rows = slice(start, start + size)
        part = _complete(generator, batch.tokens[rows], batch.mask[rows], rollouts, rng)
        yield part._replace(row=part.row + start)


def _complete(
    generator: LanguageModel, tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"], k: int, rng: torch.Generator
) -> Completions:
    """At time i the state's rows are the texts that go on after token i, and then the rollouts that do."""
    n, t = tokens.shape
    base = torch.arange(n, device=tokens.device)  # the texts that the first rows of the state stand for
    texts = tokens.new_full((0, t), PAD)
    row, at = texts.new_empty(0), texts.new_empty(0)
    open_ = texts.new_empty(0)  # the rollouts that the other rows stand for
    step = generator.start(n, rng=rng)
    for i in range(t):
        logits, begun = step.logits, len(texts)
        texts[open_, i] = draws(logits[len(base) :], 1, rng)[:, 0]
        if i:  # rollouts that part from their text here, after its token i - 1
            part = draws(logits[: len(base)], k, rng).flatten()
            mine = base.repeat_interleave(k)
            begin = torch.cat([tokens[mine, :i], part[:, None], tokens.new_full((len(mine), t - i - 1), PAD)], 1)
            texts, row, at = (
                torch.cat([texts, begin]),
                torch.cat([row, mine]),
                torch.cat([at, mine.new_full(mine.shape, i - 1)]),
            )
        if i + 1 == t:
            break
        parted = torch.arange(len(base), device=base.device).repeat_interleave(k if i else 0)
        source = torch.cat([torch.arange(len(logits), device=base.device), parted])
        lines = torch.cat([open_, torch.arange(begun, len(texts), device=base.device)])
        latest = torch.cat([tokens[base, i], texts[lines, i]])
        goes_on = torch.cat([mask[base, i + 1], texts[lines, i] != EOS])
        base, open_ = base[goes_on[: len(base)]], lines[goes_on[len(base) :]]
        if len(base) + len(open_) == 0:
            break
        step = generator.step(select(step.state, source[goes_on]), latest[goes_on])
    return Completions(Batch(texts, texts != PAD), row, at)
