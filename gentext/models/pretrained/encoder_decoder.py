"""An encoder-decoder checkpoint: T5, BART and their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.models.layers import at_columns, teacher_forced
from gentext.models.pretrained.model import Pretrained
from gentext.models.seq2seq import split
from gentext.types import EOS, PAD, Batch, Outputs, Step, Tokens


class WriterState(NamedTuple):
    """Keys and values of each layer of the decoder, over itself and over the source; the source as it was encoded."""

    own: tuple[tuple[Tensor, Tensor], ...]
    across: tuple[tuple[Tensor, Tensor], ...]
    encoded: Float[Tensor, "n p d"]
    real: Bool[Tensor, "n p"]


class PretrainedEncoderDecoder(Pretrained):
    """An encoder-decoder checkpoint. A prompt is a source as of `Seq2Seq`; without one the source is an end alone."""

    kind = "encoder_decoder"

    def settle(self, config: Any, marks: Mapping[str, Any], iterations, mask, sampler) -> None:
        first = getattr(config, "decoder_start_token_id", None)
        first = marks["bos"] if first is None else first
        self.begins = [first, *self.template]
        self.limit = None if self.longest is None else self.longest - len(self.begins) + 1

    def room(self, max_len: int, prompt: Int[Tensor, "n p"] | None) -> int:
        return super().room(max_len, None if prompt is None else split(prompt)[1])

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._begin(torch.full((n, 1), EOS, device=self.vocabulary.theirs.device))

    def prime(self, prompt: Int[Tensor, "n p"], *, rng: torch.Generator | None = None) -> Step:
        source, prefix = split(prompt)
        at = self._begin(source)
        if prefix is None:
            return at
        if bool((prefix == PAD).any()):
            raise ValueError(
                f"these prompts go on from texts of several lengths, which {self.model} cannot read side by side; give "
                "prompts of one length, or end each as a source"
            )
        return self._advance(at.state, self.vocabulary.ids(prefix))

    def step(self, state: WriterState, tokens: Tokens) -> Step:
        return self._advance(state, self.vocabulary.ids(tokens[:, None]))

    def forward(self, batch: Batch) -> Outputs:
        none = torch.full((len(batch), 1), EOS, device=batch.tokens.device)
        source, prefix = (none, None) if batch.prompt is None else split(batch.prompt)
        inputs, columns = teacher_forced(Batch(batch.tokens, batch.mask, prefix))
        before = torch.tensor(self.begins, device=inputs.device).expand(len(inputs), -1)
        ids = torch.cat([before, self.vocabulary.ids(inputs[:, 1:])], 1)
        read, real = self._source(source)
        out = self.network(input_ids=read, attention_mask=real.long(), decoder_input_ids=ids, use_cache=False)
        logits = at_columns(out.logits[:, before.shape[1] - 1 :], columns)
        return Outputs(self.vocabulary.log_prob(logits, batch.tokens, batch.mask))

    def _source(self, source: Int[Tensor, "n p"]) -> tuple[Int[Tensor, "n q"], Bool[Tensor, "n q"]]:
        """The source's ids as the checkpoint is used to them, its template and `prefix` before them."""
        before = torch.tensor([*self.template, *self.prefix], dtype=torch.long, device=source.device)
        before = before.expand(len(source), -1)
        real = torch.cat([torch.ones_like(before, dtype=torch.bool), source != PAD], 1)
        if self.longest is not None and real.shape[1] > self.longest:
            raise ValueError(
                f"a source of {real.shape[1]} tokens, and {self.model} reads {self.longest}; give a shorter one"
            )
        return torch.cat([before, self.vocabulary.ids(source)], 1), real

    def _begin(self, source: Int[Tensor, "n p"]) -> Step:
        ids, real = self._source(source)
        encoded = self.network.get_encoder()(input_ids=ids, attention_mask=real.long()).last_hidden_state
        begins = torch.tensor(self.begins, device=ids.device).expand(len(ids), -1)
        return self._advance(WriterState((), (), encoded, real), begins)

    def _advance(self, state: WriterState, ids: Int[Tensor, "n t"]) -> Step:
        from transformers import DynamicCache, EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        caches = []
        for held in (state.own, state.across):
            cache = DynamicCache()
            for layer, (keys, values) in enumerate(held):
                cache.update(keys, values, layer)
            caches.append(cache)
        out = self.network(
            encoder_outputs=BaseModelOutput(last_hidden_state=state.encoded),
            attention_mask=state.real.long(),
            decoder_input_ids=ids,
            past_key_values=EncoderDecoderCache(*caches),
            use_cache=True,
        )
        kept = out.past_key_values
        own = tuple((layer.keys, layer.values) for layer in kept.self_attention_cache.layers)
        across = tuple((layer.keys, layer.values) for layer in kept.cross_attention_cache.layers)
        return Step(self.vocabulary.logits(out.logits[:, -1]), WriterState(own, across, state.encoded, state.real))
