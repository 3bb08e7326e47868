"""Validation of adversarial training: both players, on held-out text and on a fresh draw."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.adversarial.critics import text_scores
from gentext.adversarial.estimator import Estimator, drawn, fixed
from gentext.data.corpus import Corpus
from gentext.data.source import Truth
from gentext.language_model import LanguageModel, SupportsAdversarial, SupportsEM
from gentext.metrics.embedding import frechet_distance, mean_and_covariance
from gentext.metrics.encoders import HashedNgrams
from gentext.train.base import device_of
from gentext.types import PAD, Batch, Samples, pad

log = logging.getLogger("gentext")

KEEP = ("last", "frechet")
ROWS = 256  # texts that are scored at once
SHOWN = 5  # texts of a validation that are recorded


@runtime_checkable
class SampleMetric(Protocol):
    """A metric of samples alone: every metric of diversity is one."""

    def reset(self) -> None: ...

    def update(self, samples: Samples) -> None: ...

    def compute(self) -> Mapping[str, float]: ...


@runtime_checkable
class ValidationOptions(Protocol):
    """The options of `AdversarialTrainer` that a validation reads; it says what each is."""

    key: str
    draw: int
    valid_metrics: Mapping[str, SampleMetric]
    judge: LanguageModel | None
    collapse: float


class KnownTruth(NamedTuple):
    """The distribution that a corpus is drawn from, and nats a token of valid under it, as it counts tokens."""

    truth: Truth
    entropy: float


class AdversarialValidation:
    """The figures of a validation: of the generator's draw, of valid, and of both against a known truth.

    valid/nll: nats a token of valid under the generator. valid/accuracy: how often the critic finds a held-out text
    more real than a fresh sample (0.5: it cannot tell them apart); of two held-out texts at least. valid/entropy: nats
    a token of the generator. valid/distinct2: different bigrams of the draw by all of them. valid/judged: nats a token
    of the draw under the judge. valid/frechet: Frechet distance of the draw from as many texts of valid, by hashed
    n-grams. valid/collapsed: 1 where bigrams are too few.
    Where the truth is known, nats a token too: valid/nll_oracle, of the draw under it, over the texts that it accepts;
    valid/kl_qp and valid/kl_pq, the generator's divergence from it and its divergence from the generator.
    """

    def __init__(
        self,
        options: ValidationOptions,
        loss: Estimator,
        players: SupportsAdversarial,
        corpus: Corpus,
        rng: torch.Generator,
    ) -> None:
        self.options, self.loss, self.players, self.corpus, self.rng = options, loss, players, corpus, rng
        self.device = next(players.generator.parameters()).device
        self.valid = self._valid()
        if self.valid is None:
            log.warning("%s has no valid split: neither likelihood nor a collapse is watched", corpus.name)
        self.noise = self.rng.get_state()  # of the texts that are shown
        if self.valid is not None:
            human = self._texts(self.valid)
            self.encoder = HashedNgrams(words=human.words, lowercase=human.lowercase)
            self.human = self._moments(human)
            self.known = self._known()
        judge = options.judge
        if isinstance(judge, SupportsEM):
            for batch in corpus.batches("train", ROWS):
                judge.accumulate(batch)
            judge.maximize()

    @torch.no_grad()
    def __call__(self, step: int) -> dict[str, float]:
        draw = drawn(self.players.generator, self.options.draw, self.corpus.max_len, self.rng)
        values = {
            "valid/entropy": self._nats(self.players.generator, [draw]),
            "valid/distinct2": distinct2(draw.tokens),
        }
        texts = self._texts(draw)
        for metric in self.options.valid_metrics.values():
            metric.reset()
            metric.update(samples=texts)
            values |= {f"valid/{name}": value for name, value in metric.compute().items()}
        if self.options.judge is not None:
            values["valid/judged"] = self._nats(self.options.judge, [draw])
        if self.valid is None:
            return values
        values["valid/nll"] = self._nats(self.players.generator, self.corpus.batches("valid", ROWS))
        if len(self.valid) > 1:
            values["valid/accuracy"] = self._accuracy(draw, self.valid)
            values["valid/frechet"] = float(frechet_distance(self._moments(texts), self.human))
        if self.known is not None:
            values |= self._against_truth(self.known, draw, texts.texts, values["valid/nll"])
        values["valid/collapsed"] = float(self._collapsed(draw, self.valid, step))
        return values

    @torch.no_grad()
    def shown(self) -> tuple[str, ...]:
        """A few texts of the generator, drawn with the same noise at every call."""
        rng = torch.Generator(self.rng.device)
        rng.set_state(self.noise)
        return self._texts(drawn(self.players.generator, SHOWN, self.corpus.max_len, rng)).texts

    def _texts(self, batch: Batch) -> Samples:
        return self.corpus.samples(self.corpus.tokenizer.decode(batch.tokens.tolist()))

    def _moments(self, texts: Samples) -> tuple[Tensor, Tensor]:
        return mean_and_covariance(self.encoder.encode(texts.texts).double())

    def _known(self) -> KnownTruth | None:
        truth = self.corpus.truth
        if truth is None:
            return None
        texts = list(self.corpus.lines("valid"))
        tokens = self._tokens(len(texts), self.corpus.kept("valid"))
        return KnownTruth(truth, -float(truth.log_prob(texts).sum()) / tokens)

    def _tokens(self, texts: int, tokens: int) -> int:
        """Tokens of some texts, EOS counted but for a truth whose texts have one length, which says none."""
        length = self.corpus.one_length
        return tokens if length is None else texts * length

    def _nats(self, family: LanguageModel, batches: Iterable[Batch]) -> float:
        """A family's nats per token of some texts."""
        where = device_of(family)
        total, texts, tokens = 0.0, 0, 0
        for batch in batches:
            total -= float(family.log_prob(batch.to(where)).double().sum())
            texts, tokens = texts + len(batch), tokens + int(batch.mask.sum())
        return total / self._tokens(texts, tokens)

    def _against_truth(self, known: KnownTruth, draw: Batch, texts: Sequence[str], nll: float) -> dict[str, float]:
        p = torch.from_numpy(known.truth.log_prob(texts))
        q = torch.cat([self.players.generator.log_prob(rows) for rows in split(draw)]).double().cpu()
        accepted = p.isfinite()
        values = {
            "valid/accepted": float(accepted.double().mean()),
            "valid/kl_pq": nll - known.entropy,
        }
        if accepted.any():
            tokens = self._tokens(int(accepted.sum()), int(draw.lengths.cpu()[accepted].sum()))
            values["valid/nll_oracle"] = -float(p[accepted].sum()) / tokens
            values["valid/kl_qp"] = float((q - p)[accepted].sum()) / tokens
        return values

    def _valid(self) -> Batch | None:
        """As many held-out texts as are drawn, where there are so many."""
        rows: list[Int[Tensor, " t"]] = []
        for batch in self.corpus.batches("valid", ROWS):
            rows += [row[row != PAD] for row in batch.tokens]
        return fixed(pad(rows[: self.options.draw]), self.corpus.max_len).to(self.device) if rows else None

    def _accuracy(self, draw: Batch, valid: Batch) -> float:
        """Of every pair of a held-out text and a fresh one; the other half of the held-out texts are references."""
        references = self._outputs(Batch(valid.tokens[::2], valid.mask[::2]))
        real = self._scores(Batch(valid.tokens[1::2], valid.mask[1::2]), references)
        fake = self._scores(draw, references)
        return float((real[:, None] > fake).double().mean() + (real[:, None] == fake).double().mean() / 2)

    def _outputs(self, texts: Batch) -> Float[Tensor, "n k"]:
        return torch.cat([self.players.critic(rows) for rows in texts.tokens.split(ROWS)])

    def _scores(self, texts: Batch, references: Float[Tensor, "m k"]) -> Float[Tensor, " n"]:
        """How real the critic finds each text: the mean of its scores."""
        scores = self.loss.game.score(self._outputs(texts), references)
        return text_scores(self.players.critic, scores, texts.mask)

    def _collapsed(self, draw: Batch, valid: Batch, step: int) -> bool:
        share, human = distinct2(draw.tokens[: len(valid)]), distinct2(valid.tokens)
        collapsed = share < self.options.collapse * human
        if collapsed:
            log.warning(
                "the generator has collapsed at round %d: %.3f of its bigrams are different, %.3f of valid's. "
                "Lower %s.lr, or give %s.teach_every=5%s",
                step,
                share,
                human,
                self.options.key,
                self.options.key,
                ", or raise loss.entropy" if self.loss.entropy is not None else "",
            )
        return collapsed


def split(batch: Batch) -> Iterator[Batch]:
    """The rows of a batch, so many at a time."""
    for tokens, mask in zip(batch.tokens.split(ROWS), batch.mask.split(ROWS), strict=True):
        yield Batch(tokens, mask)


def distinct2(tokens: Int[Tensor, "n t"]) -> float:
    """Different bigrams by all bigrams, EOS counting as a token."""
    pairs = torch.stack([tokens[:, :-1], tokens[:, 1:]], -1)[tokens[:, 1:] != PAD]
    return len(pairs.unique(dim=0)) / max(len(pairs), 1)
