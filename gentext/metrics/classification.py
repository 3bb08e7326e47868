"""How well labels are told: accuracy, F1, log loss, calibration, from the probabilities that a model gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, pack, unpack
from gentext.metrics.intervals import NO_INTERVAL, Interval, bootstrap, clopper_pearson, percentiles
from gentext.types import LabelScores, Value

PER_LABEL = 20  # labels, of more than which only the means are given


class Classification(TextMetric):
    """accuracy, balanced_accuracy, macro_precision, macro_f1, log_loss, brier, calibration_error; f1:LABEL and its kin.

    A model says the label that it gives the highest probability. The probabilities are normalised over the labels, so
    that a generator which may also write other texts is asked for labels alone. Intervals are over texts: Clopper and
    Pearson's of the accuracy, the bootstrap's of the others.

    Args:
        bins: of confidence, equally wide, for the calibration error.
        resamples: of the bootstrap; 0: no intervals but that of the accuracy.
        seed: of the bootstrap.

    Sources: Guo et al. 2017, equation 3 (calibration error); Brier 1950.

    >>> import torch
    >>> from gentext.types import LabelScores
    >>> log_prob = torch.tensor([[0.9, 0.1], [0.6, 0.4]]).log()
    >>> metric = Classification()
    >>> metric.update(LabelScores(log_prob, ("bad", "good"), torch.tensor([0, 1]), "test"))
    >>> metric.values()["accuracy"].value
    0.5
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, bins: int = 15, resamples: int = 1000, seed: int = 0) -> None:
        super().__init__()
        checks.at_least(1, bins=bins)
        checks.at_least(0, resamples=resamples)
        self.bins, self.resamples, self.seed = bins, resamples, seed
        self.add_column("log_prob", torch.float64)
        self.add_column("gold", torch.long)
        self.add_column("label_bytes", torch.uint8)
        self.add_column("label_lengths", torch.long)

    def update(self, label_scores: LabelScores) -> None:
        """Add texts. Raises: ValueError where their labels are not those of the texts before."""
        packed, lengths = pack(label_scores.labels)
        if len(self.column("label_lengths")) == 0:
            self.append("label_bytes", packed)
            self.append("label_lengths", lengths)
        elif self._labels() != list(label_scores.labels):
            raise ValueError(f"the labels are {', '.join(label_scores.labels)}, and were {', '.join(self._labels())}")
        normalised = label_scores.log_prob.double().log_softmax(1)
        self.append("log_prob", normalised.reshape(-1))
        self.append("gold", label_scores.gold)

    def values(self) -> Mapping[str, Value]:
        gold = self.column("gold")
        if not len(gold):
            raise Absent("there are no labelled texts")
        labels = self._labels()
        log_prob = self.column("log_prob").reshape(len(gold), -1)[:, : len(labels)]
        predicted, n, rows = log_prob.argmax(1), len(gold), np.arange(len(gold))
        right = (predicted == gold).astype(np.float64)
        confusion = np.bincount(gold * len(labels) + predicted, minlength=len(labels) ** 2).reshape(len(labels), -1)
        prob = np.exp(log_prob)
        brier = (np.square(prob).sum(1) - 2 * prob[rows, gold]) + 1
        about = f"labels:{len(labels)}|texts:{n}|v:1"
        each = {"accuracy": (right, True, "share"), "log_loss": (-log_prob[rows, gold], False, "nats/text")}
        each["brier"] = (brier, False, "")
        values = {}
        for name, (figures, better, unit) in each.items():
            interval = clopper_pearson(float(right.mean()), n) if name == "accuracy" else self._mean(figures)
            values[name] = Value(
                float(figures.mean()), f"{name}|{about}", better, n, unit, **interval._asdict(),
                per_sequence=figures, paired=True,
            )  # fmt: skip
        drawn = self._draws(confusion)
        for name, value, draws in zip(
            self._names(labels), figures_of(confusion[None])[0], figures_of(drawn).T, strict=True
        ):
            interval = percentiles(draws[np.isfinite(draws)]) if np.isfinite(draws).any() else NO_INTERVAL
            values[name] = Value(float(value), f"{name}|{about}", True, n, "share", **interval._asdict())
        if len(labels) > PER_LABEL:
            values = {name: value for name, value in values.items() if ":" not in name}
        values["calibration_error"] = self._calibration(prob[rows, predicted], right, about)
        return values

    def _labels(self) -> list[str]:
        return unpack(self.column("label_bytes"), self.column("label_lengths"))

    @staticmethod
    def _names(labels: list[str]) -> list[str]:
        macro = ["balanced_accuracy", "macro_precision", "macro_f1"]
        return macro + [f"{figure}:{label}" for figure in ("recall", "precision", "f1") for label in labels]

    def _mean(self, figures: Float[ndarray, " n"]) -> Interval:
        return bootstrap(figures, resamples=self.resamples, seed=self.seed)

    def _draws(self, confusion: Int[ndarray, "c c"]) -> Int[ndarray, "p c c"]:
        """Confusion matrices of texts drawn with replacement."""
        n = int(confusion.sum())
        rng = np.random.default_rng(self.seed)
        drawn = rng.multinomial(n, confusion.ravel() / n, size=self.resamples)
        return drawn.reshape(-1, *confusion.shape)

    def _calibration(self, confidence: Float[ndarray, " n"], right: Float[ndarray, " n"], about: str) -> Value:
        """The mean distance of confidence and accuracy over bins of confidence.

        No interval: the estimate is biased upwards by the noise of each bin, which the bootstrap adds once more.
        """
        at = np.minimum((confidence * self.bins).astype(int), self.bins - 1)
        gaps = np.bincount(at, confidence - right, minlength=self.bins)
        value = float(np.abs(gaps).sum() / len(right))
        return Value(value, f"calibration_error|bins:{self.bins}|{about}", False, len(right), "share")


def figures_of(confusion: Int[ndarray, "p c c"]) -> Float[ndarray, "p k"]:
    """Macro means of recall, precision and F1, then each of them for every label; rows of a matrix are the truth.

    A label that is never said has precision 0; one without a text counts nothing in the means.
    """
    hits = np.diagonal(confusion, axis1=1, axis2=2).astype(np.float64)
    true, predicted = confusion.sum(2), confusion.sum(1)
    recall = np.divide(hits, true, out=np.full_like(hits, np.nan), where=true > 0)
    precision = np.where(true > 0, np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0), np.nan)
    f1 = np.where(true > 0, 2 * hits / np.maximum(true + predicted, 1), np.nan)
    macro = np.stack([np.nanmean(part, 1) for part in (recall, precision, f1)], 1)
    return np.concatenate([macro, recall, precision, f1], 1)
