"""What texts that a judge chose are draws of: a model's distribution times a function of the judge's score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gentext.language_model import Decoder, LanguageModel, SupportsError
from gentext.seeding import Streams
from gentext.types import Batch

BANK = 8192  # texts whose scores say what the function is
LONGEST = 512  # tokens of these
PARTS = 8  # of the bank: how far their functions lie apart says what the error of the whole one's is

Weigh = Callable[[Float[Tensor, " n"], Float[Tensor, " m"]], Float[Tensor, " n"]]


class SupportsReweighting(ABC):
    """A decoder that gives a text with its base's probability times a function of one score, the function's mean 1."""

    base: Decoder

    @abstractmethod
    def score(self, family: LanguageModel, batch: Batch) -> Float[Tensor, " n"]:
        """What decides, in double precision."""

    @abstractmethod
    def weighing(self, family: LanguageModel) -> Weigh:
        """The logarithm of the function: at n scores, estimated from the scores of m independent draws of the base."""

    @property
    @abstractmethod
    def convention(self) -> str:
        """Which function, for a signature."""

    def distribution(self, family: LanguageModel, length: int | None = None) -> Reweighted | None:
        """What it draws from; None where its base has no likelihood, or where every text has one `length`."""
        drawn = self.base.distribution(family)
        if drawn is None or drawn.likelihood == "none" or length is not None:
            return None
        return Reweighted(family, self, drawn)


class Reweighted(LanguageModel, SupportsError):
    """r(x) = q(x) h(s(x)): q what candidates are drawn from, s the score, h what a choice among them makes of it.

    h rests on the scores of `BANK` draws of q, the same ones for every text: an estimate, with an error that all texts
    share, and a bias of half its square.

    >>> from gentext.decode import Rerank
    >>> from gentext.models import NGram
    >>> from gentext.types import pad
    >>> model = NGram(7, order=1)
    >>> _ = model.accumulate(pad([[4, 4, 5, 2]] * 9)); model.maximize()
    >>> chosen = Rerank(by="likelihood", candidates=2).distribution(model)
    >>> text = pad([[4, 4, 4, 2]])
    >>> bool(chosen.log_prob(text) > model.log_prob(text))
    True
    """

    bank: Tensor

    def __init__(self, family: LanguageModel, decoder: SupportsReweighting, drawn: LanguageModel) -> None:
        """drawn: what the decoder's base draws from, which is `family` or the family at another temperature."""
        super().__init__()
        self.family, self.decoder, self.drawn = family, decoder, drawn
        self.vocab_size, self.limit, self.context = family.vocab_size, family.limit, family.context
        self.likelihood = drawn.likelihood
        self.convention = "+".join(filter(None, (drawn.convention, f"{decoder.convention}:{BANK}")))
        self.weigh = decoder.weighing(family)
        bank = decoder.score(family, fixed_draws(family, decoder.base, BANK, "decode/bank"))
        self.register_buffer("bank", bank, persistent=False)

    @torch.no_grad()
    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.drawn.log_prob(batch).double() + self.weigh(self.decoder.score(self.family, batch), self.bank)

    @torch.no_grad()
    def error(self, batch: Batch) -> float:
        scores = self.decoder.score(self.family, batch)
        means = torch.stack([self.weigh(scores, part).mean() for part in self.bank.chunk(PARTS)])
        return float(means.std()) / PARTS**0.5


@torch.no_grad()
def fixed_draws(family: LanguageModel, decoder: Decoder, n: int, stream: str) -> Batch:
    """`n` draws without a prompt, the same ones at every call."""
    device = next(family.parameters(), torch.empty(0)).device
    return family.sample(n, LONGEST, decoder=decoder, rng=Streams(0)(stream, device))
