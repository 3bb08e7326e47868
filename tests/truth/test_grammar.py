"""The captions, and what a Grammar tells about texts."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from nltk.grammar import PCFG
from nltk.parse import InsideChartParser

from gentext.data.source import Truth
from gentext.seeding import Streams
from gentext.truth import grammar as module
from gentext.truth.grammar import Grammar

LOOP = "S -> S S [0.3] | 'a' [0.5] | A [0.2]\nA -> S [0.3] | 'b' [0.7]\n"  # ambiguous, with a cycle of chains


@pytest.fixture(scope="module")
def captions():
    return Grammar()


@pytest.fixture(scope="module")
def drawn(captions):
    return captions.sample(20_000, Streams(0)("truth"))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "my.pcfg"
        path.write_text(text)
        return path

    return write


def test_satisfies_the_protocol(captions):
    assert isinstance(captions, Truth)
    assert captions.name == "captions"
    assert captions.length is None


def test_size_of_the_captions(captions, drawn):
    assert 200 <= len(captions.rules.words) <= 600
    assert 10.5 <= captions.mean_length <= 11.5
    lengths = np.array([len(text.split()) for text in drawn])
    assert abs(lengths.mean() - captions.mean_length) < 4 * lengths.std() / math.sqrt(len(lengths))


def test_the_words_of_the_captions_have_a_long_tail(captions):
    rates = np.zeros(len(captions.rules.words))
    for uses, rhs in zip(captions.rules.usage, captions.rules.rhs, strict=True):
        for symbol in rhs:
            if symbol >= len(captions.rules.nonterminals):
                rates[symbol - len(captions.rules.nonterminals)] += uses
    assert (rates * 10_000 < 10).mean() > 0.1  # seldom seen in the default training set
    assert rates.min() > 0


def test_samples_and_log_prob_and_entropy_agree(captions, drawn):
    surprise = -captions.log_prob(drawn)
    assert np.isfinite(surprise).all()
    assert abs(surprise.mean() - captions.entropy) < 4 * surprise.std() / math.sqrt(len(drawn))


def test_same_seed_same_sentences(captions):
    first, again, other = (captions.sample(50, Streams(seed)("truth")) for seed in (1, 1, 2))
    assert first == again != other
    assert captions.sample(0, torch.Generator()) == []
    with pytest.raises(ValueError, match="cannot draw -1"):
        captions.sample(-1, torch.Generator())


def test_equals_nltk_chart_parser(captions, drawn):
    path = module.files("gentext.truth") / "captions.pcfg"
    theirs = PCFG.fromstring(path.read_text())
    texts = [text for text in drawn[:60] if len(text.split()) <= 12][:8]
    for text, ours in zip(texts, captions.log_prob(texts), strict=True):
        (tree,) = InsideChartParser(theirs).parse(text.split())  # one derivation only
        assert math.isclose(ours, tree.logprob() * math.log(2), abs_tol=1e-9)
        uses = captions.parse(text)
        assert sum(uses.values()) == pytest.approx(len(tree.productions()))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (
            "the dogs that chase the cat are running on the beach .",
            "the dogs that chase the cat is running on the beach .",
        ),
        (
            "the dog that chases the cats is running on the beach .",
            "the dog that chases the cats are running on the beach .",
        ),
        (
            "the dogs that chase the cat are running on the beach .",
            "the dogs that chases the cat are running on the beach .",
        ),
        (
            "the boy that the dogs follow is running in the park .",
            "the boy that the dogs follows is running in the park .",
        ),
        (
            "the boy that the dogs that the man feeds follow is running in the park .",
            "the boy that the dogs that the man feeds follows is running in the park .",
        ),
        ("a group of young men is walking on the beach .", "a group of young men are walking on the beach ."),
        (
            "a man in a red jacket is riding a horse on the beach .",
            "a man in an red jacket is riding a horse on the beach .",
        ),
        ("an old man is riding an orange bike .", "a old man is riding an orange bike ."),
        ("these women are eating pizza .", "this women are eating pizza ."),
        ("each dog is sleeping .", "each dogs are sleeping ."),
        ("several dogs are sleeping .", "several dog is sleeping ."),
        ("a man and a woman are smiling .", "a man and a woman is smiling ."),
        ("a man is riding a horse along the street .", "a man is eating a horse along the street ."),
        ("a man is wearing a hat .", "a man is wearing ."),
        ("a man is smiling .", "a man is smiling a hat ."),
        ("two men are wearing red hats .", "two men are wearing a red hat ."),
    ],
)
def test_grammatical_and_not(captions, right, wrong):
    scores = captions.log_prob([right, wrong])
    assert np.isfinite(scores[0])
    assert scores[1] == -np.inf


def test_agreement_reaches_over_other_nouns(captions, drawn):
    """In a good share of sentences the noun nearest to the main verb is of the other number."""
    lists = {number: set() for number in ("sg", "pl")}
    for name in captions.rules.names():
        head, word = name.split(" -> ", 1)
        if head.startswith("N-") and word.startswith("'"):
            lists["pl" if head.endswith("-pl") else "sg"].add(word.strip("'"))
    misled = 0
    for text in drawn[:5000]:
        for before, verb in pairwise(text.split()):
            misled += (verb == "is" and before in lists["pl"]) or (verb == "are" and before in lists["sg"])
    assert misled / 5000 > 0.03


def test_white_space_and_touching_marks_do_not_matter(captions):
    scores = captions.log_prob(["a man is smiling .", "a man is smiling.", "  a man\tis smiling  . "])
    assert np.isfinite(scores[0])
    assert (scores == scores[0]).all()
    refused = ["A man is smiling .", "a man is smiling", "aman is smiling .", "a man is smiling ..", "", " ", "."]
    assert (captions.log_prob(refused) == -np.inf).all()
    assert captions.log_prob([]).shape == (0,)


def test_long_garbage_is_refused_in_bounded_time(captions):
    words = np.array(captions.rules.words)
    rng = np.random.default_rng(0)
    long = [" ".join(rng.choice(words, size)) for size in (60,) * 50 + (20_000,)]
    assert (captions.log_prob([*long, "the " * 20_000, "no such word " * 20_000]) == -np.inf).all()


def test_ambiguous_grammar_has_no_closed_form(write):
    truth = Grammar(write(LOOP), "mine")
    assert truth.entropy is None
    assert truth.log_prob(["a"])[0] == pytest.approx(math.log(0.5 / (1 - 0.2 * 0.3)))


def test_parse_gives_expected_uses(write):
    truth = Grammar(write("S -> S S [0.3] | 'a' [0.7]\n"), "mine")
    assert truth.parse("a a a") == pytest.approx({"S -> S S": 2.0, "S -> 'a'": 3.0})
    with pytest.raises(ValueError, match="does not accept 'b'"):
        truth.parse("b")


def test_usage_of_its_own_samples_is_usual(captions, drawn):
    usage = captions.rule_usage(drawn)
    assert (usage.accepted, usage.rejected) == (20_000, 0)
    assert np.abs(usage.z).max() < 5.5
    often = usage.expected > 0.005
    assert 0.85 < usage.z[often].std() < 1.15  # standard errors are neither too small nor too large


def test_usage_finds_what_was_left_out(captions, drawn):
    usage = captions.rule_usage([*(text for text in drawn if " who " not in text), "not a caption"])
    assert usage.rejected == 1
    rule, expected, observed, z = usage.ranked()[0]
    assert "Who" in rule
    assert observed == 0 < expected
    assert z < -30
    with pytest.raises(ValueError, match="accepts none of 1 texts"):
        captions.rule_usage(["not a caption"])
