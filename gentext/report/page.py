"""A report's content, before it is given a form: what was asked, found, ranked, drawn, written and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gentext.panels import Table
from gentext.report import (
    charts,
    family_pages,
    findings,
    latent_table,
    samples,
    sweep_charts,
    text_profiles,
    truth_table,
)
from gentext.report.family_pages import FamilyPage
from gentext.report.samples import Column, Material
from gentext.report.style import Chart
from gentext.results import board as boards
from gentext.results import compare, frontier
from gentext.results.board import Board
from gentext.results.cost import PER
from gentext.results.record import Record

QUALITY = {"unconditional": ("bleu4",), "conditional": ("chrf", "sacrebleu", "rougeL")}  # the first that is known
DIVERSITY = "selfbleu4"
DIFFERING = ("family", "train", "loss", "tokenizer")  # the groups of which the report tells where runs differ


@dataclass(frozen=True)
class ReportBlock:
    """Pictures and tables under one heading."""

    title: str
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Section:
    """All that a report says of one corpus."""

    board: Board
    findings: tuple[str, ...]
    blocks: tuple[ReportBlock, ...]
    samples: tuple[Column, ...]
    families: tuple[FamilyPage, ...]
    signatures: Mapping[str, str]  # by column


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    question: str
    runs: str
    sections: tuple[Section, ...]
    configurations: Table  # what differs between the runs
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
    asked = next((str(r.config.get("title")) for r in records if r.config.get("title")), "")
    return Page(
        "gentext report",
        asked or f"Which way of generating {', '.join(board.data for board in ranked)} is best?",
        _runs(records, ranked),
        tuple(_section(board, material.get(board.data)) for board in ranked),
        _differences(records),
        tuple(dict.fromkeys(record.command for record in records if record.command)),
        records[0].versions,
        tuple(failures),
        files,
    )


def _runs(records: Sequence[Record], ranked: Sequence[Board]) -> str:
    names = sorted({record.family for record in records})
    seeds = sorted({record.seed for record in records})
    counts = [(len(names), "family"), (len(ranked), "corpus"), (len({r.decode for r in records}), "decode setting")]
    plural = {"family": "families", "corpus": "corpora"}
    told = [f"{n} {word if n == 1 else plural.get(word, word + 's')}" for n, word in counts]
    told[0] += f" ({', '.join(names)})"
    return f"{len(records)} records: {', '.join(told)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}."


def _section(board: Board, material: Material | None) -> Section:
    known = [name for name in QUALITY[board.track] if any(name in row.cells for row in board.rows)]
    quality = known[0] if known else QUALITY[board.track][0]
    tests = _tests(board, quality)
    traded = frontier.trade(board, quality, DIVERSITY)
    chosen = samples.matched(board, DIVERSITY)
    signatures = {
        name: next(r.values[name].signature for row in board.rows for r in row.records if name in r.values)
        for name in board.columns
        if any(name in r.values for row in board.rows for r in row.records)
    }
    return Section(
        board,
        findings.find(board, quality, tests, traded),
        _blocks(
            board,
            quality,
            tests,
            traded,
            text_profiles.draw(chosen, material, charts.families(board)) if material else [],
        ),
        samples.side_by_side(chosen, material),
        family_pages.pages(board.rows),
        signatures,
    )


def _blocks(
    board: Board, quality: str, tests: list[dict[str, Any]], traded: frontier.Traded | None, spread: list[Chart | None]
) -> tuple[ReportBlock, ...]:
    """What stands between the leaderboard and the samples, in the order in which it is read; empty blocks left out."""
    logs = {row.family: family_pages.log(Path(row.records[0].folder)) for row in board.rows}
    cheap = next((name for name in ("bits_per_char", quality) if name in board.columns), quality)
    trade = [] if traded is None else [frontier.table(traded)]
    efficiency = _efficiency(board, quality)
    likelihood = next((name for name in ("word_ppl", cheap) if name in board.columns), quality)
    sweeps = sweep_charts.draw(findings.plain(board), likelihood, charts.families(board))
    blocks = [
        ("Along what was swept", sweeps, []),
        ("Quality and diversity", [charts.frontier(board, quality, DIVERSITY)], trade),
        ("Against the known truth", [charts.directions(board)], truth_table.tables(board)),
        ("Latent space", [], latent_table.tables(board)),
        ("Training", [charts.curves(logs, against, charts.families(board)) for against in ("seconds", "tokens")], []),
        ("Cost and quality", [charts.cost(board, cheap)], efficiency),
        ("Which families differ", [charts.significance(tests, quality)], []),
        ("Beside human text", spread, []),
    ]
    made = [ReportBlock(title, tuple(c for c in drawn if c), tuple(tables)) for title, drawn, tables in blocks]
    return tuple(block for block in made if block.charts or block.tables)


def _tests(board: Board, metric: str) -> list[dict[str, Any]]:
    """The p-value of every pair of families in a metric that is a mean over sentences, in both orders."""
    rows = {row.family: row.records for row in findings.plain(board)}
    return [
        {"first": a, "second": b, "difference": sign * test.difference, "p": float(test.adjusted or 0.0)}
        for (x, y), test in compare.compare_rows(rows, metric).items()
        for a, b, sign in ((x, y, 1), (y, x, -1))
    ]


def _efficiency(board: Board, quality: str) -> list[Table]:
    """Quality per unit of every cost that is known, at the plain decode setting, means over seeds."""
    rows = []
    for row in findings.plain(board):
        ratios = [record.efficiency for record in row.records]
        means = [
            sum(each[f"{quality}/{per}"] for each in ratios) / len(ratios)
            if all(f"{quality}/{per}" in each for each in ratios)
            else "-"
            for per in PER
        ]
        rows += [[row.family, *means]] if any(mean != "-" for mean in means) else []
    note = f"{quality} divided by what it cost; - where the cost is not known, or the quality is not there."
    return [Table(f"{quality} per cost", note, ["family", *(f"per {name}" for name in PER)], rows)] if rows else []


def _differences(records: Sequence[Record]) -> Table:
    """The configuration keys that differ between runs: a row each, decode settings and seeds aside."""
    flat = {f"{record.name} · {record.data}": dict(_flatten(record.config)) for record in records}
    keys = sorted({key for config in flat.values() for key in config if key.split(".")[0] in DIFFERING})
    differing = [key for key in keys if len({config.get(key) for config in flat.values()}) > 1]
    rows = [[key, *(config.get(key, "-") for config in flat.values())] for key in differing]
    return Table("Where the configurations differ", "", ["key", *flat], rows)


def _flatten(node: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(node, Mapping):
        return [pair for key, value in node.items() for pair in _flatten(value, f"{prefix}{key}.")]
    return [(prefix.rstrip("."), str(node))]
