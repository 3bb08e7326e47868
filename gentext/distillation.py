"""A trained run's own text to learn from: a teacher distilled by its samples."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from gentext import config
from gentext.checks import at_least
from gentext.data.corpus import Corpus
from gentext.data.source import Source
from gentext.data.splits import TextRow
from gentext.decode import Ancestral
from gentext.files import sha256
from gentext.language_model import Decoder
from gentext.seeding import Streams
from gentext.trained import TrainedModel, load

CHUNK = 1024  # texts drawn at once


@dataclass(frozen=True)
class SampledCorpus(Source):
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

    run: str
    decode: Decoder | None = None
    train: int = 50_000
    human: bool = False
    seed: int = 0
    trusted: Collection[str] = ()
    origin: str = field(default="draws of a model trained on a corpus", init=False)
    licence: str = field(default="that of the corpus", init=False)

    _model: TrainedModel = field(init=False, repr=False, compare=False)
    _human: Source = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at_least(1, train=self.train)
        model = load(self.run, trusted=self.trusted)
        if model.pairs or model.config.data.get("unit") == "stream":
            raise ValueError(f"data.run is {self.run}, whose corpus is of pairs or one stream; name a run of lines")
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_human", config.build(model.config.data, trusted=self.trusted))

    @property
    def name(self) -> str:
        return f"samples-{Path(self.run).name}"

    @property
    def words(self) -> str:
        return self._human.words

    @property
    def lowercase(self) -> bool:
        return self._human.lowercase

    def identity(self) -> str:
        weights = sha256(Path(self.run) / "model.safetensors")
        settings = (self.decode and config.setting(self.decode), self.train, self.human, self.seed)
        return hashlib.sha256(repr((weights, *settings)).encode()).hexdigest()

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        model = self._model
        corpus = Corpus.open(self._human, model.tokenizer, max_len=int(model.config.max_len))
        decoder, rng = (self.decode or Ancestral()).reading(model.tokenizer), Streams(self.seed)("data/train")
        for at in range(0, self.train, CHUNK):
            with torch.inference_mode():
                draw = model.family.sample(min(CHUNK, self.train - at), corpus.max_len, decoder=decoder, rng=rng)
            for text in model.tokenizer.decode(draw.tokens.tolist()):
                if text.strip():
                    yield "train", TextRow(text)
        for split in ("train", "valid", "test") if self.human else ("valid", "test"):
            for text in corpus.lines(split):
                yield split, TextRow(text)
