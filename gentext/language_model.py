"""What a generator is, and every capability that one may declare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.types import EOS, PAD, Batch, Likelihood, Outputs, State, Step, Tokens


class LanguageModel(nn.Module):
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
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch: ...


@runtime_checkable
class SupportsEM(Protocol):
    """A family that learns by counting (`train=em`): n-gram in one pass, HMM in several."""

    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        """Add a batch to the (expected) counts; its log-probabilities under the current parameters, nats."""
        ...

    def maximize(self) -> None:
        """Turn the counts into parameters and forget them."""
        ...


@runtime_checkable
class SupportsPrepare(Protocol):
    """A family that looks at the training text once before any loop: word clusters, initial parameters."""

    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None: ...


@runtime_checkable
class SupportsInfilling(Protocol):
    """A family that conditions exactly on any part of a text, not only on its beginning."""

    def given(self, patterns: Sequence[Sequence[int]], max_len: int) -> LanguageModel:
        """The family of the texts of at most `max_len` tokens, EOS included, that fit each pattern of ids, ANY and GAP.

        Raises ValueError where there is no such text, with the reason.
        """
        ...


@runtime_checkable
class SupportsAdversarial(Protocol):
    """A family that plays against a critic (`train=adversarial`)."""

    generator: LanguageModel
    critic: nn.Module


@runtime_checkable
class Windowed(Protocol):
    """A family that reads back so many tokens and no further: it gets a stream in sections."""

    context: int


@runtime_checkable
class SupportsConditioning(Protocol):
    """A family that writes under a vector, such as a VAE's decoder.

    `start`, `prime` and `forward` take it as `given` [n z].
    """

    def condition(self, width: int, *, skip: bool = False) -> None:
        """Make room, once, for vectors of this width. `skip`: they reach the output directly, too."""
        ...


@runtime_checkable
class SupportsHidden(Protocol):
    """A family that shows what it holds of the token read last (`decode=contrastive` compares it between tokens)."""

    def hidden(self, state: State) -> Float[Tensor, "n d"]: ...
