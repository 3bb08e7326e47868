"""What a family says of each token of a text: its probability, its rank, and what else it expected."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.language_model import LanguageModel, SupportsFullConditionals, SupportsLatent
from gentext.types import EOS, Batch

EXPECTED = 3  # likeliest tokens that are named


class TokenScores(NamedTuple):
    """Of every token of one text that has a probability; EOS too, but of masked diffusion, which is told the length."""

    log_prob: Float[Tensor, " t"]  # nats
    rank: Int[Tensor, " t"]  # 1: no token was likelier
    entropy: Float[Tensor, " t"]  # nats, of the distribution that it was drawn from
    expected: Int[Tensor, "t k"]  # the likeliest tokens, best first
    expected_log_prob: Float[Tensor, "t k"]
    tokens: Int[Tensor, " t"]


def has_next_token(family: LanguageModel) -> bool:
    """Whether a family says what the next token is, whatever its likelihood of a whole text."""
    known = family.likelihood in ("exact", "bound") and family.sequential
    return known and type(family).start is not LanguageModel.start


@torch.no_grad()
def token_scores(family: LanguageModel, batch: Batch) -> TokenScores:
    """What a family says of one text, a batch of one row. Of a VAE, z is the mean of the text's posterior.

    Of a family that reads a text from both sides, it is what it says of each token given all the others.
    Raises: ValueError where the family has no next-token probabilities.

    Example:
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> model = NGram(7, order=1)
        >>> _ = model.accumulate(pad([[4, 4, 5, 2]] * 9)); model.maximize()
        >>> token_scores(model, pad([[4, 5, 2]])).rank.tolist()  # 4 is said twice as often
        [1, 2, 2]
    """
    if isinstance(family, SupportsFullConditionals):
        logits, tokens, _ = family.full_conditionals(batch)
        return _together([_said(*each) for each in zip(logits.double(), tokens, strict=True)], tokens)
    if not has_next_token(family):
        raise ValueError(
            f"{type(family).__name__} has no probability of the next token; take one that writes from left to right"
        )
    model = family.given_latent(family.encode(batch).mean) if isinstance(family, SupportsLatent) else family
    rng = torch.Generator(batch.tokens.device).manual_seed(0)
    tokens = batch.tokens[0][batch.mask[0]]
    at = model.start(1, rng=rng) if batch.prompt is None else model.prime(batch.prompt, rng=rng)
    columns = []
    for i, token in enumerate(tokens):
        columns.append(_said(at.logits[0].double(), token))
        if i + 1 < len(tokens):
            at = model.step(at.state, token[None])
    return _together(columns, tokens)


def _together(columns: list[tuple[Tensor, ...]], tokens: Int[Tensor, " t"]) -> TokenScores:
    own, rank, entropy, ids, values = (torch.stack(parts) for parts in zip(*columns, strict=True))
    return TokenScores(own, rank, entropy, ids, values, tokens)


def _said(logits: Float[Tensor, " v"], token: Int[Tensor, ""]) -> tuple[Tensor, ...]:
    """The parts of `TokenScores` of one token, but the token."""
    scores = logits.log_softmax(-1)
    own = scores[token]
    best = scores.topk(min(EXPECTED, len(scores) - EOS))
    entropy = -torch.where(scores.isneginf(), 0.0, scores.exp() * scores).sum()
    return own, (scores > own).sum() + 1, entropy, best.indices, best.values
