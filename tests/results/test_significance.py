import itertools

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.significance import PairedTest
from scipy import stats

from gentext.results.significance import (
    bootstrap_test,
    hierarchical_interval,
    hierarchical_test,
    holm,
    over_seeds,
    randomisation_test,
)


def normal(n, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1.0, n)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("test", [bootstrap_test, randomisation_test])
def test_p_is_roughly_uniform_where_nothing_differs(test, paired):
    ps = [test(normal(60, i), normal(60, 5000 + i), paired=paired, **{_draws(test): 200}, seed=i).p for i in range(300)]
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(ps) < 0.05) < 0.09


def _draws(test):
    return "resamples" if test is bootstrap_test else "trials"


@pytest.mark.parametrize("test", [bootstrap_test, randomisation_test])
def test_a_shift_is_found_and_its_sign_told(test):
    a = normal(300, 0)
    said = test(a + 0.3 + normal(300, 1) * 0.1, a)
    assert said.p < 0.001
    assert said.difference == pytest.approx(0.3, abs=0.05)


def test_pairing_finds_what_the_unpaired_test_cannot():
    a = normal(200, 0) * 10
    b = a - 0.1 + normal(200, 1) * 0.2
    assert bootstrap_test(a, b).p < 0.001 < 0.5 < bootstrap_test(a, b, paired=False).p


def test_the_paired_randomisation_equals_the_enumeration_of_every_swap():
    a, b = normal(8, 3, 0.6), normal(8, 4)
    gaps = a - b
    signs = np.array(list(itertools.product([1, -1], repeat=8)))
    exact = np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-12)
    assert randomisation_test(a, b, trials=40_000).p == pytest.approx(exact, abs=0.01)


def test_the_unpaired_randomisation_equals_the_enumeration_of_every_deal():
    a, b = normal(5, 3, 1.0), normal(6, 4)
    pool = np.concatenate([a, b])
    deals = [list(chosen) for chosen in itertools.combinations(range(11), 5)]
    gaps = np.array([pool[d].mean() - np.delete(pool, d).mean() for d in deals])
    exact = np.mean(np.abs(gaps) >= abs(a.mean() - b.mean()) - 1e-12)
    assert randomisation_test(a, b, paired=False, trials=20_000).p == pytest.approx(exact, abs=0.015)


def test_the_bootstrap_interval_agrees_with_scipy():
    a, b = normal(150, 0, 0.2), normal(150, 1)
    theirs = stats.bootstrap((a - b,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(0))
    ours = bootstrap_test(a, b).interval
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def test_a_run_does_not_differ_from_itself():
    a = normal(50, 0)
    assert bootstrap_test(a, a).p == randomisation_test(a, a).p == 1.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=20), st.integers(0, 5))
def test_exchanging_the_runs_turns_only_the_sign(values, seed):
    a, b = np.array(values), np.array(values[::-1]) * 0.5
    one, two = randomisation_test(a, b, trials=99, seed=seed), randomisation_test(b, a, trials=99, seed=seed)
    assert one.difference == pytest.approx(-two.difference)
    assert one.p == two.p
    assert 0 < one.p <= 1


def test_corpus_bleu_from_sentence_statistics_agrees_with_sacrebleu_on_who_wins():
    rng = np.random.default_rng(0)
    words = list("abcdefghijklmno")
    references = [" ".join(rng.choice(words, 12)) for _ in range(80)]

    def spoil(text, rate):
        return " ".join("x" if rng.random() < rate else word for word in text.split())

    good, bad = [spoil(t, 0.2) for t in references], [spoil(t, 0.23) for t in references]
    bleu = sacrebleu.BLEU(effective_order=True, tokenize="none")

    def statistics(texts):
        rows = [bleu.sentence_score(text, [reference]) for text, reference in zip(texts, references, strict=True)]
        return np.array([[*row.counts, *row.totals, row.sys_len, row.ref_len] for row in rows], dtype=float)

    def score(means):
        precision = np.log(means[..., :4] / means[..., 4:8]).mean(-1)
        return 100 * np.exp(precision + np.minimum(0, 1 - means[..., 9] / means[..., 8]))

    ours = bootstrap_test(statistics(good), statistics(bad), score=score, resamples=1000)
    plain = sacrebleu.BLEU(tokenize="none")
    theirs = [plain.corpus_score(texts, [references]).score for texts in (good, bad)]
    assert ours.difference == pytest.approx(theirs[0] - theirs[1])
    named = [("bad", bad), ("good", good)]
    paired = PairedTest(named, {"BLEU": plain}, [references], test_type="bs", n_samples=1000, n_jobs=1)
    assert ours.p == pytest.approx(paired()[1]["BLEU"][1].p_value, abs=0.03)


def test_holm_by_hand():
    # sorted: .005 x 4 = .02; .01 x 3 = .03; .03 x 2 = .06; .04 x 1 = .04, raised to .06
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert holm({}) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_only_raises_and_keeps_the_order(values):
    p = dict(enumerate(values))
    adjusted = holm(p)
    assert all(p[key] <= adjusted[key] <= 1 for key in p)
    assert all(adjusted[x] <= adjusted[y] for x in p for y in p if p[x] < p[y])


def test_over_seeds_is_students_interval():
    mean, interval = over_seeds([1.0, 2.0, 4.0])
    assert mean == pytest.approx(7 / 3)
    assert interval == pytest.approx(stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1.0, 2.0, 4.0])))
    assert over_seeds([1.0, 2.0]) == (1.5, None)


@pytest.mark.parametrize("crossed", [True, False])
def test_the_hierarchical_interval_sees_the_spread_between_seeds(crossed):
    effects = [0.0, 1.0, 2.0, -1.0, 0.5]
    runs = [normal(400, i if not crossed else 0, shift) for i, shift in enumerate(effects)]
    low, high = hierarchical_interval(runs, crossed=crossed, resamples=2000)
    expected = 1.96 * np.sqrt(np.var(effects) / 5)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.2)
    assert low < np.mean([run.mean() for run in runs]) < high


def test_crossed_sentences_do_not_average_out():
    shared = normal(50, 0) * 5
    runs = [shared + normal(50, 1 + i) * 0.01 for i in range(4)]
    low, high = hierarchical_interval(runs, crossed=True, resamples=2000)
    alone = bootstrap_test(shared, np.zeros(50)).interval
    assert high - low == pytest.approx(alone[1] - alone[0], rel=0.1)


@pytest.mark.parametrize("paired", [True, False])
def test_several_seeds_differ_only_where_their_spread_allows_it(paired):
    def row(shifts, first):
        return [normal(300, 0 if paired else first + i, shift) for i, shift in enumerate(shifts)]

    close = row([0.0, 0.1, -0.1, 0.05], 1)
    assert hierarchical_test(close, row([1.0, 1.1, 0.9, 1.0], 9), paired=paired, resamples=1000).p < 0.01
    assert hierarchical_test(close, row([1.0, -1.2, 0.9, -0.6], 9), paired=paired, resamples=1000).p > 0.2


def test_one_seed_each_is_the_bootstrap_over_sentences():
    a, b = normal(100, 0, 0.2), normal(100, 1)
    one, all_ = bootstrap_test(a, b), hierarchical_test([a], [b])
    assert (one.difference, one.p) == pytest.approx((all_.difference, all_.p))
    assert one.interval == pytest.approx(all_.interval)


def test_golden():
    said = bootstrap_test(np.arange(20.0), np.arange(20.0)[::-1] ** 1.1, resamples=1000, seed=7)
    assert said.test == "bootstrap|paired|n:20|draws:1000|seed:7"
    assert (said.difference, said.p) == pytest.approx((-2.678456574802315, 0.3676323676323676))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], "same sentences"),
        ([1.0], [1.0], "two sentences or more"),
        ([1.0, np.inf], [1.0, 2.0], "not finite"),
        ([[1.0, 2.0], [2.0, 3.0]], [1.0, 2.0], "same"),
    ],
)
def test_what_cannot_be_tested_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_test(np.array(a), np.array(b))


def test_seeds_and_p_values_are_checked():
    with pytest.raises(ValueError, match="two seeds"):
        hierarchical_interval([normal(5, 0)], crossed=True)
    with pytest.raises(ValueError, match="crossed=False"):
        hierarchical_interval([normal(5, 0), normal(6, 0)], crossed=True)
    with pytest.raises(ValueError, match=r"0 \.\. 1"):
        holm({"a": 1.2})
    with pytest.raises(ValueError, match="no seed"):
        over_seeds([])
