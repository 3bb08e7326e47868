"""Against a known distribution p: both cross-entropies, both divergences, and how much of the model p accepts at all.

Held-out text is a sample of p (a corpus with a known truth drew it), the model's samples are one of q. Where p is zero
on a sample, H(q,p) and KL(q||p) are infinite; they are then taken over the samples that p accepts, which their
signature says (`over:accepted`), and `grammatical` is the share of those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.special import entr, expit
from torchmetrics.utilities import dim_zero_cat

from gentext.metrics.base import Absent, TextMetric
from gentext.metrics.intervals import mean_normal, normal, standard_error, wilson
from gentext.text.truth import Truth
from gentext.types import Likelihood, Samples, Scores, Value

TEXTS = ("test", "samples")
NATS = "nats/sentence"


class KnownTruth(TextMetric):
    """h_p, h_pq, h_qp, kl_pq, kl_qp, js, tv, grammatical, and nll_oracle where all texts have one length.

    js and tv take both samples as one of m = (p + q) / 2, where each text counts by p / (p + q), known exactly: every
    text contributes between 0 and ln 2 to js, between 0 and 1 to tv. Where log q is a bound from below, h_pq and kl_pq
    are bounds from above, kl_qp one from below, and tv is bounded from above through kl_pq; where there is no log q at
    all, tv is bounded from below by 1 - grammatical.
    Source: Yu et al. 2017 (nll_oracle = h_qp / length); Lin 1991 (js); Owen and Zhou 2000 (both samples as one);
    Bretagnolle and Huber 1979 (tv from kl).
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(self) -> None:
        super().__init__()
        for name in TEXTS:
            self.add_state(f"p_of_{name}", [], dist_reduce_fx="cat")
            self.add_state(f"q_of_{name}", [], dist_reduce_fx="cat")
        self.set_dtype(torch.double)
        self._forget()

    def _forget(self) -> None:
        self.kind: Likelihood = "none"
        self.entropy: float | None = None
        self.length: int | None = None

    def reset(self) -> None:
        super().reset()
        self._forget()

    def update(
        self,
        truth: Truth,
        samples: Samples | None = None,
        references: Samples | None = None,
        scores: Scores | None = None,
        sample_scores: Scores | None = None,
    ) -> None:
        self.entropy, self.length = truth.entropy, truth.length
        for name, texts, verdict in (("test", references, scores), ("samples", samples, sample_scores)):
            if texts is None:
                continue
            log_p = np.asarray(truth.log_prob(texts.texts), dtype=np.float64)
            getattr(self, f"p_of_{name}").append(torch.from_numpy(log_p))
            if verdict is None or verdict.kind == "none":
                continue
            if len(verdict.log_prob) != len(texts):
                raise ValueError(
                    f"{len(texts)} texts and scores of {len(verdict.log_prob)} sequences ({verdict.split}): "
                    "score exactly the texts that are given, one sequence each"
                )
            self.kind = verdict.kind
            getattr(self, f"q_of_{name}").append(verdict.log_prob.detach().double())

    def values(self) -> Mapping[str, Value | Absent]:
        p_test, q_test, p_samples, q_samples = (
            dim_zero_cat(part).cpu().numpy() if len(part) else np.zeros(0)
            for part in (getattr(self, f"{side}_of_{name}") for name in TEXTS for side in "pq")
        )
        if not len(p_test) and not len(p_samples):
            raise Absent("KnownTruth needs samples, or held-out text with its scores")
        if not np.isfinite(p_test).all():
            count = int((~np.isfinite(p_test)).sum())
            raise Absent(f"the known distribution gives {count} of {len(p_test)} held-out texts no probability")
        if np.isnan(q_test).any() or np.isnan(q_samples).any():
            raise ValueError("a log-probability of the model is not a number: the model has diverged")
        covered = self._covered(p_test, q_test)
        accepted = self._accepted(p_samples, q_samples)
        return {**covered, **accepted, **self._between(p_test, q_test, p_samples, q_samples, covered, accepted)}

    def _covered(self, p: Float[ndarray, " n"], q: Float[ndarray, " m"]) -> dict[str, Value | Absent]:
        """h_p, h_pq and kl_pq: what the model makes of p's own texts."""
        found: dict[str, Value | Absent] = {}
        if self.entropy is not None:
            found["h_p"] = Value(self.entropy, "h_p|closed-form|v:1", None, 0, NATS)
        elif len(p):
            found["h_p"] = mean("h_p", -p, f"seqs:{len(p)}", higher_is_better=None)
        else:
            found["h_p"] = Absent("H(p) has no closed form here, and there is no held-out text")
        if not len(q):
            missing = "held-out text has no likelihood under this model"
            return {**found, "h_pq": Absent(missing), "kl_pq": Absent(missing)}
        exactness = "upper" if self.kind == "bound" else "exact"
        found["h_pq"] = mean("h_pq", -q, f"seqs:{len(q)}", exactness=exactness)
        found["kl_pq"] = mean("kl_pq", p - q, f"seqs:{len(q)}", exactness=exactness)
        return found

    def _accepted(self, p: Float[ndarray, " n"], q: Float[ndarray, " m"]) -> dict[str, Value | Absent]:
        """grammatical, h_qp, nll_oracle and kl_qp: what p makes of the model's texts."""
        if not len(p):
            return dict.fromkeys(("grammatical", "h_qp", "kl_qp"), Absent("there are no samples"))
        keep = np.isfinite(p)
        n, count = len(p), int(keep.sum())
        share = count / n
        found: dict[str, Value | Absent] = {
            "grammatical": Value(
                share,
                f"grammatical|seqs:{n}|v:1",
                True,
                n,
                "share",
                **wilson(count, n)._asdict(),
                per_sequence=keep * 1.0,
            )
        }
        if not count:
            return {**found, **dict.fromkeys(("h_qp", "kl_qp"), Absent("the known distribution accepts no sample"))}
        rest = f"over:accepted|seqs:{n}"
        found["h_qp"] = mean("h_qp", -p[keep], rest)
        if self.length is not None:
            found["nll_oracle"] = mean("nll_oracle", -p[keep] / self.length, rest, unit="nats/token")
        if not len(q):
            return {**found, "kl_qp": Absent("the model's samples have no likelihood under it")}
        # q over the accepted is q / share, so that this stays a divergence, zero only where the two are the same
        ratio = q[keep] - p[keep] - np.log(share)
        error = float(np.hypot(standard_error(ratio), np.sqrt((1 - share) / count)))
        exactness = "lower" if self.kind == "bound" else "exact"
        found["kl_qp"] = Value(
            float(ratio.mean()),
            f"kl_qp|{rest}|v:1",
            False,
            count,
            NATS,
            **normal(float(ratio.mean()), error)._asdict(),
            exactness=exactness,
            per_sequence=ratio,
        )
        return found

    def _between(
        self,
        p_test: Float[ndarray, " n"],
        q_test: Float[ndarray, " m"],
        p_samples: Float[ndarray, " k"],
        q_samples: Float[ndarray, " p"],
        covered: Mapping[str, Value | Absent],
        accepted: Mapping[str, Value | Absent],
    ) -> dict[str, Value | Absent]:
        """js and tv, or the bound of tv that the evidence allows."""
        if self.kind == "exact" and len(q_test) and len(q_samples):
            test, drawn = p_test - q_test, p_samples - q_samples
            rest = f"seqs:{len(test)}+{len(drawn)}|v:1"
            return {
                "js": halves("js", jensen_shannon(test), jensen_shannon(drawn), rest, "nats"),
                "tv": halves("tv", np.abs(np.tanh(test / 2)), np.abs(np.tanh(drawn / 2)), rest, "share"),
            }
        found: dict[str, Value | Absent] = {
            "js": Absent("js needs an exact likelihood of the held-out text and of the samples")
        }
        above, share = covered["kl_pq"], accepted["grammatical"]
        if isinstance(above, Value):
            ends = above.interval and tuple(float(bretagnolle_huber(end)) for end in above.interval)
            found["tv"] = Value(
                float(bretagnolle_huber(above.value)),
                f"tv|from:kl_pq|{above.signature.split('|', 1)[1]}",
                False,
                above.n,
                "share",
                ends,
                above.interval_kind,
                "upper",
            )
        elif isinstance(share, Value):
            ends = share.interval and (1 - share.interval[1], 1 - share.interval[0])
            found["tv"] = Value(
                1 - share.value, f"tv|from:{share.signature}", False, share.n, "share", ends, "wilson", "lower"
            )
        else:
            found["tv"] = Absent("tv needs samples, or a likelihood of the held-out text")
        return found


def mean(
    name: str,
    nats: Float[ndarray, " n"],
    rest: str,
    *,
    unit: str = NATS,
    higher_is_better: bool | None = False,
    exactness: str = "exact",
) -> Value:
    """A mean over texts and 1.96 of its standard errors to both sides."""
    signature = f"{name}|{rest}|v:1"
    interval = mean_normal(nats)
    return Value(
        float(nats.mean()),
        signature,
        higher_is_better,
        len(nats),
        unit,
        **interval._asdict(),
        exactness=exactness,
        per_sequence=nats,
    )


def jensen_shannon(log_ratio: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """What texts with these log p/q contribute to JS(p, q): ln 2 less the entropy of which of the two drew the text."""
    return np.log(2) - entr(expit(log_ratio)) - entr(expit(-log_ratio))


def halves(name: str, of_p: Float[ndarray, " n"], of_q: Float[ndarray, " m"], rest: str, unit: str) -> Value:
    """The mean of two samples' means."""
    value = float(of_p.mean() + of_q.mean()) / 2
    error = float(np.hypot(standard_error(of_p), standard_error(of_q))) / 2
    return Value(value, f"{name}|{rest}", False, len(of_p) + len(of_q), unit, **normal(value, error)._asdict())


def bretagnolle_huber(kl: float) -> float:
    """The largest total variation that a Kullback-Leibler divergence (nats) allows; Pinsker's where that is smaller."""
    kl = max(kl, 0.0)
    return float(min(np.sqrt(-np.expm1(-kl)), np.sqrt(kl / 2)))
