"""Known truth: every estimate against its exact value, by enumeration of two small distributions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from gentext.data.source import Truth
from gentext.metrics.base import Absent
from gentext.metrics.intervals import standard_error
from gentext.metrics.known_truth import KnownTruth, accepting, bretagnolle_huber, matched
from gentext.results.significance import bootstrap_test
from gentext.types import Samples, Scores

P = np.array([0.5, 0.25, 0.15, 0.1, 0.0])  # text i has p = P[i]
Q = np.array([0.3, 0.2, 0.3, 0.1, 0.1])
N = 40_000


class Enumerated(Truth):
    name = "enumerated"
    length = None
    entropy = None

    def sample(self, n, rng):
        return [str(i) for i in torch.multinomial(torch.tensor(P), n, replacement=True, generator=rng).tolist()]

    def log_prob(self, texts):
        with np.errstate(divide="ignore"):
            return np.log(P)[[int(text) for text in texts]]


def drawn(weights, n=N, seed=0) -> Samples:
    return Samples(tuple(map(str, np.random.default_rng(seed).choice(len(weights), n, p=weights).tolist())))


def scored(texts: Samples, q=Q, kind="exact", split="test") -> Scores:
    ones = torch.ones(len(texts), dtype=torch.long)
    with np.errstate(divide="ignore"):
        log_prob = torch.from_numpy(np.log(q)[[int(text) for text in texts.texts]])
    return Scores(log_prob, ones, ones, ones, ones, split, kind)


def judged(q=Q, kind="exact", own_scores=True, n=N, truth=None):
    test, samples = drawn(P, n), drawn(q, n, seed=1)
    metric = KnownTruth()
    metric.update(
        truth or Enumerated(),
        samples=samples,
        references=test,
        scores=scored(test, q, kind),
        sample_scores=scored(samples, q, kind, "samples") if own_scores else None,
    )
    return metric.values()


def test_every_estimate_is_near_its_exact_value_and_its_interval_holds_it():
    real = P > 0
    accepted = Q[real].sum()
    conditional = Q[real] / accepted
    exact = {
        "h_p": -(P[real] * np.log(P[real])).sum(),
        "h_pq": -(P * np.log(Q)).sum(),
        "h_qp": -(conditional * np.log(P[real])).sum(),
        "kl_pq": (P[real] * np.log(P[real] / Q[real])).sum(),
        "kl_qp": (conditional * np.log(conditional / P[real])).sum(),
        "js": jensenshannon(P, Q) ** 2,
        "tv": np.abs(P - Q).sum() / 2,
        "grammatical": accepted,
    }
    found = judged()
    assert found.keys() == exact.keys()
    for name, value in found.items():
        assert value.value == pytest.approx(exact[name], abs=0.02), name
        low, high = value.interval
        assert low - 0.003 < exact[name] < high + 0.003, name
        assert high - low < 0.05
        assert value.exactness == "exact"


def test_noise_whose_short_texts_alone_are_accepted_wins_nothing_at_matched_lengths():
    rng = np.random.default_rng(0)
    wanted = rng.integers(4, 20, 2000)  # each word costs 2 nats and a little
    words = rng.integers(4, 20, 2000)
    nats = 2.0 * words + rng.normal(0, 1, 2000)
    nats[rng.random(2000) < 1 - 0.9**words] = np.inf
    kept = nats[np.isfinite(nats)]
    found = matched(nats, words, wanted)
    assert kept.mean() < 20 < 22.5 < 2 * wanted.mean()  # the plain mean is short of the truth's
    assert found.interval[0] < 2 * wanted.mean() < found.interval[1]
    assert found.signature == "h_qp_matched|over:accepted|lengths:matched-10|seqs:2000|v:1"
    assert isinstance(matched(np.where(words > 10, np.inf, nats), words, wanted), Absent)


def test_intervals_hold_the_exact_divergences_nineteen_times_in_twenty():
    held = {"kl_pq": 0, "kl_qp": 0, "js": 0, "tv": 0}
    q = np.array([0.3, 0.3, 0.2, 0.1, 0.1])
    accepted = q[:4] / q[:4].sum()
    exact = {
        "kl_pq": (P[:4] * np.log(P[:4] / q[:4])).sum(),
        "kl_qp": (accepted * np.log(accepted / P[:4])).sum(),
        "js": jensenshannon(P, q) ** 2,
        "tv": np.abs(P - q).sum() / 2,
    }
    for seed in range(200):
        test, samples = drawn(P, 500, 2 * seed), drawn(q, 500, 2 * seed + 1)
        metric = KnownTruth()
        metric.update(Enumerated(), samples, test, scored(test, q), scored(samples, q, split="samples"))
        found = metric.values()
        for name in held:
            low, high = found[name].interval
            held[name] += low <= exact[name] <= high
    assert all(180 <= count <= 200 for count in held.values()), held


@pytest.mark.slow
def test_two_halves_of_one_models_samples_differ_in_one_case_of_twenty():
    """Figures of the accepted texts alone lacked the noise of how many are accepted: half of all pairs differed."""
    rng, told, trials = np.random.default_rng(0), 0, 150
    for _ in range(trials):
        halves = []
        for keep in rng.random((2, 500)) < 0.1:
            p = np.where(keep, -20.0, -np.inf)
            q = -20.0 + np.log(0.1) + rng.normal(0, 0.3, 500)
            halves.append(accepting(p, q, None, False, 0.0)["kl_qp"])
        for half in halves:
            assert half.per_sequence.mean() == pytest.approx(half.value)
            error = (half.interval[1] - half.interval[0]) / (2 * 1.96)
            assert standard_error(half.per_sequence) == pytest.approx(error, rel=0.02)
        one, two = (half.per_sequence for half in halves)
        told += bootstrap_test(one, two, paired=False, resamples=400).p < 0.05
    assert 0.02 < told / trials < 0.09


def test_intervals_say_where_they_hold_an_error_that_all_texts_share():
    test, samples = drawn(P, 400), drawn(Q, 400, seed=1)
    of_test, of_samples = scored(test), scored(samples, split="samples")
    kinds = {}
    for error in (0.0, 0.5):
        metric = KnownTruth()
        both = (replace(of_test, error=error), replace(of_samples, error=error))
        metric.update(Enumerated(), samples, test, *both)
        found = metric.values()
        kinds[error] = {name: found[name].interval_kind for name in ("h_pq", "kl_pq", "kl_qp", "h_qp")}
        for name in ("h_pq", "kl_pq", "kl_qp"):
            low, high = found[name].interval
            alone = standard_error(found[name].per_sequence)
            assert (high - low) / (2 * 1.96) == pytest.approx(math.hypot(alone, error), rel=0.01)
    assert set(kinds[0.0].values()) == {"normal"}
    assert set(kinds[0.5].values()) == {"normal+draws", "normal"}
    assert kinds[0.5]["h_qp"] == "normal"  # of p alone


def test_the_same_distribution_is_no_distance_away():
    found = judged(P)
    assert [found[name].value for name in ("kl_pq", "kl_qp", "js", "tv")] == pytest.approx([0] * 4, abs=1e-12)
    assert found["grammatical"].value == 1


def test_disjoint_distributions_are_as_far_as_can_be():
    found = judged(np.array([0, 0, 0, 0, 1.0]))
    assert found["h_pq"].value == math.inf == found["kl_pq"].value
    assert found["h_pq"].interval is None
    assert isinstance(found["h_qp"], Absent)
    assert isinstance(found["kl_qp"], Absent)
    assert (found["js"].value, found["tv"].value, found["grammatical"].value) == (pytest.approx(math.log(2)), 1, 0)


def test_a_bounded_likelihood_bounds_what_it_can():
    found = judged(kind="bound")
    kinds = {name: value.exactness for name, value in found.items() if not isinstance(value, Absent)}
    assert kinds == {
        "h_p": "exact",
        "h_pq": "upper",
        "kl_pq": "upper",
        "h_qp": "exact",
        "kl_qp": "lower",
        "grammatical": "exact",
        "tv": "upper",
    }
    assert isinstance(found["js"], Absent)
    assert found["tv"].value >= np.abs(P - Q).sum() / 2
    assert found["tv"].interval[0] < found["tv"].value < found["tv"].interval[1]


def test_a_pseudo_likelihood_diverges_from_nothing():
    found = judged(kind="pseudo")
    assert all(isinstance(found[name], Absent) for name in ("h_pq", "kl_pq", "kl_qp", "js"))


def test_without_a_likelihood_the_samples_still_tell_something():
    metric = KnownTruth()
    metric.update(Enumerated(), samples=drawn(Q))
    found = metric.values()
    assert found["grammatical"].value == pytest.approx(0.9, abs=0.01)
    assert (found["tv"].value, found["tv"].exactness) == (pytest.approx(1 - found["grammatical"].value), "lower")
    assert isinstance(found["h_pq"], Absent)
    assert isinstance(found["kl_qp"], Absent)
    assert isinstance(judged(own_scores=False)["js"], Absent)


def test_a_truth_of_one_length_gives_nll_oracle_and_a_closed_form_its_entropy():
    class Oracle(Enumerated):
        length = 20
        entropy = 5.0

    found = judged(truth=Oracle())
    assert found["nll_oracle"].value == pytest.approx(found["h_qp"].value / 20)
    assert (found["h_p"].value, found["h_p"].signature) == (5.0, "h_p|closed-form|v:1")


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=12),
    st.lists(st.integers(0, 4), min_size=2, max_size=12),
    st.randoms(),
)
def test_order_does_not_matter_and_figures_keep_their_bounds(test, samples, draw):
    def figures(test, samples):
        test, samples = (Samples(tuple(map(str, part))) for part in (test, samples))
        metric = KnownTruth()
        metric.update(Enumerated(), samples, test, scored(test), scored(samples, split="samples"))
        return metric.compute()

    found = figures(test, samples)
    assert figures(draw.sample(test, len(test)), draw.sample(samples, len(samples))) == pytest.approx(found)
    assert 0 <= found["js"] <= math.log(2)
    assert 0 <= found["tv"] <= 1
    assert 0 <= found["grammatical"] <= 1
    assert found["h_p"] >= -math.log(P.max()) - 1e-12


def test_signatures_say_over_what():
    found = judged(n=100)
    assert found["h_qp"].signature == "h_qp|over:accepted|seqs:100|v:1"
    assert found["js"].signature == "js|seqs:100+100|v:1"


def test_wrong_evidence_is_told():
    metric = KnownTruth()
    with pytest.raises(Absent, match="needs samples"):
        metric.values()
    with pytest.raises(ValueError, match="3 texts and scores of 2 sequences"):
        metric.update(Enumerated(), references=drawn(P, 3), scores=scored(drawn(P, 2)))
    metric.reset()
    metric.update(Enumerated(), references=Samples(("0", "4")))
    with pytest.raises(Absent, match="1 of 2 held-out texts no probability"):
        metric.values()


def test_bretagnolle_huber_bounds_the_variation():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p, q = rng.dirichlet(np.ones(4) * 0.5, 2)
        assert np.abs(p - q).sum() / 2 <= bretagnolle_huber((p * np.log(p / q)).sum()) + 1e-12
    assert bretagnolle_huber(-0.1) == 0
    assert bretagnolle_huber(math.inf) == 1


def test_held_out_text_is_scored_by_what_a_decode_setting_draws_from():
    test, samples = drawn(P, 2_000), drawn(Q, 2_000, seed=1)
    cold = Q**2 / (Q**2).sum()
    metric = KnownTruth()
    metric.update(Enumerated(), samples, test, scores=scored(test), decoded_scores=scored(test, cold))
    assert metric.values()["h_pq"].value == pytest.approx(-float(scored(test, cold).log_prob.mean()))
