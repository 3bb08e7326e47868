"""How often the 95 % interval of each figure holds the figure's expectation, by simulation, listed figure by figure.

Captions of the embedded grammar with a share of their words exchanged stand for a model's samples. Each replicate
draws fresh samples and fresh references (the training text stays, as it does between two runs on one corpus) and
computes every figure; its expectation at this size is the mean over replicates. Bar: .93 of the nominal .95; of 200
replicates a coverage of .95 itself is seen below .93 in one case of ten.
Run: python tests/benchmarks/bench_coverage.py [--replicates 200] [--size 300] [--only mauve,vendi]
"""

from __future__ import annotations

import argparse
import logging
import math
from collections import defaultdict

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from gentext.evaluation import harness
from gentext.evaluation.judges import KneserNeyJudge
from gentext.metrics import (
    BLEU,
    C2ST,
    Diversity,
    Frechet,
    KnownTruth,
    LMScore,
    Mauve,
    Memorisation,
    NgramDistribution,
    PrecisionRecall,
    RuleProfile,
    SelfBLEU,
    TextProfile,
    Vendi,
)
from gentext.truth import Grammar
from gentext.types import Samples

BAR = 0.93


def noisy(texts: list[str], share: float, words: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    """The texts with a share of their words exchanged for any others."""
    return tuple(
        " ".join(str(rng.choice(words)) if rng.random() < share else word for word in text.split()) for text in texts
    )


def covered(values: list[float], intervals: list[tuple[float, float]]) -> tuple[float, float]:
    """Expectation, and the share of intervals that hold it."""
    expectation = float(np.mean(values))
    return expectation, float(np.mean([low <= expectation <= high for low, high in intervals]))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--replicates", type=int, default=200)
    arguments.add_argument("--size", type=int, default=300, help="samples of a replicate")
    arguments.add_argument("--only", default="", help="metrics, by their names here; all where empty")
    arguments.add_argument("--noise", type=float, default=0.05, help="share of words exchanged")
    arguments.add_argument("--pool", type=int, help="a model that repeats itself: it draws from so many texts")
    given = arguments.parse_args()
    truth, n = Grammar(), given.size
    logging.getLogger("gentext").setLevel(logging.ERROR)  # a judge fitted on few samples warns of its discounts
    draw = torch.Generator().manual_seed(0)
    training = truth.sample(n, draw)
    words = sorted({word for text in training for word in text.split()})
    metrics = {
        "bleu": BLEU(words="whitespace"), "selfbleu": SelfBLEU(words="whitespace"),
        "diversity": Diversity(words="whitespace"), "memorisation": Memorisation(words="whitespace"),
        "lm_score": LMScore(words="whitespace"), "truth": KnownTruth(), "rules": RuleProfile(),
        "ngrams": NgramDistribution(words="whitespace"), "profile": TextProfile(words="whitespace"),
        "frechet": Frechet(), "mauve": Mauve(), "neighbours": PrecisionRecall(), "vendi": Vendi(),
        "c2st": C2ST(),
    }  # fmt: skip
    if given.only:
        metrics = {name: metrics[name] for name in given.only.split(",")}
    judges = {"kneser_ney": KneserNeyJudge(training, str.split)}
    pool = np.array(truth.sample(given.pool or 1, draw))
    odds = 1 / np.arange(1, len(pool) + 1)
    values, intervals = defaultdict(list), defaultdict(list)
    kinds, rng = {}, np.random.default_rng(0)
    for _ in range(given.replicates):
        drawn = rng.choice(pool, n, p=odds / odds.sum()).tolist() if given.pool else truth.sample(n, draw)
        samples = Samples(noisy(drawn, given.noise, words, rng))
        references = Samples(tuple(truth.sample(n, draw)))
        evidence = harness.Evidence(samples, references, Samples(tuple(training)), truth=truth, judges=judges)
        for name, value in harness.evaluate(metrics, evidence)[0].items():
            if value.interval is not None and math.isfinite(value.value):
                values[name].append(value.value)
                intervals[name].append(value.interval)
                kinds[name] = value.interval_kind
    table = Table("figure", "expectation", "coverage", "interval", title=f"{given.replicates} x {n} samples")
    below = 0
    for name in sorted(values):
        expectation, share = covered(values[name], intervals[name])
        below += share < BAR
        table.add_row(name, f"{expectation:.4g}", f"{share:.2f}" + " <" * (share < BAR), kinds[name])
    Console().print(table)
    print(f"{below} of {len(values)} figures are covered in less than {BAR:.0%} of replicates")


if __name__ == "__main__":
    main()
