"""Samples side by side, what in them is copied from the training text, and what lies nearest there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from gentext.data.ngram_arrays import hashed, orders
from gentext.results.board import Board, Row
from gentext.results.record import samples

if TYPE_CHECKING:
    from gentext.data.source import Truth

log = logging.getLogger("gentext")

SHOWN = 8  # samples a row
COPIED = 5  # words: a span at least so long that stands in train is highlighted


@dataclass(frozen=True)
class Material:
    """The text that a corpus's rows are read against."""

    human: Sequence[str]
    training: Sequence[str]
    truth: Truth | None = None
    words: Callable[[str], list[str]] = str.split


@dataclass(frozen=True)
class Sample:
    """A generated text in pieces, of which each is or is not copied from train, and what lies nearest in train."""

    pieces: tuple[tuple[str, bool], ...]
    grammatical: bool | None
    nearest: str
    similarity: float


@dataclass(frozen=True)
class Column:
    """The first samples of a row of the board."""

    row: Row
    samples: tuple[Sample, ...]


def texts(row: Row) -> list[str]:
    """The samples of a row's first seed, where they are stored."""
    try:
        return samples(row.records[0]) or []
    except ValueError as error:
        log.warning("%s: none of its samples are shown", error)
        return []


def matched(board: Board, diversity: str) -> list[Row]:
    """Of every family the row whose diversity is nearest to that of human text, human text among them."""
    human = next((r.cells[diversity].value for r in board.rows if r.human and diversity in r.cells), None)
    chosen: dict[str, Row] = {}
    for row in board.rows:
        best = chosen.setdefault(row.family, row)
        if human is not None and diversity in row.cells and diversity in best.cells:
            chosen[row.family] = min(best, row, key=lambda r: abs(r.cells[diversity].value - human))
    return list(chosen.values())


def side_by_side(rows: Sequence[Row], material: Material | None) -> tuple[Column, ...]:
    """The first samples of every row that stores some; bare where there is no material to read them by."""
    shown = [(row, found) for row in rows if (found := texts(row)[:SHOWN])]
    flat = [text for _, found in shown for text in found]
    if material is None or not flat:
        read = [Sample(((text, False),), None, "", 0.0) for text in flat]
    else:
        truth = material.truth
        accepted = np.isfinite(truth.log_prob(flat)).tolist() if truth is not None else [None] * len(flat)
        columns = zip(_marked(flat, material), accepted, *_nearest(flat, material.training), strict=True)
        read = [Sample(*column) for column in columns]
    left = iter(read)
    return tuple(Column(row, tuple(next(left) for _ in found)) for row, found in shown)


def _marked(flat: Sequence[str], material: Material) -> list[tuple[tuple[str, bool], ...]]:
    """The pieces of every text: runs of words that stand in train in spans of `COPIED` or more, and runs of others."""
    cut, n = [material.words(text) for text in flat], len(material.training)
    both = hashed(chain(map(material.words, material.training), cut))
    *_, grams = orders(both, COPIED)
    in_training = np.zeros(grams.size, dtype=bool)
    in_training[grams.rank[grams.sentence < n]] = True
    copied = np.zeros(len(both.words), dtype=bool)
    starts = (grams.place - grams.sentence)[(grams.sentence >= n) & in_training[grams.rank]]
    for step in range(COPIED):
        copied[starts + step] = True
    marks = np.split(copied, both.lengths.cumsum()[:-1])[n:]
    return [_pieces(words, mark.tolist(), text) for words, mark, text in zip(cut, marks, flat, strict=True)]


def _pieces(words: Sequence[str], copied: Sequence[bool], text: str) -> tuple[tuple[str, bool], ...]:
    gap = "" if "".join(words) == text else " "
    runs = groupby(zip(words, copied, strict=True), key=lambda pair: pair[1])
    return tuple((gap.join(word for word, _ in run), mark) for mark, run in runs)


def _nearest(flat: Sequence[str], training: Sequence[str]) -> tuple[list[str], list[float]]:
    """The training text nearest to each text by the cosine of their TF-IDF vectors, and that cosine."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to load, and most records store no samples

    vectors = TfidfVectorizer(token_pattern=r"\S+", lowercase=False)
    try:
        known: Any = vectors.fit_transform(training)
    except ValueError:  # no words at all
        return [""] * len(flat), [0.0] * len(flat)
    rows = [np.asarray((vectors.transform([text]) @ known.T).todense()).ravel() for text in flat]
    return [training[int(row.argmax())] for row in rows], [float(row.max()) for row in rows]
