"""The most probable sequences that a search of bounded width finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext import checks
from gentext.decode.base import BaseDecoder
from gentext.decode.chunks import check, join, split
from gentext.decode.hypotheses import Pool
from gentext.decode.sampling import finite
from gentext.language_model import LanguageModel
from gentext.types import EOS, PAD, Batch, State, select


class Best(NamedTuple):
    """The best `k` hypotheses of each row, best first: row i's are lines i*k .. i*k+k-1 of `batch`."""

    batch: Batch
    scores: Float[Tensor, "n k"]  # log-probability (nats) over length ** length_penalty; -inf where there is none


@dataclass(frozen=True)
class Beam(BaseDecoder):
    """The best sequence of a beam search, one for each row.

    A hypothesis scores log p / length ** length_penalty, EOS counted; one that max_len cuts competes with the
    probability of its prefix, as a draw would. The search stops when no live hypothesis can still win, so with a beam
    as wide as the space the result is exact.
    groups, diversity: the beam is split into groups that decode in turn; a token costs `diversity` nats for every
      time that an earlier group chose it at this position. Source: Vijayakumar et al. 2018, eq. 4 and 5.
    batch_size: hypotheses live at once at most.

    Example:
        >>> import torch
        >>> from gentext.models import LSTM
        >>> best = Beam(width=2)(LSTM(9, layers=1, width=8), 3, 4, rng=torch.Generator())
        >>> best.tokens[0].tolist() == best.tokens[1].tolist()  # a search draws nothing
        True
    """

    width: int = 5
    length_penalty: float = 1.0
    groups: int = 1
    diversity: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least(1, width=self.width)
        checks.at_least(0, diversity=self.diversity)
        checks.finite(length_penalty=self.length_penalty)
        if self.groups < 1 or self.width % self.groups:
            raise ValueError(f"groups is {self.groups}; it must divide the width {self.width}")
        if self.diversity > 0 and self.groups == 1:
            raise ValueError("diversity works between groups; give for example groups=width")

    def __call__(
        self,
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """The best sequence of each row. `rng` draws only what is latent in the family."""
        return self.best(family, n, max_len, rng=rng, prompt=prompt, k=1).batch

    @torch.no_grad()
    def best(
        self,
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
        k: int | None = None,
    ) -> Best:
        """The best `k` sequences of each row (all of the beam unless said) and their scores."""
        check(n, max_len, prompt, self.min_len)
        k = self.width if k is None else k
        if not 1 <= k <= self.width:
            raise ValueError(f"k is {k}; a beam of width {self.width} holds 1 to {self.width} hypotheses")
        tokens, scores = [], []
        for rows, given in split(n, family.vocab_size * self.width, max(1, self.batch_size // self.width), prompt):
            pool = self._search(family, rows, max_len, rng, given)
            best = pool.best(k)
            finite(best.scores[:, 0])
            tokens.append(best.tokens.flatten(0, 1))
            scores.append(best.scores)
        return Best(join(tokens, None if prompt is None else prompt.repeat_interleave(k, 0)), torch.cat(scores))

    def _search(self, family: LanguageModel, n: int, max_len: int, rng: torch.Generator, prompt: Tensor | None) -> Pool:
        at = family.start(n, rng=rng) if prompt is None else family.prime(prompt, rng=rng)
        device, g, b = at.logits.device, self.groups, self.width // self.groups
        pool = Pool.empty(n, g, b, max_len, device)
        line = torch.arange(n, device=device)  # the row of `pool` that each row of the search fills
        tokens = torch.full((n, g, b, max_len), PAD, device=device)
        scores = torch.full((n, g, b), -torch.inf, device=device)
        scores[:, :, 0] = 0.0  # one hypothesis a group at first, or all would be the same
        at = select(at, line.repeat_interleave(g * b))
        for i in range(max_len):
            parent, chosen, scores = self._extend(at.logits, tokens, scores, i, pool, line)
            tokens = tokens.gather(2, parent[..., None].expand(-1, -1, -1, max_len))
            tokens[..., i] = chosen
            if i + 1 == max_len:
                pool.add(line, tokens, scores, max_len, self.length_penalty)  # cut
                break
            going = self._may_win(pool, line, scores, i + 1, max_len).nonzero()[:, 0]
            if len(going) == 0:
                break
            line, tokens, scores, chosen = line[going], tokens[going], scores[going], chosen[going]
            at = family.step(_lines(at.state, going, parent[going], g, b), chosen.flatten())
        return pool

    def _extend(
        self, logits: Tensor, tokens: Tensor, scores: Tensor, i: int, pool: Pool, line: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Parents, tokens and scores of the next live hypotheses; those that end go to the pool."""
        n, g, b = scores.shape
        if not self.rules.idle:
            logits = self.rules(logits, tokens[..., :i].flatten(0, 2))
        v = logits.shape[-1]
        dead = (scores == -torch.inf) | (logits.amax(-1).view_as(scores) == -torch.inf)
        log_prob = logits.log_softmax(-1).view(n, g, b, v).masked_fill(dead[..., None], -torch.inf)
        used = torch.zeros(n, v, device=logits.device)
        parents, chosen, kept = [], [], []
        for group in range(g):
            total = scores[:, group, :, None] + log_prob[:, group]  # n x b x v
            ended = tokens[:, group].clone()
            ended[..., i] = EOS
            pool.add(line, ended[:, None], total[:, None, :, EOS], i + 1, self.length_penalty, group)
            total[..., EOS] = -torch.inf
            rank = (total - self.diversity * used[:, None]).flatten(1)
            index = rank.topk(b).indices
            parents.append(index // v)
            kept.append(total.flatten(1).gather(1, index))
            chosen.append((index % v).masked_fill(kept[-1] == -torch.inf, EOS))
            used.scatter_add_(1, chosen[-1], kept[-1].isfinite().to(used.dtype))
        return torch.stack(parents, 1), torch.stack(chosen, 1), torch.stack(kept, 1)

    def _may_win(self, pool: Pool, line: Tensor, scores: Tensor, length: int, max_len: int) -> Tensor:
        """The rows in which a live hypothesis can still enter the pool: its log-probability can only fall."""
        reach = max_len if self.length_penalty > 0 else length + 1
        bound = scores.amax(-1) / reach**self.length_penalty
        return (bound > pool.worst(line)).any(-1)


def _lines(state: State, going: Tensor, parent: Tensor, groups: int, width: int) -> State:
    """The states of the parents, in the order of the new hypotheses."""
    base = (going[:, None] * groups + torch.arange(groups, device=going.device))[..., None] * width
    return select(state, (base + parent).flatten())
