"""Can a classifier tell the samples from the references? Half right means that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from gentext import checks
from gentext.data.ngram_arrays import Sentences, orders
from gentext.metrics.base import Absent
from gentext.metrics.c2st_cnn import cnn
from gentext.metrics.intervals import clopper_pearson
from gentext.metrics.word_metric import WordMetric
from gentext.types import Samples, Value

# sentences, labels, rows to learn from -> the label that each sentence is taken to have
Classifier = Callable[[Sentences, Bool[ndarray, " n"], Int[ndarray, " p"], int], Bool[ndarray, " n"]]
LEAST = 10  # texts of a side: with fewer, a half is no training set


class C2ST(WordMetric):
    """c2st_<classifier>: the share of held-out texts that it assigns to the right side; 0.5 is indistinguishable.

    `classifier`: naive_bayes (counts of words and bigrams), logistic (their tf-idf weights), cnn (words). As many
    texts of either side, drawn at random where one has more; trained on all but the share `held_out` of each.
    Source: Lopez-Paz and Oquab 2017. The same text on both sides cannot be told apart, and counts as what it is.

    Example:
        >>> from gentext.types import Samples
        >>> metric = C2ST("naive_bayes")
        >>> metric.update(Samples(("a dog",) * 20), Samples(("he runs",) * 20))
        >>> metric.compute()
        {'c2st_naive_bayes': 1.0}
    """

    higher_is_better: ClassVar[bool | None] = False
    collections = ("samples", "references")

    def __init__(
        self,
        classifier: str = "logistic",
        held_out: float = 0.5,
        words: str | None = None,
        lowercase: bool | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(words, lowercase)
        checks.one_of("classifier", classifier, CLASSIFIERS)
        checks.positive(held_out=held_out)
        checks.share(held_out=held_out)
        self.classifier = classifier
        self.held_out = held_out
        self.seed = seed

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value]:
        samples, references = self.sentences("samples"), self.sentences("references")
        each = min(len(samples), len(references))
        if each < LEAST:
            raise Absent(f"a classifier needs {LEAST} or more samples and references; the fewer are {each}")
        if not len(samples.words) + len(references.words):
            raise Absent("no text on either side has a word to tell it by")
        rng = np.random.default_rng(self.seed)
        generated = np.arange(len(samples) + len(references)) < len(samples)
        held = max(1, round(each * self.held_out))
        test, train = (
            np.concatenate(parts)
            for parts in zip(*((rows[:held], rows[held:each]) for rows in _sides(generated, rng)), strict=True)
        )
        predicted = CLASSIFIERS[self.classifier](samples + references, generated, rng.permutation(train), self.seed)
        right = predicted[test] == generated[test]
        name = f"c2st_{self.classifier}"
        signature = (
            f"{name}|held-out:{held}x2|train:{each - held}x2|seed:{self.seed}|refs:{len(references)}"
            f"|hyps:{len(samples)}|tok:{self.tok}|v:1"
        )
        interval = clopper_pearson(float(right.mean()), len(right))
        return {name: Value(float(right.mean()), signature, False, len(right), "share", **interval._asdict())}


def _sides(generated: Bool[ndarray, " n"], rng: np.random.Generator) -> list[Int[ndarray, " p"]]:
    """The rows of either side, shuffled."""
    return [rng.permutation(np.flatnonzero(generated == side)) for side in (True, False)]


def naive_bayes(
    sentences: Sentences, generated: Bool[ndarray, " n"], train: Int[ndarray, " p"], _seed: int
) -> Bool[ndarray, " n"]:
    """Multinomial naive Bayes over counts of words and bigrams, Laplace-smoothed."""
    counts = ngram_counts(sentences)
    return MultinomialNB().fit(counts[train], generated[train]).predict(counts)


def logistic(
    sentences: Sentences, generated: Bool[ndarray, " n"], train: Int[ndarray, " p"], _seed: int
) -> Bool[ndarray, " n"]:
    """Logistic regression over tf-idf weights of words and bigrams, fitted to the training rows."""
    counts = ngram_counts(sentences)
    model = make_pipeline(TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000))
    return model.fit(counts[train], generated[train]).predict(counts)


def ngram_counts(sentences: Sentences, order: int = 2) -> sparse.csr_matrix:
    """How often each n-gram of orders 1 .. `order` stands in each sentence."""
    blocks = []
    for grams in orders(sentences, order):
        ones = np.ones(len(grams.rank), dtype=np.float32)
        blocks.append(sparse.csr_matrix((ones, (grams.sentence, grams.rank)), shape=(len(sentences), grams.size)))
    return sparse.csr_matrix(sparse.hstack(blocks, format="csr"))


CLASSIFIERS: dict[str, Classifier] = {"naive_bayes": naive_bayes, "logistic": logistic, "cnn": cnn}
