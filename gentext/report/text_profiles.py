"""How generated text spreads beside human text: lengths, word frequencies, and how much of it train has never said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import altair as alt
import numpy as np

from gentext.data.ngram_arrays import hashed, orders
from gentext.report import charts
from gentext.report.samples import Material, texts
from gentext.report.style import HUMAN, Chart
from gentext.results.board import Row

LONGEST = 60  # words of a text that the picture reaches
LARGEST = 6  # of the n-grams


def draw(rows: Sequence[Row], material: Material, families: Sequence[str]) -> list[Chart | None]:
    """Three pictures, one line for each of the rows and one for held-out human text."""
    written = {HUMAN: list(material.human)}
    written |= {row.family: found for row in rows if not row.human and (found := texts(row))}
    cut = {name: [material.words(text) for text in found] for name, found in written.items()}
    log, whole = alt.Scale(type="log"), alt.Axis(tickMinStep=1, format="d")
    return [
        charts.profile(
            _lengths(cut), "lengths", "Lengths",
            alt.X("x:Q", title="words in a text", axis=whole), alt.Y("y:Q", title="share of texts"), families,
        ),
        charts.profile(
            _ranks(cut), "zipf", "Word frequencies (Zipf)",
            alt.X("x:Q", title="rank of a word", scale=log), alt.Y("y:Q", title="share of words", scale=log), families,
        ),
        charts.profile(
            _novelty(cut, material), "novelty", "N-grams that train does not hold",
            alt.X("x:Q", title="n", axis=whole), alt.Y("y:Q", title="share of n-grams"), families,
        ),
    ]  # fmt: skip


def _lengths(cut: dict[str, list[list[str]]]) -> list[dict[str, Any]]:
    counts = {name: Counter(map(len, found)) for name, found in cut.items()}
    return [
        {"family": name, "x": n, "y": count[n] / len(cut[name])}
        for name, count in counts.items()
        for n in range(min(max(count, default=0), LONGEST) + 1)
    ]


def _ranks(cut: dict[str, list[list[str]]]) -> list[dict[str, Any]]:
    points = []
    for name, found in cut.items():
        frequent = [count for _, count in Counter(word for words in found for word in words).most_common()]
        at = sorted({round(10 ** (i / 8)) for i in range(48) if round(10 ** (i / 8)) <= len(frequent)})
        points += [{"family": name, "x": rank, "y": frequent[rank - 1] / sum(frequent)} for rank in at]
    return points


def _novelty(cut: dict[str, list[list[str]]], material: Material) -> list[dict[str, Any]]:
    n = len(material.training)
    both = hashed(chain(map(material.words, material.training), *cut.values()))
    edges = n + np.cumsum([0, *map(len, cut.values())])
    points = []
    for grams in orders(both, LARGEST):
        known = np.zeros(grams.size, dtype=bool)
        known[grams.rank[grams.sentence < n]] = True
        for name, begin, end in zip(cut, edges, edges[1:], strict=False):
            new = ~known[grams.rank[(grams.sentence >= begin) & (grams.sentence < end)]]
            points += [{"family": name, "x": grams.order, "y": float(new.mean())}] if len(new) else []
    return points
