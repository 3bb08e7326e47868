"""Encoders of the Hugging Face hub, or in a folder: any model of transformers or sentence-transformers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from gentext import checks
from gentext.checks import missing
from gentext.data.checkpoint import located

log = logging.getLogger("gentext")


@dataclass(frozen=True)
class PretrainedEncoder:
    """Any model of transformers or sentence-transformers, by folder or by name on the hub; needs the extra `hf`.

    `pooling` turns token vectors into a text's: their mean (most sentence encoders), or the first's or last's token.
    """

    model: str
    pooling: str = "mean"
    batch_size: int = 64
    device: str = "cpu"

    def __post_init__(self) -> None:
        checks.one_of("pooling", self.pooling, ("mean", "first", "last"))
        checks.at_least(1, batch_size=self.batch_size)
        _place(self.model)  # a model that is not there is refused before a training, not after it

    @property
    def width(self) -> int:
        config: Any = _loaded(self.model, self.device)[1].config
        return config.hidden_size

    def encode(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        vectors = torch.zeros(len(texts), self.width)
        for rows, hidden, inside in self._hidden(texts):
            last = inside.shape[1] - 1 - inside.flip(1).byte().argmax(1)
            if self.pooling == "mean":
                pooled = (hidden * inside[..., None]).sum(1) / inside.sum(1, keepdim=True).clamp(min=1)
            else:
                at = inside.byte().argmax(1) if self.pooling == "first" else last
                pooled = hidden[torch.arange(len(at)), at]
            vectors[rows] = F.normalize(pooled.float()).cpu()
        return vectors

    def token_vectors(self, texts: Sequence[str]) -> list[Float[Tensor, "t d"]]:
        """The vectors of each text's tokens, of length one; the model's own marks ([CLS], [SEP]) left out."""
        found: list[Tensor] = [torch.zeros(0, self.width)] * len(texts)
        for rows, hidden, inside in self._hidden(texts, marks=False):
            unit = F.normalize(hidden.float(), dim=-1).cpu()
            for row, vectors, keep in zip(rows.tolist(), unit, inside.cpu(), strict=True):
                found[row] = vectors[keep]
        return found

    def _hidden(
        self, texts: Sequence[str], *, marks: bool = True
    ) -> Iterator[tuple[Int[Tensor, " n"], Tensor, Tensor]]:
        """Row numbers, last hidden states [n t d] and real tokens [n t], in batches of texts of like length."""
        if not len(texts):
            return
        tokenizer, network = _loaded(self.model, self.device)[:2]
        limit = min(tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", 1 << 30))
        ids = tokenizer(list(texts), truncation=False, return_special_tokens_mask=True, verbose=False)
        cut = sum(len(row) > limit for row in ids["input_ids"])
        if cut:
            log.warning("%s reads %d tokens: %d of %d texts are longer, and cut", self.model, limit, cut, len(texts))
        order = torch.tensor([len(row) for row in ids["input_ids"]], dtype=torch.long).argsort(stable=True)
        for rows in order.split(self.batch_size):
            chosen = [texts[row] for row in rows.tolist()]
            batch = tokenizer(
                chosen,
                padding=True,
                truncation=True,
                max_length=limit,
                return_tensors="pt",
                return_special_tokens_mask=True,
            ).to(self.device)
            special = batch.pop("special_tokens_mask").bool()
            with torch.inference_mode():
                hidden = network(**batch).last_hidden_state
            inside = batch["attention_mask"].bool()
            yield rows, hidden, inside if marks else inside & ~special

    def signature(self) -> str:
        return f"{Path(self.model).name}-{_loaded(self.model, self.device)[2]}-{self.pooling}-v1"


def _place(model: str) -> tuple[str, dict[str, str]]:
    """What `from_pretrained` takes. Raises: ValueError where the model or transformers is not there, as far as seen."""
    if find_spec("transformers") is None:
        raise ValueError(missing(f"encoder {model!r}", "transformers", "hf"))
    try:
        return located(model)
    except ValueError as error:
        raise _unread(model, error) from error


def _unread(model: str, error: Exception) -> ValueError:
    return ValueError(
        f"encoder {model!r} cannot be loaded: {error}. Give a folder that holds a model of transformers, "
        "or a name on the Hugging Face hub"
    )


@cache
def _loaded(model: str, device: str) -> tuple[Any, torch.nn.Module, str]:
    """Tokenizer, network and the first half of a checksum of its weights."""
    name, file = _place(model)
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **file)
        network = AutoModel.from_pretrained(name, **file, dtype=torch.float32).eval().to(device)
    except (OSError, ValueError) as error:
        raise _unread(model, error) from error
    checksum = hashlib.sha256()
    for name, weights in sorted(network.state_dict().items()):
        checksum.update(name.encode() + weights.cpu().contiguous().numpy().tobytes())
    return tokenizer, network, checksum.hexdigest()[:8]
