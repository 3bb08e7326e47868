"""An n-gram given what its text must be, drawn and scored exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.data.automaton import Automaton, distances
from gentext.models.guided import FittingModel, shares
from gentext.models.ngram.backoff import Backoff, suffixes_of
from gentext.types import EOS, RESERVED, UNK, State, Step

MEMORY = 4 * 2**30  # bytes that the table of what is to come may take


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order, for the recursion from a text's end; contexts are the n-grams of the order below."""

    p: Float[Tensor, "n 1"]
    kind: Int[Tensor, " n"]  # of the last token, for the automaton
    moves: Int[Tensor, "n q"]  # the place after it
    word: Bool[Tensor, "n 1"]  # whether it is one that a text may hold
    ends: Int[Tensor, " m"]  # the n-grams that end the text
    parents: Int[Tensor, " n"]
    suffixes: Int[Tensor, " s"]  # without the first token, in the order below; of order 1 there are none
    backoff: Float[Tensor, "b 1"]  # of each context; of order 1 there are none
    beneath: Int[Tensor, " c"]  # each context without its first token


class ConstrainedNGram(FittingModel):
    """An n-gram given that its text fits an automaton and ends within `horizon` tokens, EOS included.

    An n-gram's text is a Markov chain over contexts (the longest n-grams that there are), so that p(the rest fits |
    context, place, tokens left) follows from the end to the beginning. Of a context it is its back-off times that of
    the shorter one, but for the tokens seen after it: the work is one term for each n-gram, place and length, whatever
    the vocabulary.

    Source: Mohri et al. 2008, section 3 (an n-gram as a weighted automaton; its product with another).
    Raises: ValueError where no text fits, with the reason.
    """

    def __init__(self, model: Backoff, machine: Automaton, horizon: int) -> None:
        super().__init__()
        self.model, self.machine, self.horizon, self.vocab_size = model, machine, horizon, model.vocab_size
        places = len(machine.final)
        contexts = [len(grams) for grams in model.orders[: max(1, len(model.orders) - 1)]]
        need = 8 * horizon * places * sum(contexts)
        if need > MEMORY:
            raise ValueError(
                f"the conditions make {places} cases over {horizon} tokens and {sum(contexts):,} contexts, "
                f"{need / 2**30:.0f} GiB; give how=reject, fewer words to contain, or a smaller length"
            )
        tokens = torch.arange(self.vocab_size, device=model.discounts.device)
        named = tokens[:, None] == machine.words
        self.kind = torch.where(named.any(1), named.long().argmax(1) + 1, 0) if len(machine.words) else tokens * 0
        self.word = (tokens >= RESERVED) | (tokens == UNK)
        self.ended = torch.where(machine.final, 0.0, -torch.inf).to(model.discounts)
        self.nearest = distances(machine)
        self.coming, self.scale = self._look_ahead(contexts)
        self.evidence = self._evidence()

    def log_fit(self, state: State) -> Float[Tensor, "n v"]:
        fits = self._fits(*state)[0]
        fits[fits.sum(1) == 0, EOS] = 1.0
        return fits.log()

    def _first(self, n: int) -> Int[Tensor, "n k"]:
        return self.model.open(n)

    def _read(self, own: Int[Tensor, "n k"], tokens: Int[Tensor, " n"]) -> Int[Tensor, "n k"]:
        return self.model.read(own, tokens)

    def _at(self, state: State) -> Step:
        return Step((self.model.logits(state[0]).double() + self.log_fit(state)).float(), state)

    def _fits(
        self, context: Int[Tensor, "n k"], places: Int[Tensor, " n"], left: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n v"], Float[Tensor, " n"]]:
        """p(the text fits | tokens so far, next token), each row scaled, and the logarithms of the scales."""
        rest = (left - 1).clamp(min=0)
        end = torch.where(left > 0, self.ended[places], -torch.inf)
        top, *share, last = shares(self.scale[rest[:, None], self.machine.moves[places]], end)
        after = self.machine.moves[places][:, self.kind]  # n v
        fits = self.coming[0][rest[:, None], torch.arange(self.vocab_size, device=places.device), after]
        for k, coming in enumerate(self.coming[1:], 1):  # over the shorter context's what there is of the longer one
            grams = self.model.orders[k]
            numbers, rows = grams.successors(context[:, k - 1])
            words = grams.words.index_select(0, numbers).long()
            fits[rows, words] = coming[rest[rows], numbers, after[rows, words]]
        fits = fits * torch.stack(share, 1)[:, self.kind] * self.word
        fits[:, EOS] = last
        return fits, top

    def _look_ahead(self, contexts: list[int]) -> tuple[list[Float[Tensor, "t c q"]], Float[Tensor, "t q"]]:
        """p(the rest fits, and ends within t more tokens | context, place) of contexts of 1, 2, .. tokens; log scales.

        Each place has a scale of its own: what must still come may be rarer than a float can say.
        """
        coming = [self.ended.new_zeros(self.horizon, n, len(self.ended)) for n in contexts]
        scale = self.ended.new_full((self.horizon, len(self.ended)), -torch.inf)
        orders = self._orders()
        for t in range(1, self.horizon):
            top, *share, last = shares(scale[t - 1][self.machine.moves], self.ended)
            each = torch.stack(share)  # c q
            then = weighed = fits = self.ended.new_zeros(0)  # of the order below
            for k, grams in enumerate(orders):
                if k < len(coming):
                    then = coming[k][t - 1].gather(1, grams.moves) * each[grams.kind] * grams.word
                    then[grams.ends] = last
                else:  # the first token of the longest is forgotten
                    then = then.index_select(0, grams.suffixes)
                shorter, weighed = weighed, grams.p * then
                if k == 0:
                    fits = weighed.sum(0, keepdim=True)
                else:
                    backed = grams.backoff[grams.parents] * shorter.index_select(0, grams.suffixes)
                    fits = grams.backoff * fits.index_select(0, grams.beneath)
                    fits.index_add_(0, grams.parents, weighed - backed)
                if k or len(orders) == 1:
                    # what the difference leaves where nothing fits is rounding
                    coming[max(0, k - 1)][t] = fits.clamp(min=0.0).masked_fill(self.nearest > t, 0.0)
            peak = torch.stack([level[t].amax(0) for level in coming]).amax(0)
            for level in coming:
                level[t] /= peak.clamp(min=torch.finfo(peak.dtype).tiny)
            scale[t] = top + peak.log()
        return coming, scale

    def _orders(self) -> list[_Order]:
        found: list[_Order] = []
        none = torch.zeros(0, dtype=torch.long, device=self.ended.device)
        suffixes, above = none, none.double()[:, None]
        for k, grams in enumerate(self.model.orders):
            words = grams.words.long()
            beneath = suffixes if k > 1 else torch.zeros(len(self.model.orders[0]), dtype=torch.long).to(words)
            if k:
                above = grams.log_backoff[:-1].double().exp()[:, None]
                suffixes = words if k == 1 else suffixes_of(grams, self.model.orders[k - 1], suffixes).long()
            kind, ends = self.kind[words], (words == EOS).nonzero()[:, 0]
            p, word = grams.log_p[:-1].double().exp()[:, None], self.word[words][:, None]
            parents = grams.parents.long()
            found.append(_Order(p, kind, self.machine.moves.T[kind], word, ends, parents, suffixes, above, beneath))
        return found

    def _evidence(self) -> float:
        """log p(the text fits and ends in time), nats."""
        first = torch.zeros(1, dtype=torch.long, device=self.ended.device)
        context = self.model.open(1)
        fits, top = self._fits(context, first, first + self.horizon)
        log_p = float((self.model.logits(context).double().exp() * fits).sum().log() + top)
        return self._possible(log_p, "n-gram; leave one out, or train with weight below 1")
