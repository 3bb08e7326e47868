"""BERTScore with any local encoder: how well the tokens of sample and reference match in meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from gentext.metrics.base import Absent
from gentext.metrics.encoders import Encoder
from gentext.metrics.pair_metric import PairMetric
from gentext.metrics.pretrained import PretrainedEncoder
from gentext.types import Value

NAMES = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
AT_ONCE = 256  # pairs whose token vectors are held together


class BERTScore(PairMetric):
    """bertscore_precision, bertscore_recall, bertscore_f1: each token's best cosine on the other side, averaged.

    encoder: of tokens; None: it is absent.

    Source: Zhang et al. 2020, section 3. Differs: the last layer of `encoder` (they choose a layer for each model), no
    weights by rarity, no rescaling; the model's own marks are left out. A text without tokens matches nothing: 0.
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, encoder: Encoder | None, resamples: int = 1000, seed: int = 0) -> None:
        super().__init__(resamples, seed)
        self.encoder = encoder

    def values(self) -> Mapping[str, Value]:
        if not isinstance(self.encoder, PretrainedEncoder):
            given = (
                "there is none" if self.encoder is None else f"{type(self.encoder).__name__} gives one of a text alone"
            )
            raise Absent(
                f"BERTScore wants an encoder of tokens, and {given}; set encoder@eval.encoder=pretrained "
                "eval.encoder.model=FOLDER, or encoder@eval.encoder=minilm"
            )
        samples, references = self.pairs()
        rows = []
        for at in range(0, len(samples), AT_ONCE):
            both = (self.encoder.token_vectors(side[at : at + AT_ONCE]) for side in (samples, references))
            rows += [match(sample, reference) for sample, reference in zip(*both, strict=True)]
        columns = zip(NAMES, zip(*rows, strict=True), strict=True)
        encoder = self.encoder.signature()
        return self.means({name: (each, f"{name}|encoder:{encoder}") for name, each in columns}, "cosine")


def match(sample: Float[Tensor, "s d"], reference: Float[Tensor, "t d"]) -> tuple[float, float, float]:
    """Precision, recall and F1 of two texts from their tokens' vectors of length one."""
    if not len(sample) or not len(reference):
        return 0.0, 0.0, 0.0
    cosines = sample @ reference.T
    precision, recall = float(cosines.amax(1).mean()), float(cosines.amax(0).mean())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0
