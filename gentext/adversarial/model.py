"""TextGAN: a generator that is trained against a critic."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.decode.tempered import Tempered
from gentext.language_model import Critic, LanguageModel, SupportsAdversarial, SupportsHidden, SupportsPrepare
from gentext.types import Batch, Outputs, State, Step, Tokens


def of_length(players: SupportsAdversarial, length: int | None) -> SupportsAdversarial:
    """The players where every text has exactly `length` tokens, and EOS comes only after them; None: as they are.

    They share their weights. A corpus drawn from a truth of one length is played on so: a critic that saw other lengths
    would know a generated text by these.
    """
    return players if length is None else TextGAN(Tempered(players.generator, 1.0, length), players.critic)


class TextGAN(LanguageModel, SupportsAdversarial, SupportsHidden, SupportsPrepare):
    """`generator`, any differentiable family, and `critic`, which only training uses: as a model it is its generator.

    Source: Yu et al. 2017.

    Example:
        >>> from gentext.adversarial import TextCNN
        >>> from gentext.decode import Ancestral
        >>> from gentext.models import LSTM
        >>> family = TextGAN(LSTM(9, layers=1, width=8), TextCNN(9, embedding=4, filters={2: 3}))
        >>> family.sample(2, 5, decoder=Ancestral(), rng=torch.Generator().manual_seed(0)).tokens.shape[0]
        2
    """

    def __init__(self, generator: LanguageModel, critic: Critic) -> None:
        super().__init__()
        self.generator, self.critic = generator, critic
        self.vocab_size = generator.vocab_size
        self.likelihood, self.limit = generator.likelihood, generator.limit

    def prepare(self, batches: Iterable[Batch], *, rng: torch.Generator) -> None:
        """Prepares a generator that reads the training text before it is trained."""
        if isinstance(self.generator, SupportsPrepare):
            self.generator.begun = self.begun
            self.generator.prepare(batches, rng=rng)

    def hidden(self, state: State) -> Float[Tensor, "n d"]:
        """The generator's hidden vector. Raises: ValueError where it has none."""
        if not isinstance(self.generator, SupportsHidden):
            raise ValueError(
                f"{type(self.generator).__name__}, the generator, has no hidden vectors, which contrastive search "
                "compares; try another decode setting"
            )
        return self.generator.hidden(state)

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self.generator.start(n, rng=rng)

    def step(self, state: State, tokens: Tokens) -> Step:
        return self.generator.step(state, tokens)

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        return self.generator.prime(prompt, rng=rng)

    def forward(self, batch: Batch) -> Outputs:
        return self.generator(batch)

    def log_prob(self, batch: Batch) -> Float[Tensor, " n"]:
        return self.generator.log_prob(batch)

    def size(self) -> int:
        """The generator's parameters: the critic writes nothing."""
        return self.generator.size()

    def flops(self, tokens: int) -> float:
        return self.generator.flops(tokens)
