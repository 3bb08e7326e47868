"""Smaller n-gram models: n-grams left out that occur rarely, or that the model hardly needs."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.models.ngram.backoff import Backoff, suffixes_of
from gentext.models.ngram.kneser_ney import Counts
from gentext.models.ngram.table import NgramTable
from gentext.types import BOS, EOS


def pruned_by_count(model: Backoff, least: int) -> Backoff:
    """Without the n-grams of order 3 and above whose count is below `least`.

    Of the highest order counts are occurrences, below it what the smoothing counts (of Kneser-Ney different tokens
    before the n-gram); `family.prune` counts occurrences of every order, before any training.
    """
    kept = [torch.ones(len(grams), dtype=torch.bool) for grams in model.orders[:2]]
    return _without(model, [*kept, *(grams.counts.cpu() >= least for grams in model.orders[2:])])


def pruned_by_entropy(model: Backoff, threshold: float) -> Backoff:
    """Without the n-grams whose loss, each alone, would raise the perplexity by less than this share.

    Source: Stolcke 1998, equations 3 to 6. Differs: the rest of the model is estimated again from the counts that are
    left, whose context's mass goes to the back-off, where Stolcke keeps each probability and renormalises; an n-gram
    stays where a longer one that stays begins or ends in it.
    """
    kept = [torch.ones(len(model.orders[0]), dtype=torch.bool)]
    kept += [losses.expm1().cpu() >= threshold for losses in relative_entropies(model)]
    return _without(model, kept)


def relative_entropies(model: Backoff) -> list[Float[Tensor, " _"]]:
    """Of each n-gram of the orders from 2 on: D(p || p without it), nats a token, all others as they are."""
    unigrams = model.orders[0]
    joint = unigrams.log_p[:-1].double().exp()
    joint[BOS] = joint[EOS]  # a text begins as often as one ends
    lower, suffixes = unigrams.log_p.double(), unigrams.words.long()
    found = []
    for k, grams in enumerate(model.orders[1:], 1):
        suffixes = grams.words.long() if k == 1 else suffixes_of(grams, model.orders[k - 1], suffixes).long()
        parents = grams.parents
        p, below = grams.log_p[:-1].double().exp(), lower[suffixes].exp()
        rest, rest_below = (_rest(grams, part).index_select(0, parents) for part in (p, below))
        alpha = grams.log_backoff.double().index_select(0, parents)
        changed = ((rest + p) / (rest_below + below)).log()
        lost = p * (below.log() + changed - p.log()) + rest * (changed - alpha)
        found.append(-joint.index_select(0, parents) * lost)
        joint, lower = joint.index_select(0, parents) * p, grams.log_p.double()
    return found


def _rest(grams: NgramTable, p: Float[Tensor, " n"]) -> Float[Tensor, " c"]:
    """What the successors of each context leave of 1."""
    sums = torch.cat([p.new_zeros(1), p.cumsum(0)])
    return (1 - sums[grams.starts.long()].diff()).clamp_min(1e-12)


def _without(model: Backoff, kept: list[Bool[Tensor, " _"]]) -> Backoff:
    """The model of the n-grams that are kept, and of those that these begin or end in."""
    ends: list[Int[Tensor, " _"]] = [model.orders[0].words.long().cpu()]
    for k, grams in enumerate(model.orders[1:], 1):
        own = grams.words if k == 1 else suffixes_of(grams, model.orders[k - 1], ends[-1].to(grams.words))
        ends.append(own.long().cpu())
    for k in range(len(kept) - 1, 0, -1):
        grams = model.orders[k]
        kept[k - 1][grams.parents.cpu()[kept[k]]] = True
        kept[k - 1][ends[k][kept[k]]] = True
    counts, contexts = [], torch.ones(1, dtype=torch.bool)
    for grams, own in zip(model.orders, kept, strict=True):
        parents, words, numbers = grams.parents.cpu(), grams.words.cpu(), grams.counts.cpu()
        successors = torch.bincount(parents[own], minlength=len(contexts))[contexts]
        starts = torch.nn.functional.pad(successors, (1, 1)).cumsum(0).int()
        totals = torch.nn.functional.pad(grams.totals.cpu()[:-1][contexts], (0, 1))
        counts.append(Counts(starts, words[own], numbers[own], totals))
        contexts = own
    made = Backoff(counts, model.discounts.cpu(), model.vocab_size, model.smoothing)
    return made.to(model.discounts.device)
