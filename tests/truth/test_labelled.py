"""Labels that a grammar knows, and the best that a classifier can be."""

import numpy as np
import pytest

from gentext.cli import main
from gentext.results import record as records
from gentext.truth import Grammar, LabelledCorpus

TOY = """
S -> Cats [0.5] | Dogs [0.3] | Other [0.2]
Cats -> 'cats' V [1.0]
Dogs -> 'dogs' V [1.0]
Other -> 'cars' V [1.0]
V -> 'run' [0.5] | 'sit' [0.5]
"""
CLASSES = {"cat": ["S -> Cats"], "dog": ["S -> Dogs"]}


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.pcfg"
    path.write_text(TOY)
    return Grammar(path, name="toy")


def test_a_label_is_that_of_the_rules_and_what_has_none_is_left_out(toy):
    rows = [row for _, row in LabelledCorpus(toy, CLASSES, train=300, valid=10, test=10).rows()]
    assert len(rows) == 320
    assert all(row.prompt.startswith(row.text) for row in rows)
    assert np.mean([row.text == "cat" for row in rows]) == pytest.approx(5 / 8, abs=0.08)


def test_so_many_labels_are_replaced(toy):
    rows = [row for split, row in LabelledCorpus(toy, CLASSES, train=4000, noise=0.2).rows() if split == "train"]
    assert np.mean([not row.prompt.startswith(row.text) for row in rows]) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"classes": {"cat": ["S -> Cats"]}}, "names 1 labels"),
        ({"classes": CLASSES, "noise": 0.5}, "says nothing"),
        ({"classes": CLASSES, "train": 0}, "data.train is 0"),
    ],
)
def test_what_can_teach_nothing_is_refused(toy, options, why):
    with pytest.raises(ValueError, match=why):
        LabelledCorpus(toy, **options)


def test_no_classifier_is_above_the_best_there_is_and_a_good_one_is_near(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["data.train=1500", "data.valid=100", "data.test=600", "data.noise=0.1"]
    run = ["run", "experiment=classification", "data=captions_labelled", *small, "family=logistic"]
    assert main(run) == 0
    (path,) = tmp_path.rglob("record.*.json")
    accuracy = records.read(path).values["accuracy"]
    assert 0.7 < accuracy.value < 0.9 + 3 * np.sqrt(0.09 / 600)
    assert main(["sample", str(path.parent), "--decode", "greedy", "--prompt", "a dog is running in the park ."]) == 0
