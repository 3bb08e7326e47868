"""What every classifier shares: a distribution over the labels of a text, read as a language model of labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.checks import ArgumentError
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel, SupportsPanels, SupportsPrepare
from gentext.models.classifier import panels
from gentext.panels import Panel
from gentext.types import BOS, EOS, PAD, RESERVED, Batch, Outputs, Step, Tokens, pad

AT_ONCE = 512  # texts


class LabelState(NamedTuple):
    """Where a label is being written."""

    log_p: Float[Tensor, "n c"]  # of each label given the text; -inf once other tokens were written
    position: Int[Tensor, " n"]  # tokens written


class Classifier(LanguageModel, SupportsPrepare, SupportsPanels):
    """p(label | text) over a fixed set of labels, which are the different targets of a corpus's train split.

    The text is the prompt and the label is what is generated from it, token by token. So trainers, likelihoods,
    decoders and records serve a classifier as they serve a generator, and any conditional generator can be judged
    beside it.
    Without a prompt the text is an empty one.

    Args:
        vocab_size: of the tokenizer, which texts and labels share.
        labels: how many there are; of a corpus, set when it is opened.
        max_len: tokens of the longest label, EOS included.

    Example:
        >>> class Uniform(Classifier):
        ...     def scores(self, texts):
        ...         return torch.full((len(texts), self.labels), 1 / self.labels).log()
        >>> model = Uniform(9, labels=2, max_len=2)
        >>> model.log_prob(pad([[4, EOS]])).exp()
        tensor([0.5000])
    """

    label_tokens: Tensor

    def __init__(self, vocab_size: int, *, labels: int | None, max_len: int) -> None:
        super().__init__()
        if labels is None:
            raise ArgumentError("labels", "is null, for the corpus is not of labelled text; take data=labelled")
        if labels < 2:
            raise ArgumentError(
                "labels", f"is {labels}: every text has the same label; give text of two labels or more"
            )
        self.vocab_size, self.labels = vocab_size, labels
        rows = [[RESERVED + i, EOS][:max_len] for i in range(labels)]
        self.register_buffer("label_tokens", pad(rows, width=max_len).tokens)  # [c t], until `prepare` knows better

    @abstractmethod
    def scores(self, texts: Int[Tensor, "n p"]) -> Float[Tensor, "n c"]:
        """log p(label | text), normalised over labels. texts: without EOS, PAD on the right."""

    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None:
        """Find the labels: the different targets of the text."""
        found = {
            tuple(row[mask].tolist()) for batch in batches for row, mask in zip(batch.tokens, batch.mask, strict=True)
        }
        if len(found) != self.labels:
            raise ValueError(f"family.labels is {self.labels}, and train has {len(found)} different labels")
        width = self.label_tokens.shape[1]
        self.label_tokens = pad([list(row) for row in sorted(found)], width=width).tokens.to(self.label_tokens.device)

    def panels(self, corpus: Corpus, rng: torch.Generator) -> list[Panel]:
        """What it confuses, and how far its confidence is right, on test."""
        names = corpus.tokenizer.decode([row[row != PAD].tolist() for row in self.label_tokens])
        found, gold = [], []
        for batch in corpus.batches("test", AT_ONCE):
            batch = batch.to(self.label_tokens.device)
            is_label = self.label_of(batch)
            known = is_label.any(1)
            found.append(self.scores(texts_of(batch))[known])
            gold.append(is_label[known].long().argmax(1))
        return panels.panels(torch.cat(found).cpu(), torch.cat(gold).cpu(), names, "test")

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self.prime(torch.full((n, 1), EOS, device=self.label_tokens.device))

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None, **given: Tensor) -> Step:
        return self._begin(self.scores(without_end(prompt)))

    def step(self, state: LabelState, tokens: Tokens) -> Step:
        here = self._tokens_at(state.position)
        log_p = torch.where(here == tokens[:, None], state.log_p, -torch.inf)
        return self._next(LabelState(log_p, state.position + 1))

    def forward(self, batch: Batch) -> Outputs:
        """Also the terms `brier`, the squared distance of the probabilities from the label (Brier 1950), per text."""
        texts = texts_of(batch)
        log_p = self.scores(texts)
        at = self._begin(log_p)
        columns = []
        for i, tokens in enumerate(batch.tokens.T):
            columns.append(at.logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0])
            if i + 1 < batch.tokens.shape[1]:
                at = self.step(at.state, tokens)
        is_label = self.label_of(batch).to(log_p)
        brier = (log_p.exp() - is_label).square().sum(1)
        log_prob = torch.where(batch.mask, torch.stack(columns, 1), 0.0)
        return Outputs(log_prob, terms={"brier": brier, **self.terms(texts, is_label)})

    def terms(self, texts: Int[Tensor, "n p"], is_label: Float[Tensor, "n c"]) -> dict[str, Float[Tensor, " n"]]:
        """What a family adds to an objective besides."""
        return {}

    def label_of(self, batch: Batch) -> Bool[Tensor, "n c"]:
        """Which label each row of a batch is; none where it is no label of train."""
        width = min(batch.tokens.shape[1], self.label_tokens.shape[1])
        same = (batch.tokens[:, None, :width] == self.label_tokens[None, :, :width]).all(2)
        return same & (batch.lengths <= self.label_tokens.shape[1])[:, None]

    def _tokens_at(self, position: Int[Tensor, " n"]) -> Int[Tensor, "n c"]:
        """Each label's token at a position; PAD past its end."""
        width = self.label_tokens.shape[1]
        tokens = self.label_tokens[:, position.clamp(max=width - 1)].T
        return torch.where((position < width)[:, None], tokens, PAD)

    def _begin(self, log_p: Float[Tensor, "n c"]) -> Step:
        return self._next(LabelState(log_p, torch.zeros(len(log_p), dtype=torch.long, device=log_p.device)))

    def _next(self, state: LabelState) -> Step:
        """The probability of a token is that of the labels which go on with it; where none is left the text ends."""
        here = self._tokens_at(state.position)
        log_p = torch.where(here != PAD, state.log_p, -torch.inf)
        same = here[:, :, None] == here[:, None, :]
        shares = torch.where(same, log_p[:, None, :], -torch.inf)
        best = shares.detach().amax(2)  # of each token's labels: what is far behind does not vanish
        left = ~best.isneginf()
        mass = (shares - torch.where(left, best, 0.0)[:, :, None]).exp().sum(2)
        mass = torch.where(left, torch.where(left, mass, 1.0).log() + best, -torch.inf)  # no gradient of log 0
        first = left & ~(same & torch.ones_like(same[0]).tril(-1)).any(2)  # one label for each token that is possible
        logits = torch.full((len(here), self.vocab_size), -torch.inf, dtype=log_p.dtype, device=log_p.device)
        logits = logits.scatter(1, torch.where(first, here, PAD), mass)
        logits[:, EOS] = torch.where(left.any(1), logits[:, EOS], 0.0)
        logits[:, [PAD, BOS]] = -torch.inf
        return Step(logits, state)


def texts_of(batch: Batch) -> Int[Tensor, "n p"]:
    """The texts that a batch's rows are labels of, without EOS; empty ones where it has no prompts."""
    return batch.tokens.new_full((len(batch), 1), PAD) if batch.prompt is None else without_end(batch.prompt)


def without_end(prompt: Int[Tensor, "n p"]) -> Int[Tensor, "n p"]:
    """A prompt without its EOS."""
    return torch.where(prompt == EOS, PAD, prompt)
