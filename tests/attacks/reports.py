"""A report of many records is written in seconds."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from attacks import kills
from attacks.forked import Tally
from attacks.forked import command as ended

from gentext.results import record as records

LIMIT = 20.0  # seconds of a processor, for 200 records


def cases(count: int, first: int = 0) -> int:
    """How many records."""
    return count


def run(count: int) -> Tally:
    """Report so many records, each with figures sentence by sentence: a row each, and four seeds to a row."""
    tally = Tally("records in a report")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "here"
        kills.write_text(folder)
        got = ended(kills.words("ngram"), cwd=folder, cache=folder / "cache")
        assert got.code == 0, got.err
        (one,) = records.find([folder])
        arrays, texts = records.per_sequence(one), records.samples(one)
        rng = np.random.default_rng(0)
        for seeds in (1, 4):
            shutil.rmtree(folder / "many", ignore_errors=True)
            for i in range(count):
                values = {
                    name: replace(value, per_sequence=held + rng.normal(0, 0.1, len(held)))
                    if (held := arrays.get(name)) is not None
                    else value
                    for name, value in one.values.items()
                }
                place = folder / "many" / "mine" / f"ngram-{i}"
                place.mkdir(parents=True)
                made = replace(one, values=values, seed=i % seeds, variant=f"order={i // seeds}", folder=str(place))
                records.write(made, place, texts)
            got = ended(["report", "many", "-o", "report.html"], cwd=folder, cache=folder / "cache", seconds=300)
            what = f"{count} records of {count // seeds} rows"
            tally.faults += [f"{what}: exit {got.code}: {got.err[-500:]}"] if got.code else []
            if got.processor > LIMIT:
                tally.faults.append(f"{what} took {got.processor:.1f} s, which is more than {LIMIT:g} s")
            print(f"{what} in {got.processor:.1f} s of a processor, {got.seconds:.1f} s by the clock")
        for _ in range(count):
            tally.count("written")
    return tally
