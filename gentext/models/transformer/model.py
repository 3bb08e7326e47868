"""A decoder-only Transformer language model, from GPT-2's block to today's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from gentext.checks import at_least, depth, share
from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Tokenizer
from gentext.language_model import (
    LanguageModel,
    SupportsConditioning,
    SupportsHidden,
    SupportsLogits,
    SupportsPanels,
    SupportsTextPanels,
)
from gentext.models.layers import Embedding, ModuleList, at_columns, conditioned, drop, drop_places, teacher_forced
from gentext.models.output import output_layer
from gentext.models.transformer import attention_panels
from gentext.models.transformer.attention import (
    Cache,
    Prefix,
    causal,
    position_kind,
    room,
    shifted,
)
from gentext.models.transformer.block import Block, normed
from gentext.panels import Panel
from gentext.types import BOS, PAD, Batch, Outputs, Step, Tokens


class Transformer(
    LanguageModel, SupportsConditioning, SupportsHidden, SupportsLogits, SupportsPanels, SupportsTextPanels
):
    """Blocks of causal self-attention and a feed-forward net; the state is a cache of keys and values.

    A token reads itself and the `context` - 1 tokens before it, BOS and prompt included; texts may be longer (but for
    learned positions, which end there). By conf/model/transformer.yaml it is as many as a corpus's longest text and
    longest prompt need.

    word_dropout: the share of input tokens read as UNK in training (Bowman et al. 2016).
    cutoffs: where clusters of rarer words begin, of an adaptive softmax (Grave et al. 2017); None: a full softmax.
    share_layers: all layers are one block, applied again and again (Dehghani et al. 2019; Lan et al. 2020, ALBERT).
    post_norm: normalise after each sublayer's sum, as Vaswani et al. 2017 do, and not before the sublayer.
    Sources: Vaswani et al. 2017; Radford et al. 2019 (the `gpt2` preset); Su et al. 2021 (rotary positions); Zhang and
    Sennrich 2019 (RMSNorm); Henry et al. 2020 (normed queries and keys); Shazeer 2020 (SwiGLU); So et al. 2021 (ReLU2).
    Differs: RMSNorm has no gains; no dropout on attention weights; the projections back into the residual stream begin
    at zero, so that every block begins as the identity.

    Example:
        >>> from gentext.types import pad
        >>> model = Transformer(9, layers=1, heads=2, width=8, context=6)
        >>> model(pad([[4, 5, 2], [6, 2]])).log_prob.shape
        torch.Size([2, 3])
        >>> model.step(model.start(2).state, torch.tensor([4, 6])).logits.shape
        torch.Size([2, 9])
    """

    cross = False  # its blocks attend to a source too
    blocks: ModuleList[Block]
    context: int

    def __init__(
        self,
        vocab_size: int,
        *,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        inner: int | None = None,
        positions: str = "rotary",
        context: int = 1024,
        norm: str = "rms",
        post_norm: bool = False,
        activation: str = "relu2",
        qk_norm: bool = True,
        bias: bool = False,
        tied: bool = False,
        cutoffs: Sequence[int] | None = None,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        share_layers: bool = False,
    ) -> None:
        super().__init__()
        depth(layers=layers)
        at_least(1, heads=heads, width=width, context=context, inner=inner)
        share(dropout=dropout, word_dropout=word_dropout)
        if width % (2 * heads):
            raise ValueError(f"width {width} is not {heads} heads of an even size; give for example {2 * heads * 16}")
        self.vocab_size, self.context = vocab_size, context
        self.dropout, self.word_dropout = dropout, word_dropout
        self.embedding = Embedding(vocab_size, width)
        self.positions = position_kind(positions, width, heads, context)
        self.limit = self.positions.limit
        blocks = [
            Block(
                *(width, heads, inner or 4 * width, norm, activation, qk_norm, bias, dropout),
                pre=not post_norm,
                cross=self.cross,
            )
            for _ in range(1 if share_layers else layers)
        ]
        self.blocks = ModuleList(blocks * layers if share_layers else blocks)
        self.norm = nn.Identity() if post_norm else normed(norm, width, bias)
        self.output = output_layer(vocab_size, width, tied=self.embedding if tied else None, cutoffs=cutoffs)
        self.under: Prefix | None = None
        nn.init.normal_(self.embedding.weight, std=0.02)

    def condition(self, width: int, *, skip: bool = False) -> None:
        self.under = Prefix(width, len(self.blocks), self.blocks[0].heads, self.embedding.embedding_dim, skip)

    def start(self, n: int, *, rng: torch.Generator | None = None, given: Float[Tensor, "n z"] | None = None) -> Step:
        return self._read(torch.full((n, 1), BOS, device=self.embedding.weight.device), self._empty(n, given))

    def step(self, state: Cache, tokens: Tokens) -> Step:
        return self._read(tokens[:, None], state)

    def read(self, at: Step, tokens: Int[Tensor, "n p"]) -> Step:
        """In one pass, after which what padding left in the cache moves before each row's first token."""
        real = tokens != PAD
        counts = real.sum(1)
        t = int(counts.max())
        if t == 0:
            return at
        order = (~real).long().argsort(dim=1, stable=True)[:, :t]
        hidden, cache = self._run(tokens.gather(1, order), at.state)
        unread = t - counts
        if bool(unread.any()):
            newest = hidden[torch.arange(len(tokens), device=tokens.device), (counts - 1).clamp_min(0)]
            last = torch.where((counts > 0)[:, None], newest, at.state.last)
            cache = shifted(cache._replace(last=last), unread, 0 if self.under is None else 1)
        return Step(self.output(cache.last), cache)

    def hidden(self, state: Cache) -> Float[Tensor, "n d"]:
        return state.last

    def forward(self, batch: Batch, given: Float[Tensor, "n z"] | None = None) -> Outputs:
        inputs, columns = teacher_forced(batch)
        cache = None if given is None else self._empty(len(batch), given)
        inputs = drop_places(inputs, self.word_dropout, self.training)
        hidden = at_columns(self._run(inputs, cache)[0], columns)
        log_prob = self.output.log_prob(hidden, batch.tokens, batch.mask)
        if not self.training:
            return Outputs(log_prob, hidden)
        return Outputs(log_prob, hidden, self.output.terms(hidden, batch.tokens, batch.mask, log_prob))

    def logits(self, outputs: Outputs) -> Float[Tensor, "n t v"]:
        return self.output(outputs.hidden)

    def flops(self, tokens: int) -> float:
        """Two for each weight and token, and attention over `context` tokens; embedding look-ups are free."""
        linear = (m for block in self.blocks for m in block.modules() if isinstance(m, nn.Linear))
        matrices = sum(m.weight.numel() for m in linear)
        attention = 2 * len(self.blocks) * min(tokens, self.context) * self.output.weight.shape[1]
        return 2.0 * tokens * (matrices + attention) + self.output.flops(tokens)

    def panels(self, corpus: Corpus, rng: torch.Generator) -> list[Panel]:
        return attention_panels.panels(self.attention, corpus, rng)

    def text_panels(self, batch: Batch, tokenizer: Tokenizer) -> list[Panel]:
        read = teacher_forced(batch)[0]
        return attention_panels.of_text(self.attention(read), read[0], tokenizer)

    def attention(self, tokens: Int[Tensor, "n t"]) -> list[Float[Tensor, "n h t t"]]:
        """The share of each layer's and head's reading that goes to each token: rows read, columns are read."""
        (n, t), device = tokens.shape, tokens.device
        x, rotation, bias = self._embed(tokens, 0, None), self.positions.rotation(0, t, None), self.positions.bias(0, t)
        seen = causal(n, 0, t, None, self.context, device)
        mask = (torch.zeros((), device=device) if bias is None else bias).masked_fill(~seen, -torch.inf)
        layers = []
        for block in self.blocks:
            q, k, _ = block.project(block.before_attention(x), rotation)
            scores = q @ k.mT / q.shape[-1] ** 0.5
            layers.append((scores + mask).softmax(-1))
            x = block(x, rotation, mask, None, 0, 0)[0]
        return layers

    def _empty(self, n: int, given: Float[Tensor, "n z"] | None) -> Cache:
        weight, heads = self.embedding.weight, self.blocks[0].heads
        width = weight.shape[1]
        last = weight.new_empty(n, width)
        if given is not None:
            return Cache(
                conditioned(self.under).memory(given), last, None, 1, [1], conditioned(self.under).shift(given)
            )
        memory = tuple(weight.new_empty(n, 2, heads, 0, width // heads) for _ in self.blocks)
        return Cache(memory, last, None, 0, [0])

    def _read(self, tokens: Shaped[Tensor, "n t *v"], cache: Cache) -> Step:
        cache = self._run(tokens, cache)[1]
        return Step(self.output(cache.last), cache)

    @overload
    def _run(self, tokens: Shaped[Tensor, "n t *v"], cache: Cache) -> tuple[Float[Tensor, "n t d"], Cache]: ...
    @overload
    def _run(self, tokens: Shaped[Tensor, "n t *v"], cache: None) -> tuple[Float[Tensor, "n t d"], None]: ...
    def _run(
        self, tokens: Shaped[Tensor, "n t *v"], cache: Cache | None
    ) -> tuple[Float[Tensor, "n t d"], Cache | None]:
        """The last layer's normed output and, given a cache, the cache after `tokens`."""
        n, t = tokens.shape[:2]
        start, skip = (0, None) if cache is None else (cache.length, cache.skip)
        prefix = 0 if self.under is None or cache is None else 1  # its slot comes before all places
        x = self._embed(tokens, start - prefix, skip)
        first = max(0, start + 1 - self.context) if t == 1 and not prefix else 0  # the furthest slot that it reads
        rotation = self.positions.rotation(start - prefix, t, skip)
        mask = self._mask(n, start, t, skip, first, prefix)
        if cache is not None and not torch.is_grad_enabled():
            cache = room(cache, t)
        memory, source = [], None if cache is None else cache.source
        for i, block in enumerate(self.blocks):
            read = None if source is None else (source.memory[i], source.real)
            x, slots = block(x, rotation, mask, None if cache is None else cache.memory[i], start, first, read)
            memory.append(slots)
        x = self.norm(x)
        if cache is None:
            return x, None
        if cache.shift is not None:
            x = x + cache.shift[:, None]
        written = [start] if torch.is_grad_enabled() else cache.written
        written[0] = start + t
        return x, Cache(tuple(memory), x[:, -1], skip, start + t, written, cache.shift, source)

    def _embed(self, tokens: Tensor, start: int, skip: Tensor | None) -> Float[Tensor, "n t d"]:
        x = self.embedding(tokens)
        end, limit = start + tokens.shape[1], self.positions.limit
        if limit is not None and end > limit:
            raise ValueError(
                f"{end} tokens, prompt and start included, but this Transformer's learned positions end at {limit}; "
                f"sample fewer, or train with context={end} or positions=rotary"
            )
        added = self.positions.added(start, end, skip)
        return drop(x if added is None else x + added, self.dropout, self.training)

    def _mask(self, n: int, start: int, t: int, skip: Tensor | None, first: int, prefix: int) -> Tensor | None:
        """What may be read from slot `first` on, as booleans or as a bias; None for plain causality.

        A prefix is read from everywhere, and is at no distance.
        """
        place = start - prefix
        bias = self.positions.bias(place, t)
        plain = (t == 1 and (not prefix or place < self.context)) or (start == 0 and t <= self.context)
        if bias is None and skip is None and plain:
            return None
        seen = causal(n, place, t, skip, self.context, self.embedding.weight.device)
        mask = seen if bias is None else bias.masked_fill(~seen, -torch.inf)
        return F.pad(mask, (prefix, 0), value=bias is None)[..., first:]
