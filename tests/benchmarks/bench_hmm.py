"""One EM iteration over 100,000 tokens, beside hmmlearn from the same start, and the bars.

GENTEXT_DATA=folder python tests/benchmarks/bench_hmm.py [states ...]      (without WikiText-2: random words)
"""

import collections
import logging
import math
import os
import resource
import sys
import time
from pathlib import Path

import torch
from hmmlearn.hmm import CategoricalHMM

from gentext.models.hmm.model import HMM
from gentext.types import EOS, RESERVED, Batch, pad

V, LINES, ITERATIONS = 5_000, 1_126, 5
BARS = {128: 0.15, 1024: 4.0}  # seconds
HMMLEARN = 128  # states up to which the peer runs: it takes minutes beyond


def text() -> Batch:
    """The first 1,126 lines of WikiText-2 that are not blank, 100,003 tokens, 5,000 words and the reserved ids."""
    if "GENTEXT_DATA" not in os.environ:
        rng = torch.Generator().manual_seed(0)
        lengths = torch.randint(2, 176, (LINES,), generator=rng).tolist()
        return pad([[*torch.randint(RESERVED, V, (n,), generator=rng).tolist(), EOS] for n in lengths])
    path = Path(os.environ["GENTEXT_DATA"]) / "wikitext-2/train.txt"
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    common = collections.Counter(word for line in lines for word in line).most_common(V - 1)
    ids = {word: RESERVED + i for i, (word, _) in enumerate(common)}
    return pad([[*(ids.get(word, ids["<unk>"]) for word in line), EOS] for line in lines[:LINES]])


def peer(family: HMM, batch: Batch, iterations: int) -> tuple[list[float], float]:
    """hmmlearn's log-likelihoods before each iteration, and its seconds for one, from the same start."""
    tables = family.log_tables().map(lambda table: table.detach().double().exp())
    model = CategoricalHMM(family.states, n_iter=1, tol=-math.inf, init_params="", implementation="scaling")
    model.n_features = family.vocab_size
    model.startprob_, model.transmat_ = tables.initial.numpy(), tables.factors[0].numpy()
    model.emissionprob_ = tables.emission.T.numpy().copy()
    tokens, lengths, figures, seconds = batch.tokens[batch.mask].numpy()[:, None], batch.lengths.tolist(), [], []
    for _ in range(iterations):
        begun = time.perf_counter()
        model.fit(tokens, lengths)
        seconds.append(time.perf_counter() - begun)
        figures.append(model.monitor_.history[-1])
    return figures, min(seconds)


def main(sizes: list[int]) -> None:
    torch.set_num_threads(2)
    batch = text()
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)
    tokens, load = int(batch.mask.sum()), os.getloadavg()[0]
    print(f"{tokens:,} tokens, {V:,} words, 2 threads, load {load:.1f}; best of {ITERATIONS}")
    print(f"{'states':>7}{'seconds':>9}{'cpu':>8}{'bar':>7}{'hmmlearn':>10}{'ratio':>7}{'nats apart':>12}{'MB':>7}")
    for states in sizes:
        torch.manual_seed(0)
        family = HMM(V + RESERVED, states=states, transition_prior=0.0, emission_prior=0.0)
        theirs = peer(family, batch, ITERATIONS) if states <= HMMLEARN else None
        ours, seconds, cpu = [], [], []
        for _ in range(ITERATIONS):
            begun, used = time.perf_counter(), time.process_time()
            ours.append(float(family.accumulate(batch).double().sum()))
            family.maximize()
            seconds.append(time.perf_counter() - begun)
            cpu.append(time.process_time() - used)
        apart = max(abs(a - b) for a, b in zip(ours, theirs[0], strict=True)) if theirs else math.nan
        ratio = theirs[1] / min(seconds) if theirs else math.nan
        print(
            f"{states:7}{min(seconds):9.3f}{min(cpu):8.2f}{BARS.get(states, math.nan):7.2f}"
            f"{theirs[1] if theirs else math.nan:10.2f}{ratio:7.1f}{apart:12.3f}"
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f}"
        )


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [32, 128, 512, 1024])
