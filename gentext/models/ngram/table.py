"""The n-grams of one order as arrays: successors of a context side by side, and a hash table over (context, token)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.models.ngram.kneser_ney import Counts
from gentext.models.ngram.smoothing import Smoothing

MIX = -7046029254386353131  # 2^64 over the golden ratio, as a signed number (Knuth, volume 3, section 6.4)
PART = 2**18  # n-grams


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
    shares: Tensor  # what a context's discounted counts are shares of; the rest is its back-off's
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
        self.register_buffer("shares", nothing.double(), persistent=False)
        self.register_buffer("keys", nothing.long(), persistent=False)
        self.register_buffer("table", nothing.int(), persistent=False)
        self.bits = self.reach = 0

    def __len__(self) -> int:
        return len(self.words)

    @property
    def parents(self) -> Int[Tensor, " n"]:
        """The context of each n-gram."""
        return torch.repeat_interleave(self.starts.diff())

    def parts(self) -> Iterator[slice]:
        """All n-grams, so many at a time that what is computed of them takes little memory."""
        return (slice(at, min(at + PART, len(self))) for at in range(0, len(self), PART))

    def derive(
        self,
        discounts: Float[Tensor, " d"],
        lower: Float[Tensor, " m"],
        suffixes: Int[Tensor, " n"],
        smoothing: Smoothing,
        below: Float[Tensor, " k"],
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " c"]]:
        """The probability of each n-gram, from its count and that of its suffix in `lower`; fills all derived arrays.

        Beside it the sum of the scores after each context, given in `below` those after what the context ends in.
        Source: Chen and Goodman 1998, equations 24 and 25.
        """
        self.steps, self.mass = torch.cat([discounts.new_zeros(1), discounts]), discounts.new_zeros(0)
        p, parents = self._discounted(), self.parents
        self.shares = smoothing.shares(self.totals.double(), self.starts.long().diff())
        kept, shares = _summed(p)[self.starts].diff(), self.shares.clamp_min(1)
        if smoothing.backs_off:
            scale, backoff, below = self._unseen(kept, lower, suffixes, smoothing, below)
        else:
            scale, backoff = None, torch.where(self.shares > 0, 1 - kept / self.shares, 1.0)
        self.log_p = torch.zeros(len(self) + 1, device=p.device)
        for part in self.parts():
            context = parents[part]
            p[part] /= shares.index_select(0, context)
            given = backoff.index_select(0, context) * lower.index_select(0, suffixes[part])
            if scale is not None:
                p[part] = torch.where(self.counts[part] > 0, p[part] * scale.index_select(0, context), given)
            else:
                p[part] += given
            self.log_p[part] = p[part].log().float()
        self.log_backoff = backoff.log_().float()
        self._index(parents)
        return p, below

    def _unseen(
        self,
        kept: Float[Tensor, " c"],
        lower: Float[Tensor, " m"],
        suffixes: Int[Tensor, " n"],
        smoothing: Smoothing,
        below: Float[Tensor, " k"],
    ) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Of each context what its shares are multiplied by, its back-off, and the sum of the scores after it."""
        seen = (self.counts > 0).double()
        types = _summed(seen)[self.starts].diff()
        for part in self.parts():
            seen[part] *= lower.index_select(0, suffixes[part])
        unseen = torch.where(types < self.vocab_size - 2, 1 - _summed(seen)[self.starts].diff(), 0.0)
        below = torch.cat([below, below.new_ones(1)])  # of the context that is absent
        return smoothing.back_off(kept / self.shares.clamp_min(1), unseen, self.shares, below)

    def _discounted(self) -> Float[Tensor, " n"]:
        found = self.steps.new_empty(len(self))
        for part in self.parts():
            counts = self.counts[part]
            found[part] = counts - self.steps.index_select(0, counts.clamp_max(len(self.steps) - 1))
        return found

    def _index(self, parents: Int[Tensor, " n"]) -> None:
        """Fills the table: open addressing at load 1/4 to 1/2, each n-gram in the first free slot from its home on.

        Placed in order of home none lies far from it: `reach` is the longest way.
        """
        n = len(self)
        self.bits = n.bit_length() + 1
        self.keys = torch.full((n + 1,), -1, dtype=torch.int64, device=parents.device)
        home = torch.empty(n, dtype=torch.int64, device=parents.device)
        for part in self.parts():
            self.keys[part] = parents[part].long() * self.vocab_size + self.words[part]
            home[part] = self._home(self.keys[part])
        home, number = home.sort()
        slots = home - torch.arange(n, device=home.device)
        slots = (torch.cummax(slots, 0).values if n else slots).add_(torch.arange(n, device=home.device))
        self.reach = int((slots - home).max()) if n else 0
        del home
        self.table = torch.full(((1 << self.bits) + self.reach,), n, dtype=torch.int32, device=slots.device)
        self.table[slots] = number.int()

    def _home(self, keys: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Where the search for a key begins: the upper bits of a product, made unsigned."""
        return ((keys * MIX) >> (64 - self.bits)) + (1 << (self.bits - 1))

    def find(self, contexts: Int[Tensor, " n"], words: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The number of each n-gram (context, word)."""
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
            self.mass = _summed(self._discounted())
        uniform = torch.rand(len(contexts), generator=rng, dtype=torch.float64, device=rng.device)
        begin, end = (self.starts.index_select(0, contexts + i) for i in (0, 1))
        floor = self.mass.index_select(0, begin)
        reach = floor + uniform.to(floor.device) * self.shares.index_select(0, contexts)
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
