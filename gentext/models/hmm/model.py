"""The HMM whose parameters are free: Baum-Welch, stepwise EM, MAP; or gradient descent on the same forward pass."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor, nn

from gentext.checks import at_least, between, one_of
from gentext.language_model import SupportsEM, SupportsPrepare
from gentext.models.hmm.base import BaseHMM, block_log_softmax
from gentext.models.hmm.m_step import EMISSION_BACKOFFS, TRANSITION_BACKOFFS, maximized, revive
from gentext.models.hmm.parameters import HMMParameters
from gentext.types import Batch

log = logging.getLogger("gentext")

BLUR = 0.1  # the share of all text's words in the emissions of a state that begins as a cluster
PASSES = 6  # passes of EM over the text between two splits of a growing HMM
STEPWISE_PASSES, PARTS = 3, 16  # of stepwise EM, and the M-steps of each


@runtime_checkable
class Clustering(Protocol):
    """Sorts words into `k` clusters by the company they keep: counts of adjacent words -> a cluster for each word."""

    def __call__(self, bigrams: csr_array, k: int, *, rng: torch.Generator) -> np.ndarray: ...


class HMM(BaseHMM, SupportsEM, SupportsPrepare):
    """A hidden Markov model that learns by counting (`train=em`) or by descent (`train=gradient loss=nll`).

    A sentence begins with the initial distribution and ends when EOS, a word like any other, is emitted.
    `grow_from`: `prepare` fits an HMM of about so many states first and splits each state in two until there are
    `states`, which finds better optima than a random beginning in less time; null begins at random at full size.
    `clusters` give the blocks their words; where there is one block, each state that it begins with is a cluster.
    `transition_prior` and `emission_prior` are Dirichlet pseudo-counts (see `maximized`); both 0 is maximum
    likelihood. `transition_backoff` spreads the former evenly (even), as states occur (unigram), or by how many states
    lead to each (continuation); `emission_backoff` the latter as words occur, or by how many states emit each.
    `stepwise` is the exponent alpha of stepwise EM, while it grows too: the k-th M-step weighs the new counts by
    k^-alpha and the running ones by the rest; null forgets the running ones.
    Source: Rabiner 1989; Chiu and Rush 2020 (blocks); Cappe and Moulines 2009, Liang and Klein 2009 (stepwise);
    Kneser and Ney 1995 (continuation).
    Differs: the prior is added to the counts (posterior mean, not mode), so that it may lie below 1.

    Example:
        >>> from gentext.types import pad
        >>> model, batch = HMM(6, states=2), pad([[4, 5, 2], [4, 4, 2]])
        >>> before = model.accumulate(batch).sum()  # an E-step
        >>> model.maximize()  # an M-step
        >>> bool(model.log_prob(batch).sum() > before)
        True
    """

    text: Tensor
    steps: Tensor

    def __init__(
        self,
        vocab_size: int,
        *,
        states: int = 256,
        blocks: int = 1,
        rank: int | None = None,
        clusters: Clustering | None = None,
        grow_from: int | None = 16,
        transition_prior: float = 0.5,
        emission_prior: float = 0.5,
        transition_backoff: str = "even",
        emission_backoff: str = "unigram",
        stepwise: float | None = None,
        state_dropout: float = 0.0,
    ) -> None:
        super().__init__(vocab_size, states, blocks, rank, state_dropout=state_dropout)
        at_least(0, transition_prior=transition_prior, emission_prior=emission_prior)
        at_least(1, grow_from=grow_from)
        one_of("transition_backoff", transition_backoff, TRANSITION_BACKOFFS)
        one_of("emission_backoff", emission_backoff, EMISSION_BACKOFFS)
        between(0.5, 1, stepwise=stepwise)  # below, stepwise EM does not converge
        self.clusters, self.grow_from, self.stepwise = clusters, grow_from, stepwise
        self.transition_prior, self.emission_prior = transition_prior, emission_prior
        self.transition_backoff, self.emission_backoff = transition_backoff, emission_backoff
        shapes = [(states, states)] if rank is None else [(states, rank), (rank, states)]
        self.initial = nn.Parameter(torch.empty(states))
        self.factors = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.emission = nn.Parameter(torch.empty(vocab_size, states // blocks))
        self.register_buffer("text", torch.tensor(0.0))  # tokens of the training text, once `prepare` has counted them
        if stepwise is not None:
            self.register_buffer("steps", torch.tensor(0))
            for i, parameter in enumerate(self._tables()):
                self.register_buffer(f"running{i}", torch.zeros_like(parameter))
        self._leaves: tuple[HMMParameters, HMMParameters] | None = (
            None  # this E-step's parameters; the gradients are its counts
        )
        self._draw()

    def log_tables(self) -> HMMParameters:
        empty = self.empty
        *leave, enter = self.factors
        factors = (*(factor.log_softmax(1) for factor in leave), enter.masked_fill(empty, -torch.inf).log_softmax(1))
        initial = self.initial.masked_fill(empty, -torch.inf).log_softmax(0)
        return HMMParameters(initial, factors, block_log_softmax(self.emission, self.block, self.blocks), self.block)

    @torch.no_grad()
    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None:
        """Look at the training text: cluster its words, and begin near its word frequencies, or grown.

        With another run's parameters it only counts the text.
        """
        batches = list(batches)
        words, bigrams = count_words(batches, self.vocab_size)
        self.text.fill_(words.sum())
        if self.states > self.text:
            raise ValueError(
                f"states={self.states} is more than the {int(self.text)} tokens of the training text; give fewer states"
            )
        if self.begun:
            return
        if self.blocks > 1 and self.clusters is not None:
            self.block.copy_(torch.from_numpy(self.clusters(bigrams, self.blocks, rng=rng)))
        self._begin(batches, words, bigrams, rng)

    def _begin(self, batches: list[Batch], words: Tensor, bigrams: csr_array, rng: torch.Generator) -> None:
        """Parameters to begin with: those of a smaller HMM, split, or drawn near the words' frequencies."""
        self._draw(rng)
        k, small = self.states // self.blocks, self.states // self.blocks // 2
        if self.grow_from is not None and self.states > self.grow_from and small:
            seed = HMM(
                self.vocab_size,
                states=small * self.blocks,
                blocks=self.blocks,
                rank=self.rank,
                clusters=self.clusters,
                grow_from=self.grow_from,
                transition_prior=self.transition_prior,
                emission_prior=self.emission_prior,
                transition_backoff=self.transition_backoff,
                emission_backoff=self.emission_backoff,
                stepwise=self.stepwise,
            ).to(self.block.device)
            seed.block.copy_(self.block)
            seed.text.copy_(self.text)
            seed._begin(batches, words, bigrams, rng)
            passes = PASSES if self.stepwise is None else STEPWISE_PASSES
            self.prepare_flops = seed.prepare_flops + passes * 3 * seed.flops(int(words.sum()))
            total = [seed._pass(batches, rng) for _ in range(passes)][-1]
            log.info("grown to %d states: %.4f nats a token", seed.states, -total / float(words.sum()))
            self._split(seed)
            return
        spread = words.to(self.emission).clamp(min=0.5).log()[:, None]
        self.emission.add_(spread)
        if self.clusters is not None and self.blocks == 1:
            self._begin_as_clusters(self.clusters(bigrams, k, rng=rng), spread)

    def _pass(self, batches: list[Batch], rng: torch.Generator) -> float:
        """EM over the text once, stepwise in parts that are drawn at random; log-probability before the M-steps."""
        parts = [torch.arange(len(batches))]
        if self.stepwise is not None:
            parts = torch.randperm(len(batches), generator=rng).chunk(PARTS)
        total = 0.0
        for part in parts:
            total += sum(float(self.accumulate(batches[i]).sum()) for i in part.tolist())
            self.maximize()
        return total

    def _begin_as_clusters(self, clusters: np.ndarray, spread: Float[Tensor, "v 1"]) -> None:
        """Each state emits the words of one cluster, and a little of all."""
        own = torch.nn.functional.one_hot(torch.from_numpy(clusters).long(), self.states).to(self.emission)
        own = own * spread.exp()
        self.emission.copy_(((1 - BLUR) * own / own.sum(0) + BLUR * self.emission.softmax(0)).log())

    def _split(self, seed: HMM) -> None:
        """The states of `seed` once or twice each, told apart by the noise that was drawn into the parameters."""
        k, small = self.states // self.blocks, seed.states // seed.blocks
        within = torch.arange(k, device=self.block.device) * small // k
        across = (torch.arange(self.blocks, device=within.device)[:, None] * small + within).view(-1)
        self.initial.add_(seed.initial[across])
        self.emission.add_(seed.emission[:, within])
        for i, (mine, theirs) in enumerate(zip(self.factors, seed.factors, strict=True)):
            theirs = theirs[across] if i == 0 else theirs
            mine += theirs[:, across] if i == len(self.factors) - 1 else theirs

    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        """Add a batch's expected counts; its log-probabilities under the current parameters, nats.

        A prompt is text like any other and counts; only the batch's own tokens are in the result.
        """
        if self._leaves is None:
            leaves = self.log_tables().map(lambda table: table.detach().requires_grad_())
            self._leaves = leaves, leaves.map(lambda table: table.detach().exp())
        with torch.enable_grad():
            log_prob = self._score(*self._leaves, batch, "training")
            rows = log_prob.sum(1)
            possible = torch.isfinite(rows)
            rows[possible].sum().backward()
        if not possible.all():
            log.warning(
                "%d of %d texts are impossible under this HMM and count for nothing; priors above 0 mend that",
                int((~possible).sum()),
                len(possible),
            )
        return log_prob[:, -batch.tokens.shape[1] :].sum(1).detach()

    @torch.no_grad()
    def maximize(self) -> None:
        """Turn the expected counts into parameters and forget them. Dead states are re-seeded, said aloud."""
        if self._leaves is None:
            raise ValueError("maximize() was called before accumulate(): there is nothing to maximize")
        leaves, old = self._leaves
        self._leaves = None
        counts = leaves.map(lambda leaf: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad)
        counts = counts if self.stepwise is None else self._run_on(counts)
        dead = revive(counts, self.empty)
        if len(dead):
            log.warning("%d of %d states were dead: each is now half of the heaviest", len(dead), self.states)
        priors = self.transition_prior, self.emission_prior, self.emission_backoff, self.transition_backoff
        new = maximized(counts, old, self.empty, *priors)
        for parameter, table in zip(self._tables(), (new.initial, *new.factors, new.emission), strict=True):
            parameter.copy_(table.log())

    def _run_on(self, counts: HMMParameters) -> HMMParameters:
        """The running counts, moved towards a mini-batch's, scaled to the whole training text."""
        self.steps += 1
        assert self.stepwise is not None
        rate = float(self.steps) ** -self.stepwise
        seen = float(counts.emission.sum())
        scale = float(self.text or seen) / max(seen, 1.0)
        running = [self.get_buffer(f"running{i}") for i in range(len(self._tables()))]
        for buffer, new in zip(running, (counts.initial, *counts.factors, counts.emission), strict=True):
            buffer.lerp_(new * scale, rate)
        initial, *factors, emission = (buffer.clone() for buffer in running)
        return HMMParameters(initial, tuple(factors), emission, counts.block)

    def _tables(self) -> list[nn.Parameter]:
        return [self.initial, *self.factors, self.emission]

    def _draw(self, rng: torch.Generator | None = None) -> None:
        """Rows drawn evenly from the simplex: logarithms of exponential draws."""
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.empty(parameter.shape).exponential_(generator=rng).log_())


def count_words(batches: Iterable[Batch], size: int) -> tuple[Tensor, csr_array]:
    """How often each word occurs, and how often each pair of neighbours [left, right] in a row."""
    words, pairs = torch.zeros(size, dtype=torch.long), []
    for batch in batches:
        tokens, mask = batch.tokens.cpu(), batch.mask.cpu()
        words += tokens[mask].bincount(minlength=size)
        both = mask[:, :-1] & mask[:, 1:]
        pairs.append((tokens[:, :-1][both] * size + tokens[:, 1:][both]).unique(return_counts=True))
    codes, counts = (torch.cat(parts).numpy() for parts in zip(*pairs, strict=True))
    left, right = np.divmod(codes, size)
    return words, csr_array((counts, (left, right)), shape=(size, size))  # duplicates are summed
