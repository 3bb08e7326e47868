"""A trained run's own text to learn from: a teacher distilled by its samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gentext.checks import at_least
from gentext.data.splits import TextRow
from gentext.run_text import RunText
from gentext.seeding import Streams


@dataclass(frozen=True, kw_only=True)
class SampledCorpus(RunText):
    """A run's samples to train on, and its corpus's own texts to be judged against: `data=samples data.run=RUN`.

    Valid and test are people's, so that a student's held-out likelihood is compared with its teacher's.

    Args:
        run: the folder of a trained run, of a corpus of lines: the teacher.
        decode: what draws its texts; None: plain sampling, whose limit of endless text is the teacher itself.
        train: how many texts it writes.
        human: add the train split of the corpus to them.
        seed: of the draws.
        trusted: modules of your own that the run's configuration may name.

    Source: Kim and Rush 2016, section 3.2 (sequence-level distillation; there by the beam's best).
    """

    train: int = 50_000
    human: bool = False
    origin: str = field(default="draws of a model trained on a corpus", init=False)

    def __post_init__(self) -> None:
        at_least(1, train=self.train)
        super().__post_init__()

    @property
    def name(self) -> str:
        return f"samples-{Path(self.run).name}"

    def identity(self) -> str:
        return self.digest(self.train, self.human, self.seed)

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        corpus, rng = self.corpus(), Streams(self.seed)("data/train")
        for texts in self.drawn(self.train, corpus.max_len, rng):
            for text in texts:
                if text.strip():
                    yield "train", TextRow(text)
        for split in ("train", "valid", "test") if self.human else ("valid", "test"):
            for text in corpus.lines(split):
                yield split, TextRow(text)
