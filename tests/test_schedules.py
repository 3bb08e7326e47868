import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentext.schedules import Cyclical, Exponential, Linear


@given(total=st.integers(1, 10_000), until=st.floats(0.01, 1.0))
def test_every_schedule_reaches_its_end_at_the_last_step(total, until):
    assert Linear(0.0, 1.0, until)(total, total) == 1.0
    assert Exponential(1.0, 100.0, until)(total, total) == pytest.approx(100.0)
    assert Cyclical(0.0, 1.0)(total, total) == 1.0


def test_cyclical_restarts():
    schedule = Cyclical(0.0, 1.0, cycles=4, ramp=0.5)
    assert [schedule(step, 80) for step in (0, 5, 10, 19, 20, 30)] == [0.0, 0.5, 1.0, 1.0, 0.0, 1.0]


def test_exponential_refuses_a_change_of_sign():
    with pytest.raises(ValueError, match=r"start is -1 and end is 1; .* of the same sign"):
        Exponential(-1.0, 1.0)


def test_a_schedule_longer_than_the_run_is_said_aloud(caplog):
    Linear(0.0, 1.0, until=1.0)
    assert not caplog.records
    Linear(0.0, 1.0, until=4.0)
    assert "longer than the run" in caplog.text
    assert "stands at 0.25" in caplog.text
    with pytest.raises(ValueError, match="above 0"):
        Exponential(1.0, 2.0, until=0.0)
