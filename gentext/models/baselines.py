"""What learns nothing and answers a source by the source: all of it, or its first sentences."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gentext.checks import at_least
from gentext.data.words import sentences
from gentext.language_model import LanguageModel, SupportsAnswers, SupportsEM
from gentext.types import EOS, Batch, State, Step, Tokens


class Lead(LanguageModel, SupportsEM, SupportsAnswers):
    """The first sentences of each source, in which news tells the most; a row that others are read against.

    As a state machine it writes nothing: what it answers are texts, which no vocabulary moves.

    Args:
        vocab_size: of the tokenizer.
        sentences: how many, a line's end ending one; None: the whole source, copied.

    Source: See et al. 2017, lead-3.

    Example:
        >>> Lead(9, sentences=2).answer("A fire broke out. Nobody was hurt. It rained.")
        'A fire broke out. Nobody was hurt.'
    """

    likelihood = "none"
    closed_form = True
    reads = "valid"
    nothing: Tensor

    def __init__(self, vocab_size: int, sentences: int | None = 3) -> None:
        super().__init__()
        at_least(1, sentences=sentences)
        self.vocab_size = vocab_size
        self.sentences = sentences
        logits = torch.full((vocab_size,), -torch.inf)
        logits[EOS] = 0.0
        self.register_buffer("nothing", logits, persistent=False)

    def answer(self, source: str) -> str:
        """As SupportsAnswers says."""
        end = 0
        for sentence in sentences(source)[: self.sentences]:
            end = source.index(sentence, end) + len(sentence)
        return source[:end] if self.sentences else source

    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        return torch.zeros(len(batch), device=batch.tokens.device)

    def maximize(self) -> None:
        """There is nothing to learn."""

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return Step(self.nothing.expand(n, -1), self.nothing.new_zeros(n))

    def step(self, state: State, tokens: Tokens) -> Step:
        return Step(self.nothing.expand(len(tokens), -1), state)

    def flops(self, tokens: int) -> float:
        return 0.0
