"""Conditions in words become patterns of ids, and wrong ones are refused."""

from __future__ import annotations

import pytest

from gentext.data.constraints import Conditions
from gentext.data.tokenizer import BPE, Word
from gentext.types import ANY, GAP


@pytest.fixture(scope="module")
def tokenizer():
    return Word(words="treebank", lowercase=True).fit(["a man sits on a dog's bench."])


def test_blanks_and_words_are_told_apart(tokenizer):
    (pattern,) = Conditions(infill="A man ___ on ___* a ___ dog's ___*").patterns(tokenizer)
    a, man, on = tokenizer.encode(["a man on"])[0]
    assert pattern == [a, man, ANY, on, GAP, a, ANY, *tokenizer.encode(["dog's"])[0], GAP]


def test_every_condition_has_a_pattern(tokenizer):
    man, bench = tokenizer.encode(["man bench"])[0]
    wanted = Conditions(contains=["man", "bench man"], length=3)
    assert wanted.patterns(tokenizer) == [[GAP, man, GAP], [GAP, bench, man, GAP], [ANY] * 3]
    assert wanted
    assert Conditions(length=0)
    assert not Conditions()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"infill": "a man"}, "has no blank"),
        ({"contains": "man"}, r"contains=\['man'\]"),
        ({"length": -1}, "length is -1"),
    ],
)
def test_bad_conditions_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Conditions(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"contains": ["zebra"]}, "'zebra'"), ({"infill": "a zebra ___"}, "zebra"), ({"contains": [" "]}, "nothing")],
)
def test_words_that_the_model_cannot_write_are_refused(options, says, tokenizer):
    with pytest.raises(ValueError, match=says):
        Conditions(**options).patterns(tokenizer)


def test_pieces_of_words_are_no_words():
    pieces = BPE(vocab_size=300).fit(["a man"])
    with pytest.raises(ValueError, match="tokenizer=word"):
        Conditions(length=3).patterns(pieces)
