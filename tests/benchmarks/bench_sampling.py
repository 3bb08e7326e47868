"""One token for each of many rows: our draw beside torch.multinomial, in turns in one run.

Only the decoder's part of sampling is timed, for a family that has its logits ready. Bar: five times as many draws as
torch.multinomial at V 5,000. Run: python tests/benchmarks/bench_sampling.py
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table

from gentext.decode.sampling import draw


def milliseconds(act, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        act()
        times.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(times[1:])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=9)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    rng = torch.Generator().manual_seed(0)
    table = Table("rows x V", "ours, draws/s", "torch.multinomial, draws/s", "ratio", title=f"{given.threads} threads")
    for n, v in ((512, 65), (512, 5_000), (128, 33_278), (64, 100_000)):
        logits = 3 * torch.randn(n, v, generator=rng)
        ours = milliseconds(lambda logits=logits: draw(logits, rng), given.rounds)
        theirs = milliseconds(
            lambda logits=logits: torch.multinomial(logits.softmax(-1), 1, generator=rng), given.rounds
        )
        table.add_row(f"{n} x {v:,}", f"{n / ours * 1e3:,.0f}", f"{n / theirs * 1e3:,.0f}", f"{theirs / ours:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
