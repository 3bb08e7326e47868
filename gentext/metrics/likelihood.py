"""Likelihood of held-out text, on scales that every family and tokenizer shares, and of a model's own samples.

A figure for each character or byte is of the text itself: where tokens are unknown it charges what spelling them costs
(gentext.data.spelling), and so compares rows of any vocabulary. Figures for each text, token and word are of the tokens
as the vocabulary knows them, in which all unknown words are one and the same: their signatures name the vocabulary.
EOS is scored, padding never is. A family whose log-probability is a bound from below gets costs that are bounds from
above, and Value says so; a family that has none gets no figure at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, pack, unpack
from gentext.metrics.intervals import DRAWS, bootstrap_ratios, linearised, normal, standard_error
from gentext.types import Exactness, Scores, Value

COUNTS = ("tokens", "chars", "bytes", "words")
OPEN = ("chars", "bytes")  # units of the text itself: figures for them charge the spelling of unknown words
BITS = 1 / math.log(2)  # in a nat
EXACTNESS: dict[str, Exactness] = {"exact": "exact", "bound": "upper", "pseudo": "pseudo"}


@dataclass(frozen=True)
class Costs:
    """What a family made of every sequence: nats, and the units among which they may be shared."""

    nats: Float[ndarray, " n"]
    counts: Mapping[str, Int[ndarray, " n"]]
    exactness: Exactness
    convention: str  # line | stream, and of a bound its draws: line|iw:20
    split: str
    vocabulary: str  # which tokens are known
    closed: bool  # the nats leave open which word an unknown token is
    spelling: Float[ndarray, " n"]  # nats that settle it
    error: float = 0.0  # of the mean of the nats, which all sequences share (see Scores)

    def shared(self, resamples: int, seed: int, **figures: tuple[str, str, float]) -> dict[str, Value | Absent]:
        """Figures by name, each given as (units, unit, scale): all nats times scale by all units."""
        n = len(self.nats)
        units = np.stack([self.counts[what] for what, _, _ in figures.values()], 1)
        scaled = np.stack([self._of(what) * scale for what, _, scale in figures.values()], 1)
        intervals = bootstrap_ratios(scaled, units, resamples=resamples, seed=seed)
        found: dict[str, Value | Absent] = {}
        for (name, (what, unit, scale)), total, interval in zip(figures.items(), units.sum(0), intervals, strict=True):
            nats = self._of(what)
            if not total:
                found[name] = Absent(f"the scored text has no {what}")
                continue
            if np.isnan(nats).any():
                found[name] = Absent(f"{self.split} holds unknown words, and what it costs to spell them is not known")
                continue
            value, each = float(nats.sum() * scale / total), linearised(nats * scale, self.counts[what])
            if self.error:
                common = self.error * scale * n / total
                interval = normal(value, float(np.hypot(standard_error(each), common)), DRAWS)
            found[name] = Value(
                value,
                f"{name}|{self.convention}{self._known(what)}|split:{self.split}|seqs:{n}|v:{2 if what in OPEN else 1}",
                False,
                n,
                unit,
                **interval._asdict(),
                exactness=self.exactness,
                per_sequence=each,
                paired=self.split != "samples",
            )
        return found

    def _of(self, what: str) -> Float[ndarray, " n"]:
        """The nats that are shared among these units."""
        return self.nats + self.spelling if what in OPEN else self.nats

    def _known(self, what: str) -> str:
        """The vocabulary as a part of a signature, where a figure is of that vocabulary alone."""
        of_tokens = what in ("tokens", "places")
        return (
            f"|vocab:{self.vocabulary}" if self.vocabulary and (of_tokens or (self.closed and what not in OPEN)) else ""
        )


class ScoredMetric(TextMetric):
    """A metric over a family's scores of one split."""

    higher_is_better: ClassVar[bool | None] = False

    def __init__(self, resamples: int = 10_000, seed: int = 0) -> None:
        super().__init__()
        self.resamples = resamples
        self.seed = seed
        self.add_column("log_prob", torch.double)
        self.add_column("spelling", torch.double)
        for name in (*COUNTS, "how_lengths"):
            self.add_column(name, torch.long)
        self.add_column("how", torch.uint8)
        self.add_column("error", torch.double)

    def read(self, scores: Scores) -> None:
        """Add scores; all must be of one kind, convention and split."""
        convention, *rest = scores.convention.split("+")
        draws = [part for part in rest if part.startswith(("iw:", "nelbo:"))]  # of a bound; the rest parts no column
        closed = "closed" * scores.closed
        how, lengths = pack(
            ["\n".join((scores.kind, "|".join([convention, *draws]), scores.split, scores.vocabulary, closed))]
        )
        self.append("how", how)
        self.append("how_lengths", lengths)
        self.append("error", np.array([scores.error]))
        for name in ("log_prob", *COUNTS):
            self.append(name, getattr(scores, name))
        unknown = torch.full_like(scores.log_prob, math.nan if scores.closed else 0.0)
        self.append("spelling", unknown if scores.spelling is None else scores.spelling)

    def costs(self) -> Costs:
        """All scores so far. Raises Absent where there are none, ValueError where they do not belong together."""
        how = set(unpack(self.column("how"), self.column("how_lengths")))
        if not how:
            raise Absent(f"{type(self).__name__} needs scores, and there are none")
        if len(how) > 1:
            ways = " and ".join(sorted(" ".join(way.split()) for way in how))
            raise ValueError(f"scores are of several kinds: {ways}; one metric takes one split, scored one way")
        kind, convention, split, vocabulary, closed = how.pop().split("\n")
        if kind == "none":
            raise Absent("this family has no likelihood, neither exact nor a bound")
        nats = -self.column("log_prob")
        if not len(nats):
            raise Absent(f"no sequence of {split} was scored")
        if np.isnan(nats).any():
            at = int(np.isnan(nats).argmax())
            raise ValueError(f"the log-probability of sequence {at} of {split} is not a number: the model has diverged")
        counts = {name: self.column(name) for name in COUNTS}
        counts["sequences"] = np.ones(len(nats), dtype=np.int64)
        spelling, error = self.column("spelling"), float(self.column("error").max())
        return Costs(nats, counts, EXACTNESS[kind], convention, split, vocabulary, closed == "closed", spelling, error)


class HeldOutLikelihood(ScoredMetric):
    """Held-out text under the model: bits per character and byte, perplexity per word, nats per sentence and token.

    Bits are of the text whatever the vocabulary: they charge the spelling of unknown words. The others do not.
    Line ends count as one character, byte and word each, since the model has to say where a line ends.

    Example:
        >>> import torch
        >>> two = torch.tensor([2, 2])
        >>> scores = Scores(torch.tensor([-3.0, -5.0]), two, 5 * two, 5 * two, two, "test", "exact")
        >>> metric = HeldOutLikelihood()
        >>> metric.update(scores)
        >>> metric.compute()["nll_test"], metric.compute()["token_nll"]
        (4.0, 2.0)
    """

    def update(self, scores: Scores) -> None:
        self.read(scores)

    def values(self) -> Mapping[str, Value | Absent]:
        found = self.costs().shared(
            self.resamples,
            self.seed,
            nll_test=("sequences", "nats/sentence", 1.0),
            token_nll=("tokens", "nats/token", 1.0),
            bits_per_char=("chars", "bits/char", BITS),
            bits_per_byte=("bytes", "bits/byte", BITS),
            word_ppl=("words", "", 1.0),
        )
        return {**found, "word_ppl": perplexity(found["word_ppl"])}


class OwnLikelihood(ScoredMetric):
    """The model's samples under the model itself: NLL-div, an estimate of its entropy; the higher, the more diverse.

    Example:
        >>> import torch
        >>> two = torch.tensor([2, 2])
        >>> metric = OwnLikelihood()
        >>> metric.update(Scores(torch.tensor([-3.0, -5.0]), two, 5 * two, 5 * two, two, "samples", "exact"))
        >>> metric.compute()["nll_div"]
        4.0
    """

    higher_is_better: ClassVar[bool | None] = None

    def update(self, sample_scores: Scores) -> None:
        self.read(sample_scores)

    def values(self) -> Mapping[str, Value | Absent]:
        found = self.costs().shared(
            self.resamples,
            self.seed,
            nll_div=("sequences", "nats/sentence", 1.0),
            token_nll_div=("tokens", "nats/token", 1.0),
        )
        return {
            name: replace(value, higher_is_better=None) if isinstance(value, Value) else value
            for name, value in found.items()
        }


class PaddedLikelihood(ScoredMetric):
    """Nats of held-out text shared among all places of a padded batch: the NLL that RelGAN and TextGAN-PyTorch print.

    `width` is the batch's width; None: the longest scored sequence. Their models also score padding, at almost no cost;
    here it costs nothing, so that their own figure is a little above. Theirs is computed on the training text, too.

    Example:
        >>> import torch
        >>> two = torch.tensor([2, 2])
        >>> metric = PaddedLikelihood(width=4)
        >>> metric.update(Scores(torch.tensor([-3.0, -5.0]), two, 5 * two, 5 * two, two, "test", "exact"))
        >>> metric.compute()["padded_nll"]
        1.0
    """

    def __init__(self, width: int | None = None, resamples: int = 10_000, seed: int = 0) -> None:
        super().__init__(resamples, seed)
        checks.at_least(1, width=width)
        self.width = width

    def update(self, scores: Scores) -> None:
        self.read(scores)

    def values(self) -> Mapping[str, Value | Absent]:
        costs = self.costs()
        longest = int(costs.counts["tokens"].max())
        width = longest if self.width is None else self.width
        if width < longest:
            raise Absent(f"a sequence of {costs.split} has {longest} tokens, more than the {width} of the padded width")
        padded = replace(costs, counts={"places": np.full(len(costs.nats), width)})
        found = padded.shared(self.resamples, self.seed, padded_nll=("places", "nats/place", 1.0))["padded_nll"]
        if isinstance(found, Value):
            found = replace(found, signature=found.signature.replace("|", f"|width:{width}|", 1))
        return {"padded_nll": found}


def perplexity(value: Value | Absent) -> Value | Absent:
    """The exponential of a figure in nats; no longer a mean over sequences."""
    if isinstance(value, Absent):
        return value
    with np.errstate(over="ignore"):
        interval = None if value.interval is None else tuple(float(np.exp(end)) for end in value.interval)
        return replace(value, value=float(np.exp(value.value)), interval=interval, per_sequence=None)
