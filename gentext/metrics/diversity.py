"""How much the samples differ from each other, and how much a sample repeats itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gentext import checks
from gentext.data.ngram_arrays import NgramRanks, Sentences, orders, ranked
from gentext.data.suffix_array import fingerprints
from gentext.metrics.base import Absent
from gentext.metrics.intervals import GROUPS, clopper_pearson, jackknife, share_of_ratio, student
from gentext.metrics.word_metric import WordMetric
from gentext.types import Samples, Value


class Diversity(WordMetric):
    """distinct1..max_order, entropy1..max_order, unique, near_duplicates, repetition.

    distinctN: different n-grams by all n-grams. entropyN: of the n-grams' frequencies, nats. unique: different samples
    by all samples. near_duplicates: the share of samples that another one equals, or equals but for one word replaced,
    left out or put in. repetition: the mean share of a sample's n-grams of order `repeats` that it has used before.
    All but the last depend on how many samples there are; their intervals come from a jackknife of `groups` groups.
    Source: Li et al. 2016 (distinct); Welleck et al. 2020 (repetition, seq-rep-n).

    Example:
        >>> from gentext.types import Samples
        >>> metric = Diversity(max_order=1)
        >>> metric.update(Samples(("a dog runs", "a dog runs", "he sleeps")))
        >>> figures = metric.compute()
        >>> figures["distinct1"], round(figures["unique"], 3)
        (0.625, 0.667)
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(
        self,
        max_order: int = 4,
        repeats: int = 2,
        words: str | None = None,
        lowercase: bool | None = None,
        groups: int = GROUPS,
        seed: int = 0,
    ) -> None:
        super().__init__(words, lowercase)
        checks.at_least(1, max_order=max_order, repeats=repeats)
        checks.at_least(0, groups=groups)
        self.max_order = max_order
        self.repeats = repeats
        self.groups = groups
        self.seed = seed

    def update(self, samples: Samples) -> None:
        self.read(samples=samples)

    def values(self) -> Mapping[str, Value | Absent]:
        samples = self.sentences("samples")
        n = len(samples)
        rest = f"seqs:{n}|tok:{self.tok}|v:1"
        every = list(orders(samples, max(self.max_order, self.repeats)))
        figures: dict[str, tuple[Callable, bool, str]] = {}
        found: dict[str, Value | Absent] = {}
        for grams in every[: self.max_order]:
            for name, statistic, unit in (("distinct", distinct, "share"), ("entropy", entropy, "nats")):
                if grams.size:
                    figures[f"{name}{grams.order}"] = (lambda rows, g=grams, s=statistic: s(g, rows), True, unit)
                else:
                    found[f"{name}{grams.order}"] = Absent(f"no sample has {grams.order} words")
        twins = Twins(samples)
        figures["unique"] = (twins.unique, True, "share")
        figures["near_duplicates"] = (twins.near, False, "share")

        def all_figures(kept: ndarray) -> ndarray:
            return np.array([statistic(kept) for statistic, _, _ in figures.values()])

        values = all_figures(np.ones(n, dtype=bool))
        errors = jackknife(all_figures, n, groups=self.groups, seed=self.seed)
        for (name, (_, better, unit)), value, error in zip(figures.items(), values.tolist(), errors, strict=True):
            if unit == "share":  # a near duplicate never comes alone: one pair is one event, and two texts
                trials = n // 2 if name == "near_duplicates" else n
                interval = clopper_pearson(value, trials, error, self.groups - 1, f"jackknife:{self.groups}")
            else:
                interval = student(value, error, self.groups)
            found[name] = Value(value, f"{name}|{rest}", better, n, unit, **interval._asdict())
        again = repetition(every[self.repeats - 1], samples.lengths)
        found["repetition"] = Value(
            float(again.mean()),
            f"repetition|order:{self.repeats}|{rest}",
            None,
            n,
            "share",
            **share_of_ratio(again, np.ones(n))._asdict(),
            per_sequence=again,
        )
        return found


def distinct(grams: NgramRanks, chosen: Bool[ndarray, " n"]) -> float:
    """Different n-grams of the chosen sentences by all of theirs; NaN where they have none."""
    counts = np.bincount(grams.rank[chosen[grams.sentence]], minlength=grams.size)
    return np.count_nonzero(counts) / counts.sum() if counts.any() else np.nan


def entropy(grams: NgramRanks, chosen: Bool[ndarray, " n"]) -> float:
    """The entropy of the n-grams' frequencies in the chosen sentences, nats."""
    counts = np.bincount(grams.rank[chosen[grams.sentence]], minlength=grams.size)
    counts = counts[counts > 0]
    return float(np.log(counts.sum()) - (counts * np.log(counts)).sum() / counts.sum()) if len(counts) else np.nan


def repetition(grams: NgramRanks, lengths: Int[ndarray, " n"]) -> Float[ndarray, " n"]:
    """The share of each sentence's n-grams that stand earlier in it; zero where it has none."""
    again = np.bincount(grams.repeats(), minlength=len(lengths))
    return again / np.maximum(lengths - grams.order + 1, 1)


class Twins:
    """Which sentences are equal, and which differ in one word."""

    def __init__(self, sentences: Sentences) -> None:
        prints = fingerprints(sentences)
        n, t = len(sentences), len(sentences.words)
        self.equal, _, self.kinds = ranked(prints.whole.view(np.int64))
        self.sentence = sentences.sentence
        both, _, self.size = ranked(np.concatenate([prints.whole, prints.without]).view(np.int64))
        self.whole, self.without = both[:n], both[n:]  # one is another without a word: equal here
        span = int(sentences.lengths.max(initial=0)) + 1
        self.replaced, _, self.holes = ranked(self.without * span + prints.position)  # equal but for the word here
        assert len(self.replaced) == t

    def unique(self, chosen: Bool[ndarray, " n"]) -> float:
        """Different sentences by all sentences."""
        return np.count_nonzero(np.bincount(self.equal[chosen], minlength=self.kinds)) / chosen.sum()

    def near(self, chosen: Bool[ndarray, " n"]) -> float:
        """The share of sentences that another is equal to, or one word replaced, left out or put in away from."""
        words = chosen[self.sentence]
        twin = np.bincount(self.equal[chosen], minlength=self.kinds)[self.equal] > 1
        longer = np.bincount(self.without[words], minlength=self.size) > 0
        shorter = np.bincount(self.whole[chosen], minlength=self.size) > 0
        twin |= longer[self.whole]
        by_word = shorter[self.without]
        by_word |= np.bincount(self.replaced[words], minlength=self.holes)[self.replaced] > 1
        twin[self.sentence[by_word]] = True
        return np.count_nonzero(twin & chosen) / chosen.sum()
