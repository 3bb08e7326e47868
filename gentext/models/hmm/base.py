"""What every HMM shares: the state machine, the parallel likelihood, and the belief carried along a stream."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.checks import at_least
from gentext.data.automaton import Automaton, automaton
from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Tokenizer
from gentext.language_model import LanguageModel, SupportsInfilling, SupportsPanels, SupportsTextPanels
from gentext.models.guided import Guiding
from gentext.models.hmm import panels, posterior
from gentext.models.hmm.constrained import ConstrainedHMM
from gentext.models.hmm.likelihood import Belief, log_conditionals
from gentext.models.hmm.parameters import HMMParameters
from gentext.panels import Panel
from gentext.types import BOS, GAP, PAD, Batch, Outputs, State, Step, Tokens

PARTS = 64  # in which the words of a block are added up, so that little of a sum is lost to rounding


class BaseHMM(LanguageModel, SupportsInfilling, Guiding, SupportsPanels, SupportsTextPanels):
    """A hidden Markov model: its state is p(next hidden state | tokens so far). A subclass says `log_tables`.

    Hidden states lie in `blocks` of equal size. A word is emitted by the states of its block alone; `block` says which,
    word by word, until `prepare` has found better: word v in block v mod blocks. `state_dropout` is the share of each
    block's states that a batch of gradient descent does without (Chiu and Rush 2020, section 3.3).
    """

    block: Int[Tensor, " v"]

    def __init__(
        self, vocab_size: int, states: int, blocks: int, rank: int | None, *, state_dropout: float = 0.0
    ) -> None:
        super().__init__()
        at_least(1, states=states, blocks=blocks, rank=rank)
        if not 0 <= state_dropout < 1:
            raise ValueError(f"state_dropout={state_dropout}; give the share of states left out, from 0 to less than 1")
        if states % blocks:
            raise ValueError(f"states={states} does not fall into blocks={blocks} of equal size; give a multiple")
        self.vocab_size, self.states, self.blocks, self.rank = vocab_size, states, blocks, rank
        self.state_dropout = state_dropout
        self.register_buffer("block", torch.arange(vocab_size) % blocks)
        self._kept: tuple[list[tuple[int, int]], tuple[HMMParameters, HMMParameters]] | None = None

    def log_tables(self) -> HMMParameters:
        """The log-probabilities, differentiable in the parameters."""
        raise NotImplementedError(f"{type(self).__name__} must say log_tables()")

    def tables(self) -> tuple[HMMParameters, HMMParameters]:
        """The log-probabilities, and the probabilities: made once for the parameters that they were made from."""
        if torch.is_grad_enabled():
            logs = self.log_tables()
            return logs, logs.map(torch.exp)
        key = [(tensor.data_ptr(), tensor._version) for tensor in (*self.parameters(), *self.buffers())]
        if self._kept is None or self._kept[0] != key:
            logs = self.log_tables()
            self._kept = key, (logs, logs.map(torch.exp))
        return self._kept[1]

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        tables = self.tables()[1]
        predicted = tables.initial.expand(n, -1)
        return Step(_log(tables.words(predicted)), predicted)

    def step(self, state: State, tokens: Tokens) -> Step:
        tables = self.tables()[1]
        predicted = tables.read(state, tokens)
        return Step(_log(tables.words(predicted)), predicted)

    def forward(self, batch: Batch) -> Outputs:
        """In single precision under any `train.precision`: rounded tables do not sum to 1, nor sums over paths."""
        with torch.autocast(self.block.device.type, enabled=False):
            return self._forward(batch)

    def _forward(self, batch: Batch) -> Outputs:
        kept = self._kept_states() if self.training and self.state_dropout else None
        if kept is None:
            logs, probabilities = self.tables()
        else:
            logs = self.log_tables().keep(kept)
            probabilities = logs.map(torch.exp)
        if probabilities.emission.requires_grad:
            probabilities = probabilities.map(torch.Tensor.detach)
        whole = self._score(logs, probabilities, batch, "training" if self.training else "scoring", kept)
        return Outputs(whole[:, -batch.tokens.shape[1] :])

    def _score(
        self,
        logs: HMMParameters,
        probabilities: HMMParameters,
        batch: Batch,
        mode: str,
        kept: Int[Tensor, "c j"] | None = None,
    ) -> Float[Tensor, "n p_and_t"]:
        """`log_conditionals` of the prompt, if any, and the tokens, column by column; windows are carried on."""
        tokens, mask, order = _joined(batch)
        belief = Belief(*self.carried[mode]) if batch.carry and mode in self.carried else None
        if belief is not None and kept is not None:
            belief = belief.among(kept)
        log_prob, belief = log_conditionals(logs, probabilities, tokens, mask, belief)
        self.carried[mode] = tuple(belief if kept is None else belief.over(kept, self.states // self.blocks))
        if order is not None:
            log_prob = torch.zeros_like(log_prob).scatter(1, order, log_prob)
        return log_prob

    def _kept_states(self) -> Int[Tensor, "c j"]:
        """The states of each block that this batch may use."""
        k = self.states // self.blocks
        draw = torch.rand(self.blocks, k, device=self.block.device)
        return draw.topk(max(1, round(k * (1 - self.state_dropout)))).indices

    @property
    def empty(self) -> Bool[Tensor, " s"]:
        """The states of blocks without a word: nothing leads to them."""
        words = torch.ones_like(self.block)
        words[[PAD, BOS]] = 0
        held = words.new_zeros(self.blocks).index_add(0, self.block, words)
        return (held == 0).repeat_interleave(self.states // self.blocks)

    @torch.no_grad()
    def filtered(self, batch: Batch) -> Float[Tensor, "n t s"]:
        """p(state | the tokens so far, this one included) of texts that begin here, without their prompts."""
        return posterior.filtered(self.tables()[1], batch.tokens, batch.mask)

    @torch.no_grad()
    def smoothed(self, batch: Batch) -> Float[Tensor, "n t s"]:
        """p(state | the whole text), without prompts; its argmax is posterior decoding."""
        return posterior.smoothed(self.tables()[1], batch.tokens, batch.mask)

    @torch.no_grad()
    def viterbi(self, batch: Batch) -> tuple[Int[Tensor, "n t"], Float[Tensor, " n"]]:
        """The likeliest path of states, -1 where there is no token, and log p(path, text), nats; without prompts."""
        return posterior.viterbi(self.tables()[1], batch.tokens, batch.mask)

    @torch.no_grad()
    def fitting(self, machine: Automaton, max_len: int) -> ConstrainedHMM:
        return ConstrainedHMM(self.tables()[1], machine, max_len)

    @torch.no_grad()
    def given(self, patterns: Sequence[Sequence[int]], max_len: int) -> ConstrainedHMM:
        fixed = [len(pattern) + 1 for pattern in patterns if GAP not in pattern]
        return ConstrainedHMM(self.tables()[1], automaton(patterns), min(max_len, *fixed) if fixed else max_len)

    def panels(self, corpus: Corpus, rng: torch.Generator) -> list[Panel]:
        return panels.panels(self.tables()[1], corpus.tokenizer)

    def text_panels(self, batch: Batch, tokenizer: Tokenizer) -> list[Panel]:
        """The posterior of the hidden states, and the likeliest path; a prompt is the beginning of the text."""
        tokens, mask, _ = _joined(batch)
        whole = Batch(tokens, mask)
        states, path = self.smoothed(whole)[0], self.viterbi(whole)
        return panels.of_text(self.tables()[1], tokens[0][mask[0]], states[mask[0]], path[0][0], path[1], tokenizer)

    def flops(self, tokens: int) -> float:
        k = self.states // self.blocks
        return float(tokens * 2 * (k * k if self.rank is None else 2 * k * self.rank))


def _joined(batch: Batch) -> tuple[Int[Tensor, "n t"], Bool[Tensor, "n t"], Int[Tensor, "n t"] | None]:
    """Prompt and tokens as one row without a gap; and from which column each came."""
    if batch.prompt is None:
        return batch.tokens, batch.mask, None
    mask = torch.cat([batch.prompt != PAD, batch.mask], 1)
    order = mask.logical_not().long().argsort(dim=1, stable=True)
    tokens = torch.cat([batch.prompt, batch.tokens], 1)
    return tokens.gather(1, order), mask.gather(1, order), order


def _log(p: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
    """log p, with a gradient of zero where p is zero."""
    return torch.where(p > 0, p.clamp(min=torch.finfo(p.dtype).tiny).log(), -torch.inf)


def block_log_softmax(logits: Float[Tensor, "v k"], block: Int[Tensor, " v"], blocks: int) -> Float[Tensor, "v k"]:
    """log p(word | state): normalised over the words of each block; PAD and BOS are never emitted."""
    never = torch.zeros(len(logits), 1, dtype=torch.bool, device=logits.device)
    never[[PAD, BOS]] = True
    logits = logits.masked_fill(never, -torch.inf)
    if blocks == 1:
        return logits - logits.logsumexp(0)  # log_softmax over rows adds them up one by one: 3e-4 off for 33,000 words
    lowest = torch.finfo(logits.dtype).min / 2
    peak = logits.new_full((blocks, logits.shape[1]), lowest).scatter_reduce(
        0, block[:, None].expand_as(logits), logits.detach(), "amax"
    )
    shifted = logits - peak[block]
    part = block * PARTS + torch.arange(len(block), device=block.device) * PARTS // len(block)
    parts = peak.new_zeros(blocks * PARTS, peak.shape[1]).index_add(0, part, shifted.exp())
    total = parts.view(blocks, PARTS, -1).sum(1)
    return shifted - total.clamp(min=torch.finfo(logits.dtype).tiny).log()[block]
