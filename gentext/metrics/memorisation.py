"""How much of the samples stands in the training text: n-grams, spans, whole sentences. All of it is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from gentext import checks
from gentext.data.ngram_arrays import Sentences
from gentext.data.shared_ngrams import sentence_of_place, shared_ngrams
from gentext.data.suffix_array import fingerprints, longest_matches
from gentext.metrics.base import Absent
from gentext.metrics.intervals import bootstrap_ratio, clopper_pearson, linearised, share_of_ratio
from gentext.metrics.word_metric import WordMetric
from gentext.types import Samples, Value


class Memorisation(WordMetric):
    """novelty1..max_order, verbatim, copied_span, copied_share.

    noveltyN: the share of the samples' n-grams, repetitions counted, that the training text does not hold.
    verbatim: the share of samples that are a training text. copied_span: words of a sample's longest span that stands
    in one training text; copied_share: the same by the sample's length.
    Source: McCoy et al. 2023 (novelty).

    Example:
        >>> from gentext.types import Samples
        >>> metric = Memorisation(max_order=1)
        >>> metric.update(Samples(("a dog runs", "he sleeps")), Samples(("a dog sleeps", "he sleeps")))
        >>> metric.compute()["novelty1"], metric.compute()["verbatim"]  # "runs" is new, "he sleeps" is copied
        (0.2, 0.5)
    """

    collections = ("samples", "training")
    higher_is_better: ClassVar[bool | None] = None

    def __init__(
        self,
        max_order: int = 6,
        words: str | None = None,
        lowercase: bool | None = None,
        resamples: int = 10_000,
        seed: int = 0,
    ) -> None:
        super().__init__(words, lowercase)
        checks.at_least(1, max_order=max_order)
        checks.at_least(0, resamples=resamples)
        self.max_order = max_order
        self.resamples = resamples
        self.seed = seed

    def update(self, samples: Samples | None = None, training: Samples | None = None) -> None:
        self.read(samples=samples, training=training)

    def values(self) -> Mapping[str, Value | Absent]:
        samples, training = self.sentences("samples"), self.sentences("training")
        n = len(samples)
        rest = f"train:{len(training)}|seqs:{n}|tok:{self.tok}|v:1"
        places = np.maximum(samples.lengths - np.arange(self.max_order)[:, None], 0)
        novel = places - known_ngrams(samples, training, self.max_order)
        span = longest_copies(samples, training)
        each = np.ones(n, dtype=np.int64)
        parts = {f"novelty{k}": (novel[k - 1], places[k - 1], "share") for k in range(1, self.max_order + 1)}
        parts["copied_span"] = (span, each, "words")
        parts["copied_share"] = (span / np.maximum(samples.lengths, 1), each, "share")
        found: dict[str, Value | Absent] = {}
        for name, (part, whole, unit) in parts.items():
            if not whole.sum():
                found[name] = Absent(f"no sample has the {name.removeprefix('novelty')} words that {name} looks at")
                continue
            interval = (
                share_of_ratio(part, whole)
                if unit == "share"
                else bootstrap_ratio(part.astype(np.float64), whole, resamples=self.resamples, seed=self.seed)
            )
            value = float((part * (n / whole.sum())).mean())
            found[name] = Value(
                value, f"{name}|{rest}", None, n, unit, **interval._asdict(), per_sequence=linearised(part, whole)
            )
        copied = np.isin(fingerprints(samples).whole, fingerprints(training).whole)
        verbatim = float(copied.mean())
        interval = clopper_pearson(verbatim, n)._asdict()
        found["verbatim"] = Value(
            verbatim, f"verbatim|{rest}", False, n, "share", **interval, per_sequence=copied.astype(np.float64)
        )
        return found


def known_ngrams(samples: Sentences, training: Sentences, largest: int) -> Int[ndarray, "k n"]:
    """How many n-grams of each sample, order by order, the training text holds too."""
    both = samples + training
    ours, sentence = np.arange(len(both)) < len(samples), sentence_of_place(both)
    known = np.zeros((largest, len(samples)), dtype=np.int64)
    for row, found in zip(known, shared_ngrams(both, largest, np.stack([ours, ~ours], 1)), strict=True):
        holder = sentence[found.member]
        row[:] = np.bincount(holder[holder < len(samples)], minlength=len(samples))
    return known


def longest_copies(samples: Sentences, training: Sentences) -> Int[ndarray, " n"]:
    """The words of each sample's longest span that stands within one training text."""
    longest = np.zeros(len(samples), dtype=np.int64)
    np.maximum.at(longest, samples.sentence, longest_matches(samples, training))
    return longest
