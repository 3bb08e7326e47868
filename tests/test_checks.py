"""Checks of arguments: what passes, what is refused, and in which words."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gentext import checks

BAD = [float("nan"), float("inf"), float("-inf")]
CHECKS = {
    "at_least": lambda **given: checks.at_least(-5, **given),
    "positive": checks.positive,
    "finite": checks.finite,
    "share": checks.share,
    "between": lambda **given: checks.between(-5, 5, **given),
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("value", BAD)
def test_what_is_not_finite_passes_no_check(check, value):
    with pytest.raises(checks.ArgumentError, match="rate is "):
        check(rate=value)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("value", [None, 0.5, np.float64(0.5)])
def test_null_and_numbers_of_any_library_pass(check, value):
    check(rate=value)


@pytest.mark.parametrize(
    ("check", "inside", "outside"),
    [
        (lambda **given: checks.at_least(1, **given), [1, 2], [0, 0.99]),
        (checks.positive, [1e-9], [0, -1]),
        (checks.share, [0, 0.999], [1, -1e-9]),
        (lambda **given: checks.between(0, 1, **given), [0, 1], [-1e-9, 1.001]),
        (lambda **given: checks.one_of("rate", given["rate"], ["a", 1]), ["a", 1], ["b", None]),
    ],
)
def test_the_ends(check, inside, outside):
    for value in inside:
        check(rate=value)
    for value in outside:
        with pytest.raises(checks.ArgumentError, match="rate is "):
            check(rate=value)


def test_the_error_comes_back_from_a_worker_with_its_name():
    error = pickle.loads(pickle.dumps(checks.ArgumentError("lr", "is 0; it must be above 0")))
    assert (error.name, str(error)) == ("lr", "lr is 0; it must be above 0")
