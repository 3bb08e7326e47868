"""A report's content, before it is given a form: what was asked, found, ranked, drawn, written and run."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from gentext.results import board as boards
from gentext.results import comparison, frontier
from gentext.results.board import Board, Row
from gentext.results.folder import read_texts
from gentext.results.record import Record, file_stem
from gentext.results.report import charts
from gentext.results.report.charts import Chart
from gentext.text.truth import Truth

SHOWN = 8  # samples a row
COPIED = 5  # words: a span at least so long that stands in train is highlighted
QUALITY, DIVERSITY = "bleu4", "selfbleu4"


@dataclass(frozen=True)
class Material:
    """The text that a corpus's rows are read against."""

    human: Sequence[str]
    training: Sequence[str]
    truth: Truth | None = None


@dataclass(frozen=True)
class Sample:
    """A generated text: its words, which of them stand in a span copied from train, and what lies nearest in train."""

    words: tuple[tuple[str, bool], ...]
    grammatical: bool | None
    nearest: str
    similarity: float


@dataclass(frozen=True)
class Section:
    """All that a report says of one corpus."""

    board: Board
    findings: tuple[str, ...]
    charts: tuple[Chart, ...]
    samples: Mapping[str, tuple[Sample, ...]]  # by row
    signatures: Mapping[str, str]  # by column
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    question: str
    runs: str
    sections: tuple[Section, ...]
    configurations: tuple[tuple[str, Mapping[str, str]], ...]  # row -> what differs between the rows
    commands: tuple[str, ...]
    versions: Mapping[str, str]
    failures: tuple[Mapping[str, str], ...] = ()
    files: tuple[str, ...] = ()  # that lie beside a published page


def build(
    records: Sequence[Record],
    material: Mapping[str, Material],
    *,
    failures: Sequence[Mapping[str, str]] = (),
    files: tuple[str, ...] = (),
) -> Page:
    """The report of these records. `material` is by corpus name; without it samples stand bare."""
    ranked = boards.rank(records)
    sections = tuple(_section(board, material.get(board.data)) for board in ranked)
    families = sorted({record.family for record in records})
    seeds = sorted({record.seed for record in records})
    asked = next((str(r.config.get("title")) for r in records if r.config.get("title")), "")
    question = asked or f"Which way of generating {', '.join(board.data for board in ranked)} is best?"
    runs = (
        f"{len(records)} records: {len(families)} families ({', '.join(families)}), {len(ranked)} corpora, "
        f"{len({record.decode for record in records})} decode settings, seeds {', '.join(map(str, seeds))}."
    )
    commands = tuple(dict.fromkeys(record.command for record in records if record.command))
    return Page(
        "gentext report",
        question,
        runs,
        sections,
        _differences(records),
        commands,
        records[0].versions,
        tuple(failures),
        files,
    )


def _section(board: Board, material: Material | None) -> Section:
    tests = _tests(board, QUALITY)
    drawn = [
        charts.frontier(board, QUALITY, DIVERSITY),
        charts.directions(board),
        charts.curves(_logs(board), "seconds"),
        charts.curves(_logs(board), "tokens"),
        charts.cost(board, next((name for name in ("bits_per_char", QUALITY) if name in board.columns), QUALITY)),
        charts.significance(tests, QUALITY),
        *(_profiles(board, material) if material else ()),
    ]
    rows = [row for row in board.rows if not _repeated(row, board)]
    samples = {f"{row.family} · {row.decode}": _samples(row, material) for row in rows}
    signatures = {
        name: next(r.values[name].signature for row in board.rows for r in row.records if name in r.values)
        for name in board.columns
        if any(name in r.values for row in board.rows for r in row.records)
    }
    return Section(board, _findings(board, tests), tuple(c for c in drawn if c), samples, signatures)


def _repeated(row: Row, board: Board) -> bool:
    """Whether an earlier row is the same family at another setting nearer to human diversity: one is shown, not all."""
    human = next((r.cells[DIVERSITY].value for r in board.rows if r.family == "human" and DIVERSITY in r.cells), None)
    same = [r for r in board.rows if r.family == row.family and DIVERSITY in r.cells]
    if human is None or len(same) < 2:
        return False
    return row is not min(same, key=lambda r: abs(r.cells[DIVERSITY].value - human))


def _tests(board: Board, metric: str) -> list[dict[str, Any]]:
    """The p-value of every pair of rows in a metric that is a mean over sentences, in both orders."""
    rows = {f"{row.family} · {row.decode}": row.records for row in board.rows if row.family != "human"}
    return [
        {"first": a, "second": b, "difference": sign * test.difference, "p": float(test.adjusted or 0.0)}
        for (x, y), test in comparison.compare_rows(rows, metric).items()
        for a, b, sign in ((x, y, 1), (y, x, -1))
    ]


def _findings(board: Board, tests: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Up to three sentences that the numbers support."""
    said = [_best(board, tests), _matched(board), _covering(board)]
    return tuple(sentence for sentence in said if sentence)


def _best(board: Board, tests: Sequence[Mapping[str, Any]]) -> str:
    rows = [row for row in board.rows if row.family != "human" and QUALITY in row.cells]
    if not rows:
        return ""
    best = max(rows, key=lambda row: row.cells[QUALITY].value)
    name = f"{best.family} · {best.decode}"
    equals = [test["second"] for test in tests if test["first"] == name and test["p"] >= 0.05]
    said = f"By {QUALITY}, {best.family} ({best.decode}) is best with {boards.text(best.cells[QUALITY])}"
    if not equals:
        return f"{said}, significantly ahead of every other row." if len(rows) > 1 and tests else f"{said}."
    return f"{said}; not significantly worse: {', '.join(equals[:4])}{' and others' if len(equals) > 4 else ''}."


def _matched(board: Board) -> str:
    curves = []
    for family in dict.fromkeys(row.family for row in board.rows if row.family != "human"):
        rows = [r for r in board.rows if r.family == family and {QUALITY, DIVERSITY} <= r.cells.keys()]
        if len(rows) > 1:
            x, y = (tuple(r.cells[name].value for r in rows) for name in (DIVERSITY, QUALITY))
            curves.append(frontier.Curve(family, tuple(r.decode for r in rows), x, y, False, True, DIVERSITY, QUALITY))
    common = frontier.common_x(curves) if len(curves) > 1 else None
    if common is None:
        return ""
    read = sorted((frontier.at(curve, common) for curve in curves), key=lambda matched: -matched.y)
    return f"At matched diversity, {'; '.join(map(str, read[:3]))}."


def _covering(board: Board) -> str:
    rows = [row for row in board.rows if row.family != "human" and {"h_pq", "h_qp"} <= row.cells.keys()]
    if not rows:
        return ""
    covers = min(rows, key=lambda row: row.cells["h_pq"].value)
    likely = min(rows, key=lambda row: row.cells["h_qp"].value)
    entropy = next((r.values["h_p"].value for row in rows for r in row.records if "h_p" in r.values), math.nan)
    said = (
        f"Against the known truth, whose entropy is {entropy:.2f} nats a sentence, {covers.family} covers it best "
        f"(H(p, q) {boards.text(covers.cells['h_pq'])})"
    )
    if likely is covers:
        return f"{said} and also writes what is likeliest under it (H(q, p) {boards.text(likely.cells['h_qp'])})."
    most = f"{likely.family} ({likely.decode}) writes what is likeliest (H(q, p) {boards.text(likely.cells['h_qp'])})"
    return f"{said}, while {most}."


def _logs(board: Board) -> dict[str, list[dict[str, float]]]:
    logs = {}
    for row in board.rows:
        path = Path(row.records[0].folder) / "log.jsonl"
        if row.family not in logs and path.exists():
            so_far: dict[str, float] = {}  # a validation need not repeat the seconds and tokens said just before
            logs[row.family] = []
            for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
                so_far |= {key: line[key] for key in ("seconds", "tokens") if key in line}
                logs[row.family].append({**so_far, **line})
    return logs


def _texts(row: Row) -> list[str]:
    record = row.records[0]
    path = Path(record.folder) / f"samples.{file_stem(record.decode)}.txt"
    return read_texts(path) if path.exists() else []


def _profiles(board: Board, material: Material) -> list[Chart | None]:
    """Length and Zipf profiles of every family against human text."""
    texts = {"human text": list(material.human)}
    for row in board.rows:
        if row.family != "human" and row.family not in texts and (found := _texts(row)):
            texts[row.family] = found
    lengths, ranks = [], []
    for name, lines in texts.items():
        words = [line.split() for line in lines]
        counts = Counter(map(len, words))
        lengths += [{"family": name, "x": n, "y": counts[n] / len(words)} for n in range(max(counts) + 1) if n <= 60]
        frequent = [count for _, count in Counter(w for line in words for w in line).most_common()]
        total = sum(frequent)
        at = sorted({round(10 ** (i / 8)) for i in range(40) if 10 ** (i / 8) <= len(frequent)})
        ranks += [{"family": name, "x": r, "y": frequent[r - 1] / total} for r in at]
    return [
        charts.profile(lengths, "lengths", "words in a sentence", "share of sentences"),
        charts.profile(ranks, "zipf", "rank of a word", "share of words", log=True),
    ]


def _samples(row: Row, material: Material | None) -> tuple[Sample, ...]:
    texts = _texts(row)[:SHOWN]
    if not texts or material is None:
        return tuple(Sample(tuple((word, False) for word in text.split()), None, "", 0.0) for text in texts)
    training = list(material.training)
    spans = {tuple(w[i : i + COPIED]) for w in map(str.split, training) for i in range(len(w) - COPIED + 1)}
    vectors = TfidfVectorizer(token_pattern=r"\S+", lowercase=False)
    try:
        known = vectors.fit_transform(training)
        similar = (vectors.transform(texts) @ known.T).toarray()
    except ValueError:  # no words at all
        similar = np.zeros((len(texts), len(training)))
    accepted = np.isfinite(material.truth.log_prob(texts)) if material.truth is not None else [None] * len(texts)
    made = []
    for text, scores, grammatical in zip(texts, similar, accepted, strict=True):
        words = text.split()
        copied = [False] * len(words)
        for i in range(len(words) - COPIED + 1):
            if tuple(words[i : i + COPIED]) in spans:
                copied[i : i + COPIED] = [True] * COPIED
        nearest = int(scores.argmax())
        verdict = None if grammatical is None else bool(grammatical)
        made.append(Sample(tuple(zip(words, copied, strict=True)), verdict, training[nearest], float(scores[nearest])))
    return tuple(made)


def _differences(records: Sequence[Record]) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """The configuration keys that differ between rows, flattened."""
    flat = {f"{r.name} · {r.decode} · seed {r.seed} · {r.data}": dict(_flatten(r.config)) for r in records}
    keys = sorted({key for config in flat.values() for key in config})
    differing = [
        key
        for key in keys
        if len({config.get(key) for config in flat.values()}) > 1
        and key.split(".")[0] in ("family", "train", "loss", "tokenizer")
    ]
    return tuple((name, {key: config[key] for key in differing if key in config}) for name, config in flat.items())


def _flatten(node: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(node, Mapping):
        return [pair for key, value in node.items() for pair in _flatten(value, f"{prefix}{key}.")]
    return [(prefix.rstrip("."), str(node))]
