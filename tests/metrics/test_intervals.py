"""Intervals against theory, against scipy's bootstrap, and against fresh samples where no theory is at hand."""

import numpy as np
import pytest
import scipy.stats

from gentext.metrics import intervals


def test_bootstrap_equals_scipys_up_to_draws():
    x = np.random.default_rng(0).exponential(size=200)
    ours = intervals.bootstrap(x, resamples=20_000, seed=1)
    theirs = scipy.stats.bootstrap((x,), np.mean, n_resamples=20_000, method="percentile", rng=2).confidence_interval
    assert ours.interval == pytest.approx(tuple(theirs), abs=0.01)
    assert ours.interval_kind == "bootstrap:20000"


def test_columns_share_their_draws_and_the_seed_repeats_them():
    x = np.random.default_rng(0).random((50, 2))
    both = intervals.bootstraps(x, seed=3)
    assert both[0].interval == pytest.approx(intervals.bootstrap(x[:, 0], seed=3).interval, abs=1e-12)
    assert both[0].interval != pytest.approx(intervals.bootstrap(x[:, 0], seed=4).interval, abs=1e-12)
    draws = intervals.resample(np.stack([x[:, 0], 2 * x[:, 0]], 1), 100, 0)
    np.testing.assert_allclose(draws[:, 1], 2 * draws[:, 0])


def test_resampled_means_have_the_variance_of_sampling_with_replacement():
    x = np.random.default_rng(5).normal(size=3000)
    draws = intervals.resample(x[:, None], 4000, 0)[:, 0]
    assert draws.mean() == pytest.approx(x.mean(), abs=0.002)
    assert draws.std() == pytest.approx(x.std() / np.sqrt(len(x)), rel=0.04)


def test_ratio_interval_covers_the_true_ratio():
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        length = rng.integers(1, 20, 100)
        low, high = intervals.bootstrap_ratio(rng.normal(2.0 * length, 1.0), length, resamples=400, seed=seed).interval
        covered += low <= 2.0 <= high
    assert 88 <= covered <= 100


def test_ratio_of_many_rows_is_the_delta_method():
    rng = np.random.default_rng(0)
    length = rng.integers(1, 20, intervals.LARGE)
    cost = rng.normal(2.0 * length, 1.0)
    large = intervals.bootstrap_ratio(cost, length)
    draws = intervals.resample(np.stack([cost, length], 1).astype(float), 3000, 0)
    assert large.interval_kind == "normal"
    width = 2 * intervals.Z * (draws[:, 0] / draws[:, 1]).std()
    assert large.interval[1] - large.interval[0] == pytest.approx(width, rel=0.15)


def test_a_linearised_ratio_has_its_mean_and_the_error_of_leaving_texts_out():
    rng = np.random.default_rng(0)
    length = rng.integers(1, 60, 400)
    cost = rng.normal(2.0 * length, 1.0)
    each = intervals.linearised(cost, length)
    without = (cost.sum() - cost) / (length.sum() - length)
    jackknifed = np.sqrt(399 * without.var())
    assert each.mean() == pytest.approx(cost.sum() / length.sum())
    assert intervals.standard_error(each) == pytest.approx(jackknifed, rel=0.02)
    assert intervals.linearised(cost, np.full(400, 7)) == pytest.approx(cost / 7)
    cost[3] = np.inf
    assert np.flatnonzero(~np.isfinite(intervals.linearised(cost, length))).tolist() == [3]


def test_the_jackknife_estimates_the_spread_over_fresh_samples():
    def distinct(words):
        return len(set(words.tolist())) / len(words)

    def draw(seed):
        return np.random.default_rng(seed).zipf(1.3, 2000) % 5000

    fresh = np.std([distinct(draw(seed)) for seed in range(200)], ddof=1)
    words = draw(1000)
    (error,) = intervals.jackknife(lambda kept: np.array([distinct(words[kept])]), len(words), groups=50)
    assert error == pytest.approx(fresh, rel=0.3)
    found = intervals.student(distinct(words), error, 50)
    assert found.interval_kind == "jackknife:50"
    assert np.mean(found.interval) == pytest.approx(distinct(words))


def test_the_interval_of_a_share_equals_scipys_and_is_sound_at_the_ends():
    for successes, n in ((0, 10), (3, 10), (10, 10), (77, 1000)):
        theirs = scipy.stats.binomtest(successes, n).proportion_ci(method="exact")
        found = intervals.clopper_pearson(successes / n, n).interval
        assert found == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert intervals.clopper_pearson(0.0, n).interval[0] == 0.0  # 0 lies within it, which 1e-18 once kept out
        assert intervals.clopper_pearson(1.0, n).interval[1] == 1.0
    assert intervals.clopper_pearson(0.0, 0) == intervals.NO_INTERVAL


def test_a_share_with_an_error_is_one_of_as_many_trials_as_have_it():
    plain = intervals.clopper_pearson(0.2, 50)
    assert intervals.clopper_pearson(0.2, 999, (0.2 * 0.8 / 50) ** 0.5).interval == pytest.approx(plain.interval)
    assert intervals.clopper_pearson(0.0, 50, 0.0).interval == intervals.clopper_pearson(0.0, 50).interval
    rounded = intervals.clopper_pearson(0.001, 50, 1e-19).interval  # of a jackknife over equal texts
    assert rounded == intervals.clopper_pearson(0.001, 50).interval
    low, high = intervals.clopper_pearson(0.2, 50, 0.06, df=9).interval
    assert low < plain.interval[0] < plain.interval[1] < high


def test_the_jackknife_sees_pairs_and_both_sides():
    """Pairs of equal numbers are rare: halves would see a quarter of them, and a bootstrap makes its own."""

    def equal(ours, theirs):
        return np.isin(ours, theirs).mean() + (len(ours) - len(set(ours.tolist()))) / len(ours)

    def draw(seed):
        return np.random.default_rng(seed).integers(0, 3000, (2, 200))

    fresh = np.std([equal(*draw(seed)) for seed in range(400)], ddof=1)

    def error(seed):
        ours, theirs = draw(1000 + seed)
        found = intervals.jackknife(lambda a, b: np.array([equal(ours[a], theirs[b])]), 200, 200, seed=seed)
        return found[0]

    mean = np.sqrt(np.mean([error(seed) ** 2 for seed in range(30)]))
    assert 0.95 < mean / fresh < 1.5  # never too small (Efron and Stein); of pure pairs at most sqrt(2) too large


@pytest.mark.parametrize("rate", [0.3, 2.0, 30.0])
def test_intervals_of_rare_shares_hold_them(rate):
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        each = rng.poisson(rate / 300, 300) / 8  # a sentence of nine words that repeats one
        low, high = intervals.share_of_ratio(each, np.ones(300)).interval
        held += low <= rate / 300 / 8 <= high
    assert held >= 0.93 * 300


@pytest.mark.parametrize("x", [np.zeros(0), np.ones(1), np.array([1.0, np.inf]), np.array([1.0, -np.inf, 2.0])])
def test_no_interval_where_there_is_none(x):
    assert intervals.bootstrap(x) == intervals.NO_INTERVAL
    assert intervals.bootstrap_ratio(x, np.ones(len(x))) == intervals.NO_INTERVAL
    assert intervals.mean_normal(x) == intervals.NO_INTERVAL
