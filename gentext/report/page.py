"""A report's content, before it is given a form: what was asked, found, ranked, drawn, written and run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gentext.panels import Table
from gentext.report import (
    adversarial_table,
    charts,
    family_pages,
    findings,
    latent_table,
    published_table,
    safety_table,
    samples,
    sweep_charts,
    text_profiles,
    truth_table,
)
from gentext.report.family_pages import FamilyPage
from gentext.report.samples import Column, Material
from gentext.report.style import Chart
from gentext.results import board as boards
from gentext.results import frontier, render_board
from gentext.results.board import Board
from gentext.results.columns import SHOWN, column
from gentext.results.naming import flatten
from gentext.results.record import Record

# the first that is known; of a track that is not here, of what its board shows
QUALITY = {"unconditional": ("bleu4",), "conditional": ("chrf", "sacrebleu", "rougeL")}
DIVERSITY = "selfbleu4"
LIKELIHOODS = ("lm_score", "reverse_lm_score")  # quality and diversity by likelihood: Caccia et al. 2020, section 4
PICTURED = 30  # families whose texts and logs are drawn: more lines than these nobody can tell apart
REACHED = {"10 s": 10.0, "1 min": 60.0, "10 min": 600.0}
COSTS = ("train_seconds", "parameters", "flops_per_token", "sample_seconds")
DIFFERING = ("family", "train", "loss", "tokenizer")  # the groups of which the report tells where runs differ


@dataclass(frozen=True)
class ReportBlock:
    """Pictures and tables under one heading."""

    title: str
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    of_records: bool = True  # records alone make it; else it needs a run's log or samples too


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
    versions: Mapping[str, str]  # of what the records were made with
    failures: tuple[Mapping[str, str], ...] = ()
    files: tuple[str, ...] = ()  # that lie beside a published page


def build(
    records: Sequence[Record],
    material: Mapping[str, Material],
    *,
    failures: Sequence[Mapping[str, str]] = (),
    files: tuple[str, ...] = (),
) -> Page:
    """The report of these records. `material` is by `Record.corpus_key`; without it samples stand bare."""
    ranked = boards.rank(records)
    asked = next((str(r.config.get("title")) for r in records if r.config.get("title")), "")
    return Page(
        "gentext report",
        asked or f"Which way of generating {', '.join(dict.fromkeys(board.data for board in ranked))} is best?",
        _runs(records, ranked),
        tuple(_section(board, material.get(board.corpus_key)) for board in ranked),
        _differences(records),
        tuple(dict.fromkeys(record.command for record in records if record.command)),
        _versions(records),
        tuple(failures),
        files,
    )


def _runs(records: Sequence[Record], ranked: Sequence[Board]) -> str:
    names = sorted({record.family for record in records})
    seeds = sorted({record.seed for record in records})
    counts = [
        (len(names), "family"),
        (len({board.data for board in ranked}), "corpus"),
        (len({r.decode for r in records}), "decode setting"),
    ]
    plural = {"family": "families", "corpus": "corpora"}
    parts = [f"{n} {word if n == 1 else plural.get(word, word + 's')}" for n, word in counts]
    parts[0] += f" ({', '.join(names)})"
    return f"{len(records)} records: {', '.join(parts)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}."


def _versions(records: Sequence[Record]) -> dict[str, str]:
    """What these records were made with, by name; where they differ every value, with the number of its rows."""
    found = {}
    for name in dict.fromkeys(name for record in records for name in record.versions):
        values = Counter(record.versions[name] for record in records if name in record.versions)
        if values.total() == len(records) and len(values) == 1:
            found[name] = next(iter(values))
        else:
            found[name] = " and ".join(f"{v} ({n} row{'s' * (n > 1)})" for v, n in values.most_common())
    return found


def _section(board: Board, material: Material | None) -> Section:
    known = [name for name in QUALITY.get(board.track) or SHOWN[board.track] if name in board.columns]
    quality = known[0] if known else ""
    traded = _traded(board, quality)
    matched = samples.matched(board, DIVERSITY)
    chosen = [row for i, row in enumerate(matched) if i < PICTURED or row.human]
    spread = text_profiles.draw(chosen, material, charts.families(board)) if material else []
    return Section(
        board,
        findings.find(board, quality, traded),
        _blocks(board, quality, traded, spread),
        samples.side_by_side(chosen, material),
        family_pages.pages(board.rows[: PICTURED * 4]),
        render_board.computed(board),
    )


def _traded(board: Board, quality: str, diversity: str = DIVERSITY) -> frontier.Traded | None:
    if quality not in board.columns or diversity not in board.columns:
        return None
    return frontier.trade(board, quality, diversity)


def _by_likelihood(board: Board) -> tuple[list[Chart | None], list[Table]]:
    """Samples under a model of training text against held-out text under a model of samples, over temperatures."""
    held = [record for row in board.rows for record in row.records]
    if not all(any(name in record.values for record in held) for name in LIKELIHOODS):
        return [], []
    (scored,) = boards.rank(held, columns=LIKELIHOODS)
    traded = _traded(scored, *LIKELIHOODS)
    if traded is None or not traded.area:
        return [], []
    place = {(row.family, row.decode): i for i, row in enumerate(board.rows)}
    alike = replace(scored, rows=tuple(sorted(scored.rows, key=lambda row: place[row.family, row.decode])))
    return [charts.frontier(alike, *LIKELIHOODS)], [frontier.table(traded)]


def _blocks(
    board: Board, quality: str, traded: frontier.Traded | None, spread: list[Chart | None]
) -> tuple[ReportBlock, ...]:
    """What stands between the leaderboard and the samples, in the order in which it is read; empty blocks left out."""
    first = {row.family: row for row in board.rows}
    logs = {name: family_pages.log(Path(row.records[0].folder)) for name, row in [*first.items()][:PICTURED]}
    some = f" (the first {PICTURED} of {len(first)} families)" if len(first) > PICTURED else ""
    likelihood = next((name for name in ("word_ppl", "bits_per_char", quality) if name in board.columns), "")
    cheap = next((name for name in ("bits_per_char", "h_pq", "word_ppl", quality) if name in board.columns), "")
    plain, names = findings.plain(board), charts.families(board)
    swept = [name for name in (likelihood, "grammatical", "agreement:attractor") if name in board.columns]
    human = [row for row in board.rows if row.human][:1]
    curves = [charts.curves(logs, against, names) for against in ("seconds", "tokens")]
    by_likelihood = _by_likelihood(board)
    blocks = [
        ("Along what was swept", sweep_charts.draw(plain, swept), [], True),
        (
            "Quality and diversity",
            [
                *([charts.frontier(board, quality, DIVERSITY)] if traded else []),
                *by_likelihood[0],
                *sweep_charts.draw_decoding(board.rows, [*plain, *human], [quality, DIVERSITY]),
            ],
            [*([frontier.table(traded)] if traded and traded.area else []), *by_likelihood[1]],  # no area: one setting
            True,
        ),
        ("Adversarial training", [], adversarial_table.tables(board, traded), True),
        ("Published numbers", [], published_table.tables(board), True),
        ("Against the known truth", [charts.directions(board)], truth_table.tables(board), True),
        ("Safety, bias and robustness", [], safety_table.tables(board), True),
        ("Latent space", [], latent_table.tables(board), True),
        (f"Training{some}", curves, _reached(logs), False),
        ("Cost and quality", [charts.cost(board, cheap)] if cheap else [], _cost(board, cheap), True),
        ("Which families differ", [charts.significance(board, plain, quality)] if quality else [], [], True),
        (f"Beside human text{some}", spread, [], False),
        ("Configurations", [], _configurations(board), True),
    ]
    made = [ReportBlock(title, tuple(c for c in drawn if c), tuple(tables), of) for title, drawn, tables, of in blocks]
    return tuple(block for block in made if block.charts or block.tables)


def _reached(logs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Table]:
    """The best validation loss that each run had reached by so many seconds of training."""
    rows = []
    for name, lines in logs.items():
        seen = [(line["seconds"], line["valid/nll"]) for line in lines if {"seconds", "valid/nll"} <= line.keys()]
        best = [min((nll for at, nll in seen if at <= limit), default=None) for limit in REACHED.values()]
        rows += [[name, *("-" if nll is None else nll for nll in best)]] if seen else []
    note = "The lowest validation loss, nats a token, that training had reached by then; - before its first validation."
    return [Table("Quality reached by time", note, ["run", *(f"by {word}" for word in REACHED)], rows)] if rows else []


def _cost(board: Board, quality: str) -> list[Table]:
    """What each family cost, beside its quality at the plain decode setting; means over seeds."""
    rows = []
    for row in findings.plain(board):
        costs = [[record.cost.get(name, math.nan) for record in row.records] for name in COSTS]
        means = [sum(each) / len(each) for each in costs]
        known = ["-" if math.isnan(mean) else mean for mean in means]
        if quality in row.cells and any(mean != "-" for mean in known):
            rows.append([row.family, boards.text(row.cells[quality]), *known])
    columns = [column(name).title for name in COSTS]
    note = "Seconds on the machine named under Environment. - where nobody has counted."
    header = ["family", boards.head(board, quality), *columns] if quality else []
    return [Table("Cost", note, header, rows)] if rows else []


def _configurations(board: Board) -> list[Table]:
    """What each family changed in the defaults, beside what its name says."""
    rows = [[name, changed] for name, changed in boards.configurations(board)]
    note = "Changed in the defaults beside what a row's name says."
    return [Table("Configurations", note, ["family", "changed"], rows)] if rows else []


def _differences(records: Sequence[Record]) -> Table:
    """The configuration keys that differ between runs: a row each, decode settings and seeds aside."""
    flat = {f"{record.name} · {record.data}": dict(flatten(record.config)) for record in records}
    keys = sorted({key for config in flat.values() for key in config if key.split(".")[0] in DIFFERING})
    differing = [key for key in keys if len({config.get(key) for config in flat.values()}) > 1]
    rows = [[key, *(config.get(key, "-") for config in flat.values())] for key in differing]
    return Table("Where the configurations differ", "", ["key", *flat], rows)
