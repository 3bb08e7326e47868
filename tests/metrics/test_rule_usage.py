"""The profile of a grammar's rules, against counts by hand."""

import numpy as np
import pytest
import torch

from gentext.metrics.base import Absent
from gentext.metrics.rule_usage import RuleProfile
from gentext.truth.grammar import Grammar
from gentext.types import Samples

RULES = """
S -> N V [1.0]
N -> 'dogs' [0.5] | 'cats' [0.3] | 'mice' [0.2]
V -> 'sleep' [0.6] | 'eat' [0.4]
"""


@pytest.fixture
def grammar(tmp_path):
    (tmp_path / "small.pcfg").write_text(RULES)
    return Grammar(tmp_path / "small.pcfg", "small")


def values(truth, *parts):
    metric = RuleProfile()
    for part in parts:
        metric.update(truth, Samples(tuple(part)))
    return metric.values()


def test_by_hand(grammar):
    found = values(grammar, ["dogs sleep", "dogs eat", "cats sleep", "dogs dogs"])
    uses = np.array([3, 2, 1, 0, 2, 1]) / 9  # of S, dogs, cats, mice, sleep, eat in the three that are accepted
    expected = np.array([1, 0.5, 0.3, 0.2, 0.6, 0.4]) / 3
    assert found["rule_gap"].value == pytest.approx(np.abs(uses - expected).sum() / 2)
    assert found["rule_gap"].signature == "rule_gap|over:accepted|seqs:4|v:1"
    assert found["rule_gap"].n == 3
    assert "rules_off" not in found


def test_the_grammars_own_sentences_are_not_off_and_a_collapsed_model_is(grammar):
    true = values(grammar, grammar.sample(4000, torch.Generator().manual_seed(0)))
    assert true["rules_off"].value == 0
    assert true["rule_gap"].value < 0.02
    collapsed = values(grammar, ["dogs sleep"] * 100)
    assert collapsed["rules_off"].value == pytest.approx(5 / 6)  # all but S
    assert collapsed["rule_gap"].value == pytest.approx(0.9 / 3)


def test_parts_make_the_whole(grammar):
    texts = [*grammar.sample(300, torch.Generator().manual_seed(1)), "no sentence"]
    whole, parts = values(grammar, texts), values(grammar, texts[200:], ["none at all"], texts[:200])
    assert parts["rules_off"].value == whole["rules_off"].value
    assert parts["rule_gap"].value == pytest.approx(whole["rule_gap"].value)


def test_missing_evidence_is_absent(grammar):
    with pytest.raises(Absent, match="needs samples"):
        RuleProfile().values()
    with pytest.raises(Absent, match="accepts no sample"):
        values(grammar, ["eat dogs"])
    with pytest.raises(Absent, match="no grammar"):
        values(object(), ["dogs eat"])
