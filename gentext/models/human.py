"""`family=human`: held-out text, judged as if generated. The row that every other row is read against."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gentext.data.corpus import Corpus
from gentext.language_model import Decoder, LanguageModel, SupportsEM, SupportsTexts
from gentext.types import EOS, PAD, Batch, State, Step, Tokens


class Human(LanguageModel, SupportsEM, SupportsTexts):
    """What perfect imitation would get: texts that no model was trained on and that are not those it is judged against.

    Where the true distribution is known they are drawn from it anew; of pairs they are other references of the same
    sources; elsewhere they are of valid (of test, where rows are judged against valid). As a generator it gives
    valid's sequences: `sample` draws them without replacement. The decode setting is ignored.

    Its probability for any new sequence is zero, so that it has no likelihood to report.
    State: (sequence, position), both [n].

    Example:
        >>> from gentext.decode import Ancestral
        >>> from gentext.types import pad
        >>> model = Human(9)
        >>> _ = model.accumulate(pad([[4, 5, 2], [6, 2]]))
        >>> model.maximize()
        >>> drawn = model.sample(2, 9, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
        >>> sorted(drawn.tokens.tolist())
        [[4, 5, 2], [6, 2, 0]]
    """

    likelihood = "none"
    closed_form = True
    reads = "valid"

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.register_buffer("tokens", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("ends", torch.zeros(0, dtype=torch.long))  # one past each sequence's last token
        self._rows: list[Tensor] = []
        self._lengths: list[Tensor] = []

    def accumulate(self, batch: Batch) -> Float[Tensor, " n"]:
        self._rows.append(batch.tokens[batch.mask].to(torch.int32))
        self._lengths.append(batch.lengths)
        return torch.zeros(len(batch), device=batch.tokens.device)

    def maximize(self) -> None:
        self.tokens = torch.cat(self._rows)
        self.ends = torch.cat(self._lengths).cumsum(0)
        self._rows, self._lengths = [], []

    def texts(self, corpus: Corpus, n: int, *, split: str, rng: torch.Generator) -> list[str]:
        """As SupportsTexts says."""
        if corpus.truth is not None:
            return list(corpus.truth.sample(n, rng))
        if corpus.pairs:
            return _other_references(corpus, split, rng)
        held = "test" if split == "valid" else "valid"
        lines = corpus.lines(held)
        if n > len(lines):
            advice = f"eval.samples={len(lines)} or less" if len(lines) else "data.valid to a number of lines"
            raise ValueError(
                f"family=human judges {n} texts of {held}, which no model was trained on, and {corpus.name} has "
                f"{len(lines)} of them; set {advice}, or data.{held}={n} or more, for all families alike"
            )
        drawn: list[int] = torch.randperm(len(lines), generator=rng)[:n].tolist()
        return [lines[i] for i in drawn]

    def start(self, n: int, *, rng: torch.Generator | None = None) -> Step:
        where = self.ends.device if rng is None else rng.device  # a generator draws on its own device alone
        drawn = torch.randint(len(self.ends), (n,), generator=rng, device=where).to(self.ends.device)
        return self._at(drawn, torch.zeros_like(drawn))

    def step(self, state: State, tokens: Tokens) -> Step:
        drawn, position = state
        return self._at(drawn, position + 1)

    def sample(
        self,
        n: int,
        max_len: int,
        *,
        decoder: Decoder,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        if prompt is not None:
            raise ValueError("family=human holds texts that people wrote, and answers no prompt; leave it out")
        if n > len(self.ends):
            raise ValueError(
                f"eval.samples is {n}, but the held-out text has {len(self.ends)} sequences, and drawing any twice "
                f"would change Self-BLEU; set eval.samples={len(self.ends)} or less"
            )
        drawn = torch.randperm(len(self.ends), generator=rng, device=rng.device)[:n].to(self.ends.device)
        first = self._first(drawn)
        lengths = (self.ends[drawn] - first).clamp(max=max_len)
        columns = torch.arange(int(lengths.max()), device=self.ends.device)
        mask = columns[None] < lengths[:, None]
        at = (first[:, None] + columns).clamp(max=len(self.tokens) - 1)
        return Batch(torch.where(mask, self.tokens[at].long(), PAD), mask)

    def flops(self, tokens: int) -> float:
        return 0.0

    def _first(self, drawn: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        return torch.where(drawn > 0, self.ends[(drawn - 1).clamp(min=0)], 0)

    def _at(self, drawn: Int[Tensor, " n"], position: Int[Tensor, " n"]) -> Step:
        """All mass on the sequence's own next token; after its end on EOS."""
        at = self._first(drawn) + position
        token = torch.where(at < self.ends[drawn], self.tokens[at.clamp(max=len(self.tokens) - 1)].long(), EOS)
        logits = torch.full((len(drawn), self.vocab_size), -torch.inf, device=self.ends.device)
        return Step(logits.scatter(1, token[:, None], 0.0), (drawn, position))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("tokens", "ends"):  # as long as the training text was
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        nn.Module._load_from_state_dict(self, state_dict, prefix, *rest)


def _other_references(corpus: Corpus, split: str, rng: torch.Generator) -> list[str]:
    """For each row of a split another text of the same source, none of them for two rows.

    Raises: ValueError where a source has one text alone.
    """
    rows: dict[str, list[int]] = {}
    for i, source in enumerate(corpus.prompts(split) or ()):
        rows.setdefault(source, []).append(i)
    alone = sum(len(same) == 1 for same in rows.values())
    if alone:
        raise ValueError(
            f"family=human holds one person's answer to a source against another's, and {alone} of the {len(rows)} "
            f"sources of {corpus.name}'s {split} have one answer alone; give several rows of each source, or leave "
            "family=human out"
        )
    lines, other = corpus.lines(split), {}
    for same in rows.values():
        shift = int(torch.randint(1, len(same), (), generator=rng, device=rng.device))
        other |= {i: lines[same[(k + shift) % len(same)]] for k, i in enumerate(same)}
    return [other[i] for i in range(len(lines))]
