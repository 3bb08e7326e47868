"""Against a known distribution p: both cross-entropies, both divergences, and how much of the model p accepts at all.

Held-out text is a sample of p (a corpus with a known truth drew it), the model's samples are one of q. Where p is zero
on a sample, H(q,p) and KL(q||p) are infinite; they are then taken over the samples that p accepts, which their
signature says (`over:accepted`), and `grammatical` is the share of those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import entr, expit

from gentext.data.source import Truth
from gentext.metrics.base import Absent, TextMetric
from gentext.metrics.intervals import DRAWS, clopper_pearson, mean_normal, normal, standard_error
from gentext.types import Exactness, Samples, Scores, Value

NATS = "nats/sentence"


class KnownTruth(TextMetric):
    """h_p, h_pq, h_qp, kl_pq, kl_qp, js, tv, grammatical; h_qp_matched, or nll_oracle where all texts have one length.

    h_qp_matched is h_qp among accepted samples that are as long as held-out texts, in words: each tenth of the lengths
    of held-out text weighs what it does there. Of noise the short samples alone are accepted, which makes h_qp small.
    js and tv take both samples as one of m = (p + q) / 2, where each text counts by p / (p + q), known exactly: every
    text contributes between 0 and ln 2 to js, between 0 and 1 to tv. Where log q is a bound from below, h_pq and kl_pq
    are bounds from above, kl_qp one from below, and tv is bounded from above through kl_pq; where there is no log q at
    all, tv is bounded from below by 1 - grammatical. Where log q rests on draws of its own, intervals hold their error.
    Source: Yu et al. 2017 (nll_oracle = h_qp / length); Lin 1991 (js); Owen and Zhou 2000 (both samples as one);
    Bretagnolle and Huber 1979 (tv from kl).

    Example:
        >>> from gentext.truth import Grammar
        >>> grammar, metric = Grammar(), KnownTruth()
        >>> texts = tuple(grammar.sample(20, torch.Generator().manual_seed(0)))
        >>> metric.update(truth=grammar, samples=Samples((*texts, "dog a .")))
        >>> round(metric.compute()["grammatical"], 3)
        0.952
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(self) -> None:
        super().__init__()
        for name in ("p_of_test", "q_of_test", "p_of_samples", "q_of_samples"):
            self.add_column(name, torch.double)
        for name in ("words_of_test", "words_of_samples"):
            self.add_column(name, torch.long)
        # for each update: entropy, length, whether log q is a bound, its shared errors of held-out text and of samples
        self.add_column("about", torch.double)

    def update(
        self,
        truth: Truth,
        samples: Samples | None = None,
        references: Samples | None = None,
        scores: Scores | None = None,
        sample_scores: Scores | None = None,
        decoded_scores: Scores | None = None,
    ) -> None:
        """`decoded_scores` are held-out text's under q where q is the model at another temperature."""
        scores = decoded_scores or scores
        bound = "bound" in {each.kind for each in (scores, sample_scores) if each is not None}
        known = [math.nan if figure is None else float(figure) for figure in (truth.entropy, truth.length)]
        errors = [0.0 if each is None else each.error for each in (scores, sample_scores)]
        self.append("about", np.array([*known, float(bound), *errors]))
        for name, texts, of_texts in (("test", references, scores), ("samples", samples, sample_scores)):
            if texts is None:
                continue
            self.append(f"p_of_{name}", truth.log_prob(texts.texts))
            self.append(f"words_of_{name}", np.array([len(text.split()) for text in texts.texts], dtype=np.int64))
            missing = of_texts is None or of_texts.kind in ("none", "pseudo")  # a divergence wants probabilities
            if of_texts is None or missing or (name == "test" and of_texts.open is None):
                continue
            if len(of_texts.log_prob) != len(texts):
                raise ValueError(
                    f"{len(texts)} texts and scores of {len(of_texts.log_prob)} sequences ({of_texts.split}): "
                    "score exactly the texts that are given, one sequence each"
                )
            # p is of texts, and so is q of held-out ones; of samples, p gives those with an unknown word nothing
            self.append(f"q_of_{name}", cast(torch.Tensor, of_texts.open) if name == "test" else of_texts.log_prob)

    def values(self) -> Mapping[str, Value | Absent]:
        p_test, q_test = self.column("p_of_test"), self.column("q_of_test")
        p_samples, q_samples = self.column("p_of_samples"), self.column("q_of_samples")
        if not len(p_test) and not len(p_samples):
            raise Absent("KnownTruth needs samples, or held-out text with its scores")
        if not np.isfinite(p_test).all():
            count = int((~np.isfinite(p_test)).sum())
            raise Absent(f"the known distribution gives {count} of {len(p_test)} held-out texts no probability")
        if np.isnan(q_test).any() or np.isnan(q_samples).any():
            raise ValueError("a log-probability of the model is not a number: the model has diverged")
        about = self.column("about").reshape(-1, 5)
        entropy, length = (None if math.isnan(figure) else float(figure) for figure in about[0, :2])
        bound = bool(about[:, 2].any())
        of_test, of_samples = about[:, 3:].max(0)
        covered = covering(p_test, q_test, entropy, bound, of_test)
        accepted = accepting(p_samples, q_samples, length, bound, of_samples)
        words = [self.column(f"words_of_{name}") for name in ("test", "samples")]
        if length is None and len(np.unique(words[0])) > 1:
            accepted["h_qp_matched"] = matched(-p_samples, words[1], words[0])
        rest = f"seqs:{len(p_test)}+{len(p_samples)}|v:1"  # the same for a bound, which Value marks
        if len(q_test) and len(q_samples) and not bound:
            between = distances(p_test - q_test, p_samples - q_samples, rest, max(of_test, of_samples))
        else:
            between = bounds(covered["kl_pq"], accepted["grammatical"], rest)
        return {**covered, **accepted, **between}


def covering(
    p: Float[ndarray, " n"], q: Float[ndarray, " k"], entropy: float | None, bound: bool, shared: float
) -> dict[str, Value | Absent]:
    """h_p, h_pq and kl_pq: what the model makes of p's own texts. shared: the error that all log q share."""
    found: dict[str, Value | Absent] = {}
    if entropy is not None:
        found["h_p"] = Value(entropy, "h_p|closed-form|v:1", None, 0, NATS)
    elif len(p):
        found["h_p"] = mean("h_p", -p, f"seqs:{len(p)}", better=None)
    else:
        found["h_p"] = Absent("H(p) has no closed form here, and there is no held-out text")
    if not len(q):
        missing = Absent("held-out text has no likelihood under this model")
        return {**found, "h_pq": missing, "kl_pq": missing}
    exactness = "upper" if bound else "exact"
    for name, nats in (("h_pq", -q), ("kl_pq", p - q)):
        error = float(np.hypot(standard_error(nats), shared)) if shared else None
        kind = DRAWS if shared else "normal"
        found[name] = mean(name, nats, f"seqs:{len(q)}", exactness=exactness, error=error, kind=kind, paired=True)
    return found


def accepting(
    p: Float[ndarray, " n"], q: Float[ndarray, " k"], length: float | None, bound: bool, shared: float
) -> dict[str, Value | Absent]:
    """grammatical, h_qp, nll_oracle and kl_qp: what p makes of the model's texts."""
    if not len(p):
        return dict.fromkeys(("grammatical", "h_qp", "kl_qp"), Absent("there are no samples"))
    keep = np.isfinite(p)
    n, count = len(p), int(keep.sum())
    share = count / n
    whole = clopper_pearson(share, n)._asdict()
    found: dict[str, Value | Absent] = {
        "grammatical": Value(share, f"grammatical|seqs:{n}|v:1", True, n, "share", **whole, per_sequence=keep * 1.0)
    }
    if not count:
        return {**found, **dict.fromkeys(("h_qp", "kl_qp"), Absent("the known distribution accepts no sample"))}
    rest = f"over:accepted|seqs:{n}"
    found["h_qp"] = mean("h_qp", -p[keep], rest)
    if length is not None:
        found["nll_oracle"] = mean("nll_oracle", -p[keep] / length, rest, unit="nats/token")
    if len(q):
        # q among the accepted is q / share, so that this stays a divergence: zero only where the two are the same
        ratio = q[keep] - p[keep] - np.log(share)
        error = float(np.sqrt(standard_error(ratio) ** 2 + (1 - share) / count + shared**2))
        kind = DRAWS if shared else "normal"
        kl = mean("kl_qp", ratio, rest, error=error, kind=kind, exactness="lower" if bound else "exact")
        each = kl.value + 1 - keep / share  # a mean among the accepted, less the log of their share: linearised
        each[keep] += (ratio - kl.value) / share
        found["kl_qp"] = replace(kl, per_sequence=each)
    else:
        found["kl_qp"] = Absent("the model's samples have no likelihood under it")
    return found


def matched(
    nats: Float[ndarray, " n"], words: Int[ndarray, " n"], wanted: Int[ndarray, " m"], strata: int = 10
) -> Value | Absent:
    """The mean of the finite nats among texts of the lengths `wanted`: a mean of each stratum, by its share there.

    Source: Cochran 1977, section 5A.9 (stratification after selection).
    """
    keep = np.isfinite(nats)
    edges = np.unique(np.quantile(wanted, np.arange(1, strata) / strata, method="inverted_cdf"))
    here, there = np.searchsorted(edges, words[keep]), np.searchsorted(edges, wanted)
    size = len(edges) + 1
    counts, shares = np.bincount(here, minlength=size), np.bincount(there, minlength=size) / len(wanted)
    asked = shares > 0
    if (counts[asked] < 2).any():
        return Absent(f"the {int(keep.sum())} accepted samples lack texts of some lengths that held-out text has")
    means, variances = np.zeros(size), np.zeros(size)
    for stratum in np.flatnonzero(asked):
        held = nats[keep][here == stratum]
        means[stratum], variances[stratum] = held.mean(), held.var(ddof=1)
    value = float(shares @ means)
    inside = (np.square(shares[asked]) * variances[asked] / counts[asked]).sum()
    error = float(np.sqrt(inside + (means[there] - value).var() / len(wanted)))
    rest = f"over:accepted|lengths:matched-{strata}|seqs:{len(nats)}"
    interval = normal(value, error)._asdict()
    return Value(value, f"h_qp_matched|{rest}|v:1", False, int(keep.sum()), NATS, **interval)


def distances(
    test: Float[ndarray, " n"], samples: Float[ndarray, " k"], rest: str, shared: float
) -> dict[str, Value | Absent]:
    """js and tv, from log p/q of the held-out texts and of the samples: the mean of the two means.

    shared: the error that all log q share; each figure is computed with log q so much higher and lower, too.
    """
    found: dict[str, Value | Absent] = {}
    for name, unit, share in (
        ("js", "nats", jensen_shannon),
        ("tv", "share", lambda ratio: np.abs(np.tanh(ratio / 2))),
    ):
        of_p, of_q = share(test), share(samples)
        value = float(of_p.mean() + of_q.mean()) / 2
        error = float(np.hypot(standard_error(of_p), standard_error(of_q))) / 2
        if shared:
            high, low = (share(test + by).mean() + share(samples + by).mean() for by in (shared, -shared))
            error = float(np.hypot(error, (high - low) / 4))
        n = len(test) + len(samples)
        interval = normal(value, error, DRAWS if shared else "normal")
        found[name] = Value(value, f"{name}|{rest}", False, n, unit, **interval._asdict())
    return found


def jensen_shannon(log_ratio: Float[ndarray, " n"]) -> Float[ndarray, " n"]:
    """What texts with these log p/q contribute to JS(p, q): ln 2 less the entropy of which of the two drew the text."""
    return np.log(2) - entr(expit(log_ratio)) - entr(expit(-log_ratio))


def bounds(kl_pq: Value | Absent, grammatical: Value | Absent, rest: str) -> dict[str, Value | Absent]:
    """No js; the bound of tv from above that a divergence gives, or else the one from below that acceptance gives."""
    found: dict[str, Value | Absent] = {"js": Absent("js needs an exact likelihood of held-out text and of samples")}
    if isinstance(kl_pq, Value):
        value = bretagnolle_huber(kl_pq.value)
        ends = kl_pq.interval and (bretagnolle_huber(kl_pq.interval[0]), bretagnolle_huber(kl_pq.interval[1]))
        found["tv"] = Value(value, f"tv|{rest}", False, kl_pq.n, "share", ends, kl_pq.interval_kind, "upper")
    elif isinstance(grammatical, Value):
        value = 1 - grammatical.value
        ends = grammatical.interval and (1 - grammatical.interval[1], 1 - grammatical.interval[0])
        found["tv"] = Value(value, f"tv|{rest}", False, grammatical.n, "share", ends, "clopper-pearson", "lower")
    else:
        found["tv"] = Absent("tv needs samples, or a likelihood of held-out text")
    return found


def bretagnolle_huber(kl: float) -> float:
    """The largest total variation that a Kullback-Leibler divergence (nats) allows; Pinsker's where that is smaller."""
    kl = max(kl, 0.0)
    return float(min(np.sqrt(-np.expm1(-kl)), np.sqrt(kl / 2)))


def mean(
    name: str,
    nats: Float[ndarray, " n"],
    rest: str,
    *,
    unit: str = NATS,
    better: bool | None = False,
    exactness: Exactness = "exact",
    error: float | None = None,
    kind: str = "normal",
    paired: bool = False,
) -> Value:
    """A mean over texts, and 1.96 of its standard errors to both sides."""
    interval = mean_normal(nats) if error is None else normal(float(nats.mean()), error, kind)
    return Value(
        float(nats.mean()),
        f"{name}|{rest}|v:1",
        better,
        len(nats),
        unit,
        **interval._asdict(),
        exactness=exactness,
        per_sequence=nats,
        paired=paired,
    )
