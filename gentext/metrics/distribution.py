"""How far the n-grams of the samples are distributed as those of the references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from gentext import checks
from gentext.data.ngram_arrays import NgramRanks, orders
from gentext.metrics.base import Absent
from gentext.metrics.intervals import GROUPS, jackknife, student
from gentext.metrics.word_metric import WordMetric
from gentext.types import Samples, Value


class NgramDistribution(WordMetric):
    """msj1..max_order, ngram_js1.., ngram_kl1.., ngram_reverse_kl1..: samples against references, order by order.

    msjN: MS-Jaccard-N, the geometric mean over orders 1 .. N of what two multisets of n-grams share by what either
    holds, an n-gram counted as often as it occurs in a sentence on average (Montahaei et al. 2019, section 4.1).
    ngram_jsN: Jensen-Shannon divergence of the n-grams' frequencies, nats, ln 2 where nothing is shared.
    ngram_klN, ngram_reverse_klN: KL(references | samples), large where the samples lack n-grams, and KL(samples |
    references), large where they made some up; `smoothing` is added to the count of every n-gram that either side
    holds. All depend on the number of texts, which stands in the signature. Intervals come from a jackknife of `groups`
    groups of both.

    Example:
        >>> from gentext.types import Samples
        >>> metric = NgramDistribution(max_order=1)
        >>> metric.update(Samples(("a dog", "a cat")), Samples(("a dog", "a dog")))
        >>> {name: round(value, 3) for name, value in metric.compute().items()}
        {'msj1': 0.6, 'ngram_js1': 0.108, 'ngram_kl1': 0.132, 'ngram_reverse_kl1': 0.16}
    """

    higher_is_better: ClassVar[bool | None] = None
    collections = ("samples", "references")

    def __init__(
        self,
        max_order: int = 4,
        smoothing: float = 0.5,
        words: str | None = None,
        lowercase: bool | None = None,
        groups: int = GROUPS,
        seed: int = 0,
    ) -> None:
        super().__init__(words, lowercase)
        checks.at_least(1, max_order=max_order)
        checks.positive(smoothing=smoothing)
        checks.at_least(0, groups=groups)
        self.max_order = max_order
        self.smoothing = smoothing
        self.groups = groups
        self.seed = seed

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value | Absent]:
        samples, references = self.sentences("samples"), self.sentences("references")
        n, m = len(samples), len(references)
        every = [Pair(grams, n) for grams in orders(samples + references, self.max_order)]
        named = [(f"{name}{k}", better) for name, better in FIGURES for k in range(1, self.max_order + 1)]

        def figures(ours: ndarray, theirs: ndarray) -> ndarray:
            table = np.array([pair.figures(ours, theirs, self.smoothing) for pair in every])  # [orders, 4]
            with np.errstate(divide="ignore"):
                table[:, 0] = np.exp(np.log(table[:, 0]).cumsum() / np.arange(1, len(table) + 1))
            return table.T.ravel()

        values = figures(np.ones(n, dtype=bool), np.ones(m, dtype=bool))
        errors = jackknife(figures, n, m, groups=self.groups, seed=self.seed)
        rest = f"refs:{m}|hyps:{n}|tok:{self.tok}|v:1"
        found: dict[str, Value | Absent] = {}
        for (name, better), value, error in zip(named, values.tolist(), errors, strict=True):
            if np.isnan(value):
                found[name] = Absent(f"no sample or no reference has {name[-1]} words")
                continue
            smooth = f"smooth:{self.smoothing:g}|" if "kl" in name else ""
            unit = "share" if better else "nats"
            interval = student(value, error, self.groups)._asdict()
            found[name] = Value(value, f"{name}|{smooth}{rest}", better, n, unit, **interval)
        return found


FIGURES = (("msj", True), ("ngram_js", False), ("ngram_kl", False), ("ngram_reverse_kl", False))


class Pair:
    """The n-grams of one order in the first `n` sentences (samples) and in the rest (references)."""

    def __init__(self, grams: NgramRanks, n: int) -> None:
        self.grams, self.n = grams, n

    def figures(
        self, ours: Bool[ndarray, " n"], theirs: Bool[ndarray, " m"], smoothing: float
    ) -> tuple[float, float, float, float]:
        """Jaccard, JS, KL and reverse KL of the samples and references that are kept; NaN where a side is empty."""
        samples, references = (
            np.bincount(self.grams.rank[kept[self.grams.sentence]], minlength=self.grams.size).astype(np.float64)
            for kept in (np.append(ours, theirs & False), np.append(ours & False, theirs))
        )
        if not samples.any() or not references.any():
            return np.nan, np.nan, np.nan, np.nan
        a, b = samples / np.count_nonzero(ours), references / np.count_nonzero(theirs)
        jaccard = np.minimum(a, b).sum() / np.maximum(a, b).sum()
        p, q = samples / samples.sum(), references / references.sum()
        js = (divergence(p, (p + q) / 2) + divergence(q, (p + q) / 2)) / 2
        held = (samples > 0) | (references > 0)  # some of the texts hold fewer n-grams than all
        p, q = (counts[held] + smoothing for counts in (samples, references))
        p, q = p / p.sum(), q / q.sum()
        return float(jaccard), js, divergence(q, p), divergence(p, q)


def divergence(p: Float[ndarray, " k"], q: Float[ndarray, " k"]) -> float:
    """KL(p | q) in nats; q is not zero where p is not."""
    held = p > 0
    return max(0.0, float((p[held] * np.log(p[held] / q[held])).sum()))
