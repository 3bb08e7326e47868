"""What it costs to spell a word that a vocabulary lacks: a model of characters, fitted on train."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from gentext.checks import at_least
from gentext.data.ngram_arrays import ranked

ORDER = 5
START, END = 0, 1  # before the first character of a word, and after its last
CODE_POINTS = 0x110000  # of Unicode
TRIES = 1_000  # to draw a word that the vocabulary lacks
UNKNOWN = "⁇"  # how an unknown token reads that nothing spells; U+2047 as in SentencePiece


class Spelling:
    """A distribution over words letter by letter, over those of them that a vocabulary lacks.

    An n-gram model of characters with Witten-Bell smoothing, down to equal odds for every code point and a word's end,
    so that every word has a probability. What it would give to words of the vocabulary is shared among all others: an
    unknown token says already that the word is none of these.

    Args:
        words: what it learns from, each once: the types of train, whatever of them the vocabulary holds. (On COCO
            captions this spells the unknown words of test better than the words that occur once do: there are more.)
        known: the vocabulary.
        order: of the n-grams, in characters.
        characters: how many there are.

    Source: Witten and Bell (1991), method C, interpolated as in Chen and Goodman (1999), section 2.4.

    >>> Spelling(["mat", "map", "cat"]).nats(["cap", "qux"]).round(1)
    array([ 5. , 50.5])
    """

    def __init__(
        self,
        words: Sequence[str],
        known: Collection[str] = (),
        *,
        order: int = ORDER,
        characters: int = CODE_POINTS,
    ) -> None:
        at_least(1, order=order, characters=characters)
        self.order, self.characters = order, characters
        self._learned, self._known = _positions(words, order), frozenset(known)
        self._unknown = 1 - float(np.exp(-self._nats(sorted(known))).sum())

    def nats(self, words: Sequence[str]) -> Float[ndarray, " n"]:
        """-log p(word, given that it is unknown) of each word, its end included."""
        return self._nats(words) + np.log(self._unknown)

    def draw(self, n: int, seed: int) -> list[str]:
        """`n` unknown words, of characters that the learned words have; ⁇ for one that cannot be found."""
        rng = np.random.default_rng(seed)
        return [self._word(rng) for _ in range(n)]

    def _word(self, rng: np.random.Generator) -> str:
        for _ in range(TRIES):
            symbols = [START] * (self.order - 1)
            while symbols[-1:] != [END]:
                symbols.append(self._next(symbols, rng))
            word = "".join(chr(symbol - 2) for symbol in symbols[self.order - 1 : -1])
            if word and word not in self._known:
                return word
        return UNKNOWN

    def _next(self, symbols: Sequence[int], rng: np.random.Generator) -> int:
        """A symbol by the longest context that speaks: each leaves to the next shorter one what it has not seen."""
        while True:
            for k in range(self.order - 1, -1, -1):
                after, kinds = self._after[k].get(tuple(symbols[len(symbols) - k :]), ((), 0))
                at = int(rng.integers(len(after) + kinds)) if kinds else 0
                if at < len(after):
                    return after[at]

    @cached_property
    def _after(self) -> list[dict[tuple[int, ...], tuple[list[int], int]]]:
        """What was seen after each context of 0, 1, ... symbols, as often as it was, and how many different ones."""
        found: list[dict[tuple[int, ...], list[int]]] = [{} for _ in range(self.order)]
        for row in self._learned.tolist():
            for k, seen in enumerate(found):
                seen.setdefault(tuple(row[len(row) - 1 - k : -1]), []).append(row[-1])
        return [{context: (after, len(set(after))) for context, after in seen.items()} for seen in found]

    def _nats(self, words: Sequence[str]) -> Float[ndarray, " n"]:
        grams = _positions(words, self.order)
        of = np.repeat(np.arange(len(words)), [len(word) + 1 for word in words])
        return np.bincount(of, -np.log(self.probabilities(grams)), len(words)).astype(np.float64)  # of none, too

    def probabilities(self, grams: Int[ndarray, "t order"]) -> Float[ndarray, " t"]:
        """p(last symbol | the symbols before it) of each row: characters are their code points + 2, START 0, END 1."""
        learned = len(self._learned)
        both = np.concatenate([self._learned, grams])
        context = np.zeros(len(both), np.int64)
        p = np.full(len(grams), 1 / (self.characters + 1))
        for reach in range(1, self.order + 1):  # symbols that are looked at
            gram, _, size = ranked(context * (CODE_POINTS + 2) + both[:, -1])
            count = np.bincount(gram[:learned], minlength=size)
            _, first = np.unique(gram[:learned], return_index=True)
            total = np.bincount(context[:learned], minlength=len(both))
            kinds = np.bincount(context[:learned][first], minlength=len(both))
            at = context[learned:]
            p = np.where(total[at], (count[gram[learned:]] + kinds[at] * p) / np.maximum(total[at] + kinds[at], 1), p)
            if reach < self.order:
                context, _, _ = ranked(context * (CODE_POINTS + 2) + both[:, -1 - reach])
        return p


def _positions(words: Sequence[str], order: int) -> Int[ndarray, "t order"]:
    """Every symbol of the words, the end of each included, after the order - 1 symbols before it."""
    text = "".join(words)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64) + 2
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    ends = (lengths + 1).cumsum() - 1
    symbols = np.full(len(text) + len(words), END, np.int64)
    inside = np.ones(len(symbols), bool)
    inside[ends] = False
    symbols[inside] = points
    place = np.arange(len(symbols)) - np.repeat(ends - lengths, lengths + 1)
    columns = []
    for back in range(order - 1, -1, -1):
        before = np.concatenate([np.full(min(back, len(symbols)), START), symbols[: max(len(symbols) - back, 0)]])
        columns.append(np.where(place >= back, before, START))
    return np.stack(columns, 1)
