"""The output layer: hidden states to the next token's log-probability, in chunks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.checks import ArgumentError
from gentext.models.layers import Embedding
from gentext.types import BOS, PAD, RESERVED

CHUNK = 1 << 23  # logits held at once by the output layer: 32 MB in single precision


ROWS = 256  # of them, rows at once on a CPU at most: what the products after the softmax read again is still near


BLOCK = 1 << 20  # of them, made at once on a CPU: they fit its caches


LOG2E = math.log2(math.e)  # logits in base 2: a power of two takes a third of the time of one of e


class Output(nn.Module):
    """Hidden states to the next token's distribution; PAD and BOS have probability zero.

    `tied` shares the embedding's matrix (Press and Wolf 2017).
    """

    floor: Tensor

    def __init__(self, vocab_size: int, width: int, *, tied: Embedding | None = None, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(vocab_size, width)) if tied is None else tied.weight
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None
        floor = torch.zeros(vocab_size)
        floor[[PAD, BOS]] = -torch.inf  # read, and never emitted
        self.register_buffer("floor", floor, persistent=False)

    def forward(self, hidden: Float[Tensor, "*n d"]) -> Float[Tensor, "*n v"]:
        return F.linear(hidden, self.weight, self._offset())

    def log_prob(
        self, hidden: Float[Tensor, "n t d"], tokens: Int[Tensor, "n t"], mask: Bool[Tensor, "n t"]
    ) -> Float[Tensor, "n t"]:
        """log p(token), zero where the mask is false, where nothing is computed either."""
        found = self._of_rows(hidden[mask], tokens[mask])
        return found.new_zeros(mask.shape).masked_scatter(mask, found)

    def _of_rows(self, hidden: Float[Tensor, "n d"], tokens: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        return token_log_prob(hidden, self.weight, self._offset(), tokens)

    def terms(
        self,
        hidden: Float[Tensor, "n t d"],
        tokens: Int[Tensor, "n t"],
        mask: Bool[Tensor, "n t"],
        log_prob: Float[Tensor, "n t"],
    ) -> dict[str, Float[Tensor, "n t"]]:
        """What a loss may ask for: `uniform`, the mean log-probability over every token that can be emitted.

        Label smoothing adds it. It needs no second pass over the vocabulary: the mean logit is one dot product with the
        mean of the weights, and the normaliser is the token's logit less its `log_prob`.
        """
        gap = (hidden * (_mean(self.weight) - F.embedding(tokens, self.weight))).sum(-1)  # the mean logit less this one
        if self.bias is not None:
            gap = gap + _mean(self.bias) - self.bias[tokens]
        return {"uniform": torch.where(mask, gap + log_prob, 0.0)}

    def flops(self, tokens: int) -> float:
        """Floating-point operations of the log-probabilities of so many tokens."""
        return 2.0 * tokens * self.weight.numel()

    def _offset(self) -> Float[Tensor, " v"]:
        return self.floor if self.bias is None else self.floor + self.bias


class AdaptiveOutput(Output):
    """An output layer in clusters of words, of which training and scoring compute those that hold the text's words.

    The words before the first cutoff compete with one entry for each later cluster; a rarer word's probability is its
    cluster's, times its own among the words of its cluster. That is an exact distribution over all words, and takes
    less than a full softmax because most tokens of a text are frequent words. Drawing needs all clusters.

    cutoffs: ids at which a cluster begins, rising. Ids must go by frequency, as those of words and characters do
      (`tokenizer=word`, `char`); those of subwords do roughly.

    Source: Grave et al. 2017, sections 4.1 and 4.3. Differs: the vectors of rare words are as wide as the others
    (theirs are a quarter as wide in each further cluster), so that they can be the embedding's own (`tied`). It has no
    term `uniform`, which would take every cluster's normaliser: label smoothing needs a full softmax.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,
        *,
        cutoffs: Sequence[int],
        tied: Embedding | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__(vocab_size, width, tied=tied, bias=bias)
        bounds = [0, *cutoffs, vocab_size]
        if any(b <= a for a, b in itertools.pairwise(bounds)) or bounds[1] <= RESERVED:
            raise ArgumentError(
                "cutoffs",
                f"are {list(cutoffs)}; they must rise, between {RESERVED + 1} and the {vocab_size} words of the "
                "vocabulary; null is a full softmax",
            )
        self.sizes = [b - a for a, b in itertools.pairwise(bounds)]
        self.clusters = nn.Parameter(torch.zeros(len(cutoffs), width))
        self.cluster_bias = nn.Parameter(torch.zeros(len(cutoffs)))

    def forward(self, hidden: Float[Tensor, "*n d"]) -> Float[Tensor, "*n v"]:
        frequent, *rare = super().forward(hidden).split(self.sizes, -1)
        head = torch.cat([frequent, F.linear(hidden, self.clusters, self.cluster_bias)], -1).log_softmax(-1)
        frequent, *within = head.split([self.sizes[0], *[1] * len(rare)], -1)
        return torch.cat([frequent, *(a + b.log_softmax(-1) for a, b in zip(within, rare, strict=True))], -1)

    def _of_rows(self, hidden: Float[Tensor, "n d"], tokens: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        weights, offsets = self.weight.split(self.sizes), self._offset().split(self.sizes)
        starts = [0, *itertools.accumulate(self.sizes[:-1])]
        cluster = torch.bucketize(tokens, torch.tensor(starts[1:], device=tokens.device), right=True)
        target = torch.where(cluster == 0, tokens, self.sizes[0] - 1 + cluster)
        weight = torch.cat([weights[0], self.clusters])
        found = token_log_prob(hidden, weight, torch.cat([offsets[0], self.cluster_bias]), target)
        for i in range(1, len(self.sizes)):
            at = (cluster == i).nonzero()[:, 0]
            if len(at):
                own = token_log_prob(hidden[at], weights[i], offsets[i], tokens[at] - starts[i])
                found = found.index_add(0, at, own)
        return found

    def terms(
        self,
        hidden: Float[Tensor, "n t d"],
        tokens: Int[Tensor, "n t"],
        mask: Bool[Tensor, "n t"],
        log_prob: Float[Tensor, "n t"],
    ) -> dict[str, Float[Tensor, "n t"]]:
        return {}

    def flops(self, tokens: int) -> float:
        """Of a text whose words are as frequent as Zipf's law has it, 1 / rank: the shares of clusters follow."""
        harmonic = (1 / torch.arange(1, len(self.weight) + 1, dtype=torch.float64)).split(self.sizes)
        shares = [float(part.sum()) for part in harmonic]
        rare = sum(share * size for share, size in zip(shares[1:], self.sizes[1:], strict=True)) / sum(shares)
        return 2.0 * tokens * self.weight.shape[1] * (self.sizes[0] + len(self.sizes) - 1 + rare)


def output_layer(
    vocab_size: int, width: int, *, cutoffs: Sequence[int] | None, tied: Embedding | None = None, bias: bool = False
) -> Output:
    """A full softmax, or with `cutoffs` an adaptive one, but for those that lie beyond the vocabulary.

    So a setting for a large corpus serves a part of it too.
    """
    within = [cutoff for cutoff in cutoffs or () if cutoff < vocab_size]
    if not within:
        return Output(vocab_size, width, tied=tied, bias=bias)
    return AdaptiveOutput(vocab_size, width, cutoffs=within, tied=tied, bias=bias)


def _mean(rows: Float[Tensor, "v *d"]) -> Float[Tensor, "*d"]:
    """Over the tokens that can be emitted."""
    return (rows.sum(0) - rows[PAD] - rows[BOS]) / (len(rows) - 2)


def token_log_prob(
    hidden: Float[Tensor, "n d"],
    weight: Float[Tensor, "v d"],
    bias: Float[Tensor, " v"],
    tokens: Int[Tensor, " n"],
    scale: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """log softmax(hidden weight^T + bias)[token] of each row, times its `scale`; never more than CHUNK logits at once.

    Under autocast the products run in its precision, the softmax in single.
    """
    if torch.is_grad_enabled():
        return _TokenLogProb.apply(hidden, weight, bias, tokens, scale)
    log_prob = _walk(hidden, weight, bias, tokens, None)[0]
    return log_prob if scale is None else log_prob * scale


class _TokenLogProb(torch.autograd.Function):
    """The gradients are formed in the forward pass, while a chunk's probabilities are at hand.

    Keeping n x v logits for the backward pass costs their memory, and computing them again a third more time. Taken as
    if each row's incoming gradient were one, d hidden is a row each and is scaled later; d weight is a sum over rows,
    and right whenever their gradients are all alike, as under any mean over tokens, weighted by a `scale` or not. Where
    they are not, backward walks the chunks once more.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, tokens, scale):
        shares = torch.ones_like(tokens, dtype=torch.float32) if scale is None else scale
        log_prob, *gradients = _walk(hidden, weight, bias, tokens, shares, biased=ctx.needs_input_grad[2])
        ctx.save_for_backward(hidden, weight, bias, tokens, scale, *gradients)
        ctx.autocast = torch.is_autocast_enabled(hidden.device.type)
        return log_prob if scale is None else log_prob * scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        hidden, weight, bias, tokens, scale, to_hidden, to_weight, to_bias = ctx.saved_tensors
        each = upstream if scale is None else upstream * scale
        if upstream.numel() and bool((upstream == upstream[0]).all()):
            return each[:, None] * to_hidden, upstream[0] * to_weight, upstream[0] * to_bias, None, None
        with torch.autocast(hidden.device.type, enabled=ctx.autocast):
            _, _, to_weight, to_bias = _walk(hidden, weight, bias, tokens, each, biased=ctx.needs_input_grad[2])
        return each[:, None] * to_hidden, to_weight, to_bias, None, None


def _walk(
    hidden: Float[Tensor, "n d"],
    weight: Float[Tensor, "v d"],
    bias: Float[Tensor, " v"],
    tokens: Int[Tensor, " n"],
    scale: Float[Tensor, " n"] | None,
    *,
    biased: bool = False,
) -> tuple[Tensor, ...]:
    """log p of each token and, given a `scale` for each row, the gradients of log p (hidden) and scale . log p.

    The gradient of a bias that is not `biased` stays zero: a pass over the logits less.
    """
    device = hidden.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    full = torch.promote_types(low, torch.float32)
    to_hidden, to_weight, to_bias = hidden.new_zeros(hidden.shape), torch.zeros_like(weight), torch.zeros_like(bias)
    log_prob = torch.zeros(tokens.shape, dtype=full, device=hidden.device)
    size = max(1, CHUNK // weight.shape[0])
    if hidden.is_cpu:
        size = min(size, ROWS)
    with torch.autocast(device, enabled=False):
        matrix, offset = weight.to(low), (bias * LOG2E).to(low)
        odds = matrix.new_empty(min(size, len(hidden)), len(matrix))
        far = torch.finfo(low).max ** 0.75  # of odds, for their products with weights must be finite too
        for start in range(0, len(hidden), size):
            rows = slice(start, start + size)
            inputs, target = (hidden[rows] * LOG2E).to(low), tokens[rows, None]
            target_logit = (inputs * F.embedding(target[:, 0], matrix)).sum(1, keepdim=True, dtype=full) + offset[
                target
            ]
            slope, base = odds[: len(inputs)], target_logit
            others = _odds(inputs, matrix, offset, target, base, slope)
            if not bool((others < far).all()):  # some token is far likelier than the one that was said
                peaks = [logits.amax(1, keepdim=True) for logits in _logits(inputs, matrix, offset, slope)]
                base = torch.cat(peaks, 1).amax(1, keepdim=True).to(full)
                others = _odds(inputs, matrix, offset, target, base, slope)
            total = others + (target_logit - base).exp2()
            log_prob[rows] = (target_logit - base - total.log2())[:, 0] / LOG2E
            if scale is not None:
                slope.scatter_(1, target, -others.to(low))  # over `total`: of -log p in the logits
                weighted = (scale[rows, None] / total).to(low)
                to_hidden[rows] = -(slope @ matrix) / total
                _subtract(to_weight, slope.T, weighted * hidden[rows].to(low))
                if biased:
                    to_bias -= (slope.T @ weighted)[:, 0]
    return log_prob, to_hidden, to_weight, to_bias


def _odds(
    inputs: Float[Tensor, "n d"],
    matrix: Float[Tensor, "v d"],
    offset: Float[Tensor, " v"],
    target: Int[Tensor, "n 1"],
    base: Float[Tensor, "n 1"],
    out: Float[Tensor, "n v"],
) -> Float[Tensor, "n 1"]:
    """The sum of exp(logit - base) over all tokens but `target`; every one's goes into `out`.

    With the target's own logit as base it is (1 - p) / p: no search for the largest logit, which is a pass of its own.
    """
    total = torch.zeros_like(base)
    for logits in _logits(inputs, matrix, offset, out):
        odds = logits.to(base.dtype).sub_(base).exp2_()
        if odds is not logits:
            logits.copy_(odds)
        total += logits.sum(1, keepdim=True, dtype=base.dtype)
    return (total - out.gather(1, target)).clamp_min(0)  # rounding may leave less than nothing of a sure token


def _logits(
    inputs: Float[Tensor, "n d"], matrix: Float[Tensor, "v d"], offset: Float[Tensor, " v"], out: Float[Tensor, "n v"]
) -> Iterator[Float[Tensor, "n b"]]:
    """inputs matrix^T + offset into `out`, in blocks of words that stay in a CPU's caches while they are worked on."""
    size = max(512, BLOCK // len(inputs)) if inputs.is_cpu else len(matrix)
    for part, words, shift in zip(out.split(size, 1), matrix.split(size), offset.split(size), strict=True):
        yield torch.addmm(shift, inputs, words.T, out=part)


def _subtract(total: Float[Tensor, "v d"], a: Float[Tensor, "v n"], b: Float[Tensor, "n d"]) -> None:
    if total.dtype == a.dtype:
        total.addmm_(a, b, alpha=-1)
    else:
        total -= a @ b
