"""A generator a label, and Bayes' rule: a generative classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.language_model import LanguageModel, SupportsEM
from gentext.models.classifier.base import Classifier, texts_of
from gentext.models.layers import ModuleList
from gentext.types import EOS, PAD, Batch


class ClassConditional(Classifier, SupportsEM):
    """p(label | text) = p(label) p(text | label) / p(text), with a language model of its own for each label.

    An n-gram counts (`train=em`). A neural model descends `loss=joint`, -log p(text, label), which is maximum
    likelihood of its texts, or `loss=nll`, -log p(label | text), which trains the same model discriminatively (Ng and
    Jordan 2002; Lasserre, Bishop and Minka 2006).

    Args:
        vocab_size: of the tokenizer.
        model: makes a language model; called once for each label.
        labels: how many there are.
        max_len: tokens of the longest label, EOS included.

    Example:
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> labels, texts = pad([[4, 2], [5, 2]]), pad([[6, 6, 2], [7, 7, 2]])
        >>> model = ClassConditional(9, lambda: NGram(9, order=1), labels=2, max_len=2)
        >>> train = Batch(labels.tokens, labels.mask, texts.tokens)
        >>> model.prepare([train], rng=torch.Generator())
        >>> _ = model.accumulate(train); model.maximize()
        >>> model.scores(torch.tensor([[6, 6], [7, 7]])).argmax(1).tolist()
        [0, 1]
    """

    closed_form = True
    log_prior: Tensor
    seen: Tensor
    models: ModuleList[LanguageModel]

    def __init__(
        self, vocab_size: int, model: Callable[[], LanguageModel], *, labels: int | None, max_len: int
    ) -> None:
        super().__init__(vocab_size, labels=labels, max_len=max_len)
        self.models = ModuleList(model() for _ in range(self.labels))
        self.closed_form = all(one.closed_form for one in self.models)
        counts = isinstance(self.models[0], SupportsEM) and self.closed_form
        log_prior = torch.zeros(self.labels)
        if counts:
            self.register_buffer("log_prior", log_prior)
        else:
            self.log_prior = nn.Parameter(log_prior)
        self.register_buffer("seen", torch.zeros(self.labels))  # texts of each label that were counted

    def scores(self, texts: Int[Tensor, "n p"]) -> Float[Tensor, "n c"]:
        return self._joint(texts).log_softmax(-1)

    def terms(self, texts: Int[Tensor, "n p"], is_label: Float[Tensor, "n c"]) -> dict[str, Float[Tensor, " n"]]:
        """`joint`: -log p(text, label), in nats a text."""
        if not self.training:
            return {}
        return {"joint": -(self._joint(texts) * is_label).sum(1)}

    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        """Count each text in its label's model."""
        texts, is_label = ended(texts_of(batch)), self.label_of(batch)
        result = torch.zeros(len(batch), dtype=torch.float64, device=batch.tokens.device)
        for i, model in enumerate(self.models):
            rows = is_label[:, i].nonzero()[:, 0]
            self.seen[i] += len(rows)
            if len(rows):
                result[rows] = self._counting(model).accumulate(texts.rows(rows)).double()
        return result

    def maximize(self) -> None:
        self.log_prior.copy_((self.seen / self.seen.sum()).log())
        for model, texts in zip(self.models, self.seen.tolist(), strict=True):
            if texts:
                self._counting(model).maximize()
        self.seen.zero_()

    def size(self) -> int:
        return self.labels + sum(model.size() for model in self.models)

    def flops(self, tokens: int) -> float:
        return sum(model.flops(tokens) for model in self.models)

    def _joint(self, texts: Int[Tensor, "n p"]) -> Float[Tensor, "n c"]:
        batch = ended(texts)
        each = torch.stack([model.log_prob(batch) for model in self.models], 1)
        return each + self.log_prior.log_softmax(-1).to(each)

    @staticmethod
    def _counting(model: Any) -> SupportsEM:
        if not isinstance(model, SupportsEM):
            raise ValueError(
                f"train=em needs a family that counts, and {type(model).__name__} does not; "
                "take train=gradient loss=joint"
            )
        return model


def ended(texts: Int[Tensor, "n p"]) -> Batch:
    """Texts with EOS at their end."""
    lengths = (texts != PAD).sum(1)
    tokens = torch.cat([texts, texts.new_full((len(texts), 1), PAD)], 1)
    tokens = tokens.scatter(1, lengths[:, None], EOS)
    mask = torch.arange(tokens.shape[1], device=texts.device)[None] <= lengths[:, None]
    return Batch(tokens, mask)
