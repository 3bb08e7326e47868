"""`family=ngram`: interpolated modified Kneser-Ney, the best model without a network, and not easily beaten by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.checks import at_least, share
from gentext.data.automaton import Automaton
from gentext.data.tokenizer import Tokenizer
from gentext.language_model import Decoder, LanguageModel, SupportsEM, SupportsTextPanels
from gentext.models.guided import Guiding
from gentext.models.ngram.arpa import write_arpa
from gentext.models.ngram.backoff import Backoff
from gentext.models.ngram.cache import UnigramCache
from gentext.models.ngram.constrained import ConstrainedNGram
from gentext.models.ngram.kneser_ney import estimate, nothing, thresholds
from gentext.models.ngram.smoothing import Smoothing
from gentext.models.ngram.text import Text, check_rows, lead
from gentext.panels import START, Panel, Table, spelling
from gentext.types import BOS, EOS, PAD, RESERVED, Batch, Outputs, Step, select

PRIMED_AT_ONCE = 256  # prompts: their logits must fit in memory


class NGramState(NamedTuple):
    """The context of each row."""

    context: Int[Tensor, "n k"]  # its last 1, 2, .. order - 1 tokens, by number
    history: Int[Tensor, "n p"]  # its last tokens, of no width without a cache


class NGram(LanguageModel, SupportsEM, Guiding, SupportsTextPanels):
    """p(w | h) = max(c(h w) - D, 0) / c(h) + backoff(h) p(w | h'), down to the uniform distribution.

    A row opens with BOS. Windows of a stream (`Batch.carry`) are counted and scored as one row.

    smoothing, discount, weight, alpha: how seen and unseen n-grams share the mass (see Smoothing): kneser_ney,
      absolute, witten_bell, jelinek_mercer, katz or stupid_backoff.

    prune: n-grams of orders 1, 2, .. that occur no more often than this are left out, the last number holding for all
      higher orders: [0, 0, 1] leaves out all that occur once from order 3 on (lmplz --prune 0 0 1).
    cache: the share of a unigram cache over the last `history` tokens of a row. Above 0 the model is `adaptive`: it
      learns from the text that it is judged on, and belongs under a dagger.
    Sources: Chen and Goodman 1998; Heafield et al. 2013 (KenLM).

    Example:
        >>> from gentext.types import pad
        >>> model = NGram(6, order=2)
        >>> _ = model.accumulate(pad([[4, 5, 2], [4, 4, 2]] * 3))
        >>> model.maximize()
        >>> bool(model.log_prob(pad([[4, 5, 2]])) > model.log_prob(pad([[5, 5, 2]])))
        True
    """

    closed_form = True

    def __init__(
        self,
        vocab_size: int,
        *,
        order: int = 5,
        prune: Sequence[int] = (),
        cache: float = 0.0,
        history: int = 1000,
        smoothing: str = "kneser_ney",
        discount: float = 0.75,
        weight: float = 0.7,
        alpha: float = 0.4,
    ) -> None:
        super().__init__()
        if vocab_size < RESERVED:
            raise ValueError(f"vocab_size is {vocab_size}; it must be {RESERVED} or more, as so many ids are reserved")
        if not 1 <= order <= 10:
            raise ValueError(f"order is {order}; an n-gram has 1 to 10 tokens. Give 5 for words, 7 for characters")
        share(cache=cache)
        at_least(1, history=history)
        self.vocab_size = vocab_size
        self.order = order
        self.prune = thresholds(prune, order)
        self.adaptive = cache > 0
        self.cache = UnigramCache(cache, history if self.adaptive else 0)
        self.smoothing = Smoothing(smoothing, discount, weight, alpha)
        none = torch.zeros(order, self.smoothing.steps, dtype=torch.float64)
        self.model = Backoff(nothing(vocab_size, order), none, vocab_size, self.smoothing)
        self._text = Text(vocab_size)
        self._tail: tuple[Tensor, Tensor] | None = None  # the end of the batch scored last

    @torch.no_grad()
    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        """Keeps the text to be counted; nats per row under the present model, before the first fit the uniform one."""
        self._text.add(batch)
        return self.log_prob(batch)

    @torch.no_grad()
    def maximize(self) -> None:
        """Fits the model to the text that was kept, and forgets that. Raises: ValueError where there is none."""
        counts, discounts = estimate(self._text.take(), self.vocab_size, self.order, self.prune, self.smoothing)
        device = self.model.discounts.device
        self.model = Backoff(counts, discounts, self.vocab_size, self.smoothing).to(device)

    def forward(self, batch: Batch) -> Outputs:
        """Teacher forcing, all tokens at once."""
        before, real = self._tail if batch.carry and self._tail is not None else lead(batch)
        check_rows(len(before), len(batch))
        tokens, mask = torch.cat([before, batch.tokens], 1), torch.cat([real, batch.mask], 1)
        reach = max(self.order - 1, self.cache.size + 1)
        self._tail = tokens[:, -reach:].clone(), mask[:, -reach:].clone()
        places = mask.flatten().nonzero()[:, 0]
        text = tokens.flatten().index_select(0, places)
        log_p = self.model.score(text)
        if self.adaptive:
            spoken = (text != BOS).nonzero()[:, 0]
            rows = places.index_select(0, spoken) // mask.shape[1]
            log_p[spoken] = self.cache.score(log_p[spoken], text[spoken], rows)
        scores = log_p.new_zeros(mask.numel()).index_copy_(0, places, log_p)
        return Outputs(scores.view(mask.shape)[:, before.shape[1] :])

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        return self._at(self._open(n))

    def step(self, state: NGramState, tokens: Int[Tensor, " n"]) -> Step:
        return self._at(self._read(state, tokens))

    def _open(self, n: int) -> NGramState:
        context = self.model.open(n)
        return NGramState(context, self.cache.start(n, context.device))

    def _read(self, state: NGramState, tokens: Int[Tensor, " n"]) -> NGramState:
        history = self.cache.read(state.history, tokens) if self.adaptive else state.history
        return NGramState(self.model.read(state.context, tokens), history)

    def _at(self, state: NGramState) -> Step:
        logits = self.model.logits(state.context)
        return Step(self.cache.mix(logits, state.history) if self.adaptive else logits, state)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        max_len: int,
        *,
        decoder: Decoder,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """A draw of `n` sequences; from an interpolated model's own distribution (`plain`) in O(order) per token.

        Before `min_len` tokens an EOS is drawn again from the distribution of all others.
        """
        if not decoder.ending().plain or self.smoothing.backs_off:
            return super().sample(n, max_len, decoder=decoder, rng=rng, prompt=prompt)
        if n < 1 or max_len < 1 or (prompt is not None and len(prompt) != n):
            given = "no" if prompt is None else len(prompt)
            raise ValueError(
                f"{n} sequences of {max_len} tokens were asked for with {given} prompts; it takes one each"
            )
        state = self._open(n) if prompt is None else self._after(prompt)
        rows = torch.arange(n, device=state.context.device)
        tokens = torch.full((n, max_len), PAD, device=rows.device)
        for i in range(max_len):
            drawn = self._draw(state, rng)
            if i < decoder.min_len and len(ended := (drawn == EOS).nonzero()[:, 0]):
                logits = self._at(select(state, ended)).logits.index_fill(1, drawn.new_tensor([EOS]), -torch.inf)
                drawn[ended] = logits.softmax(-1).multinomial(1, generator=rng)[:, 0]
            tokens[rows, i] = drawn
            live = (drawn != EOS).nonzero()[:, 0]
            if not len(live):
                break
            rows = rows.index_select(0, live)
            state = self._read(select(state, live), drawn.index_select(0, live))
        tokens = tokens[:, : i + 1]
        return Batch(tokens, tokens != PAD, prompt)

    def _after(self, prompt: Int[Tensor, "n p"]) -> NGramState:
        """The state after each prompt."""
        states = [self.prime(part).state for part in prompt.split(PRIMED_AT_ONCE)]
        return NGramState(*(torch.cat(parts) for parts in zip(*states, strict=True)))

    def _draw(self, state: NGramState, rng: torch.Generator) -> Int[Tensor, " n"]:
        drawn = self.model.draw(state.context, rng)
        if not self.adaptive:
            return drawn
        recalled = self.cache.draw(state.history, rng)
        return torch.where(recalled < 0, drawn, recalled)

    @torch.no_grad()
    def fitting(self, machine: Automaton, max_len: int) -> ConstrainedNGram:
        if self.adaptive:
            raise ValueError(
                "an n-gram with a cache depends on all that was said, and is held to no condition exactly; give "
                "how=lookahead or how=reject"
            )
        return ConstrainedNGram(self.model, machine, max_len)

    @property
    def discounts(self) -> Float[Tensor, "k d"]:
        """D1, D2 and so on of each order, the last for all counts above."""
        return self.model.discounts

    def ngrams(self, order: int) -> tuple[Int[Tensor, "n k"], Int[Tensor, " n"]]:
        """Every n-gram of this order that the model holds, a row of ids each, and its adjusted count.

        Order 1 is the whole vocabulary but PAD; BOS and what was never seen have a count of 0.
        """
        if not 1 <= order <= self.order:
            raise ValueError(f"n-grams of order {order} were asked of a model of order {self.order}; ask for 1 to that")
        orders = self.model.orders[:order]
        numbers = torch.arange(PAD + 1 if order == 1 else 0, len(orders[-1]), device=self.discounts.device)
        counts, columns = orders[-1].counts[numbers], []
        for grams in reversed(orders):
            columns.insert(0, grams.words[numbers])
            numbers = grams.parents[numbers]
        return torch.stack(columns, 1), counts

    def export_arpa(self, path: Path | str, vocabulary: Sequence[str]) -> None:
        """Writes the model, without its cache, in the ARPA format; token i is spelt vocabulary[i]."""
        write_arpa(Path(path), self.model.orders, vocabulary)

    def text_panels(self, batch: Batch, tokenizer: Tokenizer) -> list[Panel]:
        """The longest n-gram behind each token, and what it cost to back off to it; without the cache."""
        before, real = lead(batch)
        tokens, mask = torch.cat([before, batch.tokens], 1)[0], torch.cat([real, batch.mask], 1)[0]
        text = tokens[mask]
        orders, own = self.model.found(text)
        log_p = self.model.score(text)
        words = [START if i == BOS else spelling(tokenizer, [i])[0] for i in text.tolist()]
        rows = [
            [words[i], " ".join(words[i + 1 - order : i + 1]), order, p, whole - p, whole]
            for i, (order, p, whole) in enumerate(zip(orders.tolist(), own.tolist(), log_p.tolist(), strict=True))
            if i >= len(text) - int(batch.lengths[0])
        ]
        note = "The longest n-gram that the training text has, its own log p, and the nats of the back-offs to it."
        columns = ["token", "n-gram found", "order", "its log p", "back-off", "log p"]
        return [Table("What it backed off to", note, columns, rows)]

    def size(self) -> int:
        """The n-grams of all orders, each of which has its own figures."""
        return sum(len(order) for order in self.model.orders)

    def flops(self, tokens: int) -> float:
        """An addition for each order and token; the rest are look-ups."""
        return float(self.order * tokens)
