"""BLEU and Self-BLEU over all hypotheses and all references, equal to NLTK's sentence_bleu, in a tenth of a second.

Every cap and every other convention in use is an argument, and stands in the signature: the number of hypotheses and of
references moves these figures more than most differences between models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from gentext import checks
from gentext.data.ngram_arrays import Sentences, hashed
from gentext.metrics import intervals
from gentext.metrics.base import Absent
from gentext.metrics.bleu_counts import SMOOTHINGS, Overlap, overlap
from gentext.metrics.intervals import GROUPS, group_errors, group_of, student
from gentext.metrics.word_metric import WordMetric, log
from gentext.types import Samples, Value

MODES = ("leave-one-out", "included", "halves", "fresh")
FEW = 32  # hypotheses or references, of fewer than which a group may hold all


class BLEU(WordMetric):
    """BLEU-1..max_order: the mean over hypotheses of the sentence's BLEU against all references, uniform weights.

    `hypotheses` and `references` cap each to its first so many (None: all). Published conventions:
    Texygen's tables, GansFallingShort: as it stands. Texygen's default code: references=500. TextGAN-PyTorch:
    hypotheses=200. RelGAN: hypotheses=100. LeakGAN: hypotheses=2000 smoothing=skip. TaylorGAN: smoothing=floor.

    >>> from gentext.types import Samples
    >>> bleu = BLEU(max_order=2)
    >>> bleu.update(samples=Samples(("a dog runs",)), references=Samples(("a dog sleeps", "he runs")))
    >>> {name: round(value, 3) for name, value in bleu.compute().items()}
    {'bleu1': 1.0, 'bleu2': 0.707}
    """

    higher_is_better: ClassVar[bool | None] = True
    collections = ("samples", "references")

    def __init__(
        self,
        max_order: int = 5,
        smoothing: str = "method1",
        hypotheses: int | None = None,
        references: int | None = None,
        words: str | None = None,
        lowercase: bool | None = None,
        groups: int = GROUPS,
        seed: int = 0,
        name: str = "bleu",
    ) -> None:
        super().__init__(words, lowercase)
        check(max_order, smoothing, hypotheses=hypotheses, references=references)
        checks.at_least(0, groups=groups)
        self.max_order = max_order
        self.smoothing = smoothing
        self.hypotheses = hypotheses
        self.references = references
        self.groups = groups
        self.seed = seed
        self.name = name

    def update(self, samples: Samples | None = None, references: Samples | None = None) -> None:
        self.read(samples=samples, references=references)

    def values(self) -> Mapping[str, Value]:
        hypotheses = self.sentences("samples")[: self.hypotheses]
        references = self.sentences("references")[: self.references]
        first = np.arange(len(hypotheses) + len(references)) < len(hypotheses)
        both = overlap(hypotheses + references, self.max_order, np.stack([first, ~first], 1))
        warn_if_foreign(hypotheses, references, both)
        n, m = len(hypotheses), len(references)
        group = None
        if self.groups and min(n, m) >= intervals.FEW:
            group = np.append(group_of(n, self.groups, self.seed), group_of(m, self.groups, self.seed + 1))
        bleu, errors = with_errors(both, group, first, ~first, self.smoothing)
        rest = f"refs:{m}|hyps:{n}|smooth:{self.smoothing}|tok:{self.tok}|v:1"
        return {
            f"{self.name}{k}": Value(
                value := float(each.mean()),
                f"bleu{k}|{rest}",
                True,
                n,
                **student(value, error, self.groups)._asdict(),
                per_sequence=each.copy(),
            )
            for k, (each, error) in enumerate(zip(bleu, errors, strict=True), 1)
        }


class SelfBLEU(WordMetric):
    """Self-BLEU-1..max_order: the mean BLEU of a sample against the other samples; the lower, the more diverse.

    `mode` says which others: all but itself (leave-one-out); all with itself (included: 1 by construction); the second
    half for samples of the first (halves); all after the first `hypotheses` for those (fresh). `references` caps the
    others to the first so many. Published conventions: Texygen's tables, GansFallingShort: as it stands. Texygen's
    default code: hypotheses=500 references=500. TextGAN-PyTorch: mode=fresh hypotheses=200. RelGAN: mode=included
    hypotheses=200. TaylorGAN: mode=halves smoothing=floor.
    Its interval comes from a jackknife, since the duplicates of a bootstrap would count as repetitions.

    >>> from gentext.types import Samples
    >>> selfbleu = SelfBLEU(max_order=1)
    >>> selfbleu.update(samples=Samples(("a dog", "a cat")))
    >>> selfbleu.compute()
    {'selfbleu1': 0.5}
    """

    higher_is_better: ClassVar[bool | None] = False

    def __init__(
        self,
        max_order: int = 5,
        mode: str = "leave-one-out",
        smoothing: str = "method1",
        hypotheses: int | None = None,
        references: int | None = None,
        words: str | None = None,
        lowercase: bool | None = None,
        groups: int = GROUPS,
        seed: int = 0,
        name: str = "selfbleu",
    ) -> None:
        super().__init__(words, lowercase)
        check(max_order, smoothing, hypotheses=hypotheses, references=references)
        checks.at_least(0, groups=groups)
        checks.one_of("mode", mode, MODES)
        if mode == "fresh" and hypotheses is None:
            raise ValueError(
                "mode=fresh sets the first hypotheses against the rest: say how many, as in hypotheses=200"
            )
        if mode == "halves" and hypotheses is not None:
            raise ValueError("mode=halves takes one half as hypotheses: leave hypotheses out")
        self.max_order = max_order
        self.mode = mode
        self.smoothing = smoothing
        self.hypotheses = hypotheses
        self.references = references
        self.groups = groups
        self.seed = seed
        self.name = name

    def update(self, samples: Samples) -> None:
        self.read(samples=samples)

    def sides(self, n: int) -> Bool[ndarray, "n 2"]:
        """Which of n samples are hypotheses, and which are references."""
        index = np.arange(n)
        hypotheses = {"halves": n // 2}.get(self.mode, self.hypotheses if self.hypotheses is not None else n)
        begin = hypotheses if self.mode in ("halves", "fresh") else 0
        end = n if self.references is None else begin + self.references
        return np.stack([index < hypotheses, (index >= begin) & (index < end)], 1)

    def values(self) -> Mapping[str, Value]:
        samples = self.sentences("samples", least=2)
        sides = self.sides(len(samples))
        hypotheses, references = sides.sum(0)
        if not references:
            raise Absent(f"no samples are left as references beside {hypotheses} hypotheses: mode is {self.mode}")
        alone = self.mode == "leave-one-out"
        shared = overlap(samples, self.max_order, None if alone else sides)

        known = self.groups and min(hypotheses, references) >= FEW
        group = group_of(len(samples), self.groups, self.seed) if known else None
        bleu, errors = with_errors(shared, group, *sides.T, self.smoothing, alone)
        others = self.mode if alone and references == len(samples) else f"{self.mode}:{references}"
        rest = f"refs:{others}|hyps:{hypotheses}|smooth:{self.smoothing}|tok:{self.tok}|v:1"
        return {
            f"{self.name}{k}": Value(
                value, f"selfbleu{k}|{rest}", False, int(hypotheses), **student(value, error, self.groups)._asdict()
            )
            for k, (value, error) in enumerate(zip(bleu.mean(1).tolist(), errors, strict=True), 1)
        }


def with_errors(
    texts: Overlap, group: Int[ndarray, " n"] | None, *options: Any
) -> tuple[Float[ndarray, "k p"], Float[ndarray, " k"]]:
    """BLEU of every hypothesis, and the standard errors of the means from leaving out a group at a time.

    The errors are NaN where there are no groups. `options` are those of `Overlap.bleu`.
    """
    if group is None:
        return texts.bleu(*options), np.full(len(texts.orders), np.nan)
    bleu, means = texts.bleu_without(group, *options)
    return bleu, group_errors(means)


def check(max_order: int, smoothing: str, **caps: int | None) -> None:
    """Raises: ValueError for an order, a smoothing or a cap that there is not."""
    checks.at_least(1, max_order=max_order, **caps)
    checks.one_of("smoothing", smoothing, SMOOTHINGS)


STOPS = hashed([[".", "!", "?", "。"]]).words


def warn_if_foreign(hypotheses: Sentences, references: Sentences, both: Overlap) -> None:
    """Say so where the two seem to be cut or cased otherwise: few words in common, or full stops apart in one only."""
    words, known = hypotheses.lengths.sum(), (both.orders[0].member < len(hypotheses)).sum()
    if known < words / 2:
        log.warning("of the samples' %d words %d occur in the references: are both cut and cased alike?", words, known)
    apart = [100 * np.isin(last_words(texts), STOPS).sum() / len(texts) for texts in (hypotheses, references)]
    if abs(apart[0] - apart[1]) > 50:
        log.warning(
            "%.0f %% of samples and %.0f %% of references end in a full stop apart: are both cut alike?", *apart
        )


def last_words(sentences: Sentences) -> Int[ndarray, " n"]:
    """The last word of each sentence that has one."""
    return sentences.words[sentences.lengths.cumsum()[sentences.lengths > 0] - 1]
