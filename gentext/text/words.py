"""What a word is: rules that cut a text into words and put words back together as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class WordRule:
    """A way to cut text into words, and its way back. No word ever holds white space."""

    split: Callable[[str], list[str]]
    join: Callable[[Sequence[str]], str]


def word_rule(name: str) -> WordRule:
    """The rule called `name`: treebank, whitespace or char."""
    if name not in RULES:
        raise ValueError(f"words is {name!r}; it must be one of {', '.join(RULES)}. Give for example words=treebank")
    return RULES[name]


# NLTK's punkt model is a download; the abbreviations of captions and news are enough to tell a sentence's end from them
ABBREVIATIONS = {
    *("mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "inc", "ltd", "co", "corp"),
    *("u.s", "u.k", "u.n", "e.g", "i.e", "a.m", "p.m"),
}
# plain words, one full stop at the very end: the rules below leave these as they are, and most lines are such
PLAIN = re.compile(r"[^\W_]+(?:(?: +|-)[^\W_]+)*( *\.)?")
CONTRACTED = re.compile(r"\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b", re.IGNORECASE)
SENTENCE_END = re.compile(r"[.?!](?:[?!)\";}\]*:@'({\[]|\s+\S)")  # where NLTK looks for one


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
    text = text.strip()
    if (plain := PLAIN.fullmatch(text)) and not CONTRACTED.search(text):
        return [*text[: plain.start(1)].split(), "."] if plain[1] else text.split()
    words, sentences, _ = _nltk()
    return [
        word
        for line in text.split("\n")
        for sentence in (sentences.tokenize(line) if SENTENCE_END.search(line) else [line])
        for word in words.tokenize(sentence)
    ]


def untreebank(words: Sequence[str]) -> str:
    """The usual spelling of these words, or where that would read as other words, all of them apart."""
    words = list(words)
    last = len(words) - (words[-1:] == ["."])
    if not any(WRITTEN_APART.search(word) for word in words[:last]):
        return " ".join(words[:last]) + "." * (len(words) - last)
    text = _nltk()[2].detokenize(words)
    return text if treebank(text) == words else " ".join(words)


WRITTEN_APART = re.compile(r"[^\w-]|^(?:not|na|me|ta|--+)$", re.IGNORECASE)  # may have been cut off from its neighbour

RULES = {
    "treebank": WordRule(treebank, untreebank),
    "whitespace": WordRule(str.split, " ".join),
    "char": WordRule(lambda text: [c for c in text if not c.isspace()], "".join),
}
