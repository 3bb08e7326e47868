"""A training step of the LSTM language model on WikiText-2: V 33,278, two layers of 200, batch 20 x 35, two cores.

Ours (family=lstm, its output layer in chunks) beside the textbook loop of pytorch/examples, in turns in one run.
Bars: 250 ms in fp32, 200 in bf16, where the textbook loop was measured at 345 (of which the output layer 290).
Random tokens do: only time is measured. Run: python tests/benchmarks/bench_lstm_lm.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn

from gentext.losses import NLL, Objective
from gentext.models.lstm import LSTM
from gentext.train.gradient import lstm_in_bf16
from gentext.types import RESERVED, Batch

V, WIDTH, LAYERS, ROWS, WINDOW = 33_278, 200, 2, 20, 35


def windows() -> Iterator[Batch]:
    rng = torch.Generator().manual_seed(0)
    carry = False
    while True:
        tokens = torch.randint(RESERVED, V, (ROWS, WINDOW), generator=rng)
        yield Batch(tokens, torch.ones_like(tokens, dtype=torch.bool), carry=carry)
        carry = True


def our_step(bf16: bool) -> Callable[[], None]:
    family = LSTM(V, layers=LAYERS, width=WIDTH, drop_input=0.2, drop_hidden=0.2, drop_output=0.2).train()
    sgd, objective, feed = torch.optim.SGD(family.parameters(), lr=20.0), Objective(nll=NLL()), windows()

    def step() -> None:
        batch = next(feed)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = objective(family(batch), batch, step=0, total=1)
        (loss.total / batch.mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(family.parameters(), 0.25)
        sgd.step()
        sgd.zero_grad()

    return step


class Textbook(nn.Module):
    """The word language model of pytorch/examples, its weights tied."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.drop = nn.Embedding(V, WIDTH), nn.Dropout(0.2)
        self.lstm = nn.LSTM(WIDTH, WIDTH, LAYERS, dropout=0.2)
        self.output = nn.Linear(WIDTH, V)
        self.output.weight = self.embedding.weight

    def forward(self, tokens, state):
        x, state = self.lstm(self.drop(self.embedding(tokens)), state)
        return F.log_softmax(self.output(self.drop(x)).view(-1, V), dim=1), state


def their_step() -> Callable[[], None]:
    model, feed = Textbook(), windows()
    state = [torch.zeros(LAYERS, ROWS, WIDTH) for _ in range(2)]

    def step() -> None:
        tokens = next(feed).tokens.T
        log_prob, new = model(tokens, tuple(state))
        state[:] = [part.detach() for part in new]
        F.nll_loss(log_prob, tokens.reshape(-1)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(parameter.grad, alpha=-20.0)
        model.zero_grad()

    return step


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=12)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    steps = {"textbook, fp32": their_step(), "ours, fp32": our_step(False)}
    if lstm_in_bf16():
        steps["ours, bf16"] = our_step(True)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(given.rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            step()
            times[name].append((time.perf_counter() - begun) * 1e3)
    book = statistics.median(times["textbook, fp32"][1:])
    bars = {"textbook, fp32": "(345)", "ours, fp32": "250", "ours, bf16": "200"}
    table = Table("step", "median ms", "best ms", "of the textbook's", "bar", title=f"LSTM LM, {given.threads} threads")
    for name, found in times.items():
        median = statistics.median(found[1:])
        table.add_row(name, f"{median:.0f}", f"{min(found):.0f}", f"{median / book:.2f}", bars[name])
    Console().print(table)


if __name__ == "__main__":
    main()
