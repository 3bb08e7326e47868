import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentext.results.frontier import Curve, at, common_x, dominated, frontier, hypervolume


def curve(points, *, x_up=False, y_up=True, name="vae"):
    x, y = (tuple(map(float, column)) for column in zip(*points, strict=True))
    settings = tuple(f"temperature={i}" for i in range(len(points)))
    return Curve(name, settings, x, y, x_up, y_up, "self_bleu4", "bleu4")


# Self-BLEU falls (good) as BLEU falls (bad); the third setting is worse than the second on both
SWEEP = curve([(0.7, 0.40), (0.5, 0.30), (0.55, 0.25), (0.3, 0.10)])
points = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12)


def test_the_dominated_setting_is_found():
    assert dominated(SWEEP).tolist() == [False, False, True, False]
    assert frontier(SWEEP) == [3, 1, 0]


def test_twins_do_not_dominate_each_other():
    assert not dominated(curve([(0.5, 0.3), (0.5, 0.3)])).any()


@given(points, st.booleans(), st.booleans())
def test_dominated_equals_the_definition(values, x_up, y_up):
    turned = [(x if x_up else -x, y if y_up else -y) for x, y in values]
    expected = [any(a >= x and b >= y and (a, b) != (x, y) for a, b in turned) for x, y in turned]
    assert dominated(curve(values, x_up=x_up, y_up=y_up)).tolist() == expected


@given(points)
def test_the_hypervolume_counts_the_cells_of_a_grid(values):
    corner = (2.0, 1.0)
    cells = sum(
        any(x > i and y > j for x, y in values) for i in range(2, 9) for j in range(1, 9)
    )  # cell [i, i+1] x [j, j+1] lies below a point
    assert hypervolume(curve(values, x_up=True), corner) == cells


@given(points, st.permutations(range(12)))
def test_the_order_of_the_settings_does_not_matter(values, order):
    mixed = [values[i] for i in order if i < len(values)]
    assert hypervolume(curve(values), (9.0, 0.0)) == hypervolume(curve(mixed), (9.0, 0.0))
    middle = common_x([curve(values)])
    assert at(curve(values), middle).y == at(curve(mixed), middle).y


def test_the_hypervolume_grows_with_a_better_point_and_not_with_a_dominated_one():
    area = hypervolume(SWEEP, (1.0, 0.0))
    assert area == pytest.approx(0.7 * 0.10 + 0.5 * (0.30 - 0.10) + 0.3 * (0.40 - 0.30))
    assert hypervolume(curve([*zip(SWEEP.x, SWEEP.y, strict=True), (0.4, 0.3)]), (1.0, 0.0)) > area
    assert hypervolume(curve([*zip(SWEEP.x, SWEEP.y, strict=True), (0.9, 0.1)]), (1.0, 0.0)) == area


def test_quality_at_matched_diversity():
    found = at(SWEEP, 0.58)
    assert found.y == pytest.approx(0.30 + 0.08 / 0.2 * 0.10)
    assert found.between == ("temperature=1", "temperature=0")
    assert str(found) == "at self_bleu4 0.58 vae has bleu4 0.34"
    assert at(SWEEP, 0.5).between == ("temperature=1", "temperature=1")
    assert at(SWEEP, 0.5).y == 0.30


def test_nothing_is_extrapolated():
    with pytest.raises(ValueError, match=r"spans self_bleu4 0.3 to 0.7, which does not reach 0.8"):
        at(SWEEP, 0.8)


def test_curves_are_compared_where_all_reach():
    other = curve([(0.6, 0.2), (0.9, 0.5)], name="lstm")
    assert common_x([SWEEP, other]) == pytest.approx(0.65)
    assert common_x([SWEEP, curve([(0.8, 0.2), (0.9, 0.5)])]) is None
    assert common_x([]) is None


def test_a_broken_curve_is_refused():
    with pytest.raises(ValueError, match="one x and one y"):
        Curve("a", ("t",), (0.1, 0.2), (0.1,), True, True)
    with pytest.raises(ValueError, match="not finite"):
        curve([(np.nan, 1.0)])
