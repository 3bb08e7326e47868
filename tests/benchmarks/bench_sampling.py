"""One token for each of many rows: our draw beside torch.multinomial, in turns in one run.

Only the decoder's part of sampling is timed, for a family that has its logits ready. Bar: five times as many draws as
torch.multinomial at V 5,000. Then what truncations leave of a small LSTM's whole speed; bar: half of it.
Run: python tests/benchmarks/bench_sampling.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from gentext.decode import Ancestral
from gentext.decode.sampling import draw
from gentext.models.lstm import LSTM
from gentext.types import EOS


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
    truncated(given.rounds)


SETTINGS = {"plain": {}, "top_p": {"top_p": 0.95}, "typical": {"typical": 0.95}, "top_k": {"top_k": 40}}


def truncated(rounds: int) -> None:
    """Tokens a second of 512 texts of 20 tokens, whose logits are spread as widely as a trained model's."""
    table = Table("V", *(f"{name}, tokens/s" for name in SETTINGS), title="LSTM of width 128")
    for v in (1_000, 5_000, 20_000):
        torch.manual_seed(0)
        family = LSTM(v, width=128, layers=1).eval()
        torch.nn.init.normal_(family.output.weight, std=2.0)
        family.output.floor[EOS] = -torch.inf
        speeds = []
        for options in SETTINGS.values():
            decoder = Ancestral(**options)
            rng = torch.Generator().manual_seed(0)
            took = milliseconds(partial(decoder, family, 512, 20, rng=rng), rounds)
            speeds.append(512 * 20e3 / took)
        table.add_row(f"{v:,}", *(f"{speed:,.0f} ({speed / speeds[0]:.0%})" for speed in speeds))
    Console().print(table)


if __name__ == "__main__":
    main()
