"""Classifiers that are linear in the counts of a text's tokens, fitted by scikit-learn."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from torch import Tensor

from gentext.checks import positive
from gentext.language_model import SupportsEM
from gentext.models.classifier.base import Classifier, texts_of
from gentext.types import PAD, Batch


class LinearClassifier(Classifier, SupportsEM):
    """log p(label | text) = softmax(weights @ features + bias); the features are made of the counts of tokens."""

    closed_form = True
    weights: Tensor
    bias: Tensor

    def __init__(self, vocab_size: int, *, labels: int | None, max_len: int) -> None:
        super().__init__(vocab_size, labels=labels, max_len=max_len)
        self.register_buffer("weights", torch.zeros(self.labels, vocab_size))
        self.register_buffer("bias", torch.zeros(self.labels))
        self._texts: list[Any] = []
        self._labels: list[np.ndarray] = []

    @abstractmethod
    def fit(self, counts: sparse.csr_array, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """weight [c v] and bias [c], c labels that occur, from the counts of n texts [n v] and their labels [n]."""

    def features(self, counts: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        return counts

    def scores(self, texts: Int[Tensor, "n p"]) -> Float[Tensor, "n c"]:
        counts = torch.zeros(len(texts), self.vocab_size, device=texts.device)
        counts.scatter_add_(1, texts, (texts != PAD).float())
        return (self.features(counts) @ self.weights.T + self.bias).log_softmax(-1)

    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        """Keep the counts of the texts that have a label."""
        is_label = self.label_of(batch)
        kept = is_label.any(1)
        texts = texts_of(batch)[kept].cpu()
        rows, columns = (texts != PAD).nonzero(as_tuple=True)
        ones = np.ones(len(rows), dtype=np.float64)
        at = (rows.numpy(), texts[rows, columns].numpy())
        self._texts.append(sparse.csr_array((ones, at), shape=(len(texts), self.vocab_size)))
        self._labels.append(is_label[kept].long().argmax(1).cpu().numpy())
        return torch.zeros(len(batch), device=batch.tokens.device)

    def maximize(self) -> None:
        labels = np.concatenate(self._labels)
        counts: Any = sparse.vstack(self._texts, format="csr")
        weight, bias = self.fit(counts, labels)
        seen = np.unique(labels)
        self.weights.zero_()
        self.bias.fill_(-torch.inf)
        self.weights[seen], self.bias[seen] = torch.from_numpy(weight).float(), torch.from_numpy(bias).float()
        self._texts, self._labels = [], []

    def size(self) -> int:
        return self.weights.numel() + self.bias.numel()

    def flops(self, tokens: int) -> float:
        return 2.0 * self.labels * tokens


class NaiveBayes(LinearClassifier):
    """Multinomial naive Bayes over the counts of tokens, by scikit-learn: the generative twin of `Logistic`.

    alpha: added to every count.
    Source: McCallum and Nigam 1998.

    Example:
        >>> from gentext.types import pad
        >>> labels, texts = pad([[4, 2], [5, 2]]), pad([[6, 6, 2], [7, 7, 2]])
        >>> model, train = NaiveBayes(9, labels=2, max_len=2), Batch(labels.tokens, labels.mask, texts.tokens)
        >>> model.prepare([train], rng=torch.Generator())
        >>> _ = model.accumulate(train); model.maximize()
        >>> model.scores(torch.tensor([[6, 6], [7, 7]])).argmax(1).tolist()
        [0, 1]
    """

    def __init__(self, vocab_size: int, *, labels: int | None, max_len: int, alpha: float = 1.0) -> None:
        super().__init__(vocab_size, labels=labels, max_len=max_len)
        positive(alpha=alpha)
        self.alpha = alpha

    def fit(self, counts: sparse.csr_array, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        model = MultinomialNB(alpha=self.alpha).fit(counts, labels)
        return model.feature_log_prob_, model.class_log_prior_


class Logistic(LinearClassifier):
    """Logistic regression over tf-idf weights of tokens, by scikit-learn.

    strength: the inverse of the weight of the L2 penalty (scikit-learn's C); iterations: of L-BFGS at most.
    A text's features are (1 + log count) * idf, scaled to length one.

    Example:
        >>> from gentext.types import pad
        >>> labels, texts = pad([[4, 2], [5, 2]]), pad([[6, 6, 2], [7, 7, 2]])
        >>> model, train = Logistic(9, labels=2, max_len=2), Batch(labels.tokens, labels.mask, texts.tokens)
        >>> model.prepare([train], rng=torch.Generator())
        >>> _ = model.accumulate(train); model.maximize()
        >>> model.scores(torch.tensor([[6, 6], [7, 7]])).argmax(1).tolist()
        [0, 1]
    """

    idf: Tensor

    def __init__(
        self, vocab_size: int, *, labels: int | None, max_len: int, strength: float = 10.0, iterations: int = 1000
    ) -> None:
        super().__init__(vocab_size, labels=labels, max_len=max_len)
        positive(strength=strength, iterations=iterations)
        self.strength, self.iterations = strength, iterations
        self.register_buffer("idf", torch.ones(vocab_size))

    def features(self, counts: Float[Tensor, "n v"]) -> Float[Tensor, "n v"]:
        weights = torch.where(counts > 0, 1 + counts.clamp_min(1).log(), 0.0) * self.idf
        return weights / weights.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def fit(self, counts: sparse.csr_array, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaling = TfidfTransformer(sublinear_tf=True).fit(counts)
        self.idf.copy_(torch.from_numpy(scaling.idf_))
        model = LogisticRegression(C=self.strength, max_iter=self.iterations).fit(scaling.transform(counts), labels)
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # of two labels scikit-learn keeps the log-odds of the second
            weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
        return weight, bias
