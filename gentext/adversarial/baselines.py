"""What a reward is held against, so that its gradient varies less: a guess that does not know the token it is for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gentext.checks import at_least, share
from gentext.types import BOS, Batch


class MovingBaseline(nn.Module):
    """The moving average of the returns so far; at the first step that step's own mean.

    decay: the share of the old average that is kept.
    Source: Williams 1992, section 4 (reinforcement comparison).
    """

    mean: Tensor

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        share(decay=decay)
        self.decay = decay
        self.register_buffer("mean", torch.tensor(torch.nan))

    def forward(self, texts: Batch, returns: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        return torch.where(self.mean.isnan(), returns[texts.mask].mean(), self.mean).expand(returns.shape)

    def learn(
        self, guessed: Float[Tensor, "n t"], returns: Float[Tensor, "n t"], mask: Bool[Tensor, "n t"]
    ) -> Float[Tensor, ""]:
        """Nothing to descend: the average moves at once."""
        new = returns[mask].mean()
        self.mean.copy_(torch.where(self.mean.isnan(), new, torch.lerp(new, self.mean, self.decay)))
        return new.new_zeros(())


class LearnedBaseline(nn.Module):
    """A GRU's guess of the return from the tokens before: the better, the less is left to explain.

    Source: Sutton et al. 2000, section 2 (any function of the state leaves the gradient's mean as it is).
    """

    def __init__(self, vocab_size: int, *, width: int = 32) -> None:
        super().__init__()
        at_least(1, width=width)
        self.embedding = nn.Embedding(vocab_size, width)
        self.reader = nn.GRU(width, width, batch_first=True)
        self.guess = nn.Linear(width, 1)

    def forward(self, texts: Batch, returns: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        before = F.pad(texts.tokens[:, :-1], (1, 0), value=BOS)
        return self.guess(self.reader(self.embedding(before))[0])[..., 0]

    def learn(
        self, guessed: Float[Tensor, "n t"], returns: Float[Tensor, "n t"], mask: Bool[Tensor, "n t"]
    ) -> Float[Tensor, ""]:
        """Half the mean squared error, which its own weights descend."""
        return (guessed - returns)[mask].square().mean() / 2
