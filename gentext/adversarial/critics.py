"""Critics: from texts of one width, PAD after EOS, to scores of how real they are (higher: more real).

Each derives from `Critic`, which says what all of them do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gentext.checks import at_least, depth, share
from gentext.language_model import Critic
from gentext.models.layers import ModuleList
from gentext.types import PAD, Batch

Layer = TypeVar("Layer", bound=nn.Module)

ROWS = 256  # texts whose filters' answers fit a core's cache


def critic_scores(critic: Critic, tokens: Shaped[Tensor, "n t *v"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, "..."]:
    """A critic's scores of each text [n k]; a dense one's of each token up to EOS, in one row."""
    scores = critic(tokens)
    return scores[mask] if critic.dense else scores


def odds(critic: Critic, batch: Batch, length: int) -> Float[Tensor, " n"]:
    """A critic's log-odds that a person wrote each text, which it reads as it learnt to: PAD up to `length` tokens.

    Of several representations, and of a dense critic's tokens up to EOS, the mean.
    Raises: ValueError where its outputs are features, by which a ranker compares texts, or a language model's.
    """
    if critic.outputs != 1:
        does = "ranks texts among others" if critic.outputs else "models texts"
        raise ValueError(f"this critic {does}, and gives no odds of one; take a classifier as judge")
    more = (0, max(0, length - batch.tokens.shape[1]))
    return text_scores(critic, critic(F.pad(batch.tokens, more, value=PAD)), F.pad(batch.mask, more, value=False))


def text_scores(critic: Critic, scores: Float[Tensor, "n *k"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, " n"]:
    """One score a text from a critic's: the mean, of a dense one's tokens up to EOS, else of its representations."""
    if critic.dense:
        return torch.where(mask, scores, 0.0).sum(1) / mask.sum(1).clamp_min(1)
    return scores if scores.dim() == 1 else scores.mean(1)


class _Peaks(torch.autograd.Function):
    """The maxima over time [n w] of filters [w d k] over vectors [n t d].

    Gradients go by way of the one window that each maximum comes from: in a convolution's own, which multiplies all of
    them, nearly every term is zero.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        filters = weight.transpose(1, 2).flatten(1)
        peaks, places = [], []
        for part in x.split(ROWS):
            answers = (_windows(part, weight) @ filters.T).unflatten(0, (len(part), -1))
            # as an image with its channels last, whose pooling is vectorised where max(1) is not
            image = answers[:, :, None].permute(0, 3, 1, 2)
            peak, place = F.max_pool2d(image, (answers.shape[1], 1), return_indices=True)
            peaks.append(peak.flatten(1))
            places.append(place.flatten(1))
        ctx.save_for_backward(x, weight, torch.cat(places))
        return torch.cat(peaks)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad,), (x, weight, place) = grads, ctx.saved_tensors
        filters = weight.transpose(1, 2).flatten(1)
        (n, t, d), k = x.shape, weight.shape[2]
        if torch.is_grad_enabled():  # a penalty on the gradient differentiates it again
            answers = (_windows(x, weight) @ filters.T).unflatten(0, (n, -1))
            peak = answers.gather(1, place[:, None])[:, 0]
            by_x, by_weight = torch.autograd.grad(peak, (x, weight), grad, create_graph=True)
            return by_x, by_weight
        steps = t - k + 1
        by_x = by_weight = None
        if ctx.needs_input_grad[1]:
            rows = place + steps * torch.arange(n, device=x.device)[:, None]  # of the windows
            by_weight = F.embedding_bag(
                rows.T.contiguous(), _windows(x, weight), mode="sum", per_sample_weights=grad.T.contiguous()
            )
            by_weight = by_weight.unflatten(1, (k, d)).transpose(1, 2)
        if ctx.needs_input_grad[0]:
            by_x = torch.zeros_like(x, memory_format=torch.contiguous_format)
            for some, at, by_peak in zip(*(each.split(ROWS) for each in (by_x, place, grad)), strict=True):
                _add_filters(some, at, by_peak, filters)
        return by_x, by_weight


def _add_filters(
    by_x: Float[Tensor, "n t d"],
    place: Int[Tensor, "n w"],
    by_peak: Float[Tensor, "n w"],
    filters: Float[Tensor, "w kd"],
) -> None:
    """Adds to each window of by_x the filters that have their maximum there, each times its gradient.

    A product with all filters, nearly all of them times zero, takes two to three times as long on a CPU.
    """
    (n, t, d), w = by_x.shape, len(filters)
    k = filters.shape[1] // d
    steps = t - k + 1
    window = (place + steps * torch.arange(n, device=place.device)[:, None]).flatten()
    if window.is_cpu and n * steps <= 2**16:  # 16 bits are sorted by radix, five times as fast
        order = torch.from_numpy(np.argsort(window.numpy().astype(np.uint16), kind="stable"))
    else:
        order = window.argsort(stable=True)
    begins = F.pad(torch.bincount(window, minlength=n * steps).cumsum(0)[:-1], (1, 0))
    by_window = F.embedding_bag(
        order % w, filters, begins, mode="sum", per_sample_weights=by_peak.flatten()[order]
    ).view(n, steps, k, d)
    for at in range(k):
        by_x[:, at : at + steps] += by_window[:, :, at]


def _windows(x: Tensor, weight: Tensor) -> Tensor:
    """All stretches of a filter's width in [n t d], each with its vectors in one row."""
    return x.unfold(1, weight.shape[2], 1).transpose(2, 3).flatten(2).flatten(0, 1)


class TextCNN(Critic):
    """Filters of several widths, the maximum of each over time, a highway layer: one score a text.

    filters: how many of each width.
    representations: the text is embedded so many times over, `embedding` shared out, and judged by the same filters
      each time: as many scores (Nie et al. 2019, section 2.3).
    outputs: numbers of a score; more than one are features, for a ranker.
    spectral: every layer but the embedding has a largest singular value of one (Miyato et al. 2018).
    Source: Yu et al. 2017 (SeqGAN), section 3.3; Kim 2014; Srivastava et al. 2015, equation 3.
    Differs: PAD has a vector of its own that is learnt; RelGAN's layer of 100 before the score, which has no
    non-linearity, is left out.

    Example:
        >>> critic = TextCNN(vocab_size=9, embedding=8, filters={2: 3, 3: 4}, representations=2)
        >>> critic(torch.tensor([[4, 5, 6, 2], [7, 2, 0, 0]])).shape  # a score of each representation
        torch.Size([2, 2])
    """

    convolutions: ModuleList[nn.Conv1d]

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding: int = 64,
        filters: Mapping[int, int],
        representations: int = 1,
        outputs: int = 1,
        dropout: float = 0.25,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if not filters or min(map(int, filters)) < 1:
            raise ValueError(f"filters is {dict(filters)}; give how many of each width, such as {{2: 200, 3: 200}}")
        at_least(
            1, embedding=embedding, representations=representations, outputs=outputs, filters=min(filters.values())
        )
        share(dropout=dropout)
        if embedding % representations:
            raise ValueError(f"embedding {embedding} is not {representations} representations of one size")
        self.vocab_size, self.representations, self.outputs, self.dropout = (
            vocab_size,
            representations,
            outputs,
            dropout,
        )
        self.spectral = spectral
        self.embedding = nn.Embedding.from_pretrained(0.1 * torch.randn(vocab_size, embedding), freeze=False)
        one = embedding // representations
        self.convolutions = ModuleList(_normed(nn.Conv1d(one, k, int(w)), spectral) for w, k in filters.items())
        features = sum(filters.values())
        self.highway = _normed(nn.Linear(features, 2 * features), spectral)
        self.verdict = _normed(nn.Linear(features, outputs), spectral)
        self.widest = max(map(int, filters))

    def embed(self, tokens: Shaped[Tensor, "n t *v"]) -> Float[Tensor, "n t d"]:
        return _vectors(self.embedding.weight, tokens)

    def forward_embedded(self, vectors: Float[Tensor, "n t d"]) -> Float[Tensor, "n k"]:
        n, t, _ = vectors.shape
        k = self.representations
        x = vectors.view(n, t, k, -1).transpose(1, 2).reshape(n * k, t, -1)
        x = F.pad(x, (0, 0, 0, max(0, self.widest - t)))
        peaks = [_Peaks.apply(x, layer.weight) + layer.bias for layer in self.convolutions]
        return self._score(torch.cat(peaks, 1)).view(n, -1)

    def forward(self, tokens: Shaped[Tensor, "n t *v"]) -> Float[Tensor, "n k"]:
        many = tokens.numel() > self.vocab_size and tokens.shape[1] >= self.widest
        # several representations are so narrow that to convolve is cheaper: ten times at 64 of width 1
        if self.representations == 1 and many and not (torch.is_grad_enabled() or tokens.is_floating_point()):
            return torch.cat([self._score(part) for part in self._looked_up(tokens).split(ROWS)])
        return self.forward_embedded(self.embed(tokens))

    def _score(self, peaks: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        x = F.relu(peaks)
        gate, new = self.highway(x).chunk(2, 1)
        x = torch.lerp(x, F.relu(new), gate.sigmoid())
        return self.verdict(F.dropout(x, self.dropout, self.training))

    def _looked_up(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n d"]:
        """The filters' peaks over time, from what each column of a filter makes of each word, worked out once.

        The thousands of rollouts of a policy gradient hold the same words over and over: adding rows up is four times
        faster than convolving.
        """
        words = self.embedding.weight
        peaks = []
        for layer in self.convolutions:
            columns = layer.weight.unbind(2)
            table = torch.cat([words @ column.T for column in columns])
            shift = torch.arange(len(columns), device=tokens.device) * len(words)
            found = [
                F.embedding_bag((part.unfold(1, len(columns), 1) + shift).flatten(0, 1), table, mode="sum")
                .unflatten(0, (len(part), -1))
                .amax(1)
                for part in tokens.split(ROWS)
            ]
            assert layer.bias is not None
            peaks.append(torch.cat(found) + layer.bias)
        return torch.cat(peaks, 1)


class GRUCritic(Critic):
    """GRUs that read from left to right: a score of each token given those before it, or one on the text.

    Source: de Masson d'Autume et al. 2019 (ScratchGAN), section 3, for the dense one.
    Differs: a GRU, and no positions; of the text, the score is on the maximum of the states over time.
    spectral: the score's layer has a largest singular value of one; the GRU is as it is.

    Example:
        >>> critic = GRUCritic(vocab_size=9, embedding=8, width=8, dense=True)
        >>> critic(torch.tensor([[4, 5, 6, 2], [7, 2, 0, 0]])).shape  # a score of every token
        torch.Size([2, 4])
    """

    outputs = 1

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding: int = 64,
        width: int = 128,
        layers: int = 1,
        dense: bool = False,
        dropout: float = 0.1,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        depth(layers=layers)
        at_least(1, embedding=embedding, width=width)
        share(dropout=dropout)
        self.vocab_size, self.dense, self.dropout, self.spectral = vocab_size, dense, dropout, spectral
        self.embedding = nn.Embedding.from_pretrained(0.1 * torch.randn(vocab_size, embedding), freeze=False)
        self.norm = nn.LayerNorm(embedding)
        self.reader = nn.GRU(embedding, width, layers, batch_first=True)
        self.verdict = _normed(nn.Linear(width, 1), spectral)

    def embed(self, tokens: Shaped[Tensor, "n t *v"]) -> Float[Tensor, "n t d"]:
        return _vectors(self.embedding.weight, tokens)

    def forward_embedded(self, vectors: Float[Tensor, "n t d"]) -> Float[Tensor, "n k"]:
        x = self.reader(F.dropout(self.norm(vectors), self.dropout, self.training))[0]
        if not self.dense:
            x = x.amax(1, keepdim=True)
        return self.verdict(F.dropout(x, self.dropout, self.training))[..., 0]


def _normed(layer: Layer, spectral: bool) -> Layer:
    """The layer itself, with its largest singular value held at one where that is asked for."""
    return cast(Layer, spectral_norm(layer)) if spectral else layer


def _vectors(weight: Float[Tensor, "v d"], tokens: Shaped[Tensor, "n t *v"]) -> Float[Tensor, "n t d"]:
    """Ids, or rows of probabilities, as vectors."""
    return tokens @ weight if tokens.is_floating_point() else F.embedding(tokens, weight)
