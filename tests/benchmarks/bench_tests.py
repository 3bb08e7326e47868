"""How often the board's marks and `gentext compare` err, by simulation: what is claimed at 5 %, listed case by case.

Marks: columns of equal rows in which one of them or more is not marked as level with the best (at most 5 %). Seeds: two
equal rows of 3, 5 and 10 seeds found different at 5 % (.04 to .06), by the model with the seed as a random effect and
by the t-test over the seeds' figures alone (which leaves out shared sentences, and errs the more); and the
difference that so many seeds find in four of five cases.
Run: python tests/benchmarks/bench_tests.py [--columns 2000] [--pairs 6000]
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from gentext.results.significance import not_worse, seed_test

ROWS, SEEDS = (8, 20, 67), (3, 5, 10)
LUCK, SENTENCES = 0.1, 100  # standard deviation over seeds; test sentences, whose own deviation is 1


def lost(rows: int, seeds: int, columns: int) -> float:
    """The share of columns of equal rows in which a row loses its mark."""
    rng = np.random.default_rng(rows + seeds)
    df = np.full(rows, np.inf if seeds == 1 else seeds - 1.0)
    found = []
    for i in range(columns):
        errors = np.ones(rows) if seeds == 1 else np.sqrt(rng.chisquare(seeds - 1, rows) / (seeds - 1))
        found.append(not not_worse(rng.standard_normal(rows), errors, df, draws=2000, seed=i).all())
    return float(np.mean(found))


def row(rng: np.random.Generator, seeds: int, shared: np.ndarray | None) -> list[np.ndarray]:
    """A row of seeds with luck of their own: on sentences of their own, or on shared ones, hard or easy for the row."""
    if shared is None:
        return [rng.normal(rng.normal(0, LUCK), 1, SENTENCES) for _ in range(seeds)]
    mine = shared + rng.normal(0, 0.3, SENTENCES)
    return [mine + rng.normal(0, LUCK) + rng.normal(0, 0.1, SENTENCES) for _ in range(seeds)]


def errs(seeds: int, paired: bool, pairs: int) -> tuple[float, float, float]:
    """How often two equal rows are found different by either test, and the median difference that can be seen."""
    rng = np.random.default_rng(seeds)
    model, plain, seen = [], [], []
    for _ in range(pairs):
        shared = rng.normal(0, 1, SENTENCES) if paired else None
        found = seed_test(row(rng, seeds, shared), row(rng, seeds, shared), paired=paired)
        model.append(found.comparison.p < 0.05)
        plain.append(found.p_seeds < 0.05)
        seen.append(found.detectable)
    return float(np.mean(model)), float(np.mean(plain)), float(np.median(seen))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--columns", type=int, default=2000)
    arguments.add_argument("--pairs", type=int, default=6000)
    given = arguments.parse_args()
    marks = Table("equal rows", "seeds", "columns in which a mark is lost", title=f"{given.columns} columns")
    for rows in ROWS:
        for seeds in (1, 3):
            marks.add_row(str(rows), str(seeds), f"{lost(rows, seeds, given.columns):.3f}")
    tests = Table("seeds", "sentences", "model", "t-test over seeds", "can be seen", title=f"{given.pairs} equal pairs")
    for paired in (True, False):
        for seeds in SEEDS:
            model, plain, seen = errs(seeds, paired, given.pairs)
            tests.add_row(str(seeds), "shared" if paired else "own", f"{model:.3f}", f"{plain:.3f}", f"{seen:.2f}")
    Console().print(marks, tests)


if __name__ == "__main__":
    main()
