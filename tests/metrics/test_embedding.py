import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.vectors import Written, cloud
from scipy.linalg import sqrtm

from gentext.metrics.base import Absent
from gentext.metrics.embedding import Frechet, Vendi, frechet_distance, mean_and_covariance, vendi_score
from gentext.types import Samples


def frechet(samples, references, width, **options):
    metric = Frechet(Written(width), **options)
    metric.update(samples=samples, references=references)
    return metric.values()["frechet"]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.integers(8, 40), st.integers(2, 6), st.floats(-1, 1))  # sqrtm wants n > d
def test_the_frechet_distance_is_that_of_the_matrix_square_root(seed, n, d, shift):
    (a, samples), (b, references) = cloud(n, d, seed), cloud(n + 3, d, seed + 1, shift)
    one, two = np.cov(a.T.astype(float)), np.cov(b.T.astype(float))
    gap = a.mean(0, dtype=float) - b.mean(0, dtype=float)
    expected = gap @ gap + np.trace(one + two - 2 * np.real(sqrtm(one @ two)))
    assert frechet(samples, references, d).value == pytest.approx(expected, abs=1e-5)


def test_the_frechet_distance_of_known_normals():
    eye = torch.eye(3, dtype=torch.float64)
    zero, ones = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    assert float(frechet_distance((zero, eye), (ones, 4 * eye))) == pytest.approx(3 + 3 * (2 - 1) ** 2)
    flat = torch.diag(torch.tensor([9.0, 0.0, 0.0], dtype=torch.float64))  # singular: fewer texts than dimensions
    assert float(frechet_distance((zero, flat), (zero, eye))) == pytest.approx((3 - 1) ** 2 + 2)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.integers(4, 20))
def test_the_frechet_distance_is_symmetric_and_blind_to_order(seed, n):
    (_, samples), (_, references) = cloud(n, 3, seed), cloud(n, 3, seed + 1)
    value = frechet(samples, references, 3, groups=0).value
    assert value >= 0
    assert frechet(references, samples, 3, groups=0).value == pytest.approx(value, abs=1e-9)
    mixed = Samples(tuple(np.random.default_rng(seed).permutation(samples.texts).tolist()))
    assert frechet(mixed, references, 3, groups=0).value == pytest.approx(value, abs=1e-6)
    assert frechet(samples, samples, 3, groups=0).value == pytest.approx(0, abs=1e-6)


def test_the_frechet_interval_is_the_spread_over_fresh_samples():
    def draw(seed, **options):
        return frechet(cloud(200, 2, seed, 0.4)[1], cloud(500, 2, 1000 + seed)[1], 2, **options)

    fresh = [draw(1 + i, groups=0).value for i in range(50)]
    low, high = draw(0, groups=20).interval
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(fresh), rel=0.3)


def vendi(samples, width):
    metric = Vendi(Written(width))
    metric.update(samples=samples)
    return metric.values()["vendi"]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.integers(1, 30), st.integers(2, 8))
def test_the_vendi_score_is_that_of_the_similarities(seed, n, d):
    points, _ = cloud(n, d, seed)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit.astype(float) @ unit.T.astype(float) / n)
    values = values[values > 1e-12]
    found = float(vendi_score(torch.from_numpy(unit)))
    assert found == pytest.approx(np.exp(-np.sum(values * np.log(values))), rel=1e-4)
    assert 1 - 1e-5 <= found <= min(n, d) + 1e-5


def test_the_vendi_score_counts_different_texts():
    assert vendi(Samples(("1 0 0", "0 1 0", "0 0 1")), 3).value == pytest.approx(3)
    assert vendi(Samples(("1 0 0", "1 0 0", "0 1 0", "0 1 0")), 3).value == pytest.approx(2)
    assert vendi(Samples(("1 0 0",)), 3).value == pytest.approx(1)
    assert vendi(Samples(("1 0 0", "0 0 0", "0 0 0", "1 0 0")), 3).value == pytest.approx(2)  # empty texts are alike


def test_updates_in_parts_equal_one():
    (_, one), (_, two), (_, references) = cloud(5, 3, 0), cloud(4, 3, 1), cloud(9, 3, 2)
    whole, parts = Frechet(Written(3), groups=0), Frechet(Written(3), groups=0)
    whole.update(samples=Samples(one.texts + two.texts), references=references)
    parts.update(samples=one, references=references)
    parts.update(samples=two)
    assert parts.values() == whole.values()
    assert parts.compute() == {"frechet": whole.values()["frechet"].value}
    parts.reset()
    with pytest.raises(Absent, match="2 or more samples, and there are 0"):
        parts.values()


def test_what_cannot_be_computed_is_absent():
    _, references = cloud(5, 3, 0)
    with pytest.raises(Absent, match="there are 1"):
        frechet(Samples(("1 2 3",)), references, 3)
    with pytest.raises(Absent, match="there are 0"):
        vendi(Samples(()), 3)


def test_golden_on_text():
    samples = Samples(("a man rides a horse .", "a cat sleeps .", "a dog plays with a cat ."))
    references = Samples(("a man rides a bike .", "the cat is asleep .", "dogs play in the snow ."))
    metric = Frechet(groups=0)
    metric.update(samples=samples, references=references)
    value = metric.values()["frechet"]
    assert value.signature == "frechet|encoder:hashed-2gram-256-treebank+lower-v1|refs:3|hyps:3|v:1"
    assert (value.value, vendi_of(samples)) == pytest.approx((1.739091, 2.595875), abs=1e-5)


def vendi_of(samples):
    metric = Vendi()
    metric.update(samples=samples)
    return metric.values()["vendi"].value


def test_mean_and_covariance_are_numpys():
    points, _ = cloud(7, 3, 0)
    mean, covariance = mean_and_covariance(torch.from_numpy(points))
    assert mean.numpy() == pytest.approx(points.mean(0), abs=1e-6)
    assert covariance.numpy() == pytest.approx(np.cov(points.T), abs=1e-6)
