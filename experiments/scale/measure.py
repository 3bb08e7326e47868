"""Time and peak memory of each stage on generated corpora of growing size, each stage in a process of its own.

python experiments/scale/measure.py 1 10 100     millions of tokens; appends to measured.jsonl beside this file
python experiments/scale/measure.py --table      prints what it holds, with the slope from size to size
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MEASURED = HERE / "measured.jsonl"
VOCABULARY, EXPONENT, MEAN_LENGTH = 50_000, 1.1, 20  # of the generator: a Zipf law over words, Poisson lengths
SAMPLES, JUDGED = 100_000, 10_000
MILLION = 1_000_000


def main(words: list[str]) -> None:
    """One stage, all stages of some sizes, or the table."""
    if words[:1] == ["--stage"]:
        stage(words[1], Path(words[2]), float(words[3]))
    elif words == ["--table"]:
        print(table([json.loads(line) for line in MEASURED.read_text().splitlines()]))
    else:
        for size in map(float, words):
            with tempfile.TemporaryDirectory() as folder:
                for name in STAGES:
                    done = subprocess.run([sys.executable, __file__, "--stage", name, folder, str(size)], check=False)
                    if done.returncode:
                        raise SystemExit(f"{name} at {size} million tokens ended with exit code {done.returncode}")


def stage(name: str, folder: Path, size: float) -> None:
    """Run one stage and append its figures."""
    import torch

    from gentext import config, evaluation, metrics, models  # noqa: F401 - loading code is no part of the figures
    from gentext.evaluation import harness  # noqa: F401
    from gentext.metrics import SelfBLEU  # noqa: F401
    from gentext.models import NGram  # noqa: F401

    torch.set_num_threads(1)
    base = resident()
    begun = time.perf_counter(), time.process_time()
    units, unit = STAGES[name](folder, int(size * MILLION))
    row = {
        "stage": name,
        "million_tokens": size,
        "seconds": round(time.perf_counter() - begun[0], 2),
        "cpu_seconds": round(time.process_time() - begun[1], 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "base_mib": round(base),
        "units": units,
        "unit": unit,
    }
    with MEASURED.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(row, flush=True)


def resident() -> float:
    """MiB of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_text(folder: Path, tokens: int) -> tuple[int, str]:
    """Lines of words drawn by Zipf's law, independently: most n-grams occur once, the worst case for their number."""
    rng, left = np.random.default_rng(0), tokens
    weights = np.arange(1, VOCABULARY + 1) ** -EXPONENT
    reach = np.cumsum(weights / weights.sum())
    names = np.array([f"w{i}" for i in range(VOCABULARY)], dtype=object)
    with (folder / "text.txt").open("w", encoding="utf-8") as file:
        while left > 0:
            lengths = 1 + rng.poisson(MEAN_LENGTH - 1, size=min(50_000, left // MEAN_LENGTH + 1))
            drawn = names[np.searchsorted(reach, rng.random(int(lengths.sum())))].tolist()
            at = 0
            for length in lengths.tolist():
                file.write(" ".join(drawn[at : at + length]) + "\n")
                at += length
            left -= at
    return tokens, "token"


def corpus(folder: Path, tokens: int) -> Any:
    """The text encoded, with 10,000 lines of it to judge by (of a small one a fifth)."""
    from gentext.data import LocalText, Word
    from gentext.data.corpus import Corpus

    held_out = {"valid": 100, "test": min(JUDGED, tokens // MEAN_LENGTH // 5)}
    source = LocalText(str(folder / "text.txt"), name="zipf", words="whitespace", **held_out)
    return Corpus.open(source, Word(words="whitespace"), cache=folder / "cache")


def encode(folder: Path, tokens: int) -> tuple[int, str]:
    """Read, fit the tokenizer and encode."""
    return corpus(folder, tokens).tokens("train"), "token"


def fit(folder: Path, tokens: int) -> tuple[int, str]:
    """Fit an n-gram of order 5."""
    import torch

    from gentext.models import NGram

    data = corpus(folder, tokens)
    family = NGram(data.tokenizer.vocab_size, order=5)
    for batch in data.batches("train", 256):
        family.accumulate(batch)
    family.maximize()
    torch.save(family, folder / "model.pt")
    return data.tokens("train"), "token"


def sample(folder: Path, tokens: int) -> tuple[int, str]:
    """Draw 100,000 sentences."""
    import torch

    from gentext.decode import Ancestral
    from gentext.files import write_texts

    data, family = corpus(folder, tokens), torch.load(folder / "model.pt", weights_only=False)
    rng, texts = torch.Generator().manual_seed(0), []
    for _ in range(SAMPLES // 10_000):
        draw = family.sample(10_000, data.max_len, decoder=Ancestral(), rng=rng)
        texts += data.tokenizer.decode(draw.tokens.tolist())
    write_texts(texts[:JUDGED], folder / "samples.txt")
    return len(texts), "sentence"


def judge(folder: Path, tokens: int) -> tuple[int, str]:
    """Compute the standard metrics of 10,000 samples."""
    from dataclasses import replace

    from gentext import config
    from gentext.evaluation import harness
    from gentext.files import read_texts

    data, texts = corpus(folder, tokens), read_texts(folder / "samples.txt")
    evidence = harness.gather(data, "test")
    evidence = replace(evidence, samples=replace(evidence.references, texts=tuple(texts)))
    harness.evaluate(config.build(config.compose([]).eval.metrics), evidence)
    return len(texts), "sentence"


def self_bleu(_folder: Path, tokens: int) -> tuple[int, str]:
    """Exact Self-BLEU of as many lines of 11 words as there are tokens for, a million at most."""
    from gentext.metrics import SelfBLEU
    from gentext.types import Samples

    rng, n = np.random.default_rng(1), min(tokens // 4, MILLION)
    weights = np.arange(1, 5_000) ** -EXPONENT
    drawn = np.searchsorted(np.cumsum(weights / weights.sum()), rng.random((n, 11)))
    metric = SelfBLEU()
    metric.update(samples=Samples(tuple(" ".join(map(str, row)) for row in drawn.tolist()), None, "whitespace", False))
    metric.values()
    return n, "sentence"


STAGES: dict[str, Callable[[Path, int], tuple[int, str]]] = {
    "write": write_text,
    "encode": encode,
    "fit": fit,
    "sample": sample,
    "judge": judge,
    "self_bleu": self_bleu,
}


def table(rows: list[dict[str, Any]]) -> str:
    """The latest figures of each stage and size; a slope is of the logarithms, from the size above."""
    lines = [
        "| stage | million tokens | seconds of CPU | us a unit | peak MiB | slope of seconds | slope of memory |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    latest = {(row["stage"], row["million_tokens"]): row for row in rows}
    for name in STAGES:
        before = None
        for row in (latest[key] for key in sorted(latest) if key[0] == name):
            own = max(row["peak_mib"] - row["base_mib"], 1)
            slopes = ["", ""]
            if before is not None:
                by = "units" if row["units"] != before["units"] else "million_tokens"
                grown = math.log(row[by] / before[by])
                slopes = [
                    f"{math.log(row['cpu_seconds'] / before['cpu_seconds']) / grown:.2f}",
                    f"{math.log(own / max(before['peak_mib'] - before['base_mib'], 1)) / grown:.2f}",
                ]
            each = 1e6 * row["cpu_seconds"] / row["units"]
            lines.append(
                f"| {name} | {row['million_tokens']:g} | {row['cpu_seconds']:,.1f} | {each:,.2f} a {row['unit']} "
                f"| {row['peak_mib']:,} | {slopes[0]} | {slopes[1]} |"
            )
            before = row
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
