"""LM score and reverse LM score: what a fixed, named language model makes of the samples, and learns from them.

Source: Caccia et al. 2020 (Language GANs Falling Short), section 4; Zhao et al. 2018 (reverse perplexity).
Differs: the judge is any Scorer (there: the best MLE generator); duplicates among the samples stay, since they are what
the generator writes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, pack, unpack
from gentext.metrics.intervals import FEW, bootstrap_ratio, linearised, standard_error, student
from gentext.types import Samples, Value

JUDGES = ("kneser_ney", "transformer")
READ_BY_PARTS = 1000  # held-out texts that judges of parts read
COLLECTIONS = ("samples", "references", "training")


@runtime_checkable
class Scorer(Protocol):
    """A language model that judges. What it is fitted on changes; its vocabulary and its settings never do.

    A vocabulary of its own for each text would make rare words cheap: both directions must score the same events.
    """

    @property
    def signature(self) -> str:
        """kn5|vocab:4655: a name for all that moves its figures, but for the text it is fitted on."""
        ...

    def fit(self, texts: Sequence[str]) -> None:
        """Forget the text before, and learn from this."""
        ...

    def log_prob(self, texts: Sequence[str]) -> np.ndarray:
        """log p(text) in nats, the line's end included, float64 [n]."""
        ...


class LMScore(TextMetric):
    """lm_score: nats per word of the samples under the judge fitted on the training text (quality: lower is better).

    reverse_lm_score: nats per word of held-out text under the judge fitted on the samples (quality and diversity).
    A line's end counts as a word. Both depend on how much text the judge is fitted on, so its size is in the signature.
    The interval of the reverse score holds the luck of both texts: judges fitted on `parts` parts of the samples say
    how far these move it. parts=0: no interval (of a judge that is slow to fit).
    `judge` names it: kneser_ney is fast, and favours n-grams; transformer takes a minute for each direction.

    Example:
        >>> class Uniform:  # over ten words; a judge of your own is any Scorer
        ...     signature = "uniform"
        ...     def fit(self, texts): ...
        ...     def log_prob(self, texts):
        ...         return np.array([-np.log(10) * (len(text.split()) + 1) for text in texts])
        >>> texts = Samples(("a dog", "a cat"))
        >>> metric = LMScore(parts=0)
        >>> metric.update({"kneser_ney": Uniform()}, texts, texts, texts)
        >>> round(metric.compute()["lm_score"], 4)  # log 10
        2.3026
    """

    higher_is_better: ClassVar[bool | None] = False

    def __init__(
        self,
        judge: str = "kneser_ney",
        name: str = "lm_score",
        words: str | None = None,
        lowercase: bool | None = None,
        resamples: int = 10_000,
        parts: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.one_of("judge", judge, JUDGES)
        checks.at_least(0, resamples=resamples, parts=parts)
        self.judge = judge
        self.name = name
        self.cut_by(words, lowercase)
        self.resamples = resamples
        self.parts = parts
        self.seed = seed
        self.scorer: Scorer | None = None
        for name in COLLECTIONS:
            self.add_column(f"{name}_bytes", torch.uint8)
            self.add_column(f"{name}_lengths", torch.long)

    def update(
        self,
        judges: Mapping[str, Scorer],
        samples: Samples | None = None,
        references: Samples | None = None,
        training: Samples | None = None,
    ) -> None:
        self.scorer = judges[self.judge]
        for name, texts in zip(COLLECTIONS, (samples, references, training), strict=True):
            if texts is not None:
                self.segment(texts)
                packed, lengths = pack(texts.texts)
                self.append(f"{name}_bytes", packed)
                self.append(f"{name}_lengths", lengths)

    def values(self) -> Mapping[str, Value | Absent]:
        if self.scorer is None:
            raise Absent("LMScore needs a scorer, and there is none")
        samples, references, training = (
            unpack(self.column(f"{name}_bytes"), self.column(f"{name}_lengths")) for name in COLLECTIONS
        )
        if not samples:
            raise Absent("LMScore needs samples, and there are none")
        return {
            self.name: self._score(self.scorer, self.name, training, samples, "training text"),
            f"reverse_{self.name}": self._score(
                self.scorer, f"reverse_{self.name}", samples, references, "held-out text"
            ),
        }

    def _score(self, scorer: Scorer, name: str, learned: list[str], judged: list[str], what: str) -> Value | Absent:
        if not learned or not judged:
            return Absent(f"{name} needs {what}, and there is none")
        how = self.segmentation()
        words = np.array([len(how.split(text)) + 1 for text in judged])
        reverse = name != self.name
        spread = self._spread(scorer, learned, judged[:READ_BY_PARTS], words[:READ_BY_PARTS]) if reverse else 0.0
        scorer.fit(learned)
        nats = -np.asarray(scorer.log_prob(judged), dtype=np.float64)
        ratio = float(nats.sum() / words.sum())
        interval = bootstrap_ratio(nats, words, resamples=self.resamples, seed=self.seed)
        if reverse:
            error = np.hypot(spread, standard_error((nats - ratio * words) / words.mean()))
            interval = student(ratio, error, self.parts, f"parts:{self.parts}+normal")
        return Value(
            ratio,
            f"{name}|{scorer.signature}|fit:{len(learned)}|seqs:{len(judged)}|tok:{how.tok}|v:1",
            False,
            len(judged),
            "nats/word",
            **interval._asdict(),
            per_sequence=None if reverse else linearised(nats, words),  # its sentences share one fitted judge
        )

    def _spread(self, scorer: Scorer, learned: list[str], judged: list[str], words: np.ndarray) -> float:
        """The standard error of the reverse score that comes from the samples: NaN where it is not known.

        From judges fitted on `parts` equal parts of them. A judge's variance falls with its text as 1 / size or faster,
        so that the variance of these, by `parts`, is not below that of the one fitted on all.
        """
        if not self.parts or len(learned) < self.parts * FEW:
            return float("nan")
        order = np.random.default_rng(self.seed).permutation(len(learned))
        found, log = [], logging.getLogger("gentext")
        level = log.level
        log.setLevel(logging.ERROR)  # that a part is small is no news of the text
        try:
            for rows in np.array_split(order, self.parts):
                scorer.fit([learned[row] for row in rows])
                found.append(-np.sum(scorer.log_prob(judged)) / words.sum())
        finally:
            log.setLevel(level)
        return float(np.std(found, ddof=1)) / self.parts**0.5
