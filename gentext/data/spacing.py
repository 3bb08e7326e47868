"""What stands between the words of a text, learned where the usual English spelling is not the text's own."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gentext.data.words import treebank, untreebank

SAMPLE = 5_000  # lines of train on which the way back is measured
ENOUGH = 0.95  # of them must come back as they were for the usual spelling to be kept
QUOTES = ("``", "''")  # how Treebank writes the two ends of a quotation
SPACES = re.compile(" +")


@dataclass(frozen=True)
class Spacing:
    """A way from Treebank words back to text that follows a training text: where its marks touch words.

    Args:
        before: a mark, and what stands between it and the word before it; one space where it is not listed.
        after: likewise, the word after it.

    >>> french = Spacing.learned(["Salut !", "Viens, Jean !", "Quoi ?"])
    >>> french.join(["Jean", ",", "viens", "!"])
    'Jean, viens !'
    """

    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def learned(cls, lines: Iterable[str]) -> Spacing:
        """What most often stands before and after each mark of these lines."""
        before: dict[str, Counter[str]] = defaultdict(Counter)
        after: dict[str, Counter[str]] = defaultdict(Counter)
        for line in lines:
            words = treebank(line)
            for (a, b), gap in zip(itertools.pairwise(words), _gaps(line, words), strict=False):
                before[b][gap] += 1
                after[a][gap] += 1
        return cls(_unusual(before, 0), _unusual(after, -1))

    def join(self, words: Sequence[str]) -> str:
        """The text, or where that would read as other words, all of them apart."""
        words = list(words)
        parts = [_spelled(word) for word in words[:1]]
        for a, b in itertools.pairwise(words):
            parts += [self.before.get(b, self.after.get(a, " ")), _spelled(b)]
        text = "".join(parts)
        return text if treebank(text) == words else " ".join(words)


def spacing_of(lines: Sequence[str]) -> Spacing | None:
    """The spacing to be learned from lines that the usual spelling damages; None where it does not, or no less."""
    lines = [SPACES.sub(" ", line.strip()) for line in lines if line.strip()]
    usual = sum(untreebank(treebank(line)) == line for line in lines)
    if usual >= ENOUGH * len(lines):
        return None
    spacing = Spacing.learned(lines)
    return spacing if sum(spacing.join(treebank(line)) == line for line in lines) > usual else None


def _gaps(line: str, words: Sequence[str]) -> list[str]:
    """What stands between each word and the next; fewer where a word is not spelled in the line as it is called."""
    gaps, at = [], 0
    for i, word in enumerate(words):
        spellings = ('"', word) if word in QUOTES else (word,)
        begin = at
        while begin < len(line) and line[begin].isspace():
            begin += 1
        spelling = next((s for s in spellings if line.startswith(s, begin)), None)
        if spelling is None:
            return gaps
        if i:
            gaps.append(line[at:begin])
        at = begin + len(spelling)
    return gaps


def _unusual(counts: Mapping[str, Counter[str]], end: int) -> dict[str, str]:
    """Words that one space does not set apart from their neighbour: marks at that end, and the ending n't."""
    marks = {word: gaps for word, gaps in counts.items() if not word[end].isalnum() or word == "n't"}
    found = {word: gaps.most_common(1)[0][0] for word, gaps in sorted(marks.items())}
    return {word: gap for word, gap in found.items() if gap != " "}


def _spelled(word: str) -> str:
    return '"' if word in QUOTES else word
