"""Text that a trained run writes, beside that of its corpus: what a discriminator or a student learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gentext import config
from gentext.data.corpus import Corpus
from gentext.data.source import Source
from gentext.decode import Ancestral
from gentext.files import sha256
from gentext.language_model import Decoder
from gentext.trained import TrainedModel, load

CHUNK = 1024  # texts drawn at once


@dataclass(frozen=True, kw_only=True)
class RunText(Source):
    """A source over a run of a corpus of lines; a subclass says what of both its splits hold.

    run: the folder of a trained run.
    decode: what draws its texts; None: plain sampling.
    seed: of the draws.
    trusted: modules of your own that the run's configuration may name.
    """

    run: str
    decode: Decoder | None = None
    seed: int = 0
    trusted: Collection[str] = ()
    licence: str = field(default="that of the corpus", init=False)

    _model: TrainedModel = field(init=False, repr=False, compare=False)
    _human: Source = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        model = load(self.run, trusted=self.trusted)
        if model.pairs or model.config.data.get("unit") == "stream":
            raise ValueError(f"data.run is {self.run}, whose corpus is of pairs or one stream; name a run of lines")
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_human", config.build(model.config.data, trusted=self.trusted))

    @property
    def words(self) -> str:
        return self._human.words

    @property
    def lowercase(self) -> bool:
        return self._human.lowercase

    def corpus(self) -> Corpus:
        """The run's own corpus, as the run read it."""
        return Corpus.open(self._human, self._model.tokenizer, max_len=int(self._model.config.max_len))

    def drawn(self, n: int, max_len: int, rng: torch.Generator) -> Iterator[list[str]]:
        """`n` texts of the run, some at a time."""
        model = self._model
        decoder = (self.decode or Ancestral()).reading(model.tokenizer)
        for at in range(0, n, CHUNK):
            with torch.inference_mode():
                draw = model.family.sample(min(CHUNK, n - at), max_len, decoder=decoder, rng=rng)
            yield model.tokenizer.decode(draw.tokens.tolist())

    def digest(self, *settings: Any) -> str:
        """What identifies the text: the run's weights, how it is drawn, and a subclass's settings."""
        weights = sha256(Path(self.run) / "model.safetensors")
        how = self.decode and config.setting(self.decode)
        return hashlib.sha256(repr((weights, how, *settings)).encode()).hexdigest()
