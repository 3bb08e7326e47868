"""What single tasks ask of an answer besides being like its reference: the keywords used, code that parses."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any, ClassVar

import torch

from gentext.metrics.base import Absent, pack, unpack
from gentext.metrics.pair_metric import PairMetric, WordPairMetric
from gentext.types import Samples, Value


class KeywordCoverage(WordPairMetric):
    """keyword_coverage: the share of a source's words, or words of their stem, that the answer uses; mean over pairs.

    Source: Lin et al. 2020 (CommonGen), coverage. Differs: Porter stems, where they compare lemmas.

    Example:
        >>> from gentext.types import Samples
        >>> sample, reference = (Samples((text,), ("dog | ball",)) for text in ("two dogs sit", "a dog has a ball"))
        >>> metric = KeywordCoverage()
        >>> metric.update(samples=sample, references=reference)
        >>> metric.compute()
        {'keyword_coverage': 0.5}
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, words: str | None = None, resamples: int = 1000, seed: int = 0) -> None:
        super().__init__(words, None, resamples, seed)
        self.add_column("prompts_bytes", torch.uint8)
        self.add_column("prompts_lengths", torch.long)

    def update(self, samples: Samples, references: Samples) -> None:
        """Add texts that answer the same sources, row by row. Raises Absent where they do not."""
        super().update(samples, references)
        packed, lengths = pack(samples.prompts or ())
        self.append("prompts_bytes", packed)
        self.append("prompts_lengths", lengths)

    def values(self) -> Mapping[str, Value]:
        samples, _ = self.pairs()
        prompts = unpack(self.column("prompts_bytes"), self.column("prompts_lengths"))
        how = self.segmentation()
        wanted = [_stems(how.split(prompt)) for prompt in prompts]
        used = [_stems(how.split(sample)) for sample in samples]
        each = [len(w & u) / len(w) for w, u in zip(wanted, used, strict=True) if w]
        if not each:
            raise Absent("no source holds a word")
        signature = f"keyword_coverage|match:porter|tok:{how.words}+lower|nltk:{version('nltk')}"
        return self.means({"keyword_coverage": (each, signature)}, "share")


@cache
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


def _stems(words: Sequence[str]) -> set[str]:
    """The stems of words, marks left out."""
    return {_stemmer().stem(word.lower()) for word in words if any(map(str.isalnum, word))}


class ValidPython(PairMetric):
    """valid_python: the share of answers that Python can parse; an empty one is no program.

    Example:
        >>> from gentext.types import Samples
        >>> sample, reference = (Samples((text,), ("add",)) for text in ("a +", "a + b"))
        >>> metric = ValidPython()
        >>> metric.update(samples=sample, references=reference)
        >>> metric.compute()
        {'valid_python': 0.0}
    """

    higher_is_better: ClassVar[bool | None] = True

    def values(self) -> Mapping[str, Value]:
        samples, _ = self.pairs()
        signature = f"valid_python|python:{sys.version_info.major}.{sys.version_info.minor}"
        return self.means({"valid_python": ([_parses(sample) for sample in samples], signature)}, "share")


def _parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes
        try:
            return bool(ast.parse(text).body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
