"""What it costs to spell unknown words: a distribution, and that of another implementation of Witten and Bell."""

import itertools
from collections import Counter

import numpy as np
import pytest
from nltk.lm import WittenBellInterpolated
from nltk.util import everygrams

from gentext.data.spelling import ORDER, Spelling, _positions

WORDS = ["mat", "map", "maps", "cat", "at", "a", "tamam"]


@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_words_sum_to_one(order):
    """All words of two letters up to a length, and the mass of longer ones, by the probability of each prefix."""
    spelling = Spelling(["a", "ab", "ba", "aab"], order=order, characters=2)
    words = ["".join(letters) for k in range(8) for letters in itertools.product("ab", repeat=k)]
    finished = np.exp(-spelling.nats(words)).sum()
    longer = 0.0
    for letters in itertools.product("ab", repeat=8):
        symbols = _positions(["".join(letters)], order)[:-1]  # without the end
        longer += spelling.probabilities(symbols).prod()
    assert finished + longer == pytest.approx(1, abs=1e-12)


def test_the_symbols_after_every_context_sum_to_one():
    """Over all of Unicode: those that were seen after it, and all others, which are equally likely."""
    spelling = Spelling(WORDS)
    for context in ("", "m", "ma", "map", "tama", "qqqq"):
        seen = sorted(set("".join(WORDS)))
        rows = _positions([context + letter for letter in [*seen, "ц"]], ORDER)
        ends = np.cumsum([len(context) + 2] * (len(seen) + 1)) - 2
        p = spelling.probabilities(rows[ends])
        end = spelling.probabilities(_positions([context], ORDER)[-1:])[0]
        assert p[:-1].sum() + p[-1] * (0x110000 - len(seen)) + end == pytest.approx(1, abs=1e-9)


def test_unknown_words_alone_sum_to_one():
    known = ["a", "ab", "b"]
    spelling = Spelling(["a", "ab", "ba", "aab"], known, characters=2)
    free = Spelling(["a", "ab", "ba", "aab"], characters=2)
    words = ["".join(letters) for k in range(12) for letters in itertools.product("ab", repeat=k)]
    unknown = [word for word in words if word not in known]
    rest = 1 - np.exp(-free.nats(words)).sum()
    assert np.exp(-spelling.nats(unknown)).sum() == pytest.approx(1, abs=10 * rest)
    assert rest < 1e-3
    assert np.allclose(np.diff(spelling.nats(unknown)), np.diff(free.nats(unknown)))


def test_it_is_nltks_witten_bell():
    sentences = [["<s>"] * (ORDER - 1) + list(word) + ["</s>"] for word in WORDS]
    grams = [[gram for gram in everygrams(sentence, max_len=ORDER) if gram[-1] != "<s>"] for sentence in sentences]
    theirs = WittenBellInterpolated(ORDER)
    theirs.fit(grams, vocabulary_text=[*"matpsc", "</s>", "<s>"])
    counts = theirs.counts.unigrams  # its single characters are not smoothed: mixed with equal odds as the rest are
    theirs.estimator.unigram_score = lambda c: (counts[c] + len(counts) / (0x110000 + 1)) / (counts.N() + len(counts))
    spelling = Spelling(WORDS)
    for word in (*WORDS, "tap", "stamp", "apc"):
        symbols = ["<s>"] * (ORDER - 1) + list(word) + ["</s>"]
        total = sum(
            theirs.logscore(symbols[i], symbols[max(0, i - ORDER + 1) : i]) for i in range(ORDER - 1, len(symbols))
        )
        assert spelling.nats([word])[0] == pytest.approx(-total * np.log(2), rel=1e-9)


def test_any_text_can_be_spelled():
    nats = Spelling(WORDS).nats(["", "mat", "日本", "\ud800", "\U0001f600"])
    assert np.isfinite(nats).all()
    assert nats[1] == nats.min()
    assert len(Spelling(WORDS).nats([])) == 0


def test_words_are_drawn_as_they_are_spelled():
    """By what the letters that were learned share, each symbol's probability over all of them."""
    known = ["a", "ab", ""]
    spelling = Spelling(["a", "ab", "ba", "aab", "abba"], known, order=3)

    def p(word: str) -> float:
        rows, found = _positions([word], 3), 1.0
        for row in rows:
            options = np.array([[*row[:-1], symbol] for symbol in (1, ord("a") + 2, ord("b") + 2)])
            found *= spelling.probabilities(row[None])[0] / spelling.probabilities(options).sum()
        return found

    words = ["".join(letters) for k in range(1, 7) for letters in itertools.product("ab", repeat=k)]
    rest = 1 - sum(map(p, known))
    drawn = Counter(spelling.draw(4_000, seed=0))
    assert not drawn.keys() & set(known)
    for word in set(words) - set(known):
        expected = 4_000 * p(word) / rest
        assert abs(drawn[word] - expected) < 4 * np.sqrt(expected) + 1
    assert Spelling(["a"], ["a"], order=2).draw(2, seed=0) != ["a", "a"]
    assert spelling.draw(5, seed=1) == spelling.draw(5, seed=1)
