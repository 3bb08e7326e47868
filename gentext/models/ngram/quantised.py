"""An n-gram model whose probabilities and back-offs are few numbers, a byte or half a byte each."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from gentext.checks import ArgumentError
from gentext.language_model import LanguageModel
from gentext.models.layers import ModuleList
from gentext.models.ngram.backoff import Backoff
from gentext.models.ngram.table import NgramTable
from gentext.types import Step

BITS = (4, 8)
SHORT = 2**15  # tokens that two bytes can tell apart


class QuantisedNGram(LanguageModel):
    """An n-gram whose log-probabilities and log-back-offs of order 2 and above are the means of 2^bits bins.

    Bins hold equally many figures, order by order, and a back-off of 1 has a bin of its own; unigrams keep their
    figures. What it draws from and scores by is its probabilities divided by their sum, which is near 1.

    Source: Heafield 2011 (KenLM), section 4.2.3; Federico and Bertoldi 2006 (bins of equal size).
    Differs: n-grams are not packed to the bit; KenLM does not renormalise.

    Args:
        vocab_size: of the tokenizer.
        order: tokens of the longest n-grams.
        bits: of each figure, 4 or 8.

    Example:
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> model = NGram(6, order=2)
        >>> _ = model.accumulate(pad([[4, 5, 2], [4, 4, 2]] * 3)); model.maximize()
        >>> small = QuantisedNGram.of(model.model, bits=8)
        >>> bool((small.log_prob(pad([[4, 5, 2]])) - model.log_prob(pad([[4, 5, 2]]))).abs() < 0.01)
        True
    """

    def __init__(self, vocab_size: int, *, order: int = 5, bits: int = 8) -> None:
        super().__init__()
        if bits not in BITS:
            raise ArgumentError("bits", f"is {bits}; it must be 4 or 8")
        self.vocab_size, self.order, self.bits = vocab_size, order, bits
        self.model = _QuantisedBackoff(vocab_size, order, bits)

    @classmethod
    def of(cls, model: Backoff, bits: int) -> QuantisedNGram:
        """The quantised form of a fitted n-gram."""
        made = cls(model.vocab_size, order=len(model.orders), bits=bits)
        for table, grams in zip(made.model.orders, model.orders, strict=True):
            table.take(grams, exact=grams is model.orders[0])
        made.model.derive()
        return made

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        context = self.model.open(n)
        return Step(self.model.logits(context), context)

    def step(self, state: Int[Tensor, "n k"], tokens: Int[Tensor, " n"]) -> Step:
        context = self.model.read(state, tokens)
        return Step(self.model.logits(context), context)

    def size(self) -> int:
        """The n-grams of all orders, as of `NGram`."""
        return sum(len(grams) for grams in self.model.orders)

    def flops(self, tokens: int) -> float:
        return float(self.order * tokens)


class _QuantisedTable(NgramTable):
    """The n-grams of one order, whose figures are codes and what they stand for; of unigrams the figures themselves."""

    STORED = ("starts", "words", "codes", "bins", "backoff_codes", "backoff_bins")
    codes: UInt8[Tensor, " m"] | Float[Tensor, " n"]
    bins: Float[Tensor, " b"]
    backoff_codes: UInt8[Tensor, " m"] | Float[Tensor, " c"]
    backoff_bins: Float[Tensor, " b"]

    def __init__(self, vocab_size: int, bits: int) -> None:
        nn.Module.__init__(self)
        self.code_bits = bits
        begun = torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.int32)
        self.begin(vocab_size, dict(zip(self.STORED, (*begun, *(torch.zeros(0) for _ in range(4))), strict=True)))

    def take(self, grams: NgramTable, *, exact: bool) -> None:
        """Become the quantised form of a table."""
        self.starts = grams.starts.clone()
        self.words = grams.words.to(torch.int16 if self.vocab_size <= SHORT else torch.int32)
        if exact:
            self.codes, self.backoff_codes = grams.log_p[:-1].clone(), grams.log_backoff.clone()
            return
        self.codes, self.bins = quantised(grams.log_p[:-1], self.code_bits)
        self.backoff_codes, self.backoff_bins = quantised(grams.log_backoff, self.code_bits, apart=0.0)

    def restore(self) -> None:
        """Fill what is looked up from what is stored."""
        n, contexts = len(self.words), len(self.starts) - 1
        log_p = restored(self.codes, self.bins, n)
        self.log_p = torch.cat([log_p, log_p.new_zeros(1)])
        self.log_backoff = restored(self.backoff_codes, self.backoff_bins, contexts)
        self._index()


class _QuantisedBackoff(Backoff):
    """All orders of a quantised n-gram together."""

    def __init__(self, vocab_size: int, order: int, bits: int) -> None:
        nn.Module.__init__(self)
        self.vocab_size = vocab_size
        self.register_buffer("discounts", torch.zeros(order, 0))
        self.orders = ModuleList(_QuantisedTable(vocab_size, bits) for _ in range(order))
        self.register_load_state_dict_post_hook(_restored)

    def derive(self) -> None:
        for grams in self.orders:
            grams.restore()


def _restored(model: _QuantisedBackoff, keys: Any) -> None:
    if not keys.missing_keys:  # else torch says which
        model.derive()


def quantised(
    figures: Float[Tensor, " n"], bits: int, apart: float | None = None
) -> tuple[UInt8[Tensor, " m"], Float[Tensor, " b"]]:
    """Each figure as the number of its bin, two to a byte of 4 bits; and the mean of each bin.

    apart: a figure that has a bin of its own, the first.

    Example:
        >>> codes, bins = quantised(torch.tensor([-1.0, -2.0, -1.0, -4.0]), 4)
        >>> restored(codes, bins, 4)
        tensor([-1., -2., -1., -4.])
    """
    few = 2**bits - (apart is not None)
    codes = torch.zeros(len(figures), dtype=torch.long, device=figures.device)
    rest = figures.new_ones(len(figures), dtype=torch.bool) if apart is None else figures != apart
    order = figures[rest].argsort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    equal, which = figures[rest].unique(return_inverse=True)
    own = which if len(equal) <= few else place * few // max(len(order), 1)
    codes[rest] = own + (apart is not None)
    sums = figures.new_zeros(few, dtype=torch.float64).index_add_(0, own, figures[rest].double())
    means = (sums / torch.bincount(own, minlength=few).clamp_min(1)).to(figures)
    bins = means if apart is None else torch.cat([means.new_tensor([apart]), means])
    if bits == 4:
        codes = torch.nn.functional.pad(codes, (0, len(codes) % 2)).view(-1, 2) @ codes.new_tensor([1, 16])
    return codes.to(torch.uint8), bins


def restored(
    codes: UInt8[Tensor, " m"] | Float[Tensor, " n"], bins: Float[Tensor, " b"], n: int
) -> Float[Tensor, " n"]:
    """The figures that codes stand for; themselves where they are figures."""
    if codes.is_floating_point():
        return codes.clone()
    long = codes.long()
    if len(bins) <= 16:
        long = torch.stack([long % 16, long // 16], 1).flatten()[:n]
    return bins.index_select(0, long)
