"""What a language model is, and every capability that one may declare.

A model declares a capability by inheriting from its class: `class LSTM(LanguageModel, SupportsHidden)`. Nothing is
guessed from the attributes that an object happens to have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy import ndarray
from torch import Tensor, nn

from gentext.data.automaton import Automaton
from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Tokenizer
from gentext.panels import Panel
from gentext.types import EOS, PAD, Batch, Canvas, FullConditionals, Likelihood, Outputs, State, Step, Tokens


class LanguageModel(nn.Module):
    """A generator: a state machine that emits next-token logits.

    A subclass defines `start` and `step`; decoding, rollouts, likelihood, prompts, evaluation and checkpoints follow.
    Its constructor is its configuration schema: `vocab_size` first, then flat keywords.

    The attributes below hold for every model; a subclass overrides those that differ, on the class or in __init__.
    likelihood: whether `log_prob` is exact, a lower bound ("bound"), a pseudo-log-likelihood ("pseudo": every token
      given all others, which is no probability of the text), or missing ("none").
    limit: tokens that it can read, BOS and prompt included; None: any number.
    context: tokens that it attends to at a time, for a model that reads a stream in sections without carrying a state;
      None: it carries a state from one window of a stream to the next.
    adaptive: it learns from the text that it is scored on, such as a cache; the board marks it.
    closed_form: one pass of EM finds its parameters.
    reads: the split of that pass: train but for human text, which is held out.
    convention: what else moves its likelihood, such as the draws that a bound rests on, for the signature.
    sequential: an exact `log_prob` is the sum of what `step` says from left to right; false where tokens are written in
      another order.
    carried: the states at the end of the windows that were read last, by mode ("training", "scoring"); a checkpoint
      keeps them.

    Example: a uniform distribution over all tokens but PAD and BOS.

    >>> import torch
    >>> from gentext.decode import Ancestral
    >>> from gentext.types import Step, pad
    >>> class Uniform(LanguageModel):
    ...     def __init__(self, vocab_size):
    ...         super().__init__()
    ...         self.vocab_size = vocab_size
    ...     def start(self, n, *, rng=None):
    ...         logits = torch.zeros(n, self.vocab_size)
    ...         logits[:, :2] = -torch.inf
    ...         return Step(logits, logits)
    ...     def step(self, state, tokens):
    ...         return Step(state, state)
    >>> model = Uniform(6)
    >>> model.log_prob(pad([[4, 5, 2]])).exp()  # 1/4 for each of three tokens
    tensor([0.0156])
    >>> model.sample(2, 5, decoder=Ancestral(), rng=torch.Generator().manual_seed(0)).tokens.shape
    torch.Size([2, 5])
    """

    likelihood: Likelihood = "exact"
    limit: int | None = None
    context: int | None = None
    adaptive: bool = False
    closed_form: bool = False
    reads: str = "train"
    convention: str = ""
    sequential: bool = True
    carried: State
    vocab_size: int

    def __init__(self) -> None:
        super().__init__()
        self.carried = {}

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        """The first token's logits for `n` sequences. `rng` draws whatever is latent."""
        raise NotImplementedError(f"{type(self).__name__} must define start()")

    def step(self, state: State, tokens: Tokens) -> Step:
        """The next token's logits after `tokens` were read in `state`."""
        raise NotImplementedError(f"{type(self).__name__} must define step()")

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
        length = 0 if prompt is None else prompt.shape[1]
        if length >= self.limit:
            raise ValueError(
                f"the prompt has {length} tokens, and this {type(self).__name__} reads {self.limit} in all, its start "
                f"included; give {self.limit - 1} or fewer, or train with a longer context or positions=rotary"
            )
        return min(max_len, self.limit - length)

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


class Decoder(ABC):
    """Turns a model's logits into sequences: the base of everything in gentext.decode.

    plain: it draws from the model's own distribution: neither a search, nor truncated, tempered or under rules.
    tokenwise: it draws each token by `choose` alone, whatever was said: what a family asks for that does not write from
      left to right.
    min_len: tokens before which it ends no text.
    """

    plain: bool = False
    tokenwise: bool = False
    min_len: int = 0

    @abstractmethod
    def __call__(
        self,
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """`n` sequences of `max_len` tokens at most, EOS included; a prompt is not part of them."""

    def check(self, family: LanguageModel) -> None:  # noqa: B027 - most draw from any family
        """Raises: ValueError where it cannot draw from such a family; asked before the family is trained."""

    def choose(self, logits: Float[Tensor, "n v"], rng: torch.Generator) -> Int[Tensor, " n"]:
        """A token for each row of logits, as this decoder draws one. Raises: NotImplementedError unless `tokenwise`."""
        raise NotImplementedError(f"{type(self).__name__} searches over sequences")

    def ending(self) -> Decoder:
        """The decoder without its `min_len`."""
        return self

    def lasting(self, length: int) -> Decoder:
        """The decoder with a `min_len` of so many tokens. Raises: ValueError where it has none."""
        raise ValueError(
            f"every text of this corpus has {length} tokens, and {type(self).__name__} cannot be told so; take a "
            "decoder that has min_len, such as decode=ancestral"
        )

    def unmasking(self) -> Unmasker | None:
        """The decoder as one that fills masks in any order; None where it writes from left to right alone."""
        return None

    def reading(self, tokenizer: Tokenizer) -> Decoder:
        """The decoder for a family of this tokenizer; what compares texts as people read them needs it."""
        return self

    def distribution(self, family: LanguageModel, length: int | None = None) -> LanguageModel | None:
        """The distribution that it draws from, as a model; None where its likelihood is not known.

        length: tokens of every draw; None: EOS ends each.
        """
        return None


class Unmasker(Decoder):
    """A decoder of models that fill masks."""

    @abstractmethod
    def fill(self, family: SupportsUnmasking, canvas: Canvas, rng: torch.Generator) -> Int[Tensor, "n t"]:
        """The texts of canvases once all their places are known, PAD after each."""

    def unmasking(self) -> Unmasker | None:
        return self


class Judge(ABC):
    """Says which of several texts is best (`decode=rerank` and its kin).

    odds: its scores are log-odds of a text being people's rather than the model's, as a discriminator's are.
    """

    odds: bool = False

    def reading(self, tokenizer: Tokenizer) -> Judge:
        """The judge of texts that this tokenizer encodes."""
        return self

    @abstractmethod
    def score(self, batch: Batch) -> Float[Tensor, " n"]:
        """How good each text is; more is better."""


class Guide(ABC):
    """A trained model that leads another family's texts to where they fit (`decode=constrained`)."""

    @abstractmethod
    def guiding(self, family: LanguageModel, tokenizer: Tokenizer, machine: Automaton, max_len: int) -> LanguageModel:
        """The family led by it, as `SupportsGuiding.guiding`. Raises: ValueError where it does not know a word."""


class TextFlag(ABC):
    """Says which texts are not wanted (`decode=filter`, and the share flagged of `eval=safety`)."""

    @abstractmethod
    def flag(self, texts: Sequence[str]) -> Bool[ndarray, " n"]:
        """Whether each text is not wanted."""

    def signature(self) -> str:
        """All that decides what is flagged, as a part of the signature of figures about it."""
        return type(self).__name__


class SupportsEM(ABC):
    """A model that learns by counting (`train=em`): an n-gram in one pass, an HMM in several.

    stepwise: the exponent by which an M-step on a part of the text weighs its counts against running ones; None: it
      forgets the counts of earlier M-steps.
    """

    stepwise: float | None = None

    @abstractmethod
    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        """Add a batch to the (expected) counts; its log-probabilities under the current parameters, nats."""

    @abstractmethod
    def maximize(self) -> None:
        """Turn the counts into parameters and forget them."""


class SupportsTexts(ABC):
    """A row of texts that no model generated: a person's. They are taken as they stand, not from tokens."""

    @abstractmethod
    def texts(self, corpus: Corpus, n: int, *, split: str, rng: torch.Generator) -> list[str]:
        """`n` texts to be judged against a split, none of which is of it or of train.

        Raises: ValueError where there are fewer.
        """


class SupportsAnswers(SupportsTexts):
    """A rule that answers a source with a text, as text: a baseline of corpora of pairs."""

    @abstractmethod
    def answer(self, source: str) -> str:
        """What it writes given this source."""

    def check(self, corpus: Corpus) -> None:
        """Raises: ValueError where a corpus has no sources."""
        if not corpus.pairs:
            raise ValueError(
                f"{type(self).__name__} answers a source, and {corpus.name} has none: take a corpus of pairs, such as "
                "data=summarisation, or say where its sources are by data.source=COLUMN"
            )

    def texts(self, corpus: Corpus, n: int, *, split: str, rng: torch.Generator) -> list[str]:
        """Its answer to every source of a split. Raises: ValueError where there are no sources."""
        self.check(corpus)
        return [self.answer(source) for source in corpus.prompts(split) or ()]


class SupportsPrepare(ABC):
    """A model that reads the training text once before any training: word clusters, initial parameters.

    prepare_flops: floating-point operations of training that `prepare` did: an HMM grows by passes of EM.
    begun: whether all of its parameters are another run's (`init=RUN`); `prepare` leaves them then.
    """

    prepare_flops: float = 0.0
    begun: bool = False

    @abstractmethod
    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None: ...


class SupportsSubwords(ABC):
    """A model that treats the tokens of a word together."""

    @abstractmethod
    def subwords(self, inside: Bool[Tensor, " v"]) -> None:
        """Be told, before any training, which ids go on a word that another began."""


class SupportsCheckpoint(ABC):
    """Its weights begin as those of a checkpoint elsewhere, of which a run's folder holds only what training changed.

    unchanged: they are the checkpoint's own: no training moved them.
    """

    unchanged: bool = False

    @abstractmethod
    def rests_on(self) -> dict[str, str]:
        """sha256 by name of the checkpoint's files that its `state_dict` leaves out; none where it is whole."""

    @abstractmethod
    def rest_on(self, files: Mapping[str, str]) -> None:
        """Take what a stored `state_dict` left out from the checkpoint.

        Raises: ValueError where a file of these names is missing, or its sha256 is another.
        """


class SupportsInfilling(ABC):
    """A model that conditions on any part of a text, not only on its beginning."""

    @abstractmethod
    def given(self, patterns: Sequence[Sequence[int]], max_len: int) -> LanguageModel:
        """The distribution of the texts that fit each pattern of ids, ANY and GAP.

        max_len: tokens of a text at most, EOS included.
        Raises: ValueError where there is no such text, with the reason.
        """


class SupportsGuiding(ABC):
    """A model that knows how likely a text is still to fit an automaton, and so can lead another there."""

    @abstractmethod
    def fitting(self, machine: Automaton, max_len: int) -> LanguageModel:
        """Itself, given that the text fits and ends within `max_len` tokens, EOS included.

        Raises: ValueError where there is no such text, with the reason.
        """

    @abstractmethod
    def guiding(
        self, family: LanguageModel, machine: Automaton, max_len: int, index: Int[Tensor, " v"] | None = None
    ) -> LanguageModel:
        """The family, each of whose next tokens counts by how likely the text is then to fit, under this model.

        index: this model's id of each token of the family, in whose ids the automaton is; None: they are the same.
        Raises: ValueError as `fitting` does.
        """


class SupportsUnmasking(ABC):
    """A model that says every masked token of a text at once, given its length and what is known (`decode=unmask`)."""

    @abstractmethod
    def canvas(self, batch: Batch) -> Canvas:
        """Texts after their prompts, all known."""

    @abstractmethod
    def blank(
        self,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator | None = None,
        prompt: Int[Tensor, "n p"] | None = None,
        min_len: int = 0,
    ) -> Canvas:
        """Texts of masks alone: of drawn lengths, of `min_len` words at least, cut at `max_len` tokens."""

    @abstractmethod
    def length_log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        """log p of the length of each text; of one that is cut, of a length above what it has."""

    @abstractmethod
    def masked_logits(self, canvas: Canvas, places: Bool[Tensor, "n s"]) -> Float[Tensor, "m v"]:
        """The logits of these masked places, row by row; -inf for what is no word."""


class SupportsFullConditionals(ABC):
    """A model that reads a text from both sides, and says each of its tokens given all the others."""

    @abstractmethod
    def full_conditionals(self, batch: Batch) -> FullConditionals:
        """Of one text, in one pass over as many rows as it has tokens. Raises: ValueError where it has none."""


class SupportsAdversarial(ABC):
    """A model that trains against a critic (`train=adversarial`); both are set in its __init__."""

    generator: LanguageModel
    critic: Critic


class Critic(nn.Module):
    """Scores of how real texts of one width are (higher: more real), from token ids and from relaxed one-hots.

    outputs: numbers of a score, which are features where there are several; 0: a language model's, which judge nothing.
    dense: score i is about token i given those before it; false: all are about the text.
    """

    vocab_size: int
    outputs: int
    dense: bool = False

    def embed(self, tokens: Shaped[Tensor, "n t *v"]) -> Float[Tensor, "n t d"]:
        """The vectors that `forward_embedded` judges, linear in one-hots."""
        raise NotImplementedError(f"{type(self).__name__} must define embed()")

    def forward_embedded(self, vectors: Float[Tensor, "n t d"]) -> Float[Tensor, "n k"]:
        """The scores of embedded texts: a gradient penalty is taken between texts."""
        raise NotImplementedError(f"{type(self).__name__} must define forward_embedded()")

    def forward(self, tokens: Shaped[Tensor, "n t *v"]) -> Float[Tensor, "n k"]:
        return self.forward_embedded(self.embed(tokens))


class SupportsConditioning(ABC):
    """A model that generates given a vector, such as a VAE's decoder.

    `start`, `prime` and `forward` take it as `given` [n z].
    """

    @abstractmethod
    def start(self, n: int, *, rng: torch.Generator | None = None, given: Float[Tensor, "n z"] | None = None) -> Step:
        """The first token's logits for `n` sequences, each given its row."""

    @abstractmethod
    def condition(self, width: int, *, skip: bool = False) -> None:
        """Add, once, the parameters that read vectors of this width. `skip`: they reach the output directly, too."""


class SupportsError(ABC):
    """A model whose log-probabilities rest on draws of its own, the same ones for every text."""

    @abstractmethod
    def error(self, batch: Batch) -> float:
        """The standard error that those draws leave in the mean log-probability of these texts, nats."""


class SupportsHidden(ABC):
    """A model with a hidden vector of the token read last (`decode=contrastive` compares it between tokens)."""

    @abstractmethod
    def hidden(self, state: State) -> Float[Tensor, "n d"]: ...


class SupportsLogits(ABC):
    """A model whose `forward` computes the logits of every token at once (`family=distilled` learns from them)."""

    @abstractmethod
    def logits(self, outputs: Outputs) -> Float[Tensor, "n t v"]:
        """The logits behind what forward gave; -inf for PAD and BOS."""


@runtime_checkable
class Posterior(Protocol):
    """q(z | x) of n texts. Densities are in nats."""

    @property
    def mean(self) -> Float[Tensor, "n z"]: ...

    def sample(self, k: int, rng: torch.Generator | None = None) -> Float[Tensor, "n k z"]:
        """k draws of each, through which a gradient flows to the encoder."""
        ...

    def log_prob(self, z: Float[Tensor, "n k z"]) -> Float[Tensor, "n k"]:
        """The density of each text's own draws."""
        ...

    def crossed(self, z: Float[Tensor, "m z"]) -> Float[Tensor, "m n"]:
        """The density of every z under every text."""
        ...

    def kl(self) -> Float[Tensor, "n u"]:
        """KL(q(z | x) || p(z)) of each independent part of z."""
        ...


class SupportsLatent(ABC):
    """A model with a latent vector z for each text: a VAE.

    importance: draws of z for each text in `log_prob`, an importance-weighted bound.
    spherical: z lies on the unit sphere.
    """

    importance: int
    spherical: bool = False

    @abstractmethod
    def encode(self, batch: Batch) -> Posterior:
        """q(z | x) of every text."""

    @abstractmethod
    def given_latent(self, z: Float[Tensor, "n z"]) -> LanguageModel:
        """p(x | z): row i of a draw is generated from row i of `z`."""

    @abstractmethod
    def log_weights(self, batch: Batch, k: int, rng: torch.Generator) -> Float[Tensor, "n k"]:
        """log p(x | z) + log p(z) - log q(z | x) in nats, for `k` draws of z from q(z | x)."""

    @abstractmethod
    def inference(self) -> Iterator[nn.Parameter]:
        """The parameters of q(z | x), the inference network."""

    @abstractmethod
    def information(self, batch: Batch, rng: torch.Generator) -> Float[Tensor, " n"]:
        """log q(z | x) - log q(z) of one draw for each text, in nats, q(z) over the batch."""


class SupportsPanels(ABC):
    """A model that draws panels of its parameters once it is trained: in evaluation mode, without gradients.

    A few panels of a few hundred cells each: a report holds those of every run.
    """

    @abstractmethod
    def panels(self, corpus: Corpus, rng: torch.Generator) -> list[Panel]: ...


class SupportsTextPanels(ABC):
    """A model that shows how it read one text: in evaluation mode, without gradients."""

    @abstractmethod
    def text_panels(self, batch: Batch, tokenizer: Tokenizer) -> list[Panel]:
        """Panels of one text, a batch of one row: attention, hidden states, what was backed off to."""
