"""Texts that meet conditions, of any family that writes from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.checks import ArgumentError, at_least, one_of
from gentext.data.automaton import Automaton, distances, no_text
from gentext.data.constraints import Conditions
from gentext.data.tokenizer import Tokenizer
from gentext.decode.candidates import JudgedDecoder, draw_until, one_prompt
from gentext.decode.chunks import check
from gentext.language_model import Guide, LanguageModel, SupportsGuiding
from gentext.types import EOS, RESERVED, UNK, Batch, State, Step


@dataclass(frozen=True, kw_only=True)
class Constrained(JudgedDecoder):
    """Draws of `base` that all meet conditions, and end within `max_len` tokens.

    infill, contains, forbids, length, expression: the conditions, all at once (gentext.data.constraints.Conditions).
      They are of what is written, and not of a prompt.
    how: exact: draws from the family's distribution given the conditions, which an HMM and an n-gram know.
      lookahead: no token from which the conditions cannot be met any more is chosen. Words that are to be contained
      come late, where nothing else is left, so that texts are less likely than need be. guide: `guide` says for each
      token how likely the conditions are to be met after it, and the family's probabilities are multiplied by that.
      reject: draws until one meets them, which is exact too, and may take many draws. None: guide where one is given,
      else exact where the family can, else lookahead.
    guide: a trained HMM or n-gram of the same corpus and tokenizer, best of the family's own samples
      (data=truth data.truth.run=RUN).
    most: draws for each text at most, of how=reject.
    A beam finds what is likeliest among the texts so led.
    Source: Zhang et al. 2024 (Ctrl-G), of how=guide.
    Raises: ValueError where no text can meet the conditions; where `most` draws do not suffice, with the rate.

    Example:
        >>> from gentext.data import Word
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> tokenizer = Word().fit(["a dog sits", "a cat sits"])
        >>> model = NGram(tokenizer.vocab_size, order=2)
        >>> texts = tokenizer.encode(["a dog sits", "a cat sits"])
        >>> _ = model.accumulate(pad([[*ids, 2] for ids in texts])); model.maximize()
        >>> decoder = Constrained(contains=["cat"]).reading(tokenizer)
        >>> batch = decoder(model, 2, 6, rng=torch.Generator().manual_seed(0))
        >>> ["cat" in text for text in tokenizer.decode(batch.tokens.tolist())]
        [True, True]
    """

    infill: str | None = None
    contains: Sequence[str] = ()
    forbids: Sequence[str] = ()
    length: int | None = None
    expression: str | None = None
    how: Literal["exact", "lookahead", "guide", "reject"] | None = None
    guide: Guide | None = None
    most: int = 1000
    tokenizer: Tokenizer | None = field(default=None, repr=False, compare=False)
    machine: Automaton | None = field(default=None, repr=False, compare=False)  # of the conditions, by the tokenizer

    def __post_init__(self) -> None:
        if self.how is not None:
            one_of("how", self.how, ("exact", "lookahead", "guide", "reject"))
            if (self.how == "guide") != (self.guide is not None):
                raise ArgumentError(
                    "guide",
                    "and how=guide belong together; give the folder of an HMM's or n-gram's run, or another how",
                )
        at_least(1, most=self.most)
        if not self._conditions:
            raise ArgumentError(
                "contains", "is empty, and so is every other condition; give one, such as contains=[dog]"
            )

    @property
    def _conditions(self) -> Conditions:
        return Conditions(self.infill, self.contains, self.length, self.forbids, self.expression)

    def reading(self, tokenizer: Tokenizer) -> Constrained:
        made = super().reading(tokenizer)
        assert isinstance(made, Constrained)
        object.__setattr__(made, "tokenizer", tokenizer)
        object.__setattr__(made, "machine", self._conditions.automaton(tokenizer))
        return made

    def check(self, family: LanguageModel) -> None:
        super().check(family)
        if self.how == "exact" and not isinstance(family, SupportsGuiding):
            raise ArgumentError(
                "how",
                f"is exact, and {type(family).__name__} cannot say how likely a condition is; an HMM and an n-gram can",
            )

    def lasting(self, length: int) -> Constrained:
        raise ValueError(
            f"every text of this corpus has {length} tokens and no end, and decode=constrained ends each within "
            "max_len tokens; take another decoder, such as decode=ancestral"
        )

    @torch.no_grad()
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
        check(n, max_len, prompt, 0)
        self.check(family)
        if self.machine is None or self.tokenizer is None:
            raise ValueError("decode=constrained needs the family's tokenizer: give it by `reading(tokenizer)`")
        if self.how == "reject":
            name = "decode=constrained how=reject"
            given = one_prompt(name, prompt, "give another how")
            return draw_until(
                lambda size: self.draw(family, size, max_len, rng, None if given is None else given.expand(size, -1)),
                partial(fits, self.machine),
                n,
                most=self.most,
                name=name,
                advice="give how=lookahead",
            )
        if self.guide is not None:
            led = self.guide.guiding(family, self.tokenizer, self.machine, max_len)
        elif isinstance(family, SupportsGuiding) and self.how != "lookahead":
            led = family.fitting(self.machine, max_len)
        else:
            led = Lookahead(family, self.machine, max_len)
        return self.draw(led, n, max_len, rng, prompt)


def fits(machine: Automaton, batch: Batch) -> Tensor:
    """Whether each text has ended and meets the conditions [n]."""
    places = torch.zeros(len(batch), dtype=torch.long, device=batch.tokens.device)
    met = torch.zeros(len(batch), dtype=torch.bool, device=batch.tokens.device)
    ended = met.clone()
    for tokens in batch.tokens.unbind(1):
        ends = ~ended & (tokens == EOS)
        met |= ends & machine.final[places]
        ended |= ends
        places = machine.read(places, tokens)
    return met


class Lookahead(LanguageModel):
    """A family that never chooses a token from which the conditions cannot be met in the tokens that are left.

    Its state is the family's, the place in the automaton, and the tokens left.
    Raises: ValueError where no text of `max_len` tokens meets them.
    """

    def __init__(self, family: LanguageModel, machine: Automaton, max_len: int) -> None:
        super().__init__()
        self.family, self.machine, self.max_len, self.vocab_size = family, machine, max_len, family.vocab_size
        self.likelihood = "none"
        self.left = distances(machine)
        if self.left[0] > max_len:
            raise no_text(machine, max_len)
        tokens = torch.arange(self.vocab_size)
        named = tokens[:, None] == machine.words
        self.kind = torch.where(named.any(1), named.long().argmax(1) + 1, 0) if len(machine.words) else tokens * 0
        self.word = (tokens >= RESERVED) | (tokens == UNK)

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._begin(self.family.start(n, rng=rng))

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._begin(self.family.prime(prompt, rng=rng))

    def step(self, state: State, tokens: Int[Tensor, " n"]) -> Step:
        own, places, left = state
        return self._at(self.family.step(own, tokens), self.machine.read(places, tokens), (left - 1).clamp(min=0))

    def _begin(self, step: Step) -> Step:
        places = torch.zeros(len(step.logits), dtype=torch.long, device=step.logits.device)
        return self._at(step, places, places + self.max_len)

    def _at(self, step: Step, places: Int[Tensor, " n"], left: Int[Tensor, " n"]) -> Step:
        after = self.left[self.machine.moves[places]] <= left[:, None] - 1
        allowed = after[:, self.kind] & self.word
        allowed[:, EOS] = self.machine.final[places] | ~allowed.any(1)  # a text that has ended has EOS alone
        return Step(step.logits.masked_fill(~allowed, -torch.inf), (step.state, places, left))
