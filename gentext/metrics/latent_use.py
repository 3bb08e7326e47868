"""What a VAE makes of its latent space: the bound and its two parts, the tighter bound, and how much of z is used.

Source: He et al. 2019, section 4 (the figures that texts VAEs are compared by).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from numpy import ndarray

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, pack, unpack
from gentext.metrics.intervals import bootstrap
from gentext.types import Exactness, Latents, Scores, Value

FIGURES = ("elbo", "bound", "kl", "information")


def spaced(size: int, texts: int) -> list[int]:
    """The places of so many texts, evenly spaced in a split of `size`; of all where there are no more."""
    count = min(texts, size)
    return [i * size // count for i in range(count)]


@runtime_checkable
class Autoencoder(Protocol):
    """A family with a latent space and the texts that it is judged on."""

    def read(self, texts: int, importance: int) -> Latents:
        """What it makes of so many of the texts, evenly spaced, with so many draws of z for each."""
        ...


class LatentUse(TextMetric):
    """negative_elbo = reconstruction_nll + posterior_kl, iw_nll, mutual_information (all nats a text), active_units.

    iw_nll rests on `importance` draws of z for each text and is the tightest bound: at most negative_elbo, and at least
    the negative log-likelihood on average. Of a family without z, for which every draw says the same, it is exact, and
    over the same texts: the line that a VAE has to stay below. mutual_information is that of z and the text under the
    aggregate posterior of the n texts at hand, at most posterior_kl but for the error of one draw for each text; it
    cannot exceed ln n, and so bounds from below that of z and all texts of the corpus. active_units counts the parts
    of z whose mean varies from text to text by more than `threshold`.
    Sources: Burda et al. 2016, equation 8 and section 5.2 (units); Hoffman and Johnson 2016 (mutual information).

    Example:
        >>> two = torch.tensor([2, 2])
        >>> metric = LatentUse()  # of a family without z the likelihood itself
        >>> metric.update(scores=Scores(torch.tensor([-3.0, -5.0]), two, 5 * two, 5 * two, two, "test", "exact"))
        >>> metric.compute()["iw_nll"]
        4.0
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(
        self, texts: int = 500, importance: int = 500, threshold: float = 0.01, resamples: int = 10_000, seed: int = 0
    ) -> None:
        super().__init__()
        checks.at_least(2, texts=texts)
        checks.at_least(1, importance=importance)
        checks.at_least(0, threshold=threshold, resamples=resamples)
        self.texts, self.importance, self.threshold = texts, importance, threshold
        self.resamples, self.seed = resamples, seed
        for name in FIGURES:
            self.add_column(name, torch.double)
        self.add_column("mean", torch.double)
        for name in ("units", "of", "how_lengths"):
            self.add_column(name, torch.long)
        self.add_column("how", torch.uint8)

    def update(self, autoencoder: Autoencoder | None = None, scores: Scores | None = None) -> None:
        if autoencoder is not None:
            self._read(autoencoder)
        elif scores is not None and scores.kind == "exact" and scores.convention == "line":
            size = len(scores.log_prob)
            self.append("bound", scores.log_prob[spaced(size, self.texts)])
            self._note_texts(size, scores.split, scores.vocabulary if scores.closed else "")
        else:
            raise Absent("there is no model with a latent space, nor one of exact likelihood to set beside it")

    def _read(self, autoencoder: Autoencoder) -> None:
        found = autoencoder.read(self.texts, self.importance)
        for name in FIGURES:
            self.append(name, getattr(found, name))
        self.append("mean", found.mean.flatten())
        self.append("units", torch.tensor([found.mean.shape[1]]))
        self._note_texts(found.of, found.split, found.vocabulary)

    def _note_texts(self, of: int, split: str, vocabulary: str) -> None:
        """How many texts there are, and the vocabulary where some hold words that it lacks."""
        self.append("of", torch.tensor([of]))
        how, lengths = pack([f"vocab:{vocabulary}|split:{split}" if vocabulary else f"split:{split}"])
        self.append("how", how)
        self.append("how_lengths", lengths)

    def values(self) -> Mapping[str, Value | Absent]:
        figures = {name: self.column(name) for name in FIGURES}
        n, bounded = len(figures["bound"]), len(figures["kl"]) > 0
        if n < 2:
            raise Absent("the use of a latent space shows over 2 texts or more")
        (how,) = set(unpack(self.column("how"), self.column("how_lengths")))
        rest = f"{how}|seqs:{n} of {self.column('of').max()}|v:1"
        iw_nll = self._mean(f"iw_nll|iw:{self.importance}|{rest}", -figures["bound"], "upper" if bounded else "exact")
        if not bounded:
            return {"iw_nll": iw_nll}
        units = self.column("mean").reshape(n, -1).var(0, ddof=1)
        active = int((units > self.threshold).sum())
        return {
            "iw_nll": iw_nll,
            "negative_elbo": self._mean(f"negative_elbo|{rest}", -figures["elbo"], "upper"),
            "reconstruction_nll": self._mean(
                f"reconstruction_nll|{rest}", -figures["elbo"] - figures["kl"], direction=None
            ),
            "posterior_kl": self._mean(f"posterior_kl|{rest}", figures["kl"], direction=None),
            "mutual_information": self._mean(
                f"mutual_information|{rest}", figures["information"], "lower", direction=None
            ),
            "active_units": Value(
                float(active), f"active_units|of:{len(units)}|above:{self.threshold:g}|{rest}", None, n, "units"
            ),
        }

    def _mean(
        self, signature: str, per_text: ndarray, exactness: Exactness = "exact", direction: bool | None = False
    ) -> Value:
        interval = bootstrap(per_text, resamples=self.resamples, seed=self.seed)
        return Value(
            float(np.mean(per_text)),
            signature,
            direction,
            len(per_text),
            "nats/sentence",
            **interval._asdict(),
            exactness=exactness,
            per_sequence=per_text,
            paired=True,
        )
