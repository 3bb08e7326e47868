"""What of the training text can be taken out of a model: long spans word for word, and planted secrets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from numpy import ndarray

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, TextScorer, exactness_of
from gentext.metrics.intervals import bootstrap, clopper_pearson
from gentext.metrics.memorisation import longest_copies
from gentext.metrics.word_metric import WordMetric
from gentext.types import Samples, Value


class Extraction(WordMetric):
    """longest_copy, the words of the longest span of any sample that stands in one training text; and extracted.

    extracted: the share of samples that hold a span of `least` words or more of one training text.
    Source: Carlini et al. 2021 and Lee et al. 2022, who count spans of 50 tokens; captions are shorter.

    Example:
        >>> metric = Extraction(least=3)
        >>> metric.update(Samples(("a dog runs home", "he sat")), Samples(("a dog runs away", "he sits")))
        >>> metric.compute()["longest_copy"], metric.compute()["extracted"]
        (3.0, 0.5)
    """

    collections = ("samples", "training")
    higher_is_better: ClassVar[bool | None] = None

    def __init__(self, least: int = 10, words: str | None = None, lowercase: bool | None = None) -> None:
        super().__init__(words, lowercase)
        checks.at_least(1, least=least)
        self.least = least

    def update(self, samples: Samples | None = None, training: Samples | None = None) -> None:
        self.read(samples=samples, training=training)

    def values(self) -> Mapping[str, Value | Absent]:
        samples, training = self.sentences("samples"), self.sentences("training")
        longest = training.lengths.max(initial=0)
        if longest < 2:
            raise Absent("no training text has two words, so that none can be copied in part")
        span = longest_copies(samples, training)
        rest = f"least:{self.least}|train:{len(training)}|seqs:{len(span)}|tok:{self.tok}|v:1"
        each = (span >= self.least).astype(np.float64)
        interval = clopper_pearson(float(each.mean()), len(each))._asdict()
        return {
            "longest_copy": Value(float(span.max()), f"longest_copy|{rest}", None, len(span), "words"),
            "extracted": Value(
                float(each.mean()), f"extracted|{rest}", False, len(span), "share", **interval, per_sequence=each
            )
            if longest >= self.least
            else Absent(f"no training text has {self.least} words; lower eval.metrics.extraction.least"),
        }


@runtime_checkable
class CanarySet(Protocol):
    """Secrets that stand in the training text, and others that might have."""

    texts: Sequence[str]
    repeats: Sequence[int]  # how often each stands in train; 0: it was never planted

    def candidates(self, n: int, seed: int) -> list[str]:
        """`n` texts of the same kind that were not planted."""
        ...


class Exposure(TextMetric):
    """exposure:REPEATS, in bits: how far a planted secret is likelier than others of its kind.

    log2 of the candidates over the rank of the secret among them, by log p; the mean over the secrets that stand so
    often in train. Of a secret that the model has not learned it is 1.44 bits on average (log2 e); what `candidates`
    can show at most is log2 of one more than their number. exposure:0 is of secrets that were never planted.
    Intervals resample secrets. Source: Carlini et al. 2019, section 4.3 (estimated by sampling).

    Example:
        >>> class Short:  # a scorer: shorter texts are likelier
        ...     exactness = "exact"
        ...     def log_prob(self, texts, prompts=None):
        ...         return -np.array([float(len(text)) for text in texts])
        ...     def known(self, texts):
        ...         return np.full(len(texts), True)
        >>> class Secrets:
        ...     texts, repeats = ["ab", "abcdef"], [9, 0]
        ...     def candidates(self, n, seed):
        ...         return ["abcd"] * n
        >>> metric = Exposure(candidates=3)
        >>> metric.update(canaries=Secrets(), scorer=Short())
        >>> metric.compute()
        {'exposure:0': 0.0, 'exposure:9': 2.0}
    """

    higher_is_better: ClassVar[bool | None] = False

    def __init__(self, candidates: int = 2000, resamples: int = 10_000, seed: int = 0) -> None:
        super().__init__()
        checks.at_least(1, candidates=candidates)
        checks.at_least(0, resamples=resamples)
        self.candidates, self.resamples, self.seed = candidates, resamples, seed
        self.add_column("exposures", torch.float64)
        self.add_column("repeats", torch.long)
        self.add_column("inexact", torch.uint8)

    def update(self, canaries: CanarySet, scorer: TextScorer) -> None:
        others = scorer.log_prob(canaries.candidates(self.candidates, self.seed))
        self.append("exposures", exposure(scorer.log_prob(canaries.texts), others))
        self.append("repeats", np.array(canaries.repeats))
        self.append("inexact", np.array([scorer.exactness != "exact"], dtype=np.uint8))

    def values(self) -> Mapping[str, Value | Absent]:
        exposures, repeats = self.column("exposures"), self.column("repeats")
        found: dict[str, Value | Absent] = {}
        for count in np.unique(repeats).tolist():
            own = exposures[repeats == count]
            interval = bootstrap(own, resamples=self.resamples, seed=self.seed)._asdict()
            signature = f"exposure:{count}|candidates:{self.candidates}|seqs:{len(own)}|seed:{self.seed}|v:1"
            kind = exactness_of(self.column("inexact"))
            found[f"exposure:{count}"] = Value(
                float(own.mean()), signature, False, len(own), "bits", **interval, exactness=kind
            )
        return found


def exposure(secrets: ndarray, others: ndarray) -> ndarray:
    """Of each secret log2 of all (the others and itself) over its rank, by log p; a tie counts against it.

    Example:
        >>> exposure(np.array([-1.0, -9.0]), np.array([-2.0, -3.0, -4.0])).tolist()
        [2.0, 0.0]
    """
    order = np.sort(others)
    likelier = len(others) - np.searchsorted(order, secrets, side="left")
    return math.log2(len(others) + 1) - np.log2(likelier + 1)
