"""A masked checkpoint: BERT and its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gentext.data.checkpoint import hub_tokenizer
from gentext.models.masked_lm import SAMPLERS, MaskedLM
from gentext.models.pretrained.model import Pretrained
from gentext.models.pretrained.vocabulary import Vocabulary


class PretrainedMasked(Pretrained, MaskedLM):
    """A masked checkpoint: what `MaskedLM` does, its predictions the checkpoint's."""

    kind = "masked"
    vocabulary: Vocabulary
    likelihood = "pseudo"

    def settle(self, config: Any, marks: Mapping[str, Any], iterations, mask, sampler) -> None:
        self.mask, self.whole_words, self.sampler = mask, True, sampler
        self.iterations = iterations or SAMPLERS[sampler]
        theirs = hub_tokenizer(self.model).mask_token_id
        if theirs is None:
            raise ValueError(
                f"the tokenizer of {self.model!r} has no mask; family=pretrained masks tokens of such a model"
            )
        self.mask_id = int(theirs)
        self.vocabulary.floor[theirs] = -torch.inf  # a mask is never emitted
        self.vocabulary.shown[4 + theirs] = -torch.inf
        self.context = 512 if self.longest is None else self.longest - 1
        self.limit = None if self.longest is None else self.context
        self.output = _Given(self.vocabulary)
        self.register_buffer("lengths", torch.zeros(self.context + 1, dtype=torch.long))
        self.register_buffer("inside", torch.zeros(self.vocab_size, dtype=torch.bool))

    @property
    def masked(self) -> Tensor:
        """Where it computes, and in what numbers."""
        return self.vocabulary.floor

    def _read(
        self, tokens: Int[Tensor, "n s"], real: Bool[Tensor, "n s"], masked: Bool[Tensor, "n s"]
    ) -> Float[Tensor, "n s w"]:
        """The checkpoint's logits."""
        ids = self.vocabulary.ids(tokens).masked_fill(masked, self.mask_id)
        return self.network(input_ids=ids, attention_mask=real.long()).logits


class _Given(nn.Module):
    """The output layer of what is logits already."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.forward = vocabulary.logits
        self.log_prob = vocabulary.log_prob
