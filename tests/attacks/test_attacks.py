"""A few of what `python tests/attacks NAME` tries in hundreds."""

import pytest
from attacks import corruptions, disks, gadgets, kills, reports, values


def few(attack):
    if attack is corruptions:  # of one run and of one quick command, which serve both
        return [case for case in attack.cases(300) if (case.run, case.command) == ("ngram", "board")][:2]
    return attack.cases({kills: 1, values: 3}[attack])


@pytest.mark.parametrize("attack", [kills, values, corruptions], ids=lambda module: module.__name__)
def test_a_few_of_each(attack):
    tally = attack.run(few(attack))
    assert not tally.faults
    assert tally.kinds


@pytest.mark.slow
def test_the_cases_are_as_many_as_are_said():
    assert [len(kills.cases(200)), len(corruptions.cases(300)), len(gadgets.cases(12))] == [200, 300, 12]
    assert len(values.cases(500)) == 500
    assert {case.family for case in kills.cases(200)} == set(kills.FAMILIES)
    assert len({(case.run, case.command) for case in corruptions.cases(300)}) > 20


@pytest.mark.slow
@pytest.mark.parametrize("attack", [kills, disks, values, corruptions, gadgets], ids=lambda module: module.__name__)
def test_all_of_each(attack):
    tally = attack.run(attack.cases({kills: 200, disks: 80, values: 500, corruptions: 300, gadgets: 12}[attack]))
    assert not tally.faults


@pytest.mark.slow
def test_a_report_of_200_records_takes_seconds():
    assert not reports.run(reports.cases(200)).faults
