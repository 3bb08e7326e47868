import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.results.frontier import Curve, area, at, common_range, dominated, frontier


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


@given(points, st.permutations(range(12)))
def test_the_order_of_the_settings_does_not_matter(values, order):
    mixed = [values[i] for i in order if i < len(values)]
    span = common_range([curve(values)])
    assert area(curve(values), *span) == pytest.approx(area(curve(mixed), *span))
    assert at(curve(values), span[0]).y == at(curve(mixed), span[0]).y


@settings(deadline=None, max_examples=25)
@given(points)
def test_the_area_is_the_mean_of_what_is_read_along_the_frontier(values):
    low, high = common_range([curve(values)])
    xs = np.linspace(low, high, 401)
    read = [at(curve(values), x).y for x in xs]
    assert area(curve(values), low, high) == pytest.approx(
        np.trapezoid(read, xs) / (high - low or 1) or read[0], abs=0.02
    )


def test_a_further_setting_between_two_others_adds_nothing():
    """Zitzler's hypervolume counts settings: .183, .242, .274 of one model at 1, 3, 5 temperatures."""
    few = curve([(0.7, 0.40), (0.3, 0.10)])
    many = curve([(0.7, 0.40), (0.6, 0.325), (0.5, 0.25), (0.4, 0.175), (0.3, 0.10)])
    assert area(few, 0.3, 0.7) == pytest.approx(area(many, 0.3, 0.7)) == pytest.approx(0.25)
    assert area(SWEEP, 0.3, 0.7) > area(few, 0.3, 0.7)  # it lies above the line between them
    worse = curve([*zip(SWEEP.x, SWEEP.y, strict=True), (0.9, 0.1)])
    assert area(worse, 0.3, 0.7) == area(SWEEP, 0.3, 0.7)


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
    assert common_range([SWEEP, other]) == pytest.approx((0.6, 0.7))
    assert common_range([SWEEP, curve([(0.8, 0.2), (0.9, 0.5)])]) is None
    assert common_range([]) is None


def test_a_broken_curve_is_refused():
    with pytest.raises(ValueError, match="one x and one y"):
        Curve("a", ("t",), (0.1, 0.2), (0.1,), True, True)
    with pytest.raises(ValueError, match="not finite"):
        curve([(np.nan, 1.0)])
