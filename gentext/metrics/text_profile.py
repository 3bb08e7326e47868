"""The shape of a text collection: how long its texts are, and how fast its words' frequencies fall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from scipy.optimize import brentq

from gentext import checks
from gentext.data.ngram_arrays import ranked
from gentext.metrics.base import Absent
from gentext.metrics.intervals import GROUPS, jackknife, mean_normal, student
from gentext.metrics.word_metric import WordMetric
from gentext.types import Samples, Value

STEEPEST = 64.0  # no exponent beyond: 2^-64 of the words would not be the first one


class TextProfile(WordMetric):
    """length, length_references, length_w1, zipf, zipf_references, zipf_gap: samples beside references.

    length: words of a text on average; length_w1: Wasserstein-1 distance of the two distributions of lengths, in words.
    zipf: the exponent s of p(r) ~ r^-s over the words' frequency ranks, by maximum likelihood; zipf_gap: how far the
    samples' lies from the references'. Source: Holtzman et al. 2020, section 5.2. Differs: they fit a line to the
    logarithms by least squares, where the many rare words outweigh all others (Clauset et al. 2009). It depends on the
    number of texts. Intervals of the distances come from a jackknife of `groups` groups of both.

    Example:
        >>> from gentext.types import Samples
        >>> metric = TextProfile()
        >>> metric.update(Samples(("a dog runs", "a dog")), Samples(("a dog", "a cat sat")))
        >>> metric.compute()["length"], metric.compute()["length_w1"]
        (2.5, 0.0)
    """

    higher_is_better: ClassVar[bool | None] = None
    collections = ("samples", "references")

    def __init__(
        self, words: str | None = None, lowercase: bool | None = None, groups: int = GROUPS, seed: int = 0
    ) -> None:
        super().__init__(words, lowercase)
        checks.at_least(0, groups=groups)
        self.groups = groups
        self.seed = seed

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value | Absent]:
        samples, references = self.sentences("samples"), self.sentences("references")
        n, m = len(samples), len(references)
        ours, theirs = (ranked(side.words)[0] for side in (samples, references))

        def figures(kept: ndarray, there: ndarray) -> ndarray:
            exponent = zipf_exponent(np.bincount(ours[kept[samples.sentence]]))
            target = zipf_exponent(np.bincount(theirs[there[references.sentence]]))
            apart = wasserstein(samples.lengths[kept], references.lengths[there])
            return np.array([apart, exponent, abs(exponent - target), target])

        values = figures(np.ones(n, dtype=bool), np.ones(m, dtype=bool)).tolist()
        errors = jackknife(figures, n, m, groups=self.groups, seed=self.seed)
        both, own, other = (f"{sides}|tok:{self.tok}|v:1" for sides in (f"refs:{m}|hyps:{n}", f"hyps:{n}", f"refs:{m}"))
        found: dict[str, Value | Absent] = {
            "length": _length(samples.lengths, f"length|{own}"),
            "length_references": _length(references.lengths, f"length_references|{other}"),
        }
        named = (
            ("length_w1", both, False, "words"),
            ("zipf", own, None, ""),
            ("zipf_gap", both, False, ""),
            ("zipf_references", other, None, ""),
        )
        for (name, rest, better, unit), value, error in zip(named, values, errors, strict=True):
            fit = "|fit:mle" if "zipf" in name else ""
            interval = student(value, error, self.groups)._asdict()
            rows = m if rest == other else n
            found[name] = Value(value, f"{name}{fit}|{rest}", better, rows, unit, **interval)
        return {name: _or_absent(value) for name, value in found.items()}


def _length(lengths: Int[ndarray, " n"], signature: str) -> Value:
    each = lengths.astype(np.float64)
    interval = mean_normal(each)
    return Value(float(each.mean()), signature, None, len(each), "words", **interval._asdict(), per_sequence=each)


def _or_absent(value: Value | Absent) -> Value | Absent:
    if isinstance(value, Value) and np.isnan(value.value):
        return Absent("an exponent needs two different words or more on either side")
    return value


def wasserstein(first: Int[ndarray, " n"], second: Int[ndarray, " m"]) -> float:
    """The Wasserstein-1 distance of two samples of whole numbers: the area between their distribution functions."""
    top = int(max(first.max(), second.max())) + 1
    one, two = (np.bincount(lengths, minlength=top).cumsum() / len(lengths) for lengths in (first, second))
    return float(np.abs(one - two).sum())


def zipf_exponent(counts: Int[ndarray, " v"]) -> float:
    """The s that makes the counts likeliest under p(r) = r^-s / sum_k k^-s, r the rank; NaN under two words.

    The likelihood is concave in s, and highest where the mean of log r under the model is that of the text.
    """
    ordered = np.sort(counts[counts > 0])[::-1].astype(np.float64)
    if len(ordered) < 2:
        return float("nan")
    log_rank = np.log(np.arange(1, len(ordered) + 1))
    mean = ordered @ log_rank / ordered.sum()

    def excess(s: float) -> float:
        weight = np.exp(-s * log_rank)
        return weight @ log_rank / weight.sum() - mean

    if excess(0.0) <= 1e-12:  # all words are equally frequent
        return 0.0
    root: Any = brentq(excess, 0.0, STEEPEST) if excess(STEEPEST) < 0 else STEEPEST
    return float(root)
