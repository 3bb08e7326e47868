"""A Transformer that reads a source from both sides, and one that writes with attention over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.checks import depth
from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Tokenizer
from gentext.models.layers import at_columns, drop_places, teacher_forced
from gentext.models.seq2seq import split
from gentext.models.transformer.attention import Source
from gentext.models.transformer.encoder import Encoder
from gentext.models.transformer.model import Transformer
from gentext.panels import Heatmap, Panel, numbered, spelling
from gentext.types import BOS, EOS, PAD, Batch, Outputs, Step

LONGEST = 24  # tokens of a map that can still be read


class EncoderDecoder(Transformer):
    """An encoder and a decoder of Transformer blocks; the state is the decoder's cache and the encoded source.

    Of a prompt, what stands before its EOS is the source, and what follows begins the target (as of `Seq2Seq`);
    no prompt is an empty source, which is EOS alone. Both read the same embedding, which `tied` makes the output layer
    too.

    encoder_layers: of the encoder; None: `layers`, as the decoder.
    context: tokens that the decoder attends to; learned positions end there, the encoder's as well.
    Other arguments are those of `Transformer`.
    Sources: Vaswani et al. 2017; Raffel et al. 2020 (relative positions); Xiong et al. 2020 (pre-norm).
    Differs: no dropout on attention weights; the projections back into the residual stream begin at zero.

    >>> from gentext.types import pad
    >>> family = EncoderDecoder(9, layers=1, heads=2, width=8).eval()
    >>> batch = replace(pad([[4, 5, 2]]), prompt=torch.tensor([[6, 7, 2]]))  # 6 7 is translated as 4 5
    >>> family(batch).log_prob.shape
    torch.Size([1, 3])
    """

    cross = True
    context: int

    def __init__(
        self,
        vocab_size: int,
        *,
        layers: int = 3,
        encoder_layers: int | None = None,
        heads: int = 4,
        width: int = 256,
        inner: int | None = None,
        positions: str = "sinusoidal",
        context: int = 1024,
        norm: str = "layer",
        post_norm: bool = False,
        activation: str = "relu",
        qk_norm: bool = False,
        bias: bool = True,
        tied: bool = True,
        cutoffs: Sequence[int] | None = None,
        dropout: float = 0.1,
        word_dropout: float = 0.0,
    ) -> None:
        depth(encoder_layers=encoder_layers)
        parts = {"heads": heads, "inner": inner, "positions": positions, "context": context, "norm": norm}
        parts |= {"post_norm": post_norm, "activation": activation, "qk_norm": qk_norm, "bias": bias}
        own = {"tied": tied, "cutoffs": cutoffs, "dropout": dropout, "word_dropout": word_dropout}
        super().__init__(vocab_size, layers=layers, width=width, **own, **parts)
        self.embedding.scale = width**0.5
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.encoder = Encoder(width, layers=encoder_layers or layers, dropout=dropout, **parts)

    def start(self, n: int, *, rng: torch.Generator | None = None, given: Float[Tensor, "n z"] | None = None) -> Step:
        return self._begin(torch.full((n, 1), EOS, device=self.embedding.weight.device), given)

    def prime(
        self,
        prompt: Int[Tensor, "n p"],
        *,
        rng: torch.Generator | None = None,
        given: Float[Tensor, "n z"] | None = None,
    ) -> Step:
        if given is not None:
            return self.read(self.start(len(prompt), given=given), prompt)
        source, prefix = split(prompt)
        at = self._begin(source)
        return at if prefix is None else self.read(at, prefix)

    def room(self, max_len: int, prompt: Int[Tensor, "n p"] | None) -> int:
        return super().room(max_len, None if prompt is None else split(prompt)[1])

    def forward(self, batch: Batch, given: Float[Tensor, "n z"] | None = None) -> Outputs:
        none = torch.full((len(batch), 1), EOS, device=batch.tokens.device)
        source, prefix = (none, batch.prompt) if batch.prompt is None or given is not None else split(batch.prompt)
        inputs, columns = teacher_forced(replace(batch, prompt=prefix))
        inputs = drop_places(inputs, self.word_dropout, self.training)
        cache = self._empty(len(batch), given)._replace(source=self.encode(source))
        hidden = at_columns(self._run(inputs, cache)[0], columns)
        log_prob = self.output.log_prob(hidden, batch.tokens, batch.mask)
        if not self.training:
            return Outputs(log_prob, hidden)
        return Outputs(log_prob, hidden, self.output.terms(hidden, batch.tokens, batch.mask, log_prob))

    def encode(self, source: Int[Tensor, "n p"]) -> Source:
        """A source as the decoder reads it. PAD on the right of a row is no part of it."""
        real = source != PAD
        x = self.encoder(self.embedding(source), real)
        return Source(tuple(block.source(x) for block in self.blocks), real)

    def flops(self, tokens: int) -> float:
        """Two for each weight and token, of a source as long as the text, and attention; look-ups are free."""
        across = 2 * len(self.blocks) * min(tokens, self.context) * self.embedding.embedding_dim
        return super().flops(tokens) + self.encoder.flops(tokens, self.context) + 2.0 * tokens * across

    def panels(self, corpus: Corpus, rng: torch.Generator) -> list[Panel]:
        """What each layer reads of the source of one test text, where the corpus is of pairs."""
        texts, sources = corpus.lines("test"), corpus.prompts("test")
        if sources is None:
            return []
        chosen = [int(i) for i in torch.randperm(len(texts), generator=rng, device=rng.device)[:64]]
        batch = corpus.batch([texts[i] for i in chosen], [sources[i] for i in chosen]).to(rng.device)
        prompt = torch.full_like(batch.tokens, EOS) if batch.prompt is None else batch.prompt
        fits = (batch.lengths <= LONGEST) & ((prompt != PAD).sum(1) <= LONGEST)
        row = int(fits.byte().argmax())
        t, p = min(int(batch.lengths[row]), LONGEST), min(int((prompt[row] != PAD).sum()), LONGEST)
        return self._aligned(prompt[row : row + 1, :p], batch.tokens[row, :t], corpus.tokenizer)

    def text_panels(self, batch: Batch, tokenizer: Tokenizer) -> list[Panel]:
        """What each layer, and each head of it, reads of the source."""
        source, prefix = split(batch.prompt if batch.prompt is not None else torch.full_like(batch.tokens[:, :1], EOS))
        text = batch.tokens[0][batch.mask[0]]
        if prefix is not None:
            text = torch.cat([prefix[0][prefix[0] != PAD], text])
        return self._aligned(source, text, tokenizer, heads=True)

    def _aligned(
        self, source: Int[Tensor, "1 p"], text: Int[Tensor, " t"], tokenizer: Tokenizer, *, heads: bool = False
    ) -> list[Panel]:
        shares = self.alignment(source, text[None, :-1])
        written, read = (numbered(spelling(tokenizer, ids.tolist())) for ids in (text, source[0]))
        note = "Rows: the word about to be written. Columns: the source's words"
        found: list[Panel] = []
        for number, share in enumerate(shares, 1):
            title, mean = f"What layer {number} reads of the source", share[0].mean(0).tolist()
            found.append(Heatmap(title, f"{note}, averaged over heads.", written, read, mean, "share"))
        for number, share in enumerate(shares if heads else [], 1):
            for head, own in enumerate(share[0], 1):
                title = f"What layer {number}, head {head}, reads of the source"
                found.append(Heatmap(title, f"{note}.", written, read, own.tolist(), "share", detail=True))
        return found

    def alignment(
        self, source: Int[Tensor, "n p"], tokens: Int[Tensor, "n t"]
    ) -> list[Float[Tensor, "n h t_and_start p"]]:
        """The share of each layer's and head's reading that goes to each source token, at the start and each token."""
        asked: list[Tensor] = []

        def keep(_: nn.Module, __: object, q: Tensor) -> None:
            asked.append(q)

        hooks = [block.query.register_forward_hook(keep) for block in self.blocks]
        try:
            encoded = self.encode(source)
            inputs = torch.cat([tokens.new_full((len(tokens), 1), BOS), tokens], 1)
            self._run(inputs, self._empty(len(source), None)._replace(source=encoded))
        finally:
            for hook in hooks:
                hook.remove()
        found = []
        for block, q, memory in zip(self.blocks, asked, encoded.memory, strict=True):
            heads = block.heads_of(q)
            scores = heads @ memory[:, 0].mT / heads.shape[-1] ** 0.5
            found.append(scores.masked_fill(~encoded.real[:, None, None], -torch.inf).softmax(-1))
        return found

    def _begin(self, source: Int[Tensor, "n p"], given: Float[Tensor, "n z"] | None = None) -> Step:
        bos = torch.full((len(source), 1), BOS, device=source.device)
        return self._read(bos, self._empty(len(source), given)._replace(source=self.encode(source)))
