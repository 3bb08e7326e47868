"""The M-step: expected counts become parameters, and a dead state half of the heaviest."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.models.hmm.parameters import HMMParameters
from gentext.types import BOS, PAD

DEAD = 1e-3  # expected tokens below which a state is dead
# A word's share of the tokens, or of the pairs of a state and a word that it emits
EMISSION_BACKOFFS = ("unigram", "continuation")
# A state's share: as any other's, of the transitions, or of the pairs of states
TRANSITION_BACKOFFS = ("even", "unigram", "continuation")
FLOOR = 0.5  # of what a word or a state has at least where a prior spreads as they do


def maximized(
    counts: HMMParameters,
    old: HMMParameters,
    empty: Bool[Tensor, " s"],
    transition: float,
    emission: float,
    emission_backoff: str = "unigram",
    transition_backoff: str = "even",
) -> HMMParameters:
    """Probabilities: counts and pseudo-counts, normalised; the `old` ones where there is neither.

    A state has `emission` pseudo-tokens for each different word that it emits, spread as `emission_backoff` says, and
    `transition` pseudo-transitions for each different state that it leads to, spread as `transition_backoff` says over
    those not `empty`.
    Source: Witten and Bell 1991, method C, for the strength: a state that met few words expects few new ones; Kneser
    and Ney 1995, equation 8, for a spread by contexts, which here are states, met in part where a count is below one.
    """
    *leave, enter = counts.factors
    factors = [_rows(factor, transition, _entered(factor, transition_backoff)) for factor in leave]
    entered = _entered(enter, transition_backoff).masked_fill(empty, 0.0)
    factors.append(_rows(enter, transition, entered))
    factors = [torch.where(new.isnan(), was, new) for new, was in zip(factors, old.factors, strict=True)]
    kinds = by_block(_kinds(counts.emission), counts)[counts.block]
    emitted = counts.emission + emission * kinds * _spread(counts, emission_backoff)
    total = by_block(emitted, counts)[counts.block]
    emitted = torch.where(total > 0, emitted / total, old.emission)
    return HMMParameters(_rows(counts.initial[None], transition, entered)[0], tuple(factors), emitted, counts.block)


def _rows(counts: Float[Tensor, "a b"], prior: float, spread: Float[Tensor, " b"]) -> Float[Tensor, "a b"]:
    """Each row with its pseudo-counts, spread in proportion, normalised; NaN where there is nothing."""
    counts = counts + prior * _kinds(counts).sum(1, keepdim=True).clamp(min=1.0) * (spread / spread.sum())
    return counts / counts.sum(1, keepdim=True)


def _entered(counts: Float[Tensor, "a b"], backoff: str) -> Float[Tensor, " b"]:
    """What leads to each column; none has nothing."""
    if backoff == "even":
        return torch.ones_like(counts[0])
    return (counts if backoff == "unigram" else _kinds(counts)).sum(0).clamp(min=FLOOR)


def _kinds(counts: Tensor) -> Tensor:
    """How many different things were counted, an expected count below one being part of one."""
    return counts.clamp(max=1.0)


def _spread(counts: HMMParameters, backoff: str) -> Float[Tensor, "v 1"]:
    """Each word's share of its block's tokens, or of the pairs of a state and a word that it emits.

    Words never seen share what those seen once have (Good-Turing).
    """
    tokens = counts.emission.sum(1)
    words = tokens.clone() if backoff == "unigram" else _kinds(counts.emission).sum(1)
    words[[PAD, BOS]] = torch.nan
    unseen, once = tokens < FLOOR, (tokens - 1).abs() < FLOOR
    unseen[[PAD, BOS]] = False
    words = torch.where(unseen, (once.sum() / unseen.sum()).clamp(min=FLOOR), words).nan_to_num(0.0)[:, None]
    return words / by_block(words, counts).clamp(min=FLOOR)[counts.block]


def by_block(rows: Float[Tensor, "v k"], tables: HMMParameters) -> Float[Tensor, "c k"]:
    """The sum of the rows of each block's words."""
    if tables.blocks == 1:
        return rows.sum(0, keepdim=True)
    return rows.new_zeros(tables.blocks, rows.shape[1]).index_add(0, tables.block, rows)


def revive(counts: HMMParameters, empty: Bool[Tensor, " s"]) -> Int[Tensor, " d"]:
    """The dead states, each now half of the state that was its block's heaviest; `counts` is changed in place.

    Every second word of the heavy state, by rank, moves to the dead one, with a like share of its transitions.
    """
    k = counts.per_block
    tokens = by_block(counts.emission, counts)
    dead = ((tokens.view(-1) < DEAD) & ~empty).nonzero()[:, 0]
    for state in dead.tolist():
        block, i = divmod(state, k)
        heavy = int(tokens[block].argmax())
        if tokens[block, heavy] < 2 * DEAD:
            continue  # the whole block is dead; its words never occur
        words = (counts.block == block).nonzero()[:, 0]
        column = counts.emission[words, heavy]
        part = torch.zeros_like(column)
        part[column.argsort(descending=True)[1::2]] = 1.0
        share = float(column @ part / column.sum())
        if share < DEAD:  # one word holds all: both states keep it
            share = 0.5
            part.fill_(share)
        counts.emission[words, i], counts.emission[words, heavy] = column * part, column * (1 - part)
        tokens[block, i], tokens[block, heavy] = tokens[block, heavy] * share, tokens[block, heavy] * (1 - share)
        for rows in (counts.initial, counts.factors[0], counts.factors[-1].T):
            rows[state] = rows[block * k + heavy] * share
            rows[block * k + heavy] *= 1 - share
    return dead
