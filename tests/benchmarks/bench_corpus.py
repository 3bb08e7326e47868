"""A corpus of 100 million tokens: read, tokenized, kept, and gone through in shuffled batches, within 2 GB of memory.

And words by our Treebank rule beside NLTK's. Run: python tests/benchmarks/bench_corpus.py [--tokens 100_000_000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from nltk.tokenize import NLTKWordTokenizer
from rich.console import Console
from rich.table import Table

from gentext.data.corpus import Corpus
from gentext.data.text_files import LocalText
from gentext.data.tokenizer import Word
from gentext.data.words import treebank

LINE, TYPES = 20, 50_000  # words a line, types


def write(path: Path, tokens: int) -> None:
    """Lines of words that follow Zipf's law."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(TYPES)], object)
    p = 1 / np.arange(1, TYPES + 1)
    cdf = np.cumsum(p / p.sum())
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, tokens, 10**6):
            ids = np.searchsorted(cdf, rng.random(min(10**6, tokens - start)))
            file.writelines(" ".join(line) + "\n" for line in words[ids.clip(max=TYPES - 1)].reshape(-1, LINE).tolist())


def memory(field: str) -> float:
    """A figure of this process in /proc, MB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return float("nan")


def epoch(path: Path, cache: Path) -> tuple[float, ...]:
    """Seconds to open the corpus and to go through train once, its tokens, and resident memory in MB."""
    torch.set_num_threads(2)
    base, start = memory("VmHWM"), time.perf_counter()
    corpus = Corpus.open(
        LocalText(str(path), words="whitespace", valid=10_000, test=10_000), Word("whitespace"), cache=cache
    )
    opened = time.perf_counter()
    tokens = sum(int(batch.mask.sum()) for batch in corpus.batches("train", 64, rng=torch.Generator().manual_seed(0)))
    assert tokens == corpus.tokens("train")
    return opened - start, time.perf_counter() - opened, tokens, base, memory("VmHWM"), memory("RssAnon")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=100_000_000)
    tokens = parser.parse_args().tokens
    table = Table("what", "figure", "bar", title=f"{tokens:,} tokens")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        write(path, tokens)
        table.add_row("size of the text", f"{path.stat().st_size / 1e6:,.0f} MB", "")
        for when in ("first", "again"):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                opened, read, n, base, peak, anonymous = alone.submit(epoch, path, Path(folder) / "cache").result()
            table.add_row(f"{when}: open", f"{opened:.1f} s, {n / opened / 1e6:.2f} M tokens/s", "")
            table.add_row(f"{when}: an epoch of shuffled batches", f"{n / read / 1e6:.2f} M tokens/s", "")
            table.add_row(f"{when}: resident memory, peak", f"{peak:,.0f} MB ({base:,.0f} before)", "2,048 MB")
            table.add_row(f"{when}: of it no file's, at the end", f"{anonymous:,.0f} MB", "")
    data = os.environ.get("GENTEXT_DATA")
    if data:
        lines = (Path(data) / "coco" / "train.txt").read_text(encoding="utf-8").lower().split("\n")
        rates = [
            len(lines) / min(_seconds(rule, lines) for _ in range(3))
            for rule in (treebank, NLTKWordTokenizer().tokenize)
        ]
        table.add_row(
            "captions cut into words", f"{rates[0]:,.0f} lines/s", f"NLTK {rates[1]:,.0f}: {rates[0] / rates[1]:.1f}x"
        )
    Console().print(table)


def _seconds(rule, lines: list[str]) -> float:
    start = time.perf_counter()
    for line in lines:
        rule(line)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
