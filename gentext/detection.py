"""Labelled text for a discriminator: what people wrote, and what a trained run writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from gentext.checks import at_least
from gentext.data.splits import SPLITS, TextRow
from gentext.run_text import RunText
from gentext.seeding import Streams

HUMAN, GENERATED = "human", "generated"


@dataclass(frozen=True, kw_only=True)
class DetectionCorpus(RunText):
    """As many texts of a run's corpus as of the run itself, each with its label: `human` or `generated`.

    The human texts of a split are the corpus's own of that split, so that test is human text that neither the run nor
    the discriminator has seen.

    Args:
        run: the folder of a trained run, of a corpus of lines.
        decode: what draws its texts; None: plain sampling.
        train, valid, test: human texts of each split at most.
        seed: of the draws.
        trusted: modules of your own that the run's configuration may name.
    """

    train: int = 10_000
    valid: int = 1_000
    test: int = 5_000
    origin: str = field(default="a corpus, and draws of a model trained on it", init=False)
    pairs: bool = field(default=True, init=False)
    labels: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        at_least(1, train=self.train, test=self.test)
        at_least(0, valid=self.valid)
        super().__post_init__()

    @property
    def name(self) -> str:
        return f"detection-{Path(self.run).name}"

    def identity(self) -> str:
        return self.digest(self.train, self.valid, self.test, self.seed)

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        corpus = self.corpus()
        for split, most in zip(SPLITS, (self.train, self.valid, self.test), strict=True):
            lines = iter(corpus.lines(split))
            n = min(most, corpus.size(split))
            for texts in self.drawn(n, corpus.max_len, Streams(self.seed)(f"data/{split}")):
                for human, made in zip(islice(lines, len(texts)), texts, strict=True):
                    yield split, TextRow(HUMAN, human)
                    yield split, TextRow(GENERATED, made)
