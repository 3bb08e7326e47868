"""The inside sums and the expected uses, against enumeration and derivatives."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.truth.inside import Inside
from gentext.truth.lalr import conflict
from gentext.truth.pcfg import PCFG, read

LOOP = "S -> S S [0.3] | 'a' [0.5] | A [0.2]\nA -> S [0.3] | B [0.2] | 'b' [0.5]\nB -> A [0.5] | 'a' S 'b' [0.5]\n"


def enumerate_strings(rules: PCFG, longest: int, rounds: int) -> list[Counter]:
    """p(string) of each nonterminal over strings up to `longest` words, by iterating the rules from below."""
    k = len(rules.nonterminals)
    found = [Counter() for _ in range(k)]
    for _ in range(rounds):
        fresh = [Counter() for _ in range(k)]
        for a, rhs, prob in zip(rules.lhs, rules.rhs, rules.prob, strict=True):
            partial = {(): prob}
            for symbol in rhs:
                parts = found[symbol] if symbol < k else {(symbol - k,): 1.0}
                joined = Counter()
                for x, p in partial.items():
                    for y, q in parts.items():
                        if len(x) + len(y) <= longest:
                            joined[x + y] += p * q
                partial = joined
            fresh[a].update(partial)
        found = fresh
    return found


@st.composite
def finite_rules(draw) -> tuple[int, int, list[tuple[int, tuple[int, ...]]], list[int]]:
    """Counts of nonterminals and words, and weighted rules without recursion: each uses only symbols after its own."""
    k = draw(st.integers(1, 4))
    words = draw(st.integers(1, 3))
    kept = []
    for a in range(k):
        sides = st.lists(st.sampled_from([*range(a + 1, k), *range(k, k + words)]), min_size=1, max_size=3)
        kept += [(a, rhs) for rhs in sorted(draw(st.sets(sides.map(tuple), min_size=1, max_size=3)))]
    return k, words, kept, [draw(st.integers(1, 9)) for _ in kept]


def build(k: int, words: int, kept: list[tuple[int, tuple[int, ...]]], weights: list[int]) -> PCFG:
    lhs = np.array([a for a, _ in kept])
    prob = np.array(weights) / np.bincount(lhs, weights)[lhs]
    return PCFG(tuple(f"N{i}" for i in range(k)), tuple("abc"[:words]), lhs, tuple(rhs for _, rhs in kept), prob)


@settings(max_examples=60, deadline=None)
@given(finite_rules())
def test_finite_grammar_sums_to_one(parts):
    rules = build(*parts)
    strings = enumerate_strings(rules, longest=10**6, rounds=len(rules.nonterminals))[0]
    scores = Inside(rules).log_prob(list(strings))
    np.testing.assert_allclose(np.exp(scores), list(strings.values()), rtol=1e-12)
    assert np.exp(scores).sum() == pytest.approx(1.0, abs=1e-12)
    assert rules.mean_length == pytest.approx(sum(len(x) * p for x, p in strings.items()))


@settings(max_examples=60, deadline=None)
@given(finite_rules())
def test_what_is_proven_unambiguous_is(parts):
    rules = build(*parts)
    strings = enumerate_strings(rules, longest=10**6, rounds=len(rules.nonterminals))[0]
    entropy = -sum(p * math.log(p) for p in strings.values())
    assert rules.entropy >= entropy - 1e-9  # derivations tell sentences
    if conflict(rules) is None:
        derivations = enumerate_strings(replace(rules, prob=np.ones(len(rules))), 10**6, len(rules.nonterminals))[0]
        assert set(derivations.values()) == {1.0}
        assert rules.entropy == pytest.approx(entropy, abs=1e-9)


def test_ambiguity_and_unary_cycles_are_summed():
    rules = read(LOOP, "test")
    strings = enumerate_strings(rules, longest=5, rounds=80)[0]
    assert len(strings) == 2 + 4 + 8 + 16 + 32
    np.testing.assert_allclose(np.exp(Inside(rules).log_prob(list(strings))), list(strings.values()), rtol=1e-10)


def test_no_underflow():
    rules = read("S -> 'a' S [0.001] | 'a' [0.999]", "test")
    assert Inside(rules).log_prob([[0] * 400])[0] == pytest.approx(399 * math.log(0.001) + math.log(0.999))


def test_many_chunks_change_nothing(monkeypatch):
    rules = read(LOOP, "test")
    rows = [np.random.default_rng(i).integers(0, 2, 1 + i % 7).tolist() for i in range(40)]
    whole = Inside(rules).rule_uses(rows)
    monkeypatch.setattr("gentext.truth.inside._CELLS", 30)
    for ours, theirs in zip(whole, Inside(rules).rule_uses(rows), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("words", [[0], [1], [0, 1], [0, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1, 0, 0]])
def test_expected_uses_are_derivatives(words):
    """E[uses of r] = d log P / d log p_r, where P is the sum over derivations with any weights."""
    rules = read(LOOP, "test")
    _, uses = Inside(rules).rule_uses([words, words])
    for r in range(len(rules)):
        up, down = (
            Inside(replace(rules, prob=np.where(np.arange(len(rules)) == r, rules.prob * math.exp(h), rules.prob)))
            for h in (1e-5, -1e-5)
        )
        slope = (up.log_prob([words])[0] - down.log_prob([words])[0]) / 2e-5
        assert uses[r] == pytest.approx(2 * slope, abs=1e-6)
