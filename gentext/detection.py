"""Labelled text for a discriminator: what people wrote, and what a trained run writes."""

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
from gentext.data.splits import SPLITS, TextRow
from gentext.decode import Ancestral
from gentext.files import sha256
from gentext.language_model import Decoder
from gentext.seeding import Streams
from gentext.trained import TrainedModel, load

HUMAN, GENERATED = "human", "generated"
CHUNK = 1024  # texts drawn at once


@dataclass(frozen=True)
class DetectionCorpus(Source):
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

    run: str
    decode: Decoder | None = None
    train: int = 10_000
    valid: int = 1_000
    test: int = 5_000
    seed: int = 0
    trusted: Collection[str] = ()
    origin: str = field(default="a corpus, and draws of a model trained on it", init=False)
    licence: str = field(default="that of the corpus", init=False)
    pairs: bool = field(default=True, init=False)
    labels: bool = field(default=True, init=False)

    _model: TrainedModel = field(init=False, repr=False, compare=False)
    _human: Source = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at_least(1, train=self.train, test=self.test)
        at_least(0, valid=self.valid)
        model = load(self.run, trusted=self.trusted)
        if model.pairs or model.config.data.get("unit") == "stream":
            raise ValueError(f"data.run is {self.run}, whose corpus is of pairs or one stream; name a run of lines")
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_human", config.build(model.config.data, trusted=self.trusted))

    @property
    def name(self) -> str:
        return f"detection-{Path(self.run).name}"

    @property
    def words(self) -> str:
        return self._human.words

    @property
    def lowercase(self) -> bool:
        return self._human.lowercase

    def identity(self) -> str:
        weights = sha256(Path(self.run) / "model.safetensors")
        identity = (weights, self.decode and config.setting(self.decode), self.train, self.valid, self.test, self.seed)
        return hashlib.sha256(repr(identity).encode()).hexdigest()

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        model = self._model
        corpus = Corpus.open(self._human, model.tokenizer, max_len=int(model.config.max_len))
        sizes = dict(zip(SPLITS, (self.train, self.valid, self.test), strict=True))
        decoder = (self.decode or Ancestral()).reading(model.tokenizer)
        for split, most in sizes.items():
            lines = corpus.lines(split)
            n = min(most, len(lines))
            rng = Streams(self.seed)(f"data/{split}")
            for at in range(0, n, CHUNK):
                size = min(CHUNK, n - at)
                with torch.inference_mode():
                    draw = model.family.sample(size, corpus.max_len, decoder=decoder, rng=rng)
                for human, made in zip(
                    lines[at : at + size], model.tokenizer.decode(draw.tokens.tolist()), strict=True
                ):
                    yield split, TextRow(HUMAN, human)
                    yield split, TextRow(GENERATED, made)
