"""The n-grams of one order as arrays: successors of a context side by side, and a hash table over (context, token)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.models.ngram.kneser_ney import Counts, positions
from gentext.models.ngram.smoothing import Smoothing

MIX = -7046029254386353131  # 2^64 over the golden ratio, as a signed number (Knuth, volume 3, section 6.4)
PART = 2**16  # n-grams
FEW = 2  # successors of a context on average, up to which they are searched without a hash table


class NgramTable(nn.Module):
    """All n-grams of one order, each known by its number; `len(self)` is the number of one that is absent.

    The counts are what is saved; `derive` makes of them the probabilities, the back-offs and the table of `find`.
    """

    STORED = ("starts", "words", "counts", "totals")
    starts: Tensor
    words: Tensor
    counts: Tensor
    totals: Tensor
    log_p: Tensor  # nats, per n-gram; 0 for the absent
    log_backoff: Tensor  # nats, per context; 0 for the absent
    steps: Tensor  # what is taken off the counts 0, 1, 2 and so on, the last for all above
    mass: Tensor  # discounted counts, summed up to each n-gram; empty until something is drawn
    keys: Tensor
    table: Tensor

    def __init__(self, counts: Counts, vocab_size: int) -> None:
        super().__init__()
        self.begin(vocab_size, {name: getattr(counts, name) for name in self.STORED})

    def begin(self, vocab_size: int, held: Mapping[str, Tensor]) -> None:
        """Register what is stored, and room for all that follows from it."""
        self.vocab_size = vocab_size
        for name, value in held.items():
            self.register_buffer(name, value)
        nothing = torch.zeros(0)
        self.register_buffer("log_p", nothing, persistent=False)
        self.register_buffer("log_backoff", nothing, persistent=False)
        self.register_buffer("steps", nothing.double(), persistent=False)
        self.register_buffer("mass", nothing.double(), persistent=False)
        self.register_buffer("keys", nothing.long(), persistent=False)
        self.register_buffer("table", nothing.int(), persistent=False)
        self.homes = self.reach = 0
        self.smoothing = Smoothing()

    def __len__(self) -> int:
        return len(self.words)

    @property
    def parents(self) -> Int[Tensor, " n"]:
        """The context of each n-gram."""
        return torch.repeat_interleave(self.starts.diff())

    def parents_of(self, contexts: slice) -> Int[Tensor, " n"]:
        """The context of each n-gram of some contexts."""
        return torch.repeat_interleave(self.starts[contexts.start : contexts.stop + 1].diff()) + contexts.start

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """All contexts, the absent one included, and the n-grams of each part: about `PART` of these.

        What is computed part by part takes little memory.
        """
        edges = torch.arange(0, len(self), PART, dtype=self.starts.dtype, device=self.starts.device)
        cuts = [*dict.fromkeys([0, *torch.searchsorted(self.starts, edges).tolist(), len(self.starts) - 1])]
        ends = self.starts[cuts].tolist()
        for (begin, end), (first, last) in zip(pairwise(cuts), pairwise(ends), strict=True):
            yield slice(begin, end), slice(first, last)

    def derive(
        self,
        discounts: Float[Tensor, " d"],
        lower: Float[Tensor, " m"],
        suffixes: Int[Tensor, " n"],
        smoothing: Smoothing,
        below: Float[Tensor, " k"],
        *,
        longest: bool = False,
    ) -> tuple[Float[Tensor, " _"], Float[Tensor, " c"]]:
        """The probability of each n-gram, from its count and that of its suffix in `lower`; fills all derived arrays.

        Of the longest n-grams, which no other rests on, none is returned. Beside it the sum of the scores after each
        context, given in `below` those after what the context ends in.
        Source: Chen and Goodman 1998, equations 24 and 25.
        """
        self.steps, self.mass = torch.cat([discounts.new_zeros(1), discounts]), discounts.new_zeros(0)
        self.smoothing = smoothing
        self.log_p = torch.zeros(len(self) + 1, device=lower.device)
        self.log_backoff = torch.zeros(len(self.starts) - 1, device=lower.device)
        found = lower.new_empty(0 if longest else len(self))
        if smoothing.backs_off:
            below = torch.cat([below, below.new_ones(1)])  # of the context that is absent
        kept_sums, types_sums, seen_sums = _RunningSum(lower), _RunningSum(lower), _RunningSum(lower)
        for contexts, part in self.parts():
            starts = self.starts[contexts.start : contexts.stop + 1]
            types = starts.diff()
            parents, starts = torch.repeat_interleave(types), starts - part.start
            p, shares = self._discounted(part), smoothing.shares(self.totals[contexts].double(), types)
            kept, least = kept_sums.within(p, starts), shares.clamp_min(1)
            given = lower.index_select(0, suffixes[part])
            if smoothing.backs_off:
                seen = (self.counts[part] > 0).double()
                some = types_sums.within(seen, starts) < self.vocab_size - 2
                unseen = torch.where(some, 1 - seen_sums.within(seen * given, starts), 0.0)
                scale, backoff, below[contexts] = smoothing.back_off(kept / least, unseen, shares, below[contexts])
            else:
                backoff = torch.where(shares > 0, 1 - kept / least, 1.0)
            p /= least.index_select(0, parents)
            given *= backoff.index_select(0, parents)
            if smoothing.backs_off:
                p = torch.where(self.counts[part] > 0, p * scale.index_select(0, parents), given)
            else:
                p += given
            if not longest:
                found[part] = p
            self.log_p[part] = p.log().float()
            self.log_backoff[contexts] = backoff.log().float()
        self._index()
        return found, below

    def _discounted(self, part: slice) -> Float[Tensor, " n"]:
        counts = self.counts[part]
        return counts - self.steps.index_select(0, counts.clamp_max(len(self.steps) - 1).int())

    def _index(self) -> None:
        """Fills the table: open addressing at load 1/2, each n-gram in the first free slot from its home on.

        Placed in order of home none lies far from it: `reach` is the longest way. Where contexts have few successors,
        as those of long n-grams do, there is none: it would take more than all else, and halving their lists is fast.
        """
        n, device = len(self), self.words.device
        self.keys, self.table = self.keys[:0], self.table[:0]
        if n <= FEW * (len(self.starts) - 2):
            return
        self.homes = 2 * n
        self.keys = torch.full((n + 1,), -1, dtype=torch.int64, device=device)
        home = torch.empty(n, dtype=torch.int32, device=device)
        for contexts, part in self.parts():
            self.keys[part] = self.parents_of(contexts).long() * self.vocab_size + self.words[part]
            home[part] = self._home(self.keys[part]).int()
        width = 2 * PART  # so many homes at a time: a sort of all takes much memory
        many = torch.bincount(home // width, minlength=-(-self.homes // width))
        grouped = positions(home // width, many)
        slots, free = torch.empty_like(home), 0
        for numbers in grouped.split(many.tolist()):
            wanted, order = home.index_select(0, numbers).long().sort()
            places = torch.arange(len(wanted), device=device)
            own = torch.cummax((wanted - places).clamp_min_(free), 0).values.add_(places) if len(wanted) else wanted
            slots[numbers.index_select(0, order).long()] = own.int()
            free = int(own[-1]) + 1 if len(own) else free
        del grouped
        self.reach = int((slots - home).max())
        del home
        self.table = torch.full((self.homes + self.reach,), n, dtype=torch.int32, device=device)
        for part in (slice(at, min(at + PART, n)) for at in range(0, n, PART)):
            numbers = torch.arange(part.start, part.stop, dtype=torch.int32, device=device)
            self.table.index_copy_(0, slots[part].long(), numbers)

    def _home(self, keys: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Where the search for a key begins: the upper 31 bits of a product, made unsigned, of all homes that share."""
        return ((((keys * MIX) >> 33) + 2**30) * self.homes) >> 31

    def find(self, contexts: Int[Tensor, " n"], words: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The number of each n-gram (context, word)."""
        if not len(self.table):
            return self._halved(contexts, words)
        keys = contexts.long() * self.vocab_size + words
        slots = self._home(keys)
        numbers = self.table.index_select(0, slots)
        rest = self._other(numbers, keys).nonzero()[:, 0]
        keys, slots = keys.index_select(0, rest), slots.index_select(0, rest)
        for _ in range(self.reach):
            if not len(rest):
                break
            slots = slots + 1
            found = self.table.index_select(0, slots)
            numbers.index_copy_(0, rest, found)
            again = self._other(found, keys).nonzero()[:, 0]
            rest, keys, slots = rest.index_select(0, again), keys.index_select(0, again), slots.index_select(0, again)
        return numbers.index_fill_(0, rest, len(self))

    def _other(self, numbers: Int[Tensor, " n"], keys: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Where a slot holds another n-gram than the one sought."""
        return (self.keys.index_select(0, numbers) != keys) & (numbers != len(self))

    def _halved(self, contexts: Int[Tensor, " n"], words: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The same by binary search among the successors of each context, all searches a step at a time."""
        low, high = (self.starts.index_select(0, contexts + i) for i in (0, 1))
        numbers, rest = torch.full_like(low, len(self)), torch.arange(len(low), device=low.device)
        while True:
            again = (low < high).nonzero()[:, 0]
            if not len(again):
                return numbers
            rest, words, low, high = (each.index_select(0, again) for each in (rest, words, low, high))
            middle = low + ((high - low) >> 1)
            word = self.words.index_select(0, middle)
            right = word == words
            numbers.index_copy_(0, rest, torch.where(right, middle, len(self)))
            below = word < words
            low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
            high = torch.where(right, low, high)  # found: nothing is left of its list

    def successors(self, contexts: Int[Tensor, " n"]) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
        """The number of every n-gram of these contexts, one context after the other; and which context it is of."""
        begin = self.starts.index_select(0, contexts).long()
        many = self.starts.index_select(0, contexts + 1) - begin
        rows = torch.repeat_interleave(many)
        shift = begin - (many.cumsum(0) - many)
        return torch.arange(len(rows), device=rows.device) + shift.index_select(0, rows), rows

    def draw(self, contexts: Int[Tensor, " n"], rng: torch.Generator) -> Int[Tensor, " n"]:
        """A token for each context, drawn from its discounted counts; -1 with the probability of the back-off."""
        if len(self.mass) == 0:
            self.mass = _summed(self._discounted(slice(None)))
        uniform = torch.rand(len(contexts), generator=rng, dtype=torch.float64, device=rng.device)
        begin, end = (self.starts.index_select(0, contexts + i) for i in (0, 1))
        floor = self.mass.index_select(0, begin)
        reach = floor + uniform.to(floor.device) * self.smoothing.shares(
            self.totals.index_select(0, contexts).double(), end - begin
        )
        taken = (reach < self.mass.index_select(0, end)).nonzero()[:, 0]
        number = torch.searchsorted(self.mass, reach.index_select(0, taken), right=True) - 1
        tokens = torch.full_like(contexts, -1)
        return tokens.index_copy_(0, taken, self.words.index_select(0, number).to(tokens.dtype))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in self.STORED:  # as many as the training text has
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.words.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _summed(figures: Float[Tensor, " n"]) -> Float[Tensor, " k"]:
    """Nothing, the first, the first two, ..., all of them."""
    found = figures.new_zeros(len(figures) + 1)
    torch.cumsum(figures, 0, out=found[1:])
    return found


class _RunningSum:
    """Sums of consecutive stretches, as differences of one sum over all: where it is cut changes no digit."""

    def __init__(self, like: Float[Tensor, " _"]) -> None:
        self._before = like.new_zeros(1)

    def within(self, figures: Float[Tensor, " n"], starts: Int[Tensor, " k"]) -> Float[Tensor, " c"]:
        """The sum of figures[starts[i]:starts[i + 1]] for every i, where all earlier figures were given before."""
        sums = torch.cat([self._before, figures]).cumsum_(0)
        self._before = sums[-1:].clone()
        return sums.index_select(0, starts).diff()
