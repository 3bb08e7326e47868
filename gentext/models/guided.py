"""A model given that its text fits an automaton, and any family led by one to texts that fit."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.data.automaton import Automaton, distances, no_text
from gentext.language_model import LanguageModel, SupportsGuiding
from gentext.types import PAD, State, Step


class FittingModel(LanguageModel):
    """A model given that its text fits an automaton and ends in time: its likelihood is the conditional one.

    It is a state machine like any other, whose state is the model's own, the place in the automaton, and the tokens
    left: `horizon` at the start.
    """

    machine: Automaton
    horizon: int

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._begin(self._first(n))

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        """After prompts, which the conditions do not read; PAD on the right is skipped."""
        own = self._first(len(prompt))
        for tokens in prompt.unbind(1):
            own = self._read(own, tokens).where(tokens[:, None] != PAD, own)
        return self._begin(own)

    def step(self, state: State, tokens: Int[Tensor, " n"]) -> Step:
        own, places, left = state
        return self._at((self._read(own, tokens), self.machine.read(places, tokens), (left - 1).clamp(min=0)))

    @abstractmethod
    def log_fit(self, state: State) -> Float[Tensor, "n v"]:
        """log p(the text fits | tokens so far, next token), up to a constant of each row; -inf where it cannot.

        A text that has ended, or fits no more, has EOS alone.
        """

    @abstractmethod
    def _first(self, n: int) -> Tensor:
        """The model's own state before any token."""

    @abstractmethod
    def _read(self, own: Tensor, tokens: Int[Tensor, " n"]) -> Tensor:
        """The model's own state after a token more."""

    @abstractmethod
    def _at(self, state: State) -> Step:
        """The logits in a state."""

    def _begin(self, own: Tensor) -> Step:
        places = torch.zeros(len(own), dtype=torch.long, device=own.device)
        return self._at((own, places, places + self.horizon))

    def _possible(self, log_p: float, reason: str) -> float:
        """log p(the text fits and ends in time) itself. Raises: ValueError where no text does, with the reason."""
        if log_p > -torch.inf:
            return log_p
        if distances(self.machine)[0] > self.horizon:
            raise no_text(self.machine, self.horizon)
        raise ValueError(f"every text that meets the conditions is impossible under this {reason}")


class Guided(LanguageModel):
    """A family's next-token probabilities times how likely the text is, under a guide, to fit once the token is read.

    Each text that ends fits: the guide gives a token from which none can fit the weight 0. The conditions are of what
    is written, and not of the prompt. Where the guide is the family's own distribution this is exact.

    Args:
        family: that writes.
        guide: an HMM or an n-gram, given that the text fits.
        index: the guide's id of each token of the family; None: they are the same.

    Source: Zhang et al. 2024 (Ctrl-G), equation 3: p(x_t | x_<t, a) ~ p_lm(x_t | x_<t) p_guide(a | x_<=t).
    """

    def __init__(self, family: LanguageModel, guide: FittingModel, index: Int[Tensor, " v"] | None = None) -> None:
        super().__init__()
        self.family, self.guide, self.vocab_size = family, guide, family.vocab_size
        self.index = torch.arange(family.vocab_size) if index is None else index
        self.likelihood = "none"

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._led(self.family.start(n, rng=rng), self.guide.start(n).state)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self._led(self.family.prime(prompt, rng=rng), self.guide.start(len(prompt)).state)

    def step(self, state: State, tokens: Int[Tensor, " n"]) -> Step:
        own, led = state
        return self._led(self.family.step(own, tokens), self.guide.step(led, self.index[tokens]).state)

    def _led(self, step: Step, led: State) -> Step:
        logits = step.logits.log_softmax(-1) + self.guide.log_fit(led)[:, self.index].to(step.logits)
        return Step(logits, (step.state, led))


class Guiding(SupportsGuiding):
    """A family that leads another by what it is itself, given that its text fits."""

    @abstractmethod
    def fitting(self, machine: Automaton, max_len: int) -> FittingModel: ...

    def guiding(
        self, family: LanguageModel, machine: Automaton, max_len: int, index: Int[Tensor, " v"] | None = None
    ) -> Guided:
        mine = machine if index is None else replace(machine, words=index[machine.words])
        return Guided(family, self.fitting(mine, max_len), index)


def shares(scale: Float[Tensor, "n c"], end: Float[Tensor, " n"]) -> list[Float[Tensor, " n"]]:
    """The greatest of each row's log scales, then the share of each of the others, and of the end's, in its scale."""
    scale = torch.cat([scale, end[:, None]], 1)
    top = scale.amax(1).clamp(min=torch.finfo(scale.dtype).min)  # finite, where nothing fits
    return [top, *(scale - top[:, None]).exp().unbind(1)]
