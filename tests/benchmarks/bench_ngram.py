"""Fitting, scoring, sampling and stepping, beside KenLM on the very model (our ARPA file), and the bars.

GENTEXT_DATA=folder python tests/benchmarks/bench_ngram.py [order]
"""

import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import kenlm
import numpy as np
import torch

from gentext.decode import Ancestral
from gentext.models.ngram.model import NGram
from gentext.types import EOS, RESERVED, Batch, pad

KENLM_SCAN = 20  # tokens that KenLM samples: it scans the vocabulary for each


def main(order: int) -> None:
    torch.set_num_threads(2)
    words, train, test = wikitext(Path(os.environ["GENTEXT_DATA"]) / "wikitext-2")
    tokens = sum(map(len, test))
    print(f"WikiText-2, order {order}, 2 threads, load {os.getloadavg()[0]:.1f}")

    begun = time.perf_counter(), time.process_time()
    family = fit(train, len(words), order)
    took = time.perf_counter() - begun[0], time.process_time() - begun[1]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row("fit", f"{took[0]:.1f} s ({took[1]:.1f} s of CPU)", "4 s; lmplz 3.6 to 6.5 s")
    row("peak memory of the process", f"{memory:,.0f} MiB", "1 GB; lmplz 449 MB")

    batches = [pad(test[i : i + 512]) for i in range(0, len(test), 512)]
    row("test perplexity", f"{perplexity(family, batches):.3f}", "220.139 at order 5" if order == 5 else "")
    model, lines = peer(family, words, test)
    theirs = rate(lambda: [model.score(line) for line in lines], tokens)
    for name, parts in {"batches of 512 lines": batches, "one batch": [pad(test)], "one stream": stream(test)}.items():
        speed = rate(lambda parts=parts: [family(batch) for batch in parts], tokens)
        row(f"score, {name}", f"{speed / 1e6:.2f} M tokens/s, {speed / theirs:.2f} x KenLM", "5 M")
    row("KenLM score(str)", f"{theirs / 1e6:.2f} M tokens/s", "")

    for n in (1, 512, 10_000):
        rng = torch.Generator().manual_seed(0)
        speed = produced(lambda n=n, rng=rng: family.sample(n, 200, decoder=Ancestral(), rng=rng))
        row(f"sample, {n:,} rows at once", f"{speed:,.0f} tokens/s", "100,000" if n > 512 else "")
    row("KenLM, scanning the vocabulary", f"{scan(model, words):,.0f} tokens/s", "")

    small = fit(clipped(train, 5_000), 5_000, order)
    for n in (64, 512):
        row(f"step, V 5,000, {n} rows", f"{stepped(small, test, n):,.0f} tokens/s", "20,000")


def row(what: str, figure: str, bar: str) -> None:
    print(f"  {what:<32} {figure:<40} {'bar: ' + bar if bar else ''}", flush=True)


def wikitext(folder: Path) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """The words by id, and rows of ids: blank lines kept, <unk> an ordinary word."""
    ids: dict[str, int] = {}
    splits = []
    for split in ("train", "test"):
        with (folder / f"{split}.txt").open(encoding="utf-8", newline="\n") as lines:
            rows = ([*(ids.setdefault(w, len(ids) + RESERVED) for w in line.split()), EOS] for line in lines)
            splits.append([np.array(row, dtype=np.int32) for row in rows])  # no lists: they would count as the fit's
    return ["<pad>", "<s>", "</s>", "<unk>", *("@unk@" if w == "<unk>" else w for w in ids)], *splits


def fit(rows: Sequence[np.ndarray], vocab_size: int, order: int) -> NGram:
    family = NGram(vocab_size, order=order)
    for i in range(0, len(rows), 256):
        family.accumulate(pad(rows[i : i + 256]))
    family.maximize()
    return family


def clipped(rows: Sequence[np.ndarray], vocab_size: int) -> list[list[int]]:
    """The rows over a small vocabulary: the words that come first, and the last one in place of all others."""
    return [[min(token, vocab_size - 1) for token in line] for line in rows]


def stream(rows: Sequence[np.ndarray]) -> list[Batch]:
    tokens = torch.tensor([[token for line in rows for token in line]])
    return [Batch(tokens, torch.ones_like(tokens, dtype=torch.bool))]


def perplexity(family: NGram, batches: list[Batch]) -> float:
    nats = sum(float(family(batch).log_prob.double().sum()) for batch in batches)
    return math.exp(-nats / sum(int(batch.mask.sum()) for batch in batches))


def peer(family: NGram, words: list[str], test: Sequence[np.ndarray]) -> tuple[kenlm.Model, list[str]]:
    lines = [" ".join(words[token] for token in line[:-1]) for line in test]
    with tempfile.TemporaryDirectory() as folder:
        family.export_arpa(Path(folder) / "model.arpa", words)
        config = kenlm.Config()
        config.show_progress = False
        model = kenlm.Model(str(Path(folder) / "model.arpa"), config)
    theirs = torch.tensor([score for line in lines for score, _, _ in model.full_scores(line)]) * math.log(10)
    batch = pad(test)
    wrong = float((family(batch).log_prob[batch.mask] - theirs).abs().max())
    row("furthest from KenLM at any token", f"{wrong:.1e} nats", "1e-4")
    return model, lines


def rate(act: Callable[[], object], tokens: int) -> float:
    """Tokens a second, best of 40."""
    best = math.inf
    for _ in range(40):
        begun = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - begun)
    return tokens / best


def produced(act: Callable[[], Batch]) -> float:
    """Tokens drawn a second, best of 3."""
    best = 0.0
    for _ in range(3):
        begun = time.perf_counter()
        count = int(act().mask.sum())
        best = max(best, count / (time.perf_counter() - begun))
    return best


def scan(model: kenlm.Model, words: list[str]) -> float:
    """Tokens a second through KenLM's states: it has no sampler."""
    state, out = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    begun = time.perf_counter()
    for _ in range(KENLM_SCAN):
        scores = torch.tensor([model.BaseScore(state, word, out) for word in words[2:]])
        word = words[2 + int((scores * math.log(10)).exp().multinomial(1))]
        following = kenlm.State()
        model.BaseScore(state, word, following)
        state = following
    return KENLM_SCAN / (time.perf_counter() - begun)


@torch.no_grad()
def stepped(family: NGram, test: Sequence[np.ndarray], n: int) -> float:
    """Full next-token distributions a second, `n` rows in parallel reading the test text."""
    text = torch.tensor([token for line in clipped(test, family.vocab_size) for token in line])
    columns = text[: len(text) // n * n].view(n, -1).T[:20]
    best = 0.0
    for _ in range(3):
        at = family.start(n)
        begun = time.perf_counter()
        for tokens in columns:
            at = family.step(at.state, tokens)
        best = max(best, columns.numel() / (time.perf_counter() - begun))
    return best


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
