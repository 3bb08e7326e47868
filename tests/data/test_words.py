"""Words are those of NLTK, and come back from the text that they are put together as."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer

from gentext.data import words
from gentext.data.words import treebank, untreebank, word_rule

SENTENCES = [
    "a bicycle replica with a clock as the front wheel.",
    "a man's dog, two cats and a bird (small) can't sleep!",
    'a skier near a ski sign labeled "experts only"',
    "he said: ``it costs $3.88, or 5% more -- gonna buy?''",
    "i cannot; you shouldn't...",
    "the u.s. plane at 3:30 p.m. is e.g. here.",
    "an airplane with the letters 'mt' on it & more #1 @home",
    "",
    ".",
    "under_score and co-operate 1,000 «quoted» text…",
]


@pytest.mark.parametrize("text", SENTENCES)
def test_treebank_is_nltk_on_one_sentence(text):
    assert treebank(text) == NLTKWordTokenizer().tokenize(text)


@given(st.text(alphabet="ab.,:;!?'\"()$ -cannotwangimme0é\n", max_size=40))
def test_the_short_way_is_the_long_way(text):
    plain = words.PLAIN
    try:
        words.PLAIN = re.compile(r"(?!)")  # never
        long = treebank(text)
    finally:
        words.PLAIN = plain
    assert treebank(text) == long


def test_sentences_of_one_line_are_told_apart():
    assert treebank("please do not use. sorry!") == ["please", "do", "not", "use", ".", "sorry", "!"]
    assert treebank("a u.s. air force plane.") == ["a", "u.s.", "air", "force", "plane", "."]
    assert treebank("one line.\nanother.") == ["one", "line", ".", "another", "."]


@pytest.mark.parametrize("text", [text for text in SENTENCES if "'mt'" not in text and "``" not in text])
def test_usual_spelling_comes_back(text):
    assert untreebank(treebank(text)) == text


@given(
    st.lists(
        st.sampled_from(["a", "dog", ".", ",", "n't", "'s", "``", "''", "(", ")", "gon", "na", "!", "⁇"]), max_size=12
    )
)
def test_words_of_any_order_nearly_always_come_back(found):
    text = untreebank(found)
    assert treebank(text) == found or text == " ".join(found)


@pytest.mark.parametrize(
    ("name", "text"), [("whitespace", "a b , c"), ("char", "秦川雄帝宅，函谷壮皇居。"), ("lines", "\na b\n\nc , d\n")]
)
def test_other_rules_come_back(name, text):
    rule = word_rule(name)
    assert rule.join(rule.split(text)) == text


def test_a_line_end_is_a_word_where_asked():
    assert word_rule("lines").split(" = a =\n\n b \n") == ["=", "a", "=", "\n", "\n", "b", "\n"]


def test_an_unknown_rule_is_named_with_the_known():
    with pytest.raises(ValueError, match="treebank, whitespace, lines, char"):
        word_rule("spacy")


@pytest.mark.skipif("GENTEXT_DATA" not in os.environ, reason="needs the captions of coco")
def test_captions_have_the_published_vocabulary_and_come_back():
    text = (Path(os.environ["GENTEXT_DATA"]) / "coco" / "train.txt").read_text(encoding="utf-8")
    captions = [line.lower().strip() for line in text.split("\n")]
    found = [treebank(line) for line in captions]
    assert len({word for line in found for word in line}) == 4_655  # as NLTK with its own sentence model finds
    joined = [untreebank(line) for line in found]
    assert [treebank(line) for line in joined] == found
    assert sum(a == b for a, b in zip(joined, captions, strict=True)) / len(captions) > 0.98
