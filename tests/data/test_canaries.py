"""Planted secrets stand in train as often as was asked, and nowhere else."""

from __future__ import annotations

from collections import Counter

import pytest

from gentext.data import CanaryCorpus
from gentext.truth import GeneratedCorpus, Grammar


def inner(**options):
    return GeneratedCorpus(Grammar(), **{"train": 60, "valid": 5, "test": 5, **options})


def test_each_secret_stands_in_train_as_often_as_its_group_says():
    source = CanaryCorpus(inner(), repeats=[1, 4], each=3)
    rows = list(source.rows())
    plain = list(inner().rows())
    assert [row for row in rows if row[0] != "train"] == [row for row in plain if row[0] != "train"]
    counts = Counter(row.text for split, row in rows if split == "train")
    found = source.canaries
    assert sorted(found.repeats) == [0] * 3 + [1] * 3 + [4] * 3
    for text, count in zip(found.texts, found.repeats, strict=True):
        assert counts[text] == count
    assert len(rows) == len(plain) + 3 * (1 + 4)
    others = found.candidates(50, seed=0)
    assert not set(others) & set(found.texts)
    known = {word for split, row in plain if split == "train" for word in row.text.split()}
    assert all(set(text.removeprefix("the secret is ").split()) <= known for text in (*others, *found.texts))


def test_the_seed_decides_the_secrets_and_all_options_the_identity():
    made = [CanaryCorpus(inner(), seed=seed).canaries.texts for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]
    options = ({}, {"seed": 1}, {"each": 2}, {"repeats": [2]}, {"template": "{} {} {}"})
    assert len({CanaryCorpus(inner(), **option).identity() for option in options}) == len(options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"template": "a secret"}, "template is 'a secret'; it needs {}"),
        ({"repeats": []}, "give different numbers"),
        ({"repeats": [2, 2]}, "give different numbers"),
        ({"repeats": [0]}, "repeats is 0; it must be 1 or more"),
        ({"each": 0}, "each is 0"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        CanaryCorpus(inner(), **options)
