"""A training step of the word-level LSTM on WikiText-2's sizes, beside the textbook loop, in full and half precision.

python tests/benchmarks/bench_output_layer.py [rounds]     (all sides alternate; the best round of each counts)

V 33,278, 2 x 200 units, 20 rows of 35 tokens. The textbook is torch.nn.LSTM, a Linear over the vocabulary and
F.cross_entropy. The floor is three products of 700 x 200 x 33,278, forward and two backward, at the speed of torch.mm.
"""

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from gentext.families.lstm import LSTM
from gentext.types import BOS, Batch

V, WIDTH, ROWS, LENGTH = 33_278, 200, 20, 35
BARS = {"gentext fp32": 250, "gentext bf16": 200}  # ms


class Textbook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, 2, batch_first=True)
        self.output = nn.Linear(WIDTH, V)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        read = torch.cat([torch.full((ROWS, 1), BOS), tokens[:, :-1]], 1)
        logits = self.output(self.lstm(self.embedding(read))[0])
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten())


def step(model: nn.Module, loss: Callable[[torch.Tensor], torch.Tensor], half: bool) -> Callable[[], None]:
    """Forward, backward, clipping and SGD over fresh tokens."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    rng = torch.Generator().manual_seed(0)

    def act() -> None:
        tokens = torch.randint(4, V, (ROWS, LENGTH), generator=rng)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            value = loss(tokens)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimiser.step()
        optimiser.zero_grad()

    return act


def sides() -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    book = Textbook()
    tied, untied = LSTM(V, width=WIDTH).train(), LSTM(V, width=WIDTH, tied=False).train()
    full = torch.ones(ROWS, LENGTH, dtype=torch.bool)

    def ours(family: LSTM) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda tokens: -family(Batch(tokens, full)).log_prob.sum() / tokens.numel()

    hidden, weight, logits = torch.randn(ROWS * LENGTH, WIDTH), torch.randn(V, WIDTH), torch.randn(ROWS * LENGTH, V)
    return {
        "textbook fp32": step(book, book, False),
        "textbook bf16": step(book, book, True),
        "gentext fp32": step(tied, ours(tied), False),
        "gentext bf16": step(tied, ours(tied), True),
        "gentext fp32, untied": step(untied, ours(untied), False),
        "floor fp32": lambda: (hidden @ weight.T, logits @ weight, logits.T @ hidden),
    }


if __name__ == "__main__":
    torch.set_num_threads(2)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    acts = sides()
    best = dict.fromkeys(acts, float("inf"))
    for name, act in list(acts.items()) * rounds:
        begun = time.perf_counter()
        act()
        best[name] = min(best[name], 1e3 * (time.perf_counter() - begun))
    for name, ms in best.items():
        bar = f"   bar {BARS[name]}" if name in BARS else ""
        print(f"{name:22} {ms:7.0f} ms   {ms / best['textbook fp32']:5.2f} of the textbook{bar}")
