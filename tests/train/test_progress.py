"""What a run is allowed, and how far it has come in it."""

import pytest

from gentext.schedules import Linear
from gentext.train.distributed import ProcessGroup
from gentext.train.progress import Budget


@pytest.mark.parametrize(("steps", "seconds"), [(200, None), (None, 50.0), (100_000, 50.0), (200, 1e6)])
def test_a_schedule_ends_with_the_run_whichever_budget_ends_it(steps, seconds):
    budget = Budget(steps, seconds, None, 60.0, ProcessGroup())
    schedule, heats = Linear(1.0, 0.1), []
    while not budget.over:  # four steps a second
        heats.append(schedule(budget.progress.step + 1, budget.total))
        budget.progress.step += 1
        budget.progress.seconds = budget.progress.step / 4
    assert len(heats) == 200
    assert heats[0] > 0.99
    assert heats == sorted(heats, reverse=True)
    assert heats[-1] == pytest.approx(0.1, abs=0.01)


def test_what_is_spent_before_the_first_step_is_no_pace():
    budget = Budget(None, 100.0, None, 60.0, ProcessGroup())
    budget._begun -= 40  # a validation of 40 seconds
    budget.tick()
    schedule, heats = Linear(1.0, 0.0), [Linear(1.0, 0.0)(budget.progress.step + 1, budget.total)]
    for _ in range(3):  # of 12 seconds each, of which 60 allow five
        budget.progress.step += 1
        budget._begun -= 12
        budget.tick()
        heats.append(schedule(budget.progress.step + 1, budget.total))
    assert heats == pytest.approx([1.0, 0.6, 0.4, 0.2], abs=1e-6)
