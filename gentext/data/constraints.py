"""Conditions on a text, in words: blanks to fill, words to contain or to do without, a length, an expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gentext.checks import a_list
from gentext.data.automaton import Automaton, Expression, Pattern, automaton
from gentext.data.tokenizer import Tokenizer
from gentext.types import ANY, GAP, UNK

BLANKS = {"___": ANY, "___*": GAP}


@dataclass(frozen=True)
class Conditions:
    """What a text must be, all of it at once.

    infill: the text with blanks: `___` is one word, `___*` any number of words, none included.
    contains: words, or phrases, that occur somewhere.
    length: words, exactly.
    forbids: words, or phrases, that occur nowhere.
    expression: a regular expression over words that the whole text fits (gentext.data.automaton.Expression).
    """

    infill: str | None = None
    contains: Sequence[str] = ()
    length: int | None = None
    forbids: Sequence[str] = ()
    expression: str | None = None

    def __post_init__(self) -> None:
        a_list(contains=self.contains, forbids=self.forbids)
        if self.length is not None and self.length < 0:
            raise ValueError(f"length is {self.length}; give a number of words, 0 or more")
        if self.infill is not None and not BLANKS.keys() & set(self.infill.split()):
            raise ValueError(
                f"infill is {self.infill!r}, which has no blank; write ___ for one word, ___* for any number of words"
            )

    def __bool__(self) -> bool:
        return any(part is not None and part != () and part != [] for part in vars(self).values())

    def lower(self) -> Conditions:
        """The same of lower-cased text."""
        infill, expression = (None if text is None else text.lower() for text in (self.infill, self.expression))
        contains, forbids = ([phrase.lower() for phrase in phrases] for phrases in (self.contains, self.forbids))
        return Conditions(infill, contains, self.length, forbids, expression)

    def automaton(self, tokenizer: Tokenizer) -> Automaton:
        """The automaton of the texts that meet them all. Raises: ValueError as `patterns` does."""
        patterns: list[Pattern] = [*self.patterns(tokenizer)]
        if self.expression is not None:
            patterns.append(Expression(self.expression, lambda word: _words(word, tokenizer)))
        banned = [[GAP, *ids] for phrase in self.forbids if (ids := _words(phrase, tokenizer))]
        return automaton(patterns or [[GAP]], banned)

    def patterns(self, tokenizer: Tokenizer) -> list[list[int]]:
        """A pattern for each condition. Raises ValueError for a word that the tokenizer does not know."""
        if tokenizer.rules.kind != "word":
            raise ValueError(
                f"conditions are of words, and this run's tokens are of kind {tokenizer.rules.kind}; "
                "train with tokenizer=word"
            )
        patterns = [] if self.infill is None else [_template(self.infill, tokenizer)]
        patterns += [[GAP, *_words(phrase, tokenizer), GAP] for phrase in self.contains]
        return patterns if self.length is None else [*patterns, [ANY] * self.length]


def _template(text: str, tokenizer: Tokenizer) -> list[int]:
    """A text with blanks; the words between two blanks are cut by the corpus's own rule."""
    pattern, words = [], []
    for piece in (*text.split(), ""):
        if piece and piece not in BLANKS:
            words.append(piece)
            continue
        if words:
            pattern += _words(" ".join(words), tokenizer)
        pattern += [BLANKS[piece]] if piece else []
        words = []
    return pattern


def _words(phrase: str, tokenizer: Tokenizer) -> list[int]:
    ids = tokenizer.encode([phrase])[0]
    if not ids:
        raise ValueError("a text cannot be asked to contain nothing; give a word")
    if UNK in ids:
        raise ValueError(
            f"{phrase!r} holds a word that the training text does not; the model cannot write it. Choose another"
        )
    return ids
