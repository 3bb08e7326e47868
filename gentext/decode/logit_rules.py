"""Tokens that may not come next, given those generated so far: the rules that every decoder shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.checks import at_least
from gentext.types import EOS, UNK


@dataclass(frozen=True)
class LogitRules:
    """Log-probabilities under the rules. A prompt's tokens do not count: it may be a source to translate.

    repetition_penalty: multiplies the log-probability of every token generated before (Keskar et al. 2019, eq. 3).
      Differs: on normalised log-probabilities, so that it means the same for every family.
    no_repeat_ngram: n-grams of this size are generated once at most; 0 for no such rule.
    min_len: EOS is banned before this many tokens; the draw's own max_len makes every sequence that long.
    ban_unk: the unknown word is never generated.
    """

    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    min_len: int = 0
    ban_unk: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(
                f"repetition_penalty is {self.repetition_penalty}; it must be positive: 1 leaves all as it is, "
                "1.2 makes repetition rarer"
            )
        at_least(0, no_repeat_ngram=self.no_repeat_ngram, min_len=self.min_len)

    @property
    def idle(self) -> bool:
        """Whether they leave every distribution as it is."""
        return self == LogitRules()

    def __call__(self, logits: Float[Tensor, "n v"], generated: Int[Tensor, "n t"]) -> Float[Tensor, "n v"]:
        if self.repetition_penalty != 1:
            logits = logits.log_softmax(-1)
            penalised = logits.gather(1, generated) * self.repetition_penalty
            logits = logits.scatter(1, generated, penalised)
        else:
            logits = logits.clone()
        if generated.shape[1] < self.min_len:
            logits[:, EOS] = -torch.inf
        if self.ban_unk:
            logits[:, UNK] = -torch.inf
        if 0 < self.no_repeat_ngram <= generated.shape[1]:
            _ban_repeats(logits, generated, self.no_repeat_ngram)
        return logits


def _ban_repeats(logits: Float[Tensor, "n v"], generated: Int[Tensor, "n t"], size: int) -> None:
    """Set to -inf, in place, each token that would complete an n-gram already in its row."""
    windows = generated.unfold(1, size, 1)  # n x (t - size + 1) x size
    tail = generated[:, generated.shape[1] - size + 1 :]
    same = (windows[..., :-1] == tail[:, None]).all(-1)
    row, at = same.nonzero(as_tuple=True)
    logits[row, windows[row, at, -1]] = -torch.inf
