"""The nouns that every room shares: Batch, Step, Outputs, Samples, Scores, Family, and what a family can do.

Axes: `n` sequences, `t` time, `v` vocabulary, `s` hidden states, `z` latent, `d` width, `k` beams, `p` prompt.
Log-probabilities are natural logarithms (nats). A time axis counts tokens; EOS is a token and is scored, PAD never is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.value import Exactness as Exactness
from gentext.value import Value as Value

PAD, BOS, EOS, UNK = 0, 1, 2, 3  # every tokenizer reserves these four ids
RESERVED = 4
ANY, GAP = -1, -2  # in a pattern of ids: any one token; any number of tokens, none included

State = Any  # a pytree (tuples, lists, dicts) of tensors whose first axis is n
Tokens = Int[Tensor, " n"] | Float[Tensor, "n v"]  # ids, or relaxed one-hots (Gumbel-softmax)
Likelihood = Literal["exact", "bound", "pseudo", "none"]


@dataclass(frozen=True)
class Batch:
    """Sequences of one corpus or of one draw: each ends in EOS (unless cut), is padded with PAD and never holds BOS.

    A stream corpus (one long text) is cut into windows: a row then need not hold an EOS, and `carry` says that row i
    goes on where row i of the batch before ended, so that a family with a state may carry it over.
    """

    tokens: Int[Tensor, "n t"]
    mask: Bool[Tensor, "n t"]  # true through EOS
    prompt: Int[Tensor, "n p"] | None = None  # given, never scored: a prefix to go on from, or a source to translate
    carry: bool = False

    @property
    def lengths(self) -> Int[Tensor, " n"]:
        """Tokens of each row, EOS included."""
        return self.mask.sum(1)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        prompt = None if self.prompt is None else self.prompt.to(device, non_blocking=True)
        return replace(
            self,
            tokens=self.tokens.to(device, non_blocking=True),
            mask=self.mask.to(device, non_blocking=True),
            prompt=prompt,
        )

    def rows(self, index: slice | Tensor) -> Batch:
        """The chosen rows, trailing columns that are all PAD cut off."""
        mask = self.mask[index]
        t = max(int(mask.sum(1).max()), 1) if len(mask) else 1
        prompt = None if self.prompt is None else self.prompt[index]
        return Batch(self.tokens[index][:, :t], mask[:, :t], prompt, self.carry)


class CriticTexts(NamedTuple):
    """Relaxed texts of one width, which a critic reads as it does a `Batch`."""

    tokens: Float[Tensor, "n t v"]
    mask: Bool[Tensor, "n t"]


def by_length(batch: Batch, size: int) -> Iterator[tuple[Int[Tensor, " k"], Batch]]:
    """The rows of a batch from the shortest to the longest, `size` at a time: which they are, and the rows.

    Little of such a part is padding.

    >>> [(rows.tolist(), part.tokens.shape[1]) for rows, part in by_length(pad([[4, 5, 2], [2], [6, 2]]), 2)]
    [([1, 2], 2), ([0], 3)]
    """
    order = batch.lengths.argsort(stable=True)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield rows, batch.rows(rows)


def pad(rows: list[Tensor] | list[list[int]], *, width: int = 1) -> Batch:
    """A Batch of ragged id rows, padded with PAD to the longest (to `width` at least)."""
    lengths = torch.tensor([len(row) for row in rows])
    t = max(int(lengths.max()) if len(rows) else 1, width)
    tokens = torch.full((len(rows), t), PAD, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.as_tensor(row, dtype=torch.long)
    return Batch(tokens, torch.arange(t)[None] < lengths[:, None])


class Step(NamedTuple):
    """What a state machine says next: unnormalised log-probabilities of the next token, and its new state."""

    logits: Float[Tensor, "n v"]  # -inf for PAD and BOS, which are never emitted
    state: State


class Canvas(NamedTuple):
    """Texts of which some tokens are known and the others masked: BOS, a prompt, a text's places, EOS, PAD."""

    tokens: Int[Tensor, "n s"]  # of no meaning where masked
    masked: Bool[Tensor, "n s"]
    text: Bool[Tensor, "n s"]  # the places of the words that are written

    def reveal(self, places: Bool[Tensor, "n s"], tokens: Int[Tensor, " m"]) -> Canvas:
        """With the tokens of these places, row by row, known."""
        return self._replace(tokens=self.tokens.masked_scatter(places, tokens), masked=self.masked & ~places)

    def hidden(self) -> Canvas:
        """With every place of the text masked."""
        return self._replace(masked=self.text)

    def rows(self, index: Tensor) -> Canvas:
        return Canvas(*(part[index] for part in self))


class FullConditionals(NamedTuple):
    """The distribution of each token of one text given all its others."""

    logits: Float[Tensor, "t v"]
    tokens: Int[Tensor, " t"]  # that stand there
    read: Int[Tensor, " s"]  # the line that was read, each row of it with another token masked


@dataclass(frozen=True)
class Outputs:
    """A family's scores of a batch under teacher forcing.

    `log_prob` is log p(token | what came before), zero where the mask is false. It is enough for every likelihood, and
    lets a family with a large vocabulary compute it in chunks without ever holding n x t x v logits.
    `terms` holds what a family adds to an objective, per sequence (`kl`) or per token, by name.
    """

    log_prob: Float[Tensor, "n t"]
    hidden: Float[Tensor, "n t d"] | None = None
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Samples:
    """Texts, generated or human: one type on purpose, so that both are judged alike.

    prompts: what each text answers, of a corpus of pairs.  words, lowercase: how metrics cut the texts into words, by
    which rule and in lower case or not: as their corpus is cut.
    """

    texts: tuple[str, ...]
    prompts: tuple[str, ...] | None = None
    words: str = "treebank"
    lowercase: bool = True

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Scores:
    """A family's scores of held-out text, sequence by sequence."""

    log_prob: Float[Tensor, " n"]  # nats
    tokens: Int[Tensor, " n"]  # scored tokens, EOS included
    chars: Int[Tensor, " n"]  # characters of the text, line ends included
    bytes: Int[Tensor, " n"]  # UTF-8 bytes of the text, line ends included
    words: Int[Tensor, " n"]  # words of the text by the corpus's own rule, line ends included
    split: str
    kind: Likelihood
    convention: str = "line"  # line | stream; and anything else that moves the figure, e.g. "iw:500"
    vocabulary: str = ""  # which tokens are known: the beginning of the tokenizer's sha256
    closed: bool = False  # the split holds unknown tokens: log_prob says that they are unknown, and not which they are
    spelling: Float[Tensor, " n"] | None = None  # nats that it costs to spell the unknown tokens; None: not known
    error: float = 0.0  # of the mean of log_prob, nats: a standard error that no number of texts makes less

    @property
    def open(self) -> Float[Tensor, " n"] | None:
        """log p of the texts themselves, nats: unknown tokens spelled; None where what that costs is not known."""
        if self.spelling is not None:
            return self.log_prob - self.spelling
        return None if self.closed else self.log_prob


@dataclass(frozen=True)
class LabelScores:
    """What a model says of the labels of n texts."""

    log_prob: Float[
        Tensor, "n c"
    ]  # log p(label | text) in nats; not normalised where other texts than labels are possible
    labels: tuple[str, ...]
    gold: Int[Tensor, " n"]  # the right label of each text
    split: str


@dataclass(frozen=True)
class Latents:
    """What a VAE makes of n texts, text by text, in nats: its bounds, and what its encoder says."""

    elbo: Float[Tensor, " n"]  # the evidence lower bound
    bound: Float[Tensor, " n"]  # the importance-weighted bound, from the same draws: at least `elbo`
    kl: Float[Tensor, " n"]  # KL(q(z | x) || p(z))
    information: Float[Tensor, " n"]  # log q(z | x) - log q(z) of one draw, q(z) over these texts
    mean: Float[Tensor, "n z"]
    split: str
    of: int  # texts of the split
    vocabulary: str = ""  # where the split holds unknown tokens: as in Scores


def map_state(state: State, act: Callable[[Tensor], Tensor]) -> State:
    """The same pytree with `act` applied to every tensor."""
    if isinstance(state, Tensor):
        return act(state)
    if isinstance(state, Mapping):
        return {key: map_state(value, act) for key, value in state.items()}
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*(map_state(value, act) for value in state))
    if isinstance(state, (tuple, list)):
        return type(state)(map_state(value, act) for value in state)
    return state  # None and plain Python numbers are the same for every row


def select(state: State, index: Int[Tensor, " k"]) -> State:
    """Rows `index` of a state: beams and rollouts use nothing else."""
    return map_state(state, lambda tensor: tensor.index_select(0, index))
