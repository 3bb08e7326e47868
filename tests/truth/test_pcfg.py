"""What a grammar file may hold, and the moments in closed form."""

import logging

import numpy as np
import pytest
import torch

from gentext.truth.grammar import Grammar
from gentext.truth.lalr import conflict
from gentext.truth.pcfg import read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a grammar"),
        ("# only a comment\n", "not a grammar"),
        ("hello world\n", "not a grammar"),
        ("S -> 'a'\n", "do not sum to 1"),
        ("S -> 'a' [0.5] | 'b' [0.4]\n", "do not sum to 1"),
        ("S -> 'a' [0.5] | 'b' [0.4999]\n", r"S sum to 0\.9999"),  # NLTK lets this pass
        ("S -> 'a' [1.0] | 'b'\n", "needs a probability"),
        ("S -> A B [1.0]\nA -> 'a' [1.0]\n", "no rule for B"),
        ("S -> 'a' [0.5] | [0.5]\n", "empty right side"),
        ("S -> 'living room' [1.0]\n", "not one token"),
        ("S -> S S [0.5] | 'a' [0.5]\n", "not subcritical: S begets 1 "),
        ("S -> 'a' T [1.0]\nT -> S S [0.6] | 'b' [0.4]\n", "not subcritical"),
        ("S -> T [1.0]\nT -> S [1.0]\n", "not subcritical"),
    ],
)
def test_bad_grammars(tmp_path, text, message):
    path = tmp_path / "bad.pcfg"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Grammar(path)
    assert "bad.pcfg" in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        Grammar(tmp_path / "none.pcfg")
    (tmp_path / "binary.pcfg").write_bytes(b"\xff\xfe\x00S")
    with pytest.raises(ValueError, match="not UTF-8"):
        Grammar(tmp_path / "binary.pcfg")


def test_unreachable_rules_are_said_aloud_and_left_out(caplog):
    with caplog.at_level(logging.WARNING, "gentext"):
        rules = read("S -> 'a' [1.0]\nLost -> 'b' [1.0]\n", "mine.pcfg")
    assert "mine.pcfg: never reached from S, so left out: Lost" in caplog.text
    assert rules.words == ("a",)


def test_rules_written_twice_are_added():
    rules = read("S -> 'a' [0.25] | 'b' [0.5] | 'a' [0.25]\n", "test")
    assert dict(zip(rules.names(), rules.prob, strict=True)) == {"S -> 'a'": 0.5, "S -> 'b'": 0.5}


def test_a_long_steep_chain_is_subcritical():
    """Nothing recurs, though a plain eigenvalue solver finds radii far above one by rounding."""
    chain = "".join(f"N{i} -> {' '.join([f'N{i + 1}'] * 30)} [1.0]\n" for i in range(12)) + "N12 -> 'a' [1.0]\n"
    assert read(chain, "test").mean_length == pytest.approx(30.0**12)


def test_moments_of_a_recursive_grammar(tmp_path):
    path = tmp_path / "my.pcfg"
    path.write_text("S -> A S A [0.3] | A [0.7]\nA -> 'a' [0.8] | 'b' A [0.2]\n")
    truth = Grammar(path, "mine")
    rules = truth.rules
    n = 40_000
    rng = torch.Generator().manual_seed(0)
    texts = truth.sample(n, rng)
    usage = truth.rule_usage(texts)
    assert np.abs(usage.z).max() < 4
    ends = np.array([text.split().count("a") for text in texts])  # uses of A -> 'a'
    at = rules.names().index("A -> 'a'")
    assert ends.std() == pytest.approx(rules.deviation[at], rel=0.03)


@pytest.mark.parametrize(
    ("text", "proven"),
    [
        ("S -> 'a' S 'b' [0.5] | 'a' 'b' [0.5]", True),
        ("S -> S 'a' [0.5] | 'b' [0.5]", True),
        ("S -> S S [0.3] | 'a' [0.7]", False),
        ("S -> A [0.5] | B [0.5]\nA -> 'x' [1.0]\nB -> 'x' [1.0]", False),
        ("S -> A 'c' [0.5] | B 'd' [0.5]\nA -> 'x' [1.0]\nB -> 'x' [1.0]", True),  # one word ahead tells
        ("S -> V N [0.5] | V N P [0.5]\nN -> 'n' [0.7] | N P [0.3]\nP -> 'p' N [1.0]\nV -> 'v' [1.0]", False),
        ("S -> S [0.5] | 'a' [0.5]", False),  # infinitely many derivations
        ("S -> 'a' S 'a' [0.4] | 'b' [0.6]", True),
        ("S -> 'a' S 'a' [0.4] | 'a' [0.6]", False),  # unambiguous, but no LALR(1) table tells where the middle is
    ],
)
def test_proof_of_unambiguity(text, proven):
    reason = conflict(read(text, "test"))
    assert (reason is None) == proven
    assert reason is None or reason.startswith("before ")
