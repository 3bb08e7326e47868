import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.vectors import Written, cloud
from sklearn.neighbors import NearestNeighbors

from gentext.metrics import precision_recall
from gentext.metrics.base import Absent
from gentext.metrics.intervals import group_of
from gentext.metrics.precision_recall import PrecisionRecall, distances, radii, reach
from gentext.types import Samples

NAMES = ("precision", "recall", "density", "coverage")


def figures(samples, references, width=3, **options):
    metric = PrecisionRecall(Written(width), **options)
    metric.update(samples=samples, references=references)
    return metric.values()


def by_hand(a, b, k):
    """The definitions, point by point."""

    def gap(x, y):
        return float(((x.astype(float) - y.astype(float)) ** 2).sum())

    def radius(points, i):
        return sorted(gap(points[i], other) for j, other in enumerate(points) if j != i)[k - 1] + 1e-5

    ra, rb = [radius(a, i) for i in range(len(a))], [radius(b, i) for i in range(len(b))]
    inside = np.array([[gap(x, y) <= rb[j] for j, y in enumerate(b)] for x in a])
    return {
        "precision": inside.any(1).mean(),
        "recall": np.mean([any(gap(x, y) <= ra[i] for i, x in enumerate(a)) for y in b]),
        "density": inside.sum(1).mean() / k,
        "coverage": inside.any(0).mean(),
    }


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.integers(4, 14), st.integers(4, 14), st.integers(1, 3), st.floats(-1, 1))
def test_the_shares_are_those_of_the_definitions(seed, n, m, k, shift):
    (a, samples), (b, references) = cloud(n, 3, seed), cloud(m, 3, seed + 1, shift)
    found = figures(samples, references, neighbours=k, groups=10)
    assert {name: value.value for name, value in found.items()} == pytest.approx(by_hand(a, b, k))


def test_errors_are_those_of_the_definitions_without_each_group():
    (a, _), (b, _) = cloud(40, 3, 0), cloud(45, 3, 1, 0.5)
    _, errors = reach(torch.from_numpy(a), torch.from_numpy(b), 2, 8, seed=3)
    ours, theirs = group_of(40, 8, 3), group_of(45, 8, 4)
    without = [by_hand(a[ours != group], b[theirs != group], 2) for group in range(8)]
    for name in NAMES:
        expected = np.array([figures[name] for figures in without])
        assert errors[name] == pytest.approx(np.sqrt(7 / 8 * np.square(expected - expected.mean()).sum()), rel=1e-6)


def test_radii_are_scikit_learns():
    points, _ = cloud(300, 5, 0)
    theirs = NearestNeighbors(n_neighbors=5).fit(points).kneighbors()[0][:, -1]
    assert radii(torch.from_numpy(points), 4 + 1, np.zeros(300, dtype=int), 0)[0].sqrt().numpy() == pytest.approx(
        theirs, abs=1e-4
    )


def test_the_rows_held_at_once_change_nothing(monkeypatch):
    a, b = (torch.from_numpy(cloud(50, 3, i)[0]) for i in (0, 1))
    whole, errors = reach(a, b, 3, 10)
    monkeypatch.setattr(precision_recall, "ROWS", 7)
    parts, same = reach(a, b, 3, 10)
    assert all((whole[name] == parts[name]).all() for name in NAMES)
    assert errors == same
    assert distances(a, b).numpy() == pytest.approx(torch.cdist(a, b).square().numpy(), abs=1e-4)


def test_samples_of_the_references_kind_lie_among_them_and_cover_them():
    _, references = cloud(400, 2, 0)
    alike = figures(cloud(400, 2, 1)[1], references, 2)
    assert all(alike[name].value > 0.9 for name in ("precision", "recall", "coverage"))
    assert alike["density"].value == pytest.approx(1, abs=0.15)
    apart = figures(cloud(400, 2, 1, 50.0)[1], references, 2)
    assert all(apart[name].value == 0 for name in NAMES)


def test_a_collapse_is_precise_and_covers_nothing():
    _, references = cloud(200, 2, 0)
    found = figures(Samples(references.texts[:1] * 200), references, 2)
    assert found["precision"].value == 1
    assert found["recall"].value <= 0.01
    assert found["coverage"].value < 0.1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99))
def test_the_order_of_the_texts_does_not_matter(seed):
    (_, samples), (_, references) = cloud(12, 3, seed), cloud(9, 3, seed + 1)
    mixed = Samples(tuple(np.random.default_rng(seed).permutation(samples.texts).tolist()))
    one, two = figures(samples, references, groups=10), figures(mixed, references, groups=10)
    assert all(one[name].value == pytest.approx(two[name].value) for name in NAMES)
    assert all(0 <= one[name].value <= 1 for name in NAMES if name != "density")


def test_each_figure_says_what_it_rests_on():
    found = figures(cloud(30, 3, 0)[1], cloud(40, 3, 1)[1])
    each = {name: value.per_sequence for name, value in found.items()}
    assert {name: value.n for name, value in found.items()} == dict(zip(NAMES, (30, 40, 30, 40), strict=True))
    assert [len(each["precision"]), len(each["density"])] == [30, 30]
    assert each["recall"] is each["coverage"] is None  # all samples together decide on a reference: no tests over them
    assert all(value.interval[0] <= value.value <= value.interval[1] for value in found.values())
    assert found["recall"].signature == "recall|encoder:written-3|k:5|refs:40|hyps:30|v:1"


def test_golden():
    found = figures(cloud(30, 3, 0)[1], cloud(40, 3, 1, 0.5)[1])
    assert [value.value for value in found.values()] == pytest.approx([1.0, 0.95, 0.78, 0.9])


def test_too_few_texts_are_absent_with_the_reason():
    _, references = cloud(10, 3, 0)
    with pytest.raises(Absent, match="5 neighbours need more"):
        figures(cloud(5, 3, 0)[1], references)
    with pytest.raises(Absent, match="there are 0"):
        figures(Samples(()), references)
    with pytest.raises(ValueError, match="neighbours is 0"):
        PrecisionRecall(Written(3), neighbours=0)
