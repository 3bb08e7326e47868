"""All orders of an n-gram together: reading, scoring and drawing by the longest n-gram there is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.models.layers import ModuleList
from gentext.models.ngram.kneser_ney import Counts, release
from gentext.models.ngram.smoothing import Smoothing
from gentext.models.ngram.table import NgramTable
from gentext.types import BOS, EOS, PAD


class Backoff(nn.Module):
    """log p(w | h) is that of the longest n-gram (h', w) there is, plus the back-offs of all contexts longer than h'.

    A context is known by the numbers of its last 1, 2, .. order - 1 tokens as n-grams, a column each.
    """

    discounts: Tensor

    def __init__(
        self, counts: list[Counts], discounts: Float[Tensor, "k d"], vocab_size: int, smoothing: Smoothing
    ) -> None:
        super().__init__()
        self.vocab_size, self.smoothing = vocab_size, smoothing
        self.register_buffer("discounts", discounts)
        self.orders = ModuleList(NgramTable(order, vocab_size) for order in counts)
        self.derive()
        self.register_load_state_dict_post_hook(_loaded)

    def derive(self) -> None:
        """Fills all that follows from the counts, order by order: each is smoothed by the one below."""
        suffixes = self.orders[0].words  # a token is its own number
        p = torch.full((self.vocab_size,), 1 / (self.vocab_size - 2), dtype=torch.float64, device=suffixes.device)
        p[[PAD, BOS]] = 0.0  # never emitted
        p, sums = self.orders[0].derive(self.discounts[0], p, suffixes, self.smoothing, p.new_ones(1))
        ends = torch.zeros_like(suffixes)  # of each context the number of what it ends in: of a token, nothing
        for k, (lower, grams) in enumerate(pairwise(self.orders), 1):
            below = sums.index_select(0, ends) if self.smoothing.backs_off else sums
            ends = suffixes = grams.words if k == 1 else suffixes_of(grams, lower, suffixes)
            release()
            longest = grams is self.orders[-1]
            p, sums = grams.derive(self.discounts[k], p, suffixes, self.smoothing, below, longest=longest)

    def open(self, n: int) -> Int[Tensor, "n k"]:
        """The context of a beginning: BOS, and nothing before it."""
        absent = [len(grams) for grams in self.orders[:-1]]
        context = torch.tensor(absent, dtype=torch.long, device=self.discounts.device).repeat(n, 1)
        context[:, :1] = BOS
        return context

    def read(self, context: Int[Tensor, "n k"], tokens: Int[Tensor, " n"]) -> Int[Tensor, "n k"]:
        """The context after one token more."""
        longer = [grams.find(context[:, k], tokens).long() for k, grams in enumerate(self.orders[1:-1])]
        return torch.stack([tokens, *longer], 1)[:, : context.shape[1]]

    def logits(self, context: Int[Tensor, "n k"]) -> Float[Tensor, "n v"]:
        """log p of every token: the unigrams' under all back-offs, then each longer n-gram's written over it."""
        orders = self.orders[1:]
        backoffs = [grams.log_backoff.index_select(0, context[:, k]) for k, grams in enumerate(orders)]
        left = torch.stack([*backoffs, torch.zeros(len(context), device=context.device)], 1)
        left = left.flip(1).cumsum(1).flip(1)  # column k: the back-offs of contexts of more than k tokens
        logits = self.orders[0].log_p[:-1] + left[:, :1]
        flat = logits.view(-1)
        for k, grams in enumerate(orders):
            numbers, rows = grams.successors(context[:, k])
            log_p = grams.log_p.index_select(0, numbers) + left[:, k + 1].index_select(0, rows)
            flat.index_copy_(0, rows * self.vocab_size + grams.words.index_select(0, numbers), log_p)
        return logits

    def score(self, text: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """log p of each token of a flat text after those before it; of BOS, which is never predicted, no meaning.

        From order to order only the n-grams that exist are followed, and they are ever fewer.
        """
        log_p = self.orders[0].log_p.index_select(0, text)
        numbers, at = text, torch.arange(len(text), device=text.device)
        for grams in self.orders[1:]:
            inside = len(at) - int(len(at) > 0 and int(at[-1]) == len(text) - 1)  # the last token is no context
            numbers, at = numbers[:inside], at[:inside] + 1
            found = grams.find(numbers, text.index_select(0, at))
            hit = found != len(grams)
            backed = log_p.index_select(0, at) + grams.log_backoff.index_select(0, numbers)
            log_p.index_copy_(0, at, torch.where(hit, grams.log_p.index_select(0, found), backed))
            hits = hit.nonzero()[:, 0]
            numbers, at = found.index_select(0, hits), at.index_select(0, hits)
        return log_p

    def found(self, text: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Of each token of a flat text the order of the longest n-gram there is, and that n-gram's own log p.

        The rest of its log-probability is the back-offs of the longer contexts.
        """
        orders = torch.ones_like(text)
        log_p = self.orders[0].log_p.index_select(0, text)
        numbers, at = text, torch.arange(len(text), device=text.device)
        for order, grams in enumerate(self.orders[1:], 2):
            inside = at < len(text) - 1
            numbers, at = numbers[inside], at[inside] + 1
            found = grams.find(numbers, text.index_select(0, at))
            hit = found != len(grams)
            numbers, at = found[hit], at[hit]
            orders[at], log_p[at] = order, grams.log_p.index_select(0, numbers)
        return orders, log_p

    def draw(self, context: Int[Tensor, "n k"], rng: torch.Generator) -> Int[Tensor, " n"]:
        """A token after each context, drawn top-down in O(order), without a look at the vocabulary.

        The model is a mixture: the discounted counts of the longest context speak, or with the probability of its
        back-off those of the next shorter one, down to the uniform distribution.
        """
        tokens = context.new_full((len(context),), -1)
        columns = [torch.zeros_like(tokens), *context.unbind(1)]
        for grams, column in zip(reversed(self.orders), reversed(columns), strict=True):
            rest = (tokens < 0).nonzero()[:, 0]
            tokens.index_copy_(0, rest, grams.draw(column.index_select(0, rest), rng))
        uniform = torch.rand(len(tokens), generator=rng, dtype=torch.float64, device=rng.device).to(tokens.device)
        return torch.where(tokens < 0, EOS + (uniform * (self.vocab_size - 2)).long(), tokens)


def suffixes_of(grams: NgramTable, lower: NgramTable, suffixes: Int[Tensor, " m"]) -> Int[Tensor, " n"]:
    """The number of each n-gram less its first token, given those of the n-grams of the order below."""
    found = torch.empty_like(grams.words)
    for contexts, part in grams.parts():
        parents = grams.parents_of(contexts)
        found[part] = lower.find(suffixes.index_select(0, parents), grams.words[part])
    return found


def _loaded(model: Backoff, keys: Any) -> None:
    """After a load: everything anew that follows from the counts."""
    if keys.missing_keys:
        return  # torch says which
    if len(model.orders[0]) != model.vocab_size:
        raise ValueError(f"the saved n-gram is of {len(model.orders[0])} tokens and this one of {model.vocab_size}")
    model.derive()
