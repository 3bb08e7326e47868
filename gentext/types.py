"""The nouns that every room shares: Batch, Step, Outputs, Samples, Scores, Family, and what a family can do.

Axes: `n` sequences, `t` time, `v` vocabulary, `s` hidden states, `z` latent, `d` width, `k` beams, `p` prompt.
Log-probabilities are natural logarithms (nats). A time axis counts tokens; EOS is a token and is scored, PAD never is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

PAD, BOS, EOS, UNK = 0, 1, 2, 3  # every tokenizer reserves these four ids
RESERVED = 4
ANY, GAP = -1, -2  # in a pattern of ids: any one token; any number of tokens, none included

State = Any  # a pytree (tuples, lists, dicts) of tensors whose first axis is n
Tokens = Int[Tensor, " n"] | Float[Tensor, "n v"]  # ids, or relaxed one-hots (Gumbel-softmax)
Likelihood = Literal["exact", "bound", "none"]
Exactness = Literal["exact", "upper", "lower"]  # the figure itself, or a bound from above or below


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


@dataclass(frozen=True)
class Outputs:
    """A family's verdict on a batch under teacher forcing.

    `log_prob` is log p(token | what came before), zero where the mask is false. It is enough for every likelihood, and
    lets a family with a large vocabulary compute it in chunks without ever holding n x t x v logits.
    `terms` holds what a family adds to an objective, per sequence (`kl`) or per token, by name.
    """

    log_prob: Float[Tensor, "n t"]
    hidden: Float[Tensor, "n t d"] | None = None
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Samples:
    """Texts, generated or human: one type on purpose, so that both are judged alike."""

    texts: tuple[str, ...]
    prompts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Scores:
    """A family's verdict on held-out text, sequence by sequence."""

    log_prob: Float[Tensor, " n"]  # nats
    tokens: Int[Tensor, " n"]  # scored tokens, EOS included
    chars: Int[Tensor, " n"]  # characters of the text, line ends included
    bytes: Int[Tensor, " n"]  # UTF-8 bytes of the text, line ends included
    words: Int[Tensor, " n"]  # words of the text by the corpus's own rule, line ends included
    split: str
    kind: Likelihood
    convention: str = "line"  # line | stream; and anything else that moves the figure, e.g. "iw:500"


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


@dataclass(frozen=True)
class Value:
    """One number and how it came about."""

    value: float
    signature: str  # bleu4|refs:10000|hyps:10000|smooth:method1|tok:word|v:1
    higher_is_better: bool | None  # None: neither end is better in itself (a length, an entropy)
    n: int  # sequences that it rests on
    unit: str = ""  # nats/sentence, bits/char, share, ...
    interval: tuple[float, float] | None = None  # 95 %
    interval_kind: str = ""  # bootstrap:10000 | subsample:100x0.5,0.25 | wilson | normal
    exactness: Exactness = "exact"
    per_sequence: np.ndarray | None = None  # n figures whose mean is `value`, for tests; None for set metrics
    paired: bool = False  # figure i rests on the same test sentence or prompt in every run, so that tests may pair them


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


class Family(nn.Module):
    """A generator: a state machine that emits next-token logits.

    A subclass says `start` and `step`; decoding, rollouts, likelihood, prompts, evaluation and checkpoints follow.
    Its constructor is its configuration schema: `vocab_size` first, then flat keywords.
    """

    likelihood: ClassVar[Likelihood] = "exact"
    limit: int | None = None  # tokens that it can read, BOS and prompt included; None: any number
    vocab_size: int

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        """The first token's logits for `n` sequences. `rng` draws whatever is latent."""
        raise NotImplementedError(f"{type(self).__name__} must say start()")

    def step(self, state: State, tokens: Tokens) -> Step:
        """The next token's logits after `tokens` were read in `state`."""
        raise NotImplementedError(f"{type(self).__name__} must say step()")

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None, **given: Tensor) -> Step:
        """The logits after a prompt (PAD on the right is skipped). Seq2Seq encodes it instead.

        given: what a Conditional family's `start` takes.
        """
        return self.read(self.start(len(prompt), rng=rng, **given), prompt)

    def read(self, at: Step, tokens: Int[Tensor, "n p"]) -> Step:
        """Where `at` stands when each row's tokens were read one by one, PAD skipped.

        A family whose state counts what it has read for all rows at once says this itself, for rows of several lengths.
        """
        for column in tokens.T:
            real = column != PAD
            moved = self.step(at.state, torch.where(real, column, EOS))
            at = moved if bool(real.all()) else Step(*_where(real, moved, at))
        return at

    def forward(self, batch: Batch) -> Outputs:
        """Teacher forcing, one step at a time; a family that can goes parallel overrides it."""
        at = self.start(len(batch)) if batch.prompt is None else self.prime(batch.prompt)
        columns = []
        for i, tokens in enumerate(batch.tokens.T):
            scores = at.logits.log_softmax(-1)
            columns.append(scores.gather(1, tokens[:, None])[:, 0])
            if i + 1 < batch.tokens.shape[1]:
                at = self.step(at.state, tokens)
        return Outputs(torch.where(batch.mask, torch.stack(columns, 1), 0.0))

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        """Nats per sequence, EOS included, padding never."""
        return self(batch).log_prob.sum(1)

    def sample(
        self,
        n: int,
        max_len: int,
        *,
        decoder: Decoder,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """A draw of `n` sequences, cut where the family can read no further.

        A family that is not autoregressive overrides this.
        """
        return decoder(self, n, self.room(max_len, prompt), rng=rng, prompt=prompt)

    def room(self, max_len: int, prompt: Int[Tensor, "n p"] | None) -> int:
        """The tokens that can follow a prompt, `max_len` at most. Raises ValueError where there are none."""
        if self.limit is None:
            return max_len
        said = 0 if prompt is None else prompt.shape[1]
        if said >= self.limit:
            raise ValueError(
                f"the prompt has {said} tokens, and this {type(self).__name__} reads {self.limit} in all, its start "
                f"included; give {self.limit - 1} or fewer, or train with a longer context or positions=rotary"
            )
        return min(max_len, self.limit - said)

    def size(self) -> int:
        """Free parameters, as the board counts them."""
        return sum(parameter.numel() for parameter in self.parameters())

    def flops(self, tokens: int) -> float:
        """Floating-point operations of one forward pass over `tokens` tokens; NaN where nobody has counted."""
        return float("nan")


def _where(keep: Bool[Tensor, " n"], new: State, old: State) -> State:
    """`new` where `keep`, `old` elsewhere, through two pytrees of one shape."""
    if isinstance(new, Tensor):
        return torch.where(keep.view(-1, *[1] * (new.dim() - 1)), new, old)
    if isinstance(new, Mapping):
        return {key: _where(keep, new[key], old[key]) for key in new}
    if isinstance(new, tuple) and hasattr(new, "_fields"):
        return type(new)(*(_where(keep, a, b) for a, b in zip(new, old, strict=True)))
    if isinstance(new, (tuple, list)):
        return type(new)(_where(keep, a, b) for a, b in zip(new, old, strict=True))
    if new != old:
        raise ValueError(
            f"this family's state holds a plain number that a token moves from {old} to {new} for all rows, and here "
            "some rows have no token; let the family say read(), or give prompts of one length"
        )
    return new


@runtime_checkable
class Decoder(Protocol):
    """Turns a family's logits into sequences."""

    def __call__(
        self,
        family: Family,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch: ...


@runtime_checkable
class Counted(Protocol):
    """A family that learns by counting (`train=em`): n-gram in one pass, HMM in several."""

    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        """Add a batch to the (expected) counts; its log-probabilities under the current parameters, nats."""
        ...

    def maximize(self) -> None:
        """Turn the counts into parameters and forget them."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A family that looks at the training text once before any loop: word clusters, initial parameters."""

    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None: ...


@runtime_checkable
class Infilling(Protocol):
    """A family that conditions exactly on any part of a text, not only on its beginning."""

    def given(self, patterns: Sequence[Sequence[int]], max_len: int) -> Family:
        """The family of the texts of at most `max_len` tokens, EOS included, that fit each pattern of ids, ANY and GAP.

        Raises ValueError where there is no such text, with the reason.
        """
        ...


@runtime_checkable
class Adversarial(Protocol):
    """A family that plays against a critic (`train=adversarial`)."""

    generator: Family
    critic: nn.Module


@runtime_checkable
class Windowed(Protocol):
    """A family that reads back so many tokens and no further: it gets a stream in sections."""

    context: int


@runtime_checkable
class Conditional(Protocol):
    """A family that writes under a vector, such as a VAE's decoder.

    `start`, `prime` and `forward` take it as `given` [n z].
    """

    def condition(self, width: int, *, skip: bool = False) -> None:
        """Make room, once, for vectors of this width. `skip`: they reach the output directly, too."""
        ...


@runtime_checkable
class Hidden(Protocol):
    """A family that shows what it holds of the token read last (`decode=contrastive` compares it between tokens)."""

    def hidden(self, state: State) -> Float[Tensor, "n d"]: ...
