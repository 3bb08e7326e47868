"""Writing a text in any order: masked places are filled a few at a time, by chance or where the model is surest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.checks import ArgumentError, at_least, one_of, share
from gentext.decode.ancestral import Ancestral
from gentext.decode.chunks import check, join, split
from gentext.language_model import LanguageModel, SupportsUnmasking, Unmasker
from gentext.types import EOS, PAD, Batch, Canvas

ORDERS = ("random", "left_to_right", "confidence", "entropy")
SURE = ("confidence", "entropy")  # orders that look at what the model says before they choose
Choose = Callable[[Canvas, Bool[Tensor, "n s"], Float[Tensor, "m v"]], Int[Tensor, " m"]]


@dataclass(frozen=True)
class Unmask(Ancestral, Unmasker):
    """Texts that begin as masks alone, whose places are filled in some order; for a family that fills masks.

    Tokens are drawn as `Ancestral` draws them (temperature, top_k, ...; uniform numbers and their sums in double
    precision, for in single precision the tail would be cut off). Under all orders but random the known tokens decide
    which place is next, so that a draw has an exact likelihood, which `distribution` gives. Of tokens drawn in one pass
    those after an EOS are forgotten: no text holds them.

    order: random; left_to_right; confidence: where the likeliest token is likeliest; entropy: where the model is least
      in doubt.
    steps: passes over a text; null: as many as it has places, one place each. Under a random order a place is unmasked
      in a pass with probability 1 / (passes left), and the model is not asked in a pass that unmasks none.
    block: places that are filled before any to their right is; null: the whole text.
    entropy_bound: fills as many places in a pass as keep the sum of their entropies, less the largest, at or below so
      many nats, and not a number of them by `steps`.
    remask: the share of known tokens that are masked once more in a pass, where the schedule allows it; under a random
      order of so many steps.
    Sources: Sahoo et al. 2024 (MDLM, 2406.07524: random order, passes without a change); Zheng et al. 2024 (2409.02908:
    draws in double precision, one place a pass); Nie et al. 2025 (LLaDA: confidence, blocks); Ben-Hamu et al. 2025
    (2505.24857: entropy bound); Wang et al. 2025 (ReMDM, 2503.00307, capped: remasking).

    Example:
        >>> import torch
        >>> from gentext.models import MaskedDiffusion
        >>> family = MaskedDiffusion(9, layers=1, heads=2, width=8, context=6).eval()
        >>> draw = Unmask(order="confidence", steps=3)
        >>> draw(family, 2, 6, rng=torch.Generator().manual_seed(0)).tokens.shape[0]
        2
        >>> draw.distribution(family).likelihood
        'exact'
    """

    order: str = "random"
    steps: int | None = None
    block: int | None = None
    entropy_bound: float | None = None
    remask: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("order", self.order, ORDERS)
        at_least(1, steps=self.steps, block=self.block)
        at_least(0, entropy_bound=self.entropy_bound)
        share(remask=self.remask)
        if not replace(self.rules, min_len=0, ban_unk=False).idle:
            raise ArgumentError("repetition_penalty", "and no_repeat_ngram read a text from left to right; leave them")
        if self.remask and (self.order != "random" or self.steps is None):
            raise ArgumentError("remask", f"is {self.remask} and needs order=random and a number of steps")
        if self.entropy_bound is not None and (self.order not in SURE or self.steps is not None):
            raise ArgumentError("entropy_bound", "needs order=entropy or order=confidence, and no steps")

    @property
    def plain(self) -> bool:
        """Whether it draws from the model's own distribution: one place a pass, at random."""
        return super().plain and self.order == "random" and self.steps is None and self.block is None

    @property
    def tokenwise(self) -> bool:
        return False  # it has an order of its own

    def check(self, family: LanguageModel) -> None:
        supports(family)

    def unmasking(self) -> Unmasker | None:
        return self

    def choose(self, logits: Float[Tensor, "n v"], rng: torch.Generator) -> Int[Tensor, " n"]:
        banned = replace(self.rules, min_len=0)  # of which the family keeps account where it draws lengths
        return self._next(logits if banned.idle else banned(logits, logits.new_zeros(len(logits), 0).long()), None, rng)

    def distribution(self, family: LanguageModel, length: int | None = None) -> LanguageModel | None:
        """The family, whose bound is that of a random order; the exact one of another order; else None.

        length: every text is that long, which the bound holds for too, and no other order has a likelihood for.
        """
        if self.plain:
            return family
        own = Ancestral(top_k=self.top_k, top_p=self.top_p, min_p=self.min_p, typical=self.typical)
        if self.order == "random" or length is not None or not own.plain or not self.rules.idle:
            return None
        return Unmasked(family, self)

    def __call__(
        self,
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """`n` sequences of `max_len` tokens at most, EOS included."""
        check(n, max_len, prompt, self.min_len)
        fills = supports(family)
        parts = [
            self.fill(fills, fills.blank(rows, max_len, rng=rng, prompt=given, min_len=self.min_len), rng)
            for rows, given in split(n, family.vocab_size * max_len, self.batch_size, prompt)
        ]
        return join(parts, prompt)

    @torch.inference_mode()
    def fill(self, family: SupportsUnmasking, canvas: Canvas, rng: torch.Generator) -> Int[Tensor, "n t"]:
        """The texts of canvases once all their places are known, PAD after each."""
        known = self.walk(family, canvas, lambda canvas, places, logits: self.choose(logits, rng), rng)
        last = (known.tokens != PAD).sum(1, keepdim=True) - 1
        ends = torch.arange(known.tokens.shape[1], device=last.device) == last
        kept = known.text | (ends & (known.tokens == EOS))
        order = (~kept).long().argsort(dim=1, stable=True)[:, : max(1, int(kept.sum(1).max()))]
        return torch.where(kept, known.tokens, PAD).gather(1, order)

    def walk(
        self, family: SupportsUnmasking, canvas: Canvas, choose: Choose, rng: torch.Generator | None = None
    ) -> Canvas:
        """The canvas with all its text known: `choose` gives the tokens of the next places, given their logits.

        rng: of a random order.
        """
        places, given = _places(canvas), ~canvas.masked
        lengths = canvas.text.sum(1, keepdim=True).clamp_min(1)
        length = int(canvas.text.sum(1).max())
        block = self.block or max(1, length)
        # of a block, by each text's own length: what is drawn of one text must not depend on those beside it
        passes = None if self.steps is None else -(-self.steps * lengths.clamp(max=block) // lengths)
        for begin in range(0, length, block):
            here = canvas.text & (places >= begin) & (places < begin + block)
            turn = 0
            while bool((canvas.masked & here).any()):
                again = None
                left = None if passes is None else (passes - turn).clamp_min(1)
                if self.order in SURE:
                    next_, logits = self._surest(family, canvas, canvas.masked & here, left)
                else:
                    if self.order == "random" and passes is not None and left is not None:
                        next_, again = self._by_chance(canvas, here, left, passes, given, rng)
                    else:
                        next_ = self._in_order(canvas.masked & here, left, rng)
                    rows = next_.any(1)
                    logits = family.masked_logits(canvas.rows(rows), next_[rows]) if bool(rows.any()) else None
                if logits is not None:
                    canvas = canvas.reveal(next_, choose(canvas, next_, logits))
                if again is not None:
                    canvas = canvas._replace(masked=canvas.masked | again)
                turn += 1
        return canvas

    def _surest(
        self, family: SupportsUnmasking, canvas: Canvas, open_: Bool[Tensor, "n s"], left: Int[Tensor, "n 1"] | None
    ) -> tuple[Bool[Tensor, "n s"], Float[Tensor, "m v"]]:
        """The open places of which the model is surest, and their logits. left: passes, this one included."""
        rows = open_.any(1)
        logits = family.masked_logits(canvas.rows(rows), open_[rows])
        log_prob = logits.double().log_softmax(-1)
        entropy = -(log_prob.exp() * log_prob.clamp_min(-1e4)).sum(-1)
        sure = log_prob.amax(-1) if self.order == "confidence" else -entropy
        rank = _rank(open_, torch.zeros_like(open_, dtype=sure.dtype).masked_scatter(open_, sure))
        if self.entropy_bound is None:
            next_ = open_ & (rank < _count(open_, left))
        else:
            doubt = torch.zeros_like(open_, dtype=sure.dtype).masked_scatter(open_, entropy)
            ranked = torch.zeros_like(doubt).scatter(1, rank, doubt)
            within = ranked.cumsum(1) - ranked.cummax(1).values <= self.entropy_bound  # falls never: the first so many
            within[:, 0] = True
            next_ = open_ & within.gather(1, rank)
        return next_, logits[next_[open_]]

    def _in_order(
        self, open_: Bool[Tensor, "n s"], left: Int[Tensor, "n 1"] | None, rng: torch.Generator | None
    ) -> Bool[Tensor, "n s"]:
        """The open places that are next whatever the model says."""
        score = _uniform(open_, rng) if self.order == "random" else open_.double()  # of equal ones the left comes first
        return open_ & (_rank(open_, score) < _count(open_, left))

    def _by_chance(
        self,
        canvas: Canvas,
        here: Bool[Tensor, "n s"],
        left: Int[Tensor, "n 1"],
        passes: Int[Tensor, "n 1"],
        given: Bool[Tensor, "n s"],
        rng: torch.Generator | None,
    ) -> tuple[Bool[Tensor, "n s"], Bool[Tensor, "n s"] | None]:
        """The places that the reverse process unmasks between two times, and those that it masks again."""
        t, s = left.double() / passes, (left.double() - 1) / passes
        share = torch.where(left == passes, 0.0, s / (1 - t)).clamp(max=self.remask)
        luck = _uniform(here, rng)
        next_ = canvas.masked & here & (luck < (t - s + share * (1 - t)) / t)
        return next_, here & ~canvas.masked & ~given & (luck < share) if self.remask else None


class Unmasked(LanguageModel):
    """What `Unmask` draws from where the known tokens decide the order: its log-probability is exact.

    A text is written once more, with its own tokens in place of drawn ones, and the log-probabilities of those are
    added up, to that of its length.
    Source: Turok et al. 2026 (DUEL, 2603.01367). Differs: several places a pass.
    """

    sequential = False

    def __init__(self, family: LanguageModel, decoder: Unmask) -> None:
        super().__init__()
        self.family, self.decoder = family, decoder
        self.vocab_size, self.limit, self.context = family.vocab_size, family.limit, family.context
        self.convention = f"order:{decoder.order}"
        for name in ("steps", "block", "entropy_bound"):
            if (value := getattr(decoder, name)) is not None:
                self.convention += f"+{name}:{value:g}"

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        family = supports(self.family)
        truth = family.canvas(batch)
        total = family.length_log_prob(batch).double()

        def choose(_: Canvas, places: Bool[Tensor, "n s"], logits: Float[Tensor, "m v"]) -> Int[Tensor, " m"]:
            tokens = truth.tokens[places]
            nats = (logits.double() / self.decoder.temperature).log_softmax(-1).gather(1, tokens[:, None])[:, 0]
            total.index_add_(0, places.nonzero()[:, 0], nats)
            return tokens

        self.decoder.walk(family, truth.hidden(), choose)
        return total


def supports(family: LanguageModel) -> SupportsUnmasking:
    """The family. Raises: ValueError where it fills no masks."""
    if isinstance(family, SupportsUnmasking):
        return family
    raise ValueError(
        f"decode=unmask fills masks, and {type(family).__name__} has none; take family=masked_diffusion, or a decoder "
        "that writes from left to right, such as decode=ancestral"
    )


def _places(canvas: Canvas) -> Int[Tensor, "n s"]:
    """The number of each place in its text."""
    return canvas.text.long().cumsum(1) - 1


def _count(open_: Bool[Tensor, "n s"], left: Int[Tensor, "n 1"] | None) -> Int[Tensor, "n 1"]:
    """How many places are filled in a pass: one, or as many as leave as many for each pass to come."""
    return torch.ones_like(open_[:, :1], dtype=torch.long) if left is None else -(-open_.sum(1, keepdim=True) // left)


def _rank(open_: Bool[Tensor, "n s"], score: Float[Tensor, "n s"]) -> Int[Tensor, "n s"]:
    """Of each open place, how many of its row have a higher score; of equal ones the left one comes first."""
    order = score.masked_fill(~open_, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return torch.empty_like(order).scatter(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))


def _uniform(places: Tensor, rng: torch.Generator | None) -> Float[Tensor, "n s"]:
    device = places.device if rng is None else rng.device
    return torch.rand(places.shape, generator=rng, dtype=torch.float64, device=device).to(places.device)
