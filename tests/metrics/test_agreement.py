"""Agreement of verbs on minimal pairs of a grammar: the pairs against its rules, the shares against scorers by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

import gentext
from gentext.metrics import Agreement
from gentext.metrics.base import Absent
from gentext.truth import Grammar

SMALL = """
S -> Sub-dog-sg VP-dog-sg [0.5] | Sub-dog-pl VP-dog-pl [0.5]
Sub-dog-sg -> N-sg [0.4] | N-sg Rel-dog-sg [0.6]
Sub-dog-pl -> N-pl [0.4] | N-pl Rel-dog-pl [0.6]
Rel-dog-sg -> 'that' V-see-sg N [0.5] | 'that' Gap-dog [0.5]
Rel-dog-pl -> 'that' V-see-pl N [0.5] | 'that' Gap-dog [0.5]
Gap-dog -> Emb-dog-sg V-see-sg [0.5] | Emb-dog-pl V-see-pl [0.5]
Emb-dog-sg -> N-sg [1.0]
Emb-dog-pl -> N-pl [1.0]
VP-dog-sg -> Is 'here' [0.5] | V-run-sg [0.5]
VP-dog-pl -> Are 'here' [0.5] | V-run-pl [0.5]
N -> N-sg [0.5] | N-pl [0.5]
N-sg -> 'dog' [0.5] | 'cat' [0.5]
N-pl -> 'dogs' [0.5] | 'cats' [0.5]
V-see-sg -> 'sees' [0.6] | 'hears' [0.4]
V-see-pl -> 'see' [0.6] | 'hear' [0.4]
V-run-sg -> 'runs' [1.0]
V-run-pl -> 'run' [1.0]
Is -> 'is' [1.0]
Are -> 'are' [1.0]
"""
SINGULAR = {"dog", "cat", "is", "sees", "hears", "runs"}


class Scorer:
    """By the first noun before the last verb of each text, or by the nearest: 0 where it agrees, else -1."""

    def __init__(self, noun: int, exactness: str = "exact", unknown: str = "") -> None:
        self.noun, self.exactness, self.unknown = noun, exactness, unknown

    def log_prob(self, texts, prompts=None):
        return np.array([self._score(text.split()) for text in texts])

    def known(self, texts):
        return np.array([self.unknown not in text.split() for text in texts], dtype=bool)

    def _score(self, words: list[str]) -> float:
        words = words[:-1] if words[-1] == "here" else words
        nouns = [word for word in words[:-1] if word in {"dog", "cat", "dogs", "cats"}]
        return float((nouns[self.noun] in SINGULAR) == (words[-1] in SINGULAR)) - 1


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.pcfg").write_text(SMALL)
    return Grammar(tmp_path / "small.pcfg", "small")


def found(truth, scorer, **options):
    metric = Agreement(**options)
    metric.update(truth, scorer)
    return metric.values()


def rng():
    return torch.Generator().manual_seed(0)


def test_pairs_are_of_what_the_rules_say_and_differ_in_one_verb():
    grammar = Grammar()
    pairs = grammar.agreement_pairs(4000, rng())
    right, wrong = [pair.right for pair in pairs], [pair.wrong for pair in pairs]
    assert np.isfinite(grammar.log_prob(right)).all()
    assert np.isinf(grammar.log_prob(wrong)).all()
    assert all(sum(a != b for a, b in zip(*map(str.split, pair[:2]), strict=True)) == 1 for pair in pairs)
    relative = grammar.requires(right, ["Sub-* -> * Rel-*"])
    inner = grammar.requires(right, ["Rel-* -> That Gap-*"])
    of = np.array([pair.between for pair in pairs])
    assert relative[of != "simple"].all()
    assert inner[(of == "object_relative") | (of == "attractor")].all()
    alone = [pair for pair in pairs if " while " not in pair.right and " as " not in pair.right]
    free = ~grammar.requires([pair.right for pair in alone], ["Sub-* -> * Rel-*"])
    assert {pair.between for pair, without in zip(alone, free, strict=True) if without} == {"simple"}


def test_kinds_are_as_frequent_as_their_rules(small):
    pairs = small.agreement_pairs(20_000, rng())
    shares = {kind: count / len(pairs) for kind, count in Counter(pair.between for pair in pairs).items()}
    expected = {"simple": 0.4, "subject_relative": 0.3, "object_relative": 0.15, "attractor": 0.15}
    assert len(pairs) == 20_000
    assert shares == pytest.approx(expected, abs=0.012)  # more than three standard errors
    for right, wrong, between in pairs[:500]:
        verbs = [a for a, b in zip(right.split(), wrong.split(), strict=True) if a != b]
        assert verbs[0] == right.removesuffix(" here").split()[-1]
        nouns = [word in SINGULAR for word in right.split() if word in {"dog", "cat", "dogs", "cats"}]
        assert nouns[0] == (verbs[0] in SINGULAR)
        if between in ("object_relative", "attractor"):
            assert (nouns[0] == nouns[1]) == (between == "object_relative")


def test_a_scorer_that_goes_by_the_nearest_noun_is_wrong_where_it_has_the_other_number(small):
    by_subject, by_nearest = found(small, Scorer(0)), found(small, Scorer(-1), pairs=2000)
    assert {name: value.value for name, value in by_subject.items()} == dict.fromkeys(by_subject, 1.0)
    shares = {name.partition(":")[2]: value.value for name, value in by_nearest.items()}
    assert (shares["simple"], shares["object_relative"], shares["attractor"]) == (1, 1, 0)
    assert shares["subject_relative"] == pytest.approx(0.5, abs=0.04)
    assert by_nearest["agreement:attractor"].n == 2000
    assert by_nearest["agreement:attractor"].signature == "agreement:attractor|pairs:2000|seed:0|seqs:2000|v:1"


def test_pairs_with_an_unknown_word_are_left_out(small):
    whole, some = found(small, Scorer(0), pairs=200), found(small, Scorer(0, unknown="are"), pairs=200)
    assert 60 < some["agreement:simple"].n < 140  # a half has are or its other form
    assert whole["agreement:simple"].n == 200
    nothing = Scorer(0)
    nothing.known = lambda texts: np.zeros(len(texts), dtype=bool)
    assert all(isinstance(value, Absent) for value in found(small, nothing).values())


def test_differences_of_bounds_are_marked_as_such(small):
    assert found(small, Scorer(0, "bound"))["agreement:simple"].exactness == "pseudo"
    assert found(small, Scorer(0))["agreement:simple"].exactness == "exact"


def test_a_truth_without_such_phrases_has_none(tmp_path):
    (tmp_path / "other.pcfg").write_text("S -> N V [1.0]\nN -> 'dogs' [1.0]\nV -> 'sleep' [1.0]\n")
    grammar = Grammar(tmp_path / "other.pcfg", "other")
    with pytest.raises(ValueError, match="names no subjects Sub-KIND-sg"):
        grammar.agreement_pairs(1, rng())
    with pytest.raises(Absent, match="names no subjects"):
        found(grammar, Scorer(0))
    with pytest.raises(Absent, match="no grammar"):
        found(object(), Scorer(0))


def test_an_ngram_knows_the_verb_behind_a_noun_and_not_behind_a_clause(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metrics = "+eval.metrics={agreement: {_target_: gentext.metrics.Agreement, pairs: 200}}"
    small = ["data.train=3000", "data.valid=20", "data.test=60", "eval.samples=30", "~eval.metrics", metrics]
    figures = gentext.run("family=ngram", *small).figures()
    assert figures["agreement:simple"] > 0.9
    assert figures["agreement:attractor"] < 0.7
