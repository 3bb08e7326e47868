"""Classifiers that flag texts: a trained run, a checkpoint of transformers, a model of scikit-learn."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from gentext.checks import ArgumentError, between, class_name, missing
from gentext.data.checkpoint import transformers_for
from gentext.files import sha256
from gentext.language_model import TextFlag
from gentext.models.classifier.base import Classifier, without_end
from gentext.trained import TrainedModel, load
from gentext.types import pad

AT_ONCE = 256  # texts


@dataclass(frozen=True)
class _LabelFlag(TextFlag):
    """Flags a text whose probability of `label` reaches `threshold`."""

    threshold: float = field(default=0.5, kw_only=True)
    label: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        between(0, 1, threshold=self.threshold)

    def flag(self, texts: Sequence[str]) -> Bool[ndarray, " n"]:
        parts = [self.probability(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)]
        return np.concatenate([np.zeros(0), *parts]) >= self.threshold

    def probability(self, texts: Sequence[str]) -> Float[ndarray, " n"]:
        """p(label | text) of each text."""
        raise NotImplementedError

    def signature(self) -> str:
        return f"{self.label.replace('|', '/')}-{self.checksum()[:8]}-{self.threshold:g}"

    def checksum(self) -> str:
        """Of what gives the probability."""
        raise NotImplementedError

    def among(self, labels: Sequence[str], what: str) -> int:
        """The place of the label. Raises: ArgumentError where there is none of that name."""
        if self.label not in labels:
            raise ArgumentError("label", f"is {self.label!r}; {what} tells {', '.join(sorted(labels))} apart")
        return list(labels).index(self.label)


@dataclass(frozen=True)
class RunFlag(_LabelFlag):
    """By a classifier that `gentext run` trained: `flag=run`."""

    run: str
    trusted: Collection[str] = ()
    _model: TrainedModel = field(init=False, repr=False, compare=False)
    _place: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        model = load(self.run, trusted=self.trusted)
        if not isinstance(model.family, Classifier):
            raise ArgumentError("run", f"is {class_name(model.family)}, and no classifier")
        object.__setattr__(self, "_model", model)
        labels = model.tokenizer.decode(model.family.label_tokens.tolist())
        object.__setattr__(self, "_place", self.among(labels, self.run))

    @torch.no_grad()
    def probability(self, texts: Sequence[str]) -> Float[ndarray, " n"]:
        family, tokenizer = self._model.family, self._model.tokenizer
        assert isinstance(family, Classifier)
        texts = [text.lower() for text in texts] if self._model.lowercase else list(texts)
        tokens = without_end(pad(tokenizer.encode(texts)).tokens)
        return family.scores(tokens)[:, self._place].double().exp().numpy()

    def checksum(self) -> str:
        return sha256(self._model.folder / "model.safetensors")


@dataclass(frozen=True)
class TransformersFlag(_LabelFlag):
    """By a sequence classifier of transformers in a folder, or of the hub: `flag=transformers`.

    label: one of its configuration's id2label.
    """

    model: str
    _network: Any = field(init=False, repr=False, compare=False)
    _tokenizer: Any = field(init=False, repr=False, compare=False)
    _place: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        library = transformers_for(self.model)
        try:
            network = library.AutoModelForSequenceClassification.from_pretrained(self.model).eval()
            tokenizer = library.AutoTokenizer.from_pretrained(self.model)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ArgumentError("model", f"is {self.model!r}, which is no sequence classifier ({reason})") from error
        object.__setattr__(self, "_network", network)
        object.__setattr__(self, "_tokenizer", tokenizer)
        labels = [str(network.config.id2label[i]) for i in range(network.config.num_labels)]
        object.__setattr__(self, "_place", self.among(labels, self.model))

    @torch.no_grad()
    def probability(self, texts: Sequence[str]) -> Float[ndarray, " n"]:
        read = self._tokenizer(list(texts), return_tensors="pt", padding=True, truncation=True)
        return self._network(**read).logits.double().softmax(-1)[:, self._place].numpy()

    def checksum(self) -> str:
        found = hashlib.sha256()
        for name, value in sorted(self._network.state_dict().items()):
            found.update(name.encode() + value.float().contiguous().numpy().tobytes())
        return found.hexdigest()


@dataclass(frozen=True)
class SkopsFlag(_LabelFlag):
    """By a model of scikit-learn that skops saved, which takes texts and has predict_proba: `flag=skops`.

    Only types that skops knows to be harmless are loaded, and those of `types`.
    """

    file: str
    types: Collection[str] = ()
    _model: Any = field(init=False, repr=False, compare=False)
    _place: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            from skops import io
        except ImportError as error:
            raise ValueError(missing("flag=skops", "skops", "safety")) from error
        if not Path(self.file).is_file():
            raise ArgumentError("file", f"is {self.file!r}, which is no file; give one that skops.io.dump wrote")
        unknown = set(io.get_untrusted_types(file=self.file)) - set(self.types)
        if unknown:
            raise ArgumentError(
                "types", f"lacks {', '.join(sorted(unknown))}, which {self.file} holds; do you trust it?"
            )
        model = io.load(self.file, trusted=list(self.types))
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_place", self.among([str(label) for label in model.classes_], self.file))

    def probability(self, texts: Sequence[str]) -> Float[ndarray, " n"]:
        return np.asarray(self._model.predict_proba(list(texts)), dtype=np.float64)[:, self._place]

    def checksum(self) -> str:
        return sha256(Path(self.file))
