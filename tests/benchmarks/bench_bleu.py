"""BLEU and Self-BLEU beside fast-bleu and NLTK, intervals, and a million sentences.

    GENTEXT_DATA=FOLDER python tests/benchmarks/bench_bleu.py

Without GENTEXT_DATA the sentences are drawn from a Zipf law. Bars: BLEU-2..5 of 10,000 against 10,000 in 0.3 s from
ids, Self-BLEU-2..5 over 10,000 in 0.15 s, 10,000 resamples in a second, a million sentences within 4 GB in linear time.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fast_bleu
import numpy as np
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from gentext.data.ngram_arrays import Sentences, hashed
from gentext.data.words import word_rule
from gentext.metrics.bleu_counts import overlap
from gentext.metrics.intervals import bootstraps

ORDER = 5
WEIGHTS = {n: (1 / n,) * n for n in range(2, ORDER + 1)}
NLTK_HYPOTHESES = 20


def sentences() -> tuple[list[list[str]], list[list[str]]]:
    """10,000 hypotheses and 10,000 references."""
    if "GENTEXT_DATA" not in os.environ:
        rng = np.random.default_rng(0)
        lengths = rng.integers(8, 15, 20_000)
        words = (rng.zipf(1.2, lengths.sum()) % 5000).astype(str)
        drawn = [part.tolist() for part in np.split(words, lengths.cumsum()[:-1])]
        return drawn[:10_000], drawn[10_000:]
    folder, split = Path(os.environ["GENTEXT_DATA"]), word_rule("treebank").split
    files = ("texygen-samples/mle.txt", "coco/test.txt")
    mle, test = ([split(line.lower()) for line in (folder / file).read_text().splitlines()] for file in files)
    return (mle + mle[:16])[:10_000], test


def bleu(hypotheses: Sentences, references: Sentences) -> np.ndarray:
    first = np.arange(len(hypotheses) + len(references)) < len(hypotheses)
    both = overlap(hypotheses + references, ORDER, np.stack([first, ~first], 1))
    return both.bleu(first, ~first, "method1")[1:]


def selfbleu(samples: Sentences) -> np.ndarray:
    every = np.ones(len(samples), dtype=bool)
    return overlap(samples, ORDER).bleu(every, every, "method1", leave_one_out=True)[1:]


def nltk(hypothesis: list[str], references: list[list[str]]) -> Any:
    return sentence_bleu(references, hypothesis, list(WEIGHTS.values()), SmoothingFunction().method1)


def best(act: Callable, times: int) -> tuple[float, Any]:
    """The shortest of several runs, seconds, and what the last gave."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        result = act()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), result


def row(name: str, ours: float, bar: float, **peers: float) -> None:
    beside = "".join(f"  {peer} {seconds:9.2f} s ({seconds / ours:7.0f}x)" for peer, seconds in peers.items())
    print(f"{name:36} ours {ours:7.3f} s  bar {bar:5.2f} s  {'met' if ours <= bar else 'MISSED'}{beside}")


def small() -> None:
    """10,000 against 10,000, and 10,000 among themselves."""
    hypotheses, references = sentences()
    h, r = hashed(hypotheses), hashed(references)
    ids = np.unique(np.concatenate([h.words, r.words]), return_inverse=True)[1]
    h, r = Sentences(ids[: len(h.words)], h.lengths), Sentences(ids[len(h.words) :], r.lengths)
    ours, mine = best(lambda: bleu(h, r), 9)
    fast, theirs = best(lambda: fast_bleu.BLEU(references, WEIGHTS).get_score(hypotheses), 1)
    slow, exact = best(lambda: [nltk(one, references) for one in hypotheses[:NLTK_HYPOTHESES]], 1)
    row("BLEU-2..5, 10,000 x 10,000", ours, 0.3, fast_bleu=fast, nltk_est=slow * len(hypotheses) / NLTK_HYPOTHESES)
    print(f"    from NLTK at most {np.abs(mine[:, :NLTK_HYPOTHESES].T - exact).max():.1e},", end=" ")
    print(f"from fast-bleu {np.abs(mine - np.array([theirs[n] for n in WEIGHTS])).max():.1e}")
    ours, mine = best(lambda: selfbleu(h), 9)
    fast, theirs = best(lambda: fast_bleu.SelfBLEU(hypotheses, WEIGHTS).get_score(), 1)
    slow, exact = best(
        lambda: [nltk(hypotheses[i], hypotheses[:i] + hypotheses[i + 1 :]) for i in range(NLTK_HYPOTHESES)], 1
    )
    row("Self-BLEU-2..5, 10,000", ours, 0.15, fast_bleu=fast, nltk_est=slow * len(hypotheses) / NLTK_HYPOTHESES)
    print(f"    from NLTK at most {np.abs(mine[:, :NLTK_HYPOTHESES].T - exact).max():.1e},", end=" ")
    print(f"from fast-bleu {np.abs(mine - np.array([theirs[n] for n in WEIGHTS])).max():.1e}")
    begun = time.process_time()
    ours, _ = best(lambda: bootstraps(mine.T.copy()), 5)
    row("10,000 resamples of four columns", ours, 1.0)
    print(f"    {(time.process_time() - begun) / 5:.2f} s of processor time on average, by two threads")


def large() -> None:
    """A quarter, a half and a whole million sentences: halves of captions put together anew."""
    base = [sentence for part in sentences() for sentence in part if len(sentence) > 1]
    rng = np.random.default_rng(0)
    for n in (250_000, 500_000, 1_000_000):
        a, b = rng.integers(0, len(base), (2, n)).tolist()
        made = hashed(base[i][: len(base[i]) // 2] + base[j][len(base[j]) // 2 :] for i, j in zip(a, b, strict=True))
        seconds, values = best(lambda made=made: selfbleu(made), 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"Self-BLEU-2..5, {n:9,} sentences, {len(made.words):10,} words: {seconds:6.2f} s, "
            f"{seconds / n * 1e6:5.2f} us a sentence, peak {peak:.2f} GB (bar 4); Self-BLEU-4 {values[2].mean():.4f}"
        )


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ours is the best of several")
    small()
    large()
