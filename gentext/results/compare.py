"""Rows of a board compared sentence by sentence: two rows in every metric, or every pair of rows in one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from gentext.panels import Table
from gentext.results import record as records
from gentext.results.board import SIGNS
from gentext.results.record import Record, comparable_signatures, per_sequence
from gentext.results.significance import (
    Comparison,
    bootstrap_test,
    corrected,
    hierarchical_interval,
    hierarchical_test,
    randomisation_test,
)

Arrays = list[np.ndarray]  # one a seed: the figure of every sentence
TESTS = ("bootstrap", "randomisation")


def compare(
    first: Sequence[Record], second: Sequence[Record], *, test: str = "bootstrap", draws: int = 10_000, seed: int = 0
) -> dict[str, Comparison]:
    """Every metric that both rows hold sentence by sentence under one signature, with Holm's correction over them.

    A row is the records of its seeds. Paired where all rest on the same test sentences or prompts; a metric with an
    infinite sentence is left out. Raises: ValueError where no metric can be compared.
    """
    a, b = _figures(first), _figures(second)
    table = {}
    for name in first[0].values:
        if name in a and name in b and _one_signature([*first, *second], name):
            table[name] = _test(a[name], b[name], _paired([*first, *second], name), test, draws, seed)
    if not table:
        raise ValueError(
            f"{first[0].name} and {second[0].name} share no metric sentence by sentence under one signature; "
            "recompute both with gentext score"
        )
    return corrected(table)


def compare_rows(
    rows: Mapping[str, Sequence[Record]], metric: str, *, draws: int = 1000, seed: int = 0
) -> dict[tuple[str, str], Comparison]:
    """Every pair of rows that hold `metric` sentence by sentence, with Holm's correction over all the pairs."""
    found = {name: _figures(records).get(metric) for name, records in rows.items()}
    known = {name: arrays for name, arrays in found.items() if arrays is not None}
    paired = _paired([record for name in known for record in rows[name]], metric)
    return corrected(
        {
            (x, y): _test(known[x], known[y], paired, "bootstrap", draws, seed)
            for x, y in itertools.combinations(known, 2)
        }
    )


def find(
    first: str, second: str, among: Sequence[str] | None = None, decode: str | None = None
) -> tuple[list[Record], list[Record]]:
    """The records of two rows: of two runs' folders, or with `among` of two names and all their seeds below it.

    Raises: ValueError where a name is not known, or where more than one decode setting could be meant.
    """
    if among:
        known = records.find(among)
        both = [[record for record in known if record.name == name] for name in (first, second)]
        for name, found in zip((first, second), both, strict=True):
            if not found:
                names = ", ".join(sorted({record.name for record in known}))
                raise ValueError(f"{name!r} stands on no row of {', '.join(among)}. Known: {names}")
    else:
        both = [records.find([folder]) for folder in (first, second)]
    if decode is not None:
        both = [[record for record in found if record.decode == decode] for found in both]
    for name, found in zip((first, second), both, strict=True):
        rows = sorted({(record.corpus_key, record.name, record.decode) for record in found})
        if len(rows) != 1:
            seen = "; ".join(f"{family}, {setting}" for _, family, setting in rows) or "nothing under that setting"
            raise ValueError(f"{name} is not one row of a board: {seen}. Name one run, and one setting with --decode")
    if both[0][0].corpus_key != both[1][0].corpus_key:
        raise ValueError(f"{first} and {second} were judged against different text; compare runs on one corpus")
    return both[0], both[1]


def comparison_table(first: Sequence[Record], second: Sequence[Record], **options: object) -> Table:
    """`compare` as a table, each row's mean and, of several seeds, its interval over seeds and sentences beside it.

    A bound carries its sign, and the difference is then one of what is bounded and not of the figures themselves.
    """
    found = compare(first, second, **options)
    settings = [row[0].decode for row in (first, second)]
    shared = f", both {settings[0]}" if settings[0] == settings[1] else ""
    names = [row[0].name if shared else f"{row[0].name} · {row[0].decode}" for row in (first, second)]
    if names[0] == names[1]:  # one family in two lots of seeds
        names = [f"{row[0].name} of {_seeds(row)}" for row in (first, second)]
    rows = []
    for metric, said in found.items():
        means = [_mean(row, metric) for row in (first, second)]
        interval = "-" if said.interval is None else f"{said.interval[0]:+.4g} .. {said.interval[1]:+.4g}"
        test, how = said.test.split("|")[:2]
        rows.append([metric, *means, f"{said.difference:+.4g}", interval, _p(said.p), _p(said.adjusted), how])
    return Table(
        f"{names[0]} against {names[1]}{shared}",
        f"{test.capitalize()} over sentences, paired where both rest on the same; Holm's correction over the "
        f"{len(found)} metrics of this table.",
        ["metric", *names, "difference", "95 % interval", "p", "p (Holm)", "sentences"],
        rows,
    )


def _test(a: Arrays, b: Arrays, paired: bool, test: str, draws: int, seed: int) -> Comparison:
    if test not in TESTS:
        raise ValueError(f"the test is {test!r}; it must be one of {', '.join(TESTS)}")
    paired = paired and len({len(run) for run in [*a, *b]}) == 1
    if len(a) == len(b) == 1:
        if test == "bootstrap":
            return bootstrap_test(a[0], b[0], paired=paired, resamples=draws, seed=seed)
        return randomisation_test(a[0], b[0], paired=paired, trials=draws, seed=seed)
    if test == "randomisation":
        raise ValueError(f"randomisation compares one seed with one; here are {len(a)} and {len(b)}. Use bootstrap")
    return hierarchical_test(a, b, paired=paired, resamples=draws, seed=seed)


def _figures(records: Sequence[Record]) -> dict[str, Arrays]:
    """By metric the finite figures of every seed; only metrics that each seed has, of two sentences at least."""
    seeds = [per_sequence(record) for record in records]
    shared = set.intersection(*(set(arrays) for arrays in seeds))
    figures = {name: [arrays[name] for arrays in seeds] for name in shared}
    return {name: a for name, a in figures.items() if all(len(x) > 1 and np.isfinite(x).all() for x in a)}


def _one_signature(records: Sequence[Record], name: str) -> bool:
    return (
        all(name in record.values for record in records)
        and len(comparable_signatures(r.values[name] for r in records)) == 1
    )


def _paired(records: Sequence[Record], name: str) -> bool:
    return all(record.values[name].paired for record in records if name in record.values)


def _mean(records: Sequence[Record], metric: str) -> str:
    arrays = _figures(records)[metric]
    mean = f"{SIGNS[records[0].values[metric].exactness]}{np.mean([run.mean() for run in arrays]):.4g}"
    if len(arrays) < 2:
        return mean
    low, high = hierarchical_interval(arrays, crossed=_paired(records, metric), resamples=1000)
    return f"{mean} ({low:.4g} .. {high:.4g})"


def _seeds(records: Sequence[Record]) -> str:
    return f"seed{'s' * (len(records) > 1)} {', '.join(str(record.seed) for record in records)}"


def _p(p: float | None) -> str:
    return "-" if p is None else f"{p:.4f}" if p >= 0.001 else f"{p:.1e}"
