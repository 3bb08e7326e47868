"""Seconds, memory and bytes of a board and a report over many records, made up but of real size.

Every record holds 50 figures with signatures and intervals, and a configuration as a run writes it; rows are families
and variants under five decode settings, of three seeds each. Bars: a board of 10,000 records in 5 s and 1 GB, a report
of 200 records of less than 5 MB.
Run: python tests/benchmarks/bench_records.py [--records 200,10000] [--report 200]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gentext.results.columns import FIGURES, ORDERS
from gentext.results.record import Record, to_jsonl
from gentext.value import Value

FAMILIES = ("ngram", "hmm", "lstm", "seq2seq", "transformer", "vae", "seqgan_gumbel")
SETTINGS = ("ancestral", "temperature=0.5", "temperature=0.8", "top_k=40", "top_p=0.95")
SEEDS, FIGURES_EACH = 3, 50


def names() -> list[str]:
    """The figures of a record: those of every order, then the rest."""
    ordered = [f"{name}{order}" for name in ORDERS for order in range(1, 5)]
    others = [figure.name for figure in FIGURES if figure.name not in ORDERS and not figure.cost]
    return ["bits_per_char", "bleu4", "selfbleu4", *dict.fromkeys([*ordered, *others])][:FIGURES_EACH]


def made(i: int, rng: np.random.Generator) -> Record:
    """The i-th record: its family's level, its variant's and setting's, and its seed's luck."""
    seed, rest = i % SEEDS, i // SEEDS
    setting, rest = SETTINGS[rest % len(SETTINGS)], rest // len(SETTINGS)
    family, width = FAMILIES[rest % len(FAMILIES)], 64 + rest // len(FAMILIES)
    level = 0.5 + 0.02 * (rest % 17) + 0.01 * SETTINGS.index(setting)
    values = {}
    for name in dict.fromkeys(names()):
        value = level + float(rng.normal(0, 0.01))
        version = 2 if name in ("bits_per_char", "bits_per_byte") else 1
        signature = f"{name}|refs:10000|hyps:10000|smooth:method1|tok:treebank+lower|v:{version}"
        ends = (value - 0.01, value + 0.01)
        values[name] = Value(value, signature, None, 10_000, "share", ends, "jackknife:20")
    config = {
        "family": {"_target_": "gentext.models.LSTM", "width": width, "layers": 2, "dropout": 0.3, "tied": True},
        "train": {"_target_": "gentext.train.GradientTrainer", "epochs": 20, "batch_size": 32, "lr": 0.002},
        "data": {"_target_": "gentext.data.PublishedCorpus", "name": "coco"},
        "eval": {"split": "test", "samples": 10_000},
    }
    return Record(
        "coco", "unconditional", family, f"width={width}", setting, seed, values, {}, "exact", config=config,
        fingerprints={"splits": {"test": {"sha256": "abc"}}}, cost={"train_seconds": 100.0, "parameters": 1e6},
        versions={"gentext": "0.1.0", "torch": "2.13.0", "commit": "0123abc"},
        command=f"gentext run family={family} family.width={width} seed={seed}", created="2026-11-28T00:00:00+00:00",
    )  # fmt: skip


def measured(*command: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak GB of a command of gentext; Raises: CalledProcessError where it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = (
        "import resource, sys; from gentext.cli import main; code = main(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, int(done.stderr.splitlines()[-1]) / 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", default="200,10000", help="of the boards")
    arguments.add_argument("--report", type=int, default=200, help="records of the report; 0: none")
    given = arguments.parse_args()
    counts = [int(count) for count in given.records.split(",")]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:

        def lying(count: int) -> str:
            path = Path(folder) / f"{count}.jsonl"
            with path.open("w", encoding="utf-8") as file:
                for i in range(count):
                    file.write(to_jsonl([made(i, rng)]))
            return str(path)

        for count in counts:
            wall, cpu, memory = measured("board", lying(count))
            print(f"board of {count} records: {wall:.1f} s, {cpu:.1f} s of CPU, {memory:.2f} GB")
        if given.report:
            page = Path(folder) / "report.html"
            wall, cpu, memory = measured("report", lying(given.report), "-o", str(page))
            size = page.stat().st_size / 1e6
            print(f"report of {given.report} records: {wall:.1f} s, {cpu:.1f} s of CPU, {memory:.2f} GB, {size:.1f} MB")


if __name__ == "__main__":
    main()
