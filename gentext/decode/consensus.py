"""Minimum Bayes risk: of several draws the one that is most like the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.checks import ArgumentError, one_of
from gentext.data.tokenizer import Tokenizer
from gentext.decode.candidates import ChosenDecoder, JudgedDecoder
from gentext.language_model import LanguageModel
from gentext.types import EOS, Batch

ORDERS = {"bleu": 4, "chrf": 6}
BETA = 2.0  # chrF's weight of recall


@dataclass(frozen=True, kw_only=True)
class Consensus(ChosenDecoder):
    """The candidate of the highest mean utility, the others taken for references in turn.

    utility: `bleu`, sentence BLEU-4 of tokens with one added to the counts of orders 2 to 4 (Lin and Och 2004); `chrf`,
      the F2 of character n-grams up to 6, spaces left out (Popović 2015).
    Source: Kumar and Byrne 2004; Eikema and Aziz 2020.

    Example:
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> model = NGram(7, order=1)
        >>> _ = model.accumulate(pad([[4, 4, 5, 2]] * 9)); model.maximize()
        >>> rng = torch.Generator().manual_seed(0)
        >>> len(Consensus(candidates=4)(model, 2, 4, rng=rng))
        2
    """

    utility: Literal["bleu", "chrf"] = "bleu"
    tokenizer: Tokenizer | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("utility", self.utility, ORDERS)

    def reading(self, tokenizer: Tokenizer) -> JudgedDecoder:
        made = super().reading(tokenizer)
        object.__setattr__(made, "tokenizer", tokenizer)
        return made

    def choose(self, family: LanguageModel, batch: Batch, rng: torch.Generator) -> Int[Tensor, " n"]:
        k = self.candidates
        best = []
        for at in range(0, len(batch), k):
            tokens, mask = self._units(batch.rows(slice(at, at + k)))
            scores = (bleu if self.utility == "bleu" else chrf)(tokens, mask)
            others = (scores.sum(1) - scores.diagonal()) / (k - 1)
            best.append(at + int(others.argmax()))
        return torch.tensor(best, device=batch.tokens.device)

    def _units(self, batch: Batch) -> tuple[Int[Tensor, "k t"], Bool[Tensor, "k t"]]:
        """What n-grams are made of: tokens without EOS, or the characters of the texts."""
        if self.utility == "bleu":
            return batch.tokens, batch.mask & (batch.tokens != EOS)
        if self.tokenizer is None:
            raise ArgumentError("utility", "is chrf, which reads characters: give the decoder a tokenizer (reading)")
        texts = ["".join(text.split()) for text in self.tokenizer.decode(batch.tokens.tolist())]
        width = max(1, *map(len, texts))
        codes = torch.tensor([[*map(ord, text), *[0] * (width - len(text))] for text in texts], dtype=torch.long)
        lengths = torch.tensor([len(text) for text in texts])
        return codes, torch.arange(width)[None] < lengths[:, None]


def matches(
    tokens: Int[Tensor, "k t"], mask: Bool[Tensor, "k t"], order: int
) -> tuple[Float[Tensor, "k k"], Float[Tensor, " k"]]:
    """Clipped matches of the n-grams of every row (first axis) in every other, and how many each row has."""
    k, t = tokens.shape
    if t < order:
        return torch.zeros(k, k), torch.zeros(k)
    _, ids = torch.unique(tokens.unfold(1, order, 1).reshape(-1, order), dim=0, return_inverse=True)
    ids, real = ids.view(k, -1), mask.unfold(1, order, 1).all(2)
    counts = torch.zeros(k, int(ids.max()) + 1).scatter_add_(1, ids, real.float())
    clipped = torch.minimum(counts[:, None], counts[None]).sum(2)
    return clipped, real.sum(1).float()


def bleu(tokens: Int[Tensor, "k t"], mask: Bool[Tensor, "k t"]) -> Float[Tensor, "k k"]:
    """Sentence BLEU-4 of row i against row j alone."""
    log_p = torch.zeros(len(tokens), len(tokens))
    for order in range(1, 5):
        clipped, own = matches(tokens, mask, order)
        added = float(order > 1)
        log_p += ((clipped + added) / (own[:, None] + added).clamp_min(1)).clamp_min(1e-9).log() / 4
    lengths = mask.sum(1).float().clamp_min(1)
    brevity = (1 - lengths[None] / lengths[:, None]).clamp_max(0)
    return (log_p + brevity).exp()


def chrf(tokens: Int[Tensor, "k t"], mask: Bool[Tensor, "k t"]) -> Float[Tensor, "k k"]:
    """chrF of row i against row j: the F2 of the mean precision and recall over the orders that both have."""
    precision, recall, orders = (torch.zeros(len(tokens), len(tokens)) for _ in range(3))
    for order in range(1, 7):
        clipped, own = matches(tokens, mask, order)
        both = ((own[:, None] > 0) & (own[None] > 0)).float()
        precision += both * clipped / own[:, None].clamp_min(1)
        recall += both * clipped / own[None].clamp_min(1)
        orders += both
    precision, recall = precision / orders.clamp_min(1), recall / orders.clamp_min(1)
    below = BETA**2 * precision + recall
    return torch.where(below > 0, (1 + BETA**2) * precision * recall / below.clamp_min(1e-12), 0.0)
