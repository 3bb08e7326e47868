import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.vectors import Written, cloud
from scipy.integrate import quad
from sklearn.decomposition import PCA

from gentext.metrics.base import Absent
from gentext.metrics.mauve import Mauve, area, principal, quantise
from gentext.types import Samples

shares = st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(sum)


def mauve(samples, references, width=3, **options):
    metric = Mauve(Written(width), **options)
    metric.update(samples=samples, references=references)
    return metric.values()["mauve"]


def test_equal_distributions_have_one_and_disjoint_ones_the_least():
    p = np.array([0.5, 0.5, 0.0, 0.0])
    assert area(p, p, 5.0) == pytest.approx(1)
    assert area(p, p[::-1], 5.0) == pytest.approx(1 / 252, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(shares, shares, st.sampled_from([1.0, 5.0]))
def test_the_area_is_the_integral_of_the_definition(p, q, scale):
    size = max(len(p), len(q))
    p, q = (np.pad(x, (0, size - len(x))) / sum(x) for x in (p, q))

    def kl(a, b):
        return sum(x * np.log(x / y) for x, y in zip(a, b, strict=True) if x > 0)

    def slope(weight):  # y dx over the mixtures: d KL(q|r) / d weight by hand
        r = weight * p + (1 - weight) * q
        turn = sum(b * (b - a) / c for a, b, c in zip(p, q, r, strict=True) if b > 0)
        return np.exp(-scale * kl(p, r)) * scale * turn * np.exp(-scale * kl(q, r))

    inner, _ = quad(slope, 0, 1, limit=400)
    with np.errstate(divide="ignore"):
        left = np.exp(-scale * kl(q, p + 1e-300)) if all(p[q > 0] > 0) else 0.0
    assert area(p, q, scale) == pytest.approx(inner + left, abs=2e-4)


@settings(max_examples=25, deadline=None)
@given(shares, shares)
def test_the_area_is_bounded_and_symmetric(p, q):
    size = max(len(p), len(q))
    p, q = (np.pad(x, (0, size - len(x))) / sum(x) for x in (p, q))
    assert 1 / 252 - 1e-6 <= area(p, q, 5.0) <= 1 + 1e-9
    assert area(p, q, 5.0) == pytest.approx(area(q, p, 5.0), abs=1e-6)


@pytest.mark.parametrize("variance", [0.5, 0.9, 1.0])
def test_principal_components_are_scikit_learns(variance):
    points, _ = cloud(60, 6, 0)
    points *= np.array([5, 3, 2, 1, 0.5, 0.2], dtype=np.float32)
    theirs = PCA(variance if variance < 1 else None, svd_solver="full").fit_transform(points.astype(float))
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = principal(torch.from_numpy(points), variance).numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=1e-4)  # the sign of a component is free


def test_points_as_many_as_clusters_are_their_own():
    points = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    assert quantise(points, np.array([2, 1]), 2, 0).tolist() == [0, 1]
    assert quantise(points, np.array([2, 1]), 3, 0).tolist() == [0, 1]


def test_clusters_find_the_heaps():
    heaps = [cloud(30, 2, i)[0] * 0.01 + np.array(at) for i, at in enumerate([(0, 5), (5, 0), (-5, 0)])]
    points = np.concatenate(heaps).astype(np.float32)
    found = [quantise(points, np.ones(90, dtype=int), 3, seed) for seed in range(5)]
    best = max(found, key=lambda label: len(set(label)))
    assert [len(set(best[at : at + 30])) for at in (0, 30, 60)] == [1, 1, 1]


def test_a_shift_lowers_mauve_and_its_clusterings_are_told():
    _, references = cloud(200, 3, 0)
    alike, apart = mauve(cloud(200, 3, 1)[1], references), mauve(cloud(200, 3, 1, 2.0)[1], references)
    assert apart.value < 0.5 < 0.8 < alike.value <= 1
    assert alike.interval[0] <= alike.value <= alike.interval[1]
    assert alike.interval_kind == "jackknife:20+clusterings:5"
    assert mauve(references, references).value == pytest.approx(1)


def test_samples_that_collapsed_have_little():
    _, references = cloud(200, 3, 0)
    value = mauve(Samples(references.texts[:1] * 200), references)
    assert value.value < 0.1
    assert mauve(Samples(("1 2 3",) * 40), Samples(("1 2 3",) * 40)).value == pytest.approx(1)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 99))
def test_the_order_of_the_texts_does_not_matter(seed):
    (_, samples), (_, references) = cloud(60, 3, seed), cloud(60, 3, seed + 1)
    mixed = Samples(tuple(np.random.default_rng(seed).permutation(samples.texts).tolist()))
    assert mauve(mixed, references, seeds=2).value == pytest.approx(mauve(samples, references, seeds=2).value)


def test_smoothing_draws_the_sides_together():
    (_, samples), (_, references) = cloud(60, 3, 0), cloud(60, 3, 1)
    assert mauve(samples, references).value < mauve(samples, references, smoothing=0.5).value < 1


def test_golden():
    value = mauve(cloud(100, 3, 0)[1], cloud(120, 3, 1, 0.5)[1], seeds=2)
    assert value.signature == (
        "mauve|encoder:written-3|clusters:10|pca:0.9|c:5|smooth:0|seeds:0+2|refs:120|hyps:100|v:1"
    )
    assert value.value == pytest.approx(0.8414321, abs=1e-5)


def test_too_few_texts_are_absent_with_the_reason():
    _, references = cloud(50, 3, 0)
    with pytest.raises(Absent, match="over 1 clusters"):
        mauve(cloud(19, 3, 0)[1], references)
    with pytest.raises(Absent, match="over 60 clusters"):
        mauve(references, references, clusters=60)
    with pytest.raises(Absent, match="there are 0"):
        mauve(Samples(()), references)


@pytest.mark.parametrize("options", [{"clusters": 1}, {"seeds": 0}, {"scale": 0.0}, {"variance": 0.0}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        Mauve(Written(3), **options)


def test_close_to_the_authors_package():
    package = pytest.importorskip("mauve")
    (p, samples), (q, references) = cloud(400, 8, 0), cloud(400, 8, 1, 0.3)
    theirs = [
        package.compute_mauve(p_features=p, q_features=q, seed=seed, verbose=False, device_id=-1).mauve
        for seed in (1, 2, 3)
    ]
    assert mauve(samples, references, 8).value == pytest.approx(np.mean(theirs), abs=0.05)
