"""What a word is: rules that cut a text into words and put words back together as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from gentext.checks import one_of


@dataclass(frozen=True)
class WordRule:
    """A way to cut text into words, and its way back. No word holds white space, but for a line's end that is one."""

    split: Callable[[str], list[str]]
    join: Callable[[Sequence[str]], str]


def word_rule(name: str) -> WordRule:
    """The rule called `name`: treebank, whitespace, lines or char."""
    one_of("words", name, RULES)
    return RULES[name]


# NLTK's punkt model is a download; the abbreviations of captions and news are enough to tell a sentence's end from them
ABBREVIATIONS = {
    *("mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "inc", "ltd", "co", "corp"),
    *("u.s", "u.k", "u.n", "e.g", "i.e", "a.m", "p.m"),
}
# most lines are plain words and marks, a full stop at the very end alone: NLTK then cuts at the marks and no more
PLAIN = re.compile(r"(?:[^\W_]+(?:(?:[,;:!?]? +|-)[^\W_]+)*(?: *[.,;:!?])?)?")
PLAIN_WORDS = re.compile(r"[^\W_]+(?:-[^\W_]+)*|[.,;:!?]")
CONTRACTED = re.compile(r"\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b", re.IGNORECASE)
SENTENCE_END = re.compile(r"[.?!](?:[?!)\";}\]*:@'({\[]|\s+\S)")  # where NLTK looks for one
UNSPACED_END = re.compile(r"(?<=[。！？])(?=[^。！？」』”])")
CONTRACTION = re.compile(r"\b(?:can not|gim me|gon na|got ta|lem me|wan na)\b", re.IGNORECASE)
SPACED_MARK = re.compile(r" (?=[.,;:!?](?: |$))")
CLOSING = re.compile(r" (\.{2,}|[»”’…])")  # what NLTK's detokenizer leaves apart
OPENING = re.compile(r"([«“‘„]) ")


@cache
def _nltk() -> tuple:
    """NLTK's word tokenizer, its sentence tokenizer and its detokenizer, imported when first needed."""
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    from nltk.tokenize.treebank import TreebankWordDetokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = ABBREVIATIONS
    return NLTKWordTokenizer(), PunktSentenceTokenizer(parameters), TreebankWordDetokenizer()


def treebank(text: str) -> list[str]:
    """The words of `nltk.word_tokenize`, line by line.

    Differs: NLTK finds sentences with a model that is a download; here with the same algorithm and a short list of
    abbreviations. Equal on text of one sentence a line.
    """
    return [word for line in text.split("\n") for word in _line(line.strip())]


def _line(text: str) -> list[str]:
    if PLAIN.fullmatch(text) and not CONTRACTED.search(text):
        return PLAIN_WORDS.findall(text)
    words, sentences, _ = _nltk()
    parts = sentences.tokenize(text) if SENTENCE_END.search(text) else [text]
    return [word for part in parts for word in words.tokenize(part)]


def sentences(text: str) -> list[str]:
    """The sentences of a text, found as `treebank` finds them; a line's end, and 。！？, end one too.

    >>> sentences("Dr. Li came. He saw it! 春眠不觉晓。处处闻啼鸟。")
    ['Dr. Li came.', 'He saw it!', '春眠不觉晓。', '处处闻啼鸟。']
    """
    found = []
    for line in map(str.strip, text.split("\n")):
        for part in _nltk()[1].tokenize(line) if SENTENCE_END.search(line) else [line]:
            found += UNSPACED_END.split(part)
    return [sentence for sentence in found if sentence]


def untreebank(words: Sequence[str]) -> str:
    """The usual spelling of these words, or where that would read as other words, all of them apart."""
    words = list(words)
    text = SPACED_MARK.sub("", " ".join(words))
    if PLAIN.fullmatch(text) and not CONTRACTION.search(text) and PLAIN_WORDS.findall(text) == words:
        return text
    text = _nltk()[2].detokenize(words)
    text = OPENING.sub(r"\1", CLOSING.sub(r"\1", text))
    return text if treebank(text) == words else " ".join(words)


# of scripts that set no spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def unspaced(text: str) -> bool:
    """Whether a text is written mostly in a script that sets no spaces between words, and does set none.

    >>> unspaced("今天天气很好，我们去公园散步。"), unspaced("a plain text"), unspaced("今 天 天 气 很 好")
    (True, False, False)
    """
    letters = sum(map(str.isalpha, text))
    return len(UNSPACED.findall(text)) > 0.3 * letters and letters > 4 * len(text.split())


def characters(text: str) -> list[str]:
    """All but white space, each a word."""
    return [character for character in text if not character.isspace()]


def unlined(words: Sequence[str]) -> str:
    """Words apart by a space, line ends as they are."""
    return re.sub(" ?\n ?", "\n", " ".join(words))


LINE_OR_WORD = r"\n|\S+"
RULES = {
    "treebank": WordRule(treebank, untreebank),
    "whitespace": WordRule(str.split, " ".join),
    "lines": WordRule(re.compile(LINE_OR_WORD).findall, unlined),  # of a stream, whose line ends are read and written
    "char": WordRule(characters, "".join),
}
