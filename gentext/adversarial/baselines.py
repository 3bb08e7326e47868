"""Baselines of a policy gradient: what is subtracted from a return, without a look at the token that it is for."""

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

    Example:
        >>> baseline, mask = MovingBaseline(decay=0.5), torch.tensor([[True, True]])
        >>> _ = baseline.learn(torch.zeros(1, 2), torch.tensor([[1.0, 3.0]]), mask)
        >>> _ = baseline.learn(torch.zeros(1, 2), torch.tensor([[4.0, 4.0]]), mask)
        >>> float(baseline.mean)
        3.0
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
        """Moves the average at once, and returns zero: there is no loss to descend."""
        new = returns[mask].mean()
        self.mean.copy_(torch.where(self.mean.isnan(), new, torch.lerp(new, self.mean, self.decay)))
        return new.new_zeros(())


class LearnedBaseline(nn.Module):
    """A GRU's prediction of the return from the tokens before.

    Source: Sutton et al. 2000, section 2 (any function of the state leaves the gradient's mean as it is).

    Example:
        >>> from gentext.types import pad
        >>> texts = pad([[4, 5, 2], [6, 2]])
        >>> LearnedBaseline(vocab_size=7, width=4)(texts, torch.zeros(2, 3)).shape
        torch.Size([2, 3])
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
