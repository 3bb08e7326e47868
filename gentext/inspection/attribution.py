"""Which tokens made a neural family expect a token: gradient times input, and integrated gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.language_model import LanguageModel, SupportsAdversarial, SupportsFullConditionals, SupportsLatent
from gentext.models import Pretrained
from gentext.models.classifier.base import Classifier, texts_of
from gentext.models.layers import Embedding
from gentext.types import RESERVED, Batch, FullConditionals

STEPS = 32  # of the path from no input to the input


class Attributions(NamedTuple):
    """What each token that was read added to the log-probability of each token of a text, in nats."""

    values: Float[Tensor, "t s"]  # a row a token of the text (of a classifier a label), a column a token read
    written: Int[Tensor, " t"]  # the tokens (of a classifier the numbers of the labels) that the rows are of
    read: Int[Tensor, " s"]  # in the order of reading


class _Reading:
    """What token embeddings give while a family reads: the vectors, scaled and recorded."""

    def __init__(self, shift: int) -> None:
        self.scale, self.shift = 1.0, shift
        self.vectors, self.tokens = list[Tensor](), list[Tensor]()

    def record(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """The vectors that a family goes on with in place of `output`, each with a gradient of its own."""
        vectors = (output.detach() * self.scale).requires_grad_()
        self.vectors.append(vectors)
        self.tokens.append(inputs[0] + self.shift)
        return vectors


def attributions(family: LanguageModel, batch: Batch, *, steps: int | None = None) -> Attributions | None:
    """What each read vector adds to the log-probability of each token of one text, in nats.

    None for a family that reads no token by an embedding (n-grams, HMMs), or of which a text's tokens have no
    probabilities. Of one that reads a text from both sides, it is of each token given all the others.

    steps: None: the gradient times the vector; else integrated gradients from vectors of zeros, by the midpoints of
        so many parts of the path, whose columns add up to log p less that of the zeros (completeness).
    Sources: Shrikumar et al. 2016 (gradient times input); Sundararajan et al. 2017, equation 3 (integrated gradients).
    Differs: captum's IntegratedGradients asks for one embedding layer that is called once, and imports matplotlib; here
    every call of it counts, as a state machine makes one a token.
    """
    from_the_left = family.likelihood == "exact" and family.sequential
    if not (from_the_left or isinstance(family, SupportsLatent | SupportsFullConditionals)):
        return None
    score, written, line = _target(family, batch)
    scales = [1.0] if steps is None else [(i + 0.5) / steps for i in range(steps)]
    total: Tensor | None = None
    with _reading(family) as reading:
        for scale in scales:
            reading.scale, reading.vectors, reading.tokens = scale, [], []
            with torch.enable_grad():
                own = score()
                if not reading.vectors or not own.requires_grad:
                    return None
                slopes = torch.autograd.grad(own.diagonal().sum(), reading.vectors, allow_unused=True)
            parts = [
                (torch.zeros_like(vector) if slope is None else slope * (vector.detach() / scale)).sum(-1)
                for slope, vector in zip(slopes, reading.vectors, strict=True)
            ]
            part = torch.cat([part.reshape(len(written), -1) for part in parts], 1) / len(scales)
            total = part if total is None else total + part
        read = torch.cat([tokens.reshape(len(written), -1)[0] for tokens in reading.tokens]) if line is None else line
    assert total is not None
    return Attributions(total.detach(), written, read)


def _target(
    family: LanguageModel, batch: Batch
) -> tuple[Callable[[], Float[Tensor, "r c"]], Int[Tensor, " r"], Int[Tensor, " s"] | None]:
    """What gives log p of every token (or label) in rows that are all the same text: each row asks for one of them.

    And the tokens that they ask for; and what all of them read, where each reads a mask in another place.
    """
    if isinstance(family, Classifier):
        texts = texts_of(batch).expand(family.labels, -1)
        return lambda: family.scores(texts), torch.arange(family.labels), None
    if isinstance(family, SupportsFullConditionals):
        with torch.no_grad():
            _, tokens, read = family.full_conditionals(batch)
        return lambda: _own(family.full_conditionals(batch)).diag(), tokens, read
    written, t = batch.tokens[0][batch.mask[0]], int(batch.lengths[0])
    index = torch.zeros(t, dtype=torch.long, device=batch.tokens.device)
    rows = batch.rows(index)
    if not isinstance(family, SupportsLatent):
        return lambda: family(rows).log_prob, written, None
    with torch.no_grad():
        z = family.encode(batch).mean
    return lambda: family.given_latent(z.expand(t, -1))(rows).log_prob, written, None


def _own(found: FullConditionals) -> Float[Tensor, " t"]:
    return found.logits.log_softmax(-1).gather(1, found.tokens[:, None])[:, 0]


@contextmanager
def _reading(family: LanguageModel) -> Iterator[_Reading]:
    """Watches the embeddings of tokens while it lasts."""
    reading = _Reading(RESERVED if isinstance(family, Pretrained) else 0)
    if isinstance(family, Pretrained):  # whose ids are a checkpoint's
        modules = [family.network.get_input_embeddings()]
    else:
        writer = family.generator if isinstance(family, SupportsAdversarial) else family
        modules = [module for module in writer.modules() if isinstance(module, Embedding)]
    hooks = [module.register_forward_hook(reading.record) for module in modules]
    try:
        yield reading
    finally:
        for hook in hooks:
            hook.remove()
