"""Two rows of a board compared in every metric: sentence by sentence, and over seeds where both have several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gentext.metrics import intervals
from gentext.panels import Table
from gentext.results import naming
from gentext.results import record as records
from gentext.results.board import SIGNS, Z, mixed, standard_error
from gentext.results.record import Record, per_sequence
from gentext.results.significance import (
    Comparison,
    SeedTest,
    bootstrap_test,
    corrected,
    randomisation_test,
    seed_test,
    two_sided,
)
from gentext.results.significance import over_seeds as students
from gentext.value import Value

Arrays = list[np.ndarray]  # one a seed: the figure of every sentence
TESTS = ("bootstrap", "randomisation")


def compare(
    first: Sequence[Record], second: Sequence[Record], *, test: str = "bootstrap", draws: int = 10_000, seed: int = 0
) -> dict[str, Comparison]:
    """Every metric that both rows hold under one signature, with Holm's correction over them.

    A row is the records of its seeds: of one seed each the sentences are resampled, of several each the seed is a
    random effect (`seed_test`). Paired where all rest on the same test sentences or prompts; a metric with an infinite
    sentence is left out. A figure of a whole set of texts (Self-BLEU, recall), which has no figure a sentence, is
    tested by both rows' standard errors, and without an interval it is not tested. Where a likelihood rests on draws of
    its own (decode=rerank), whose error all sentences share, a normal test of one seed holds that error too.
    Raises: ValueError where no metric can be compared.
    """
    if test not in TESTS:
        raise ValueError(f"the test is {test!r}; it must be one of {', '.join(TESTS)}")
    if _several(first, second):
        if test == "randomisation":
            raise ValueError(
                f"randomisation compares one seed with one; here are {len(first)} and {len(second)}. Use bootstrap"
            )
        return corrected({name: found.comparison for name, found in over_seeds(first, second).items()})
    act = bootstrap_test if test == "bootstrap" else randomisation_test
    size: dict[str, Any] = {"resamples" if test == "bootstrap" else "trials": draws}
    found = {}
    for name, (a, b, paired) in _comparable(first, second).items():
        values = [record.values[name] for record in (first[0], second[0])]
        if len(a[0]) == 1:  # a figure of all texts together: as if the rows had no text in common
            error = float(np.hypot(standard_error(values[0]), standard_error(values[1])))
            found[name] = _normal(values[0].value - values[1].value, error, "intervals|unpaired")
        elif any(value.interval_kind == intervals.DRAWS for value in values):
            errors = [intervals.standard_error(each) for each in ([a[0] - b[0]] if paired else [a[0], b[0]])]
            errors += [_shared_error(value, each) for value, each in zip(values, (a[0], b[0]), strict=True)]
            difference = float(a[0].mean() - b[0].mean())
            found[name] = _normal(difference, math.hypot(*errors), f"normal|{'paired' if paired else 'unpaired'}")
        else:
            found[name] = act(a[0], b[0], paired=paired, seed=seed, **size)
    return corrected(found)


def _shared_error(value: Value, each: np.ndarray) -> float:
    """The error that all sentences of a figure share: what its interval holds beside their spread."""
    if value.interval_kind != intervals.DRAWS:
        return 0.0
    return math.sqrt(max(0.0, standard_error(value) ** 2 - intervals.standard_error(each) ** 2))


def _normal(difference: float, error: float, test: str) -> Comparison:
    """A normal test of a difference with this standard error."""
    interval = (difference - Z * error, difference + Z * error)
    return Comparison(difference, two_sided(difference, error, np.inf), interval, test)


def over_seeds(first: Sequence[Record], second: Sequence[Record]) -> dict[str, SeedTest]:
    """`seed_test` of every metric that both rows of several seeds hold."""
    same = [record.seed for record in first] == [record.seed for record in second]
    return {
        name: seed_test(a, b, paired=paired, same_seeds=same)
        for name, (a, b, paired) in _comparable(first, second).items()
    }


def _comparable(first: Sequence[Record], second: Sequence[Record]) -> dict[str, tuple[Arrays, Arrays, bool]]:
    """By metric both rows' figures, and whether they rest on the same sentences; of a set of texts one a seed."""
    a, b = ({**_wholes(row), **_figures(row)} for row in (first, second))
    both = [*first, *second]
    found = {}
    for name in first[0].values:
        kinds = {r.values[name].exactness == "pseudo" for r in both if name in r.values}
        if name in a and name in b and len(kinds) == 1 and not mixed(name, both):
            same_size = len({len(run) for run in [*a[name], *b[name]]}) == 1
            found[name] = (a[name], b[name], _paired(both, name) and same_size)
    if not found:
        raise ValueError(
            f"{first[0].name} and {second[0].name} share no metric that can be tested under one signature; "
            "recompute both with gentext score"
        )
    return found


def _several(first: Sequence[Record], second: Sequence[Record]) -> bool:
    """Whether both rows have several seeds. Raises ValueError where only one of them has."""
    if min(len(first), len(second)) == 1 < max(len(first), len(second)):
        few, many = sorted((first, second), key=len)
        raise ValueError(
            f"{few[0].name} has one seed and {many[0].name} {len(many)}: what a seed changes cannot be known of one. "
            "Run it with two seeds or more, or compare one run's folder with one"
        )
    return len(first) > 1


def find(
    first: str, second: str, among: Sequence[str] | None = None, decode: Sequence[str] = ()
) -> tuple[list[Record], list[Record]]:
    """The records of two rows: of two runs' folders, or with `among` of two names and all their seeds below it.

    decode: the setting of both rows, or of each; none where each has one.
    Raises: ValueError where a name is not known, or where more than one decode setting could be meant.
    """
    if len(decode) > 2:
        raise ValueError(f"--decode is given {len(decode)} times; give one setting of both rows, or one of each")
    if among:
        known = records.find(among)
        called = _names(known)
        both = [
            [record for record, short in zip(known, called, strict=True) if name in (record.name, short)]
            for name in (first, second)
        ]
        for name, found in zip((first, second), both, strict=True):
            if not found:
                names = ", ".join(sorted(set(called)))
                raise ValueError(f"{name!r} stands on no row of {', '.join(among)}. Known: {names}")
    else:
        both = [records.find([folder]) for folder in (first, second)]
    settings = (decode[0], decode[-1]) if decode else (None, None)
    rows_of = []
    for name, found, wanted in zip((first, second), both, settings, strict=True):
        rows: dict[Any, list[Record]] = {}
        for record in found:
            if wanted is None or naming.is_setting(wanted, record.decode):
                rows.setdefault((record.corpus_key, naming.identity(record)), []).append(record)
        if not found:
            raise ValueError(f"{name} holds no record; give a folder that `gentext run` wrote")
        if not rows:
            known = ", ".join(dict.fromkeys(naming.setting(record.decode) for record in found))
            raise ValueError(f"{name} has no record under --decode {wanted!r}; it has {known}")
        if len(rows) > 1:
            seen = "; ".join(f"{r.name}, {naming.setting(r.decode)}" for r, *_ in rows.values())
            raise ValueError(
                f"{name} is not one row of a board: {seen}. Name one run, and one setting with --decode, which may "
                "stand twice: of the first row and of the second"
            )
        rows_of += rows.values()
    both = rows_of
    if both[0][0].corpus_key != both[1][0].corpus_key:
        raise ValueError(f"{first} and {second} were judged against different text; compare runs on one corpus")
    return both[0], both[1]


def _names(known: Sequence[Record]) -> list[str]:
    """What each record is called on its corpus's board."""
    corpora: dict[str, list[int]] = {}
    for i, record in enumerate(known):
        corpora.setdefault(record.corpus_key, []).append(i)
    called = {
        i: name
        for members in corpora.values()
        for i, name in zip(members, naming.names([known[i] for i in members]), strict=True)
    }
    return [called[i] for i in range(len(known))]


def comparison_table(first: Sequence[Record], second: Sequence[Record], **options: Any) -> Table:
    """`compare` as a table; of several seeds with a plain test over seeds, and what so many seeds can find, beside it.

    A bound carries its sign, and the difference is then one of what is bounded and not of the figures themselves.
    """
    found = compare(first, second, **options)
    several = over_seeds(first, second) if len(first) > 1 else {}
    settings = [row[0].decode for row in (first, second)]
    shared = f", both {naming.setting(settings[0])}" if settings[0] == settings[1] else ""
    names = naming.names([first[0], second[0]])
    if names[0] == names[1]:  # one family in two lots of seeds, or under two settings
        names = [f"{name} of {_seeds(row)}" for name, row in zip(names, (first, second), strict=True)]
    if not shared:
        base = naming.names([first[0], second[0]])
        names = [f"{name} · {naming.setting(row[0].decode)}" for name, row in zip(base, (first, second), strict=True)]
    rows = []
    for metric, result in found.items():
        means = [_mean(row, metric) for row in (first, second)]
        interval = "-" if result.interval is None else f"{result.interval[0]:+.4g} .. {result.interval[1]:+.4g}"
        cells = [metric, *means, f"{result.difference:+.4g}", interval, _p(result.p), _p(result.adjusted)]
        if several:
            cells += [f"{_p(several[metric].p_seeds)} ({several[metric].kind})", f"{several[metric].detectable:.2g}"]
        rows.append([*cells, result.test.split("|")[1]])
    return Table(
        f"{names[0]} against {names[1]}{shared}",
        _how(options.get("test", TESTS[0]), first, len(found)),
        [
            *("metric", *names, "difference", "95 % interval", "p", "p (Holm)"),
            *(("p over seeds", "can be seen") if several else ()),
            "sentences",
        ],
        rows,
    )


def _how(test: str, first: Sequence[Record], metrics: int) -> str:
    holm = f"Holm's correction over the {metrics} metrics of this table."
    if len(first) == 1:
        return (
            f"1 seed each: this says nothing of training luck. {test.capitalize()} over sentences, paired where both "
            "rest on the same; figures of all texts together by both intervals; likelihoods that rest on draws of "
            f"their own by a normal test that holds the error of those. {holm}"
        )
    return (
        "A model with the seed as a random effect, over sentences too where all seeds were judged on the same; beside "
        "it a t-test over the seeds' figures alone, which is of these very sentences and says nothing of others. Can "
        f"be seen: the difference that {len(first)} seeds find at 5 % in four of five cases. {holm}"
    )


def _figures(records: Sequence[Record]) -> dict[str, Arrays]:
    """By metric the finite figures of every seed; only metrics that each seed has, of two sentences at least."""
    seeds = [per_sequence(record) for record in records]
    shared = set.intersection(*(set(arrays) for arrays in seeds))
    figures = {name: [arrays[name] for arrays in seeds] for name in shared}
    return {name: a for name, a in figures.items() if all(len(x) > 1 and np.isfinite(x).all() for x in a)}


def _wholes(records: Sequence[Record]) -> dict[str, Arrays]:
    """By metric the figure of every seed, where it is one of all texts together and each seed's interval is known."""
    shared = set.intersection(*(set(record.values) for record in records))
    values = {name: [record.values[name] for record in records] for name in shared}
    return {
        name: [np.array([value.value]) for value in held]
        for name, held in values.items()
        if all(np.isfinite(standard_error(v)) and v.exactness == "exact" and not v.paired for v in held)
    }


def _paired(records: Sequence[Record], name: str) -> bool:
    return all(record.values[name].paired for record in records if name in record.values)


def _mean(records: Sequence[Record], metric: str) -> str:
    """The mean over seeds; of three or more with their interval (Student's t)."""
    mean, interval = students([record.values[metric].value for record in records])
    text = f"{SIGNS[records[0].values[metric].exactness]}{mean:.4g}"
    return text if interval is None else f"{text} ({interval[0]:.4g} .. {interval[1]:.4g})"


def _seeds(records: Sequence[Record]) -> str:
    return f"seed{'s' * (len(records) > 1)} {', '.join(str(record.seed) for record in records)}"


def _p(p: float | None) -> str:
    return "-" if p is None else f"{p:.4f}" if p >= 0.001 else f"{p:.1e}"
