"""An HMM given any part of its text: which words, where, how many, sampled and scored exactly."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.data.automaton import Automaton
from gentext.models.guided import FittingModel, shares
from gentext.models.hmm.parameters import HMMParameters
from gentext.types import EOS, State, Step

MEMORY = 4 * 2**30  # bytes that the table of what is to come may take


class ConstrainedHMM(FittingModel):
    """An HMM given that its text fits an automaton and ends within `horizon` tokens, EOS included.

    Ancestral sampling draws from the true conditional distribution, and a beam finds its mode.
    Source: Zhang et al. 2024 (Ctrl-G): an HMM times an automaton. Differs: the HMM itself writes, so all is exact.
    Raises: ValueError where no text fits, with the reason.
    """

    def __init__(self, probabilities: HMMParameters, machine: Automaton, horizon: int) -> None:
        super().__init__()
        self.vocab_size, self.horizon, self.machine = len(probabilities.emission), horizon, machine
        self.tables = probabilities.map(torch.Tensor.double)
        need = 8 * horizon * len(machine.final) * len(self.tables.initial)
        if need > MEMORY:
            raise ValueError(
                f"the conditions make {len(machine.final)} cases over {horizon} tokens and {len(self.tables.initial)} "
                f"states, {need / 2**30:.0f} GiB; give fewer words to contain, or a smaller length"
            )
        self.ends, self.named = self._emitted(torch.tensor([EOS]))[0], self._emitted(machine.words)
        self.ended = torch.where(machine.final, 0.0, -torch.inf).to(self.ends)
        self.coming, self.scale = self._look_ahead()
        self.evidence = self._evidence()

    def log_fit(self, state: State) -> Float[Tensor, "n v"]:
        predicted, places, left = state
        fits = self._logits(predicted, places, left).double()
        plain = self.tables.words(predicted).log()
        return torch.where(fits > -torch.inf, fits - plain.clamp(min=torch.finfo(plain.dtype).min), -torch.inf)

    def _first(self, n: int) -> Float[Tensor, "n s"]:
        return self.tables.initial.expand(n, -1)

    def _read(self, own: Float[Tensor, "n s"], tokens: Int[Tensor, " n"]) -> Float[Tensor, "n s"]:
        return self.tables.read(own, tokens)

    def _at(self, state: State) -> Step:
        return Step(self._logits(*state), state)

    def _logits(
        self, predicted: Float[Tensor, "n s"], places: Int[Tensor, " n"], left: Int[Tensor, " n"]
    ) -> Float[Tensor, "n v"]:
        p = self._next(predicted, places, left)[0]
        p[p.sum(1) == 0, EOS] = 1.0  # a text that has ended, or fits no more: nothing but an end can follow
        return p.log().float()

    def _next(
        self, predicted: Float[Tensor, "n s"], places: Int[Tensor, " n"], left: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n v"], Float[Tensor, " n"]]:
        """p(next token, and the text fits | tokens so far), each row scaled, and the logarithms of the scales."""
        after, rest = self.machine.moves[places], (left - 1).clamp(min=0)[:, None]
        end = torch.where(left > 0, self.ended[places], -torch.inf)
        top, *share, last = shares(self.scale[rest, after], end)
        others, *named = (part[:, None] * self.coming[rest[:, 0], to] for part, to in zip(share, after.T, strict=True))
        p = self.tables.words(predicted * others)
        p[:, EOS] = last * (predicted @ self.ends)
        for word, emitted, coming in zip(self.machine.words.tolist(), self.named, named, strict=True):
            p[:, word] = (predicted * coming) @ emitted
        return p, top

    def _look_ahead(self) -> tuple[Float[Tensor, "t q s"], Float[Tensor, "t q"]]:
        """p(the rest fits, and ends within t more tokens | hidden state, place after its token), and log scales.

        Each place has a scale of its own: what must still come may be rarer than a float can say.
        """
        kinds = [self._other_words(), *self.named]
        coming = self.ends.new_zeros(self.horizon, len(self.ended), len(self.ends))
        scale = self.ends.new_full(coming.shape[:2], -torch.inf)
        for t in range(1, self.horizon):
            top, *share, last = shares(scale[t - 1][self.machine.moves], self.ended)
            fits = last[:, None] * self.ends
            for emitted, part, after in zip(kinds, share, self.machine.moves.T, strict=True):
                fits += part[:, None] * emitted * coming[t - 1, after]
            for factor in reversed(self.tables.factors):
                fits = fits @ factor.T
            peak = fits.amax(1)
            coming[t], scale[t] = fits / peak.clamp(min=torch.finfo(peak.dtype).tiny)[:, None], top + peak.log()
        return coming, scale

    def _emitted(self, tokens: Int[Tensor, " c"]) -> Float[Tensor, "c s"]:
        """p(token | state)."""
        rows = self.tables.emission.new_zeros(len(tokens), self.tables.blocks, self.tables.per_block)
        rows[torch.arange(len(tokens)), self.tables.block[tokens]] = self.tables.emission[tokens]
        return rows.flatten(1)

    def _other_words(self) -> Float[Tensor, " s"]:
        """p(a word that no pattern names | state)."""
        total = self.tables.emission.new_zeros(self.tables.blocks, self.tables.per_block)
        total.index_add_(0, self.tables.block, self.tables.emission)
        return (total.flatten() - self.ends - self.named.sum(0)).clamp(min=0.0)

    def _evidence(self) -> float:
        """log p(the text fits and ends in time), nats."""
        first = torch.zeros(1, dtype=torch.long, device=self.ends.device)
        p, top = self._next(self.tables.initial[None], first, first + self.horizon)
        reason = "HMM; leave one out, or train with transition_prior and emission_prior above 0"
        return self._possible(float(top + p.sum().log()), reason)
