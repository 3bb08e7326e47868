"""Conditioning an HMM on any part of its text, against enumeration of every text."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats

from gentext.data.automaton import automaton, distances
from gentext.decode import Ancestral, Beam
from gentext.language_model import SupportsInfilling
from gentext.models.hmm import constrained
from gentext.models.hmm.model import HMM
from gentext.types import ANY, BOS, EOS, GAP, PAD, UNK, pad, select

V, LONGEST = 7, 5  # words of the longest text
WORDS = [UNK, 4, 5, 6]
TEXTS = [list(words) for k in range(LONGEST + 1) for words in itertools.product(WORDS, repeat=k)]
SHAPES = {
    "plain": {},
    "blocked": {"states": 6, "blocks": 3},
    "low rank": {"states": 5, "rank": 2},
    "both": {"states": 6, "blocks": 2, "rank": 3},
}


def fits(text: list[int], pattern: list[int]) -> bool:
    """A matcher of a few lines, for the automaton to agree with."""
    if not pattern:
        return not text
    first, rest = pattern[0], pattern[1:]
    if first == GAP:
        return any(fits(text[i:], rest) for i in range(len(text) + 1))
    return bool(text) and first in (ANY, text[0]) and fits(text[1:], rest)


CONDITIONS = {
    "blanks of one word": [[4, ANY, 5]],
    "blanks of any number": [[4, GAP, 5, GAP]],
    "both": [[GAP, 4, 4, ANY, GAP, 5]],
    "contains": [[GAP, 4, GAP], [GAP, 6, 5, GAP]],
    "overlap with itself": [[GAP, 4, 4, 5, GAP], [GAP, 4, 5, 5, GAP]],
    "length": [[ANY] * 4],
    "contains and length": [[GAP, 6, GAP], [ANY] * 3],
    "nothing": [[GAP]],
    "the empty text": [[]],
}


@pytest.fixture(params=SHAPES)
def family(request) -> HMM:
    torch.manual_seed(3)
    return HMM(V, **{"states": 4, "grow_from": None, **SHAPES[request.param]}).eval()


def log_prob(family, texts: list[list[int]]) -> torch.Tensor:
    with torch.no_grad():
        return family.log_prob(pad([[*text, EOS] for text in texts])).double()


@pytest.mark.parametrize("patterns", CONDITIONS.values(), ids=CONDITIONS)
def test_the_automaton_accepts_what_fits(patterns):
    machine = automaton(patterns)
    for text in TEXTS:
        place = torch.zeros(1, dtype=torch.long)
        for word in text:
            place = machine.read(place, torch.tensor([word]))
        assert bool(machine.final[place]) == all(fits(text, pattern) for pattern in patterns)
    assert int(distances(machine)[0]) == 1 + min(len(t) for t in TEXTS if all(fits(t, pattern) for pattern in patterns))


@pytest.mark.parametrize("patterns", CONDITIONS.values(), ids=CONDITIONS)
def test_the_likelihood_is_the_true_conditional(family, patterns):
    given, plain = family.given(patterns, LONGEST + 1), log_prob(family, TEXTS)
    fit = torch.tensor([all(fits(text, pattern) for pattern in patterns) for text in TEXTS])
    evidence = float(plain[fit].logsumexp(0))
    assert given.evidence == pytest.approx(evidence, abs=1e-5)
    ours = log_prob(given, TEXTS)
    assert torch.allclose(ours[fit], plain[fit] - evidence, atol=1e-5)
    assert (ours[~fit] == -math.inf).all()


def test_samples_have_the_frequencies_of_the_true_conditional():
    torch.manual_seed(3)
    family = HMM(V, states=4, grow_from=None).eval()
    patterns = [[GAP, 6, GAP], [4, ANY, ANY]]
    expected = {}
    for text in TEXTS:
        if all(fits(text, pattern) for pattern in patterns):
            expected[*text] = float(log_prob(family, [text]).exp())
    n = 4000
    with torch.no_grad():
        given = family.given(patterns, 30)
        draw = given.sample(n, 30, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    drawn = [tuple(row[mask][:-1].tolist()) for row, mask in zip(draw.tokens, draw.mask, strict=True)]
    total = sum(expected.values())
    counts = [drawn.count(text) for text in expected]
    assert sum(counts) == n
    assert stats.chisquare(counts, [n * p / total for p in expected.values()]).pvalue > 1e-3


def test_a_beam_finds_the_likeliest_text_that_fits(family):
    given = family.given([[4, GAP, 6]], LONGEST + 1)
    with torch.no_grad():
        draw = given.sample(1, LONGEST + 1, decoder=Beam(width=64, length_penalty=0.0), rng=torch.Generator())
    fit = [text for text in TEXTS if fits(text, [4, GAP, 6])]
    best = fit[int(log_prob(family, fit).argmax())]
    assert draw.tokens[0][draw.mask[0]].tolist() == [*best, EOS]


def test_it_is_a_state_machine_like_any_other(family):
    given = family.given([[GAP, 4, GAP]], 8)
    with torch.no_grad():
        at = given.start(3)
        assert (at.logits[:, [PAD, BOS]] == -math.inf).all()
        at = given.step(at.state, torch.tensor([5, 4, 6]))
        chosen = given.step(select(at.state, torch.tensor([1, 0])), torch.tensor([6, 6])).logits
        whole = given.step(at.state, torch.tensor([6, 6, 6])).logits
    assert isinstance(family, SupportsInfilling)
    assert torch.equal(chosen, whole[[1, 0]])
    assert (whole[[0, 2], EOS] == -math.inf).all()  # the word is still to come
    assert whole[1, EOS] > -math.inf


def test_the_last_token_but_one_leaves_no_choice(family):
    given = family.given([[GAP, 4, GAP]], 2)
    with torch.no_grad():
        p = given.start(1).logits.softmax(1)
    assert p[0, 4] == 1.0


def test_what_is_to_come_may_be_rarer_than_a_float(family):
    with torch.no_grad():
        family.emission[6] -= 40.0  # e^-40 thirty times is e^-1200
        given = family.given([[6] * 30], 40)
        assert given.evidence == pytest.approx(float(log_prob(family, [[6] * 30])), rel=1e-4)
        draw = given.sample(2, 40, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    assert draw.tokens.tolist() == [[6] * 30 + [EOS]] * 2


@pytest.mark.parametrize(
    ("patterns", "max_len", "says"),
    [
        ([[4, ANY]], 2, "need a text of 2 tokens or more, and max_len allows 1"),
        ([[ANY] * 2, [ANY] * 3], 9, "contradict each other"),
        ([[4, GAP], [5, GAP]], 9, "contradict each other"),
        ([[GAP, i % 4 + 3, i // 4 % 4 + 3, i // 16 + 3, GAP] for i in range(18)], 9, "give fewer words"),
    ],
)
def test_what_cannot_be_met_is_refused_with_the_reason(monkeypatch, family, patterns, max_len, says):
    monkeypatch.setattr("gentext.data.automaton.MOST", 200)
    with pytest.raises(ValueError, match=says):
        family.given(patterns, max_len)


def test_what_the_model_never_says_is_refused():
    family = HMM(V, states=2, grow_from=None).eval()
    with torch.no_grad():
        family.emission[6] = -math.inf
        with pytest.raises(ValueError, match="impossible under this HMM"):
            family.given([[GAP, 6, GAP]], 9)


def test_what_does_not_fit_in_memory_is_refused(family, monkeypatch):
    monkeypatch.setattr(constrained, "MEMORY", 100)
    with pytest.raises(ValueError, match="GiB; give fewer"):
        family.given([[GAP, 4, GAP]], 9)
