"""The common part of metrics on conditional tracks: each sample beside its own reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, pack, unpack
from gentext.metrics.intervals import bootstraps
from gentext.types import Samples, Value

SIDES = ("samples", "references")


class PairMetric(TextMetric):
    """A metric over pairs of sample and reference."""

    def __init__(self, resamples: int = 1000, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        checks.at_least(0, resamples=resamples)
        self.resamples = resamples
        self.seed = seed
        for name in SIDES:
            self.add_column(f"{name}_bytes", torch.uint8)
            self.add_column(f"{name}_lengths", torch.long)

    def update(self, samples: Samples, references: Samples) -> None:
        """Add texts that answer the same prompts, row by row. Raises Absent where they do not."""
        if samples.prompts is None:
            raise Absent("the samples answer no prompts, so that none has a reference of its own")
        if len(samples) != len(references) or references.prompts not in (None, samples.prompts):
            raise Absent(
                f"{len(samples)} samples and {len(references)} references do not answer the same prompts, row by row"
            )
        for name, texts in zip(SIDES, (samples.texts, references.texts), strict=True):
            packed, lengths = pack(texts)
            self.append(f"{name}_bytes", packed)
            self.append(f"{name}_lengths", lengths)

    def pairs(self) -> tuple[list[str], list[str]]:
        """All samples and all references so far. Raises Absent where there are none."""
        samples, references = (unpack(self.column(f"{name}_bytes"), self.column(f"{name}_lengths")) for name in SIDES)
        if not samples:
            raise Absent(f"{type(self).__name__} needs 1 or more samples, and there are 0")
        return samples, references

    def means(self, figures: Mapping[str, tuple[Sequence[float], str]], unit: str = "") -> dict[str, Value]:
        """The mean and its bootstrap interval for each name.

        Args:
            figures: by name, one figure a pair, of which more is better, and the signature.
            unit: of every figure.
        """
        table = np.array([each for each, _ in figures.values()], dtype=np.float64).T
        intervals = bootstraps(table, resamples=self.resamples, seed=self.seed)
        return {
            name: Value(
                float(each.mean()),
                f"{signature}|pairs:{len(each)}|v:1",
                True,
                len(each),
                unit,
                **interval._asdict(),
                per_sequence=each.copy(),
                paired=True,
            )
            for (name, (_, signature)), each, interval in zip(figures.items(), table.T, intervals, strict=True)
        }


class WordPairMetric(PairMetric):
    """A metric over the words of pairs.

    Args:
        words: the rule that cuts a text into words (treebank, whitespace, lines or char); None: the corpus's own.
        lowercase: whether text is lower-cased first; None: as the corpus does.
    """

    def __init__(
        self, words: str | None = None, lowercase: bool | None = None, resamples: int = 1000, seed: int = 0
    ) -> None:
        super().__init__(resamples, seed)
        self.cut_by(words, lowercase)

    def update(self, samples: Samples, references: Samples) -> None:
        """Add texts that answer the same prompts, row by row. Raises Absent where they do not."""
        super().update(samples, references)
        self.segment(samples)
        self.segment(references)
