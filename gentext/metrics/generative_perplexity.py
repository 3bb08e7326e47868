"""Generative perplexity: samples under a pretrained language model, beside the entropy of each."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gentext import checks
from gentext.data.checkpoint import hub_tokenizer, loaded, transformers_for
from gentext.metrics.base import Absent, TextMetric, pack, unpack
from gentext.metrics.intervals import Interval, bootstrap_ratio, mean_normal
from gentext.metrics.likelihood import perplexity
from gentext.types import Samples, Value


class GenerativePerplexity(TextMetric):
    """gen_ppl and sample_entropy: how likely the samples are to a pretrained model, and how varied each is in itself.

    gen_ppl: exp of the nats a token of the samples under the causal checkpoint `model`, by its own tokenizer, each text
      after its beginning mark and without an end; a text of one that repeats itself is likely.
    sample_entropy: the mean entropy (nats) of the frequencies of a sample's own tokens, which falls where it does so.
    Either alone is driven down or up at will, so that they are always given together, and best is nearest to people.
    Source: Zheng et al. 2024 (2409.02908), section 3; Dieleman et al. 2022 for the measure.
    Differs: texts keep their own lengths and are cut at what the judge reads; none is packed with others.
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(
        self, model: str = "smollm2", batch_size: int = 16, device: str = "cpu", resamples: int = 10_000, seed: int = 0
    ) -> None:
        super().__init__()
        checks.at_least(1, batch_size=batch_size)
        checks.at_least(0, resamples=resamples)
        self.model, self.batch_size, self.where = model, batch_size, device
        self.resamples, self.seed = resamples, seed
        self.add_column("texts", torch.uint8)
        self.add_column("texts_lengths", torch.long)

    def update(self, samples: Samples) -> None:
        packed, lengths = pack(samples.texts)
        self.append("texts", packed)
        self.append("texts_lengths", lengths)

    def values(self) -> Mapping[str, Value | Absent]:
        texts = [text for text in unpack(self.column("texts"), self.column("texts_lengths")) if text.strip()]
        if not texts:
            raise Absent("GenerativePerplexity needs samples with words in them, and there are none")
        try:
            network, checksum = _judge(self.model, self.where)
            tokenizer = hub_tokenizer(self.model)
        except ValueError as error:  # a judge that is not at hand takes no other figure with it
            raise Absent(str(error)) from error
        nats, tokens, entropy = self._read(texts, network, tokenizer)
        interval = bootstrap_ratio(nats, tokens, resamples=self.resamples, seed=self.seed)
        assert isinstance(interval, Interval)  # of one column
        rest = f"lm:{self.model.rstrip('/').rpartition('/')[2]}-{checksum}|seqs:{len(texts)}|v:1"
        found = Value(float(nats.sum() / tokens.sum()), f"gen_ppl|{rest}", None, len(texts), "", **interval._asdict())
        varied = Value(
            float(entropy.mean()), f"sample_entropy|{rest}", None, len(texts), "nats", **mean_normal(entropy)._asdict(),
            per_sequence=entropy,
        )  # fmt: skip
        return {"gen_ppl": perplexity(found), "sample_entropy": varied}

    @torch.inference_mode()
    def _read(self, texts: Sequence[str], network: Any, tokenizer: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each text its nats, its tokens, and the entropy of its tokens' frequencies."""
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        longest = getattr(network.config, "max_position_embeddings", None) or 1 << 30
        rows = [ids[: longest - 1] for ids in tokenizer(list(texts), add_special_tokens=False).input_ids]
        nats, counts = np.zeros(len(rows)), np.array([max(1, len(ids)) for ids in rows])
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            width = max(1, *(len(rows[i]) for i in chosen))
            ids = torch.tensor([[begin, *rows[i], *[begin] * (width - len(rows[i]))] for i in chosen]).to(self.where)
            real = torch.arange(width) < torch.tensor([[len(rows[i])] for i in chosen])
            logits = network(input_ids=ids).logits[:, :-1].float()
            log_prob = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0].cpu()
            nats[chosen] = -torch.where(real, log_prob, 0.0).double().sum(1).numpy()
        return nats, counts, np.array([_entropy(ids) for ids in rows])


def _entropy(ids: Sequence[int]) -> float:
    counts = np.unique(np.asarray(ids, dtype=np.int64), return_counts=True)[1]
    return -sum(count / len(ids) * math.log(count / len(ids)) for count in counts.tolist())


@cache
def _judge(model: str, device: str) -> tuple[Any, str]:
    """The network, and the first half of a checksum of its weights. Raises: ValueError where it cannot be had."""
    network = loaded(model, transformers_for(model).AutoModelForCausalLM.from_pretrained, dtype=torch.float32)
    checksum = hashlib.sha256()
    weights: dict[str, Tensor] = network.state_dict()
    for name, value in sorted(weights.items()):
        checksum.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return network.eval().to(device), checksum.hexdigest()[:8]
