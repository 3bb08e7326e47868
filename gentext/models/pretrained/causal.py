"""A causal checkpoint: GPT-2, Llama and their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.data.tokenizer import Tokenizer
from gentext.language_model import SupportsHidden, SupportsTextPanels
from gentext.models.layers import at_columns, teacher_forced
from gentext.models.pretrained.model import Pretrained
from gentext.models.transformer import attention_panels
from gentext.panels import Panel
from gentext.types import PAD, Batch, Outputs, Step, Tokens

LOGITS = 1 << 26  # held at once where no gradient is to flow: 256 MB in single precision


class CausalState(NamedTuple):
    """What was read: keys and values of each layer, which of them are real, and the newest hidden state."""

    memory: tuple[tuple[Tensor, Tensor], ...]
    real: Bool[Tensor, "n s"]
    last: Float[Tensor, "n d"]


class PretrainedCausal(Pretrained, SupportsHidden, SupportsTextPanels):
    """A causal checkpoint; its texts begin with its own mark, or with its end where it has none."""

    kind = "causal"

    def settle(self, config: Any, marks: Mapping[str, Any], iterations, mask, sampler) -> None:
        self.begins = [*(self.template or [marks["bos"]]), *self.prefix]
        if self.longest is not None:
            self.limit = self.context = self.longest - len(self.begins) + 1
            if self.limit < 2:
                raise ValueError(
                    f"family.prefix has {len(self.prefix)} tokens, and {self.model} reads {self.longest}; shorten it"
                )

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        one = torch.tensor([self.begins], device=self.vocabulary.theirs.device)
        width = self.network.config.get_text_config().hidden_size
        empty = CausalState((), one[:, :0] > 0, torch.empty(1, width, device=one.device))
        at = self._advance(empty, one, torch.ones_like(one, dtype=torch.bool), None)
        index = torch.zeros(n, dtype=torch.long, device=one.device)
        memory = tuple((k[index], v[index]) for k, v in at.state.memory)
        return Step(at.logits[index], CausalState(memory, at.state.real[index], at.state.last[index]))

    def step(self, state: CausalState, tokens: Tokens) -> Step:
        tokens = tokens[:, None]
        return self._advance(state, self.vocabulary.ids(tokens), torch.ones_like(tokens, dtype=torch.bool), None)

    def read(self, at: Step, tokens: Int[Tensor, "n p"]) -> Step:
        """In one pass: padding takes its place among the keys, and nobody reads it."""
        real = tokens != PAD
        return self._advance(at.state, self.vocabulary.ids(tokens), real, at) if bool(real.any()) else at

    def hidden(self, state: CausalState) -> Float[Tensor, "n d"]:
        return state.last

    def forward(self, batch: Batch) -> Outputs:
        size = len(batch)
        if not torch.is_grad_enabled():
            size = max(1, LOGITS // (self.vocabulary.floor.numel() * (batch.tokens.shape[1] + 1)))
        parts = [self._scored(batch.rows(slice(at, at + size))) for at in range(0, len(batch), size)]
        width = batch.tokens.shape[1]
        return Outputs(torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in parts]))

    def text_panels(self, batch: Batch, tokenizer: Tokenizer) -> list[Panel]:
        """Attention from the text's beginning on; what the checkpoint reads before every text counts as the start."""
        read = teacher_forced(batch)[0]
        before = torch.tensor(self.begins, device=read.device)[None]
        ids = torch.cat([before, self.vocabulary.ids(read[:, 1:])], 1)
        usual = self.network.config._attn_implementation
        self.network.set_attn_implementation("eager")  # the only one that gives the weights
        try:
            layers = self.network(input_ids=ids, use_cache=False, output_attentions=True).attentions
        finally:
            self.network.set_attn_implementation(usual)
        first = before.shape[1] - 1
        shares = [torch.cat([own[..., : first + 1].sum(-1, keepdim=True), own[..., first + 1 :]], -1) for own in layers]
        return attention_panels.of_text([share[:, :, first:] for share in shares], read[0], tokenizer)

    def _scored(self, batch: Batch) -> Float[Tensor, "n t"]:
        inputs, columns = teacher_forced(batch)
        before = torch.tensor(self.begins, device=inputs.device).expand(len(inputs), -1)
        ids = torch.cat([before, self.vocabulary.ids(inputs[:, 1:])], 1)
        self._fits(ids.shape[1])
        read = torch.ones_like(ids)  # padding stands last, where no real token reads it
        shared = before.shape[1] - 1
        if shared and not torch.is_grad_enabled():  # what stands before every text is computed once for all of them
            cache = self.network(input_ids=before[:1, :shared], use_cache=True).past_key_values
            cache.batch_repeat_interleave(len(ids))
            out = self.network(input_ids=ids[:, shared:], attention_mask=read, past_key_values=cache, use_cache=True)
            logits = out.logits
        else:
            logits = self.network(input_ids=ids, attention_mask=read, use_cache=False).logits[:, shared:]
        return self.vocabulary.log_prob(at_columns(logits, columns), batch.tokens, batch.mask)

    def _advance(
        self, state: CausalState, ids: Int[Tensor, "n t"], real: Bool[Tensor, "n t"], old: Step | None
    ) -> Step:
        """The step after the real tokens of each row; a row without any stays at `old`."""
        from transformers import DynamicCache

        seen = torch.cat([state.real, real], 1)
        self._fits(seen.shape[1])
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(state.memory):
            cache.update(keys, values, layer)
        place = (state.real.sum(1, keepdim=True) + real.long().cumsum(1) - 1).clamp_min(0)
        out = self.network(
            input_ids=ids,
            attention_mask=seen.long(),
            position_ids=place,
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=True,
        )
        newest = torch.where(real, torch.arange(ids.shape[1], device=ids.device), -1).amax(1)
        rows = torch.arange(len(ids), device=ids.device)
        logits = self.vocabulary.logits(out.logits[rows, newest.clamp_min(0)])
        last = out.hidden_states[-1][rows, newest.clamp_min(0)]
        if old is not None:
            none = (newest < 0)[:, None]
            logits, last = torch.where(none, old.logits, logits), torch.where(none, old.state.last, last)
        memory = tuple((layer.keys, layer.values) for layer in out.past_key_values.layers)
        return Step(logits, CausalState(memory, seen, last))

    def _fits(self, tokens: int) -> None:
        if self.longest is not None and tokens > self.longest:
            raise ValueError(
                f"{tokens} tokens, start and prefix included, and {self.model} reads {self.longest}; give shorter texts"
                f", max_len={self.limit} or less"
            )
