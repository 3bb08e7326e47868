"""Shakespeare's characters in nanoGPT's budget: 2,000 steps of 12 x 64, 0.8 M parameters, two cores.

Ours (family=transformer train=muon) beside a plain GPT-2 step as nanoGPT writes it, in turns in one run; then ours is
trained and scored on the last tenth of the text in windows of 64. Bars: 1.60 nats/char at 1.35 times its step; 1.50 in
ten minutes (--seconds 600). nanoGPT itself: 34 ms a step, 1.898 nats/char. A full run takes two minutes; GENTEXT_DATA
may name a folder that has the text. Run: python tests/benchmarks/bench_shakespeare.py [--seconds 600] [KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn

from gentext import config
from gentext.data.corpus import Corpus
from gentext.seeding import Streams
from gentext.train.base import NullMonitor
from gentext.train.distributed import ProcessGroup
from gentext.train.fit import fit
from gentext.train.gradient_state import GradientState

ROWS, WINDOW, STEPS = 12, 64, 2_000
RECIPE = [
    "family=transformer",
    "train=muon",
    "data=tinyshakespeare",
    "data.valid=0",  # nanoGPT trains on the whole first nine tenths
    f"max_len={WINDOW}",
    "family.width=128",
    "family.dropout=0",
    f"train.batch_size={ROWS}",
    f"train.window={WINDOW}",
    "train.epochs=null",
    "train.valid_every=1000000",
]


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.mix = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = x + self.mix(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, d))
        return x + self.down(F.gelu(self.up(self.between(x))))


class GPT2(nn.Module):
    """GPT-2's block at nanoGPT's CPU size, without biases, as its recipe has it."""

    def __init__(self, v: int, width: int = 128, heads: int = 4, layers: int = 4) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(v, width), nn.Embedding(WINDOW, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, x):
        x = self.tokens(x) + self.positions.weight[: x.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


def peer_step(v: int):
    """A step of the textbook loop: random windows, cross-entropy, clipping, AdamW."""
    model = GPT2(v)
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    text = torch.randint(0, v, (1_000_000,))

    def step() -> None:
        at = torch.randint(len(text) - WINDOW - 1, (ROWS,))
        x, y = (torch.stack([text[i + k : i + k + WINDOW] for i in at.tolist()]) for k in (0, 1))
        F.cross_entropy(model(x).view(-1, v), y.view(-1)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad(set_to_none=True)

    return step


def setup(overrides: list[str], folder: Path) -> tuple[GradientState, Corpus]:
    cfg = config.compose([*RECIPE, *overrides])
    corpus = Corpus.open(config.build(cfg.data), config.build(cfg.tokenizer), max_len=WINDOW)
    cfg.vocab_size, cfg.context, streams = corpus.tokenizer.vocab_size, WINDOW, Streams(cfg.seed)
    torch.manual_seed(streams.derive("parameters"))
    return GradientState(
        config.build(cfg.train), config.build(cfg.family), corpus, streams, NullMonitor(folder), ProcessGroup()
    ), corpus


def in_turns(ours, theirs, rounds: int = 12, steps: int = 10) -> tuple[float, float]:
    """Milliseconds a step of each, the median of the rounds; both meet the same noise."""
    seen: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for act, times in zip((ours, theirs), seen, strict=True):
            begun = time.perf_counter()
            for _ in range(steps):
                act()
            times.append((time.perf_counter() - begun) / steps * 1e3)
    return statistics.median(seen[0][1:]), statistics.median(seen[1][1:])


@torch.no_grad()
def nats(training: GradientState, corpus: Corpus) -> float:
    """Nats per character over the last tenth, in windows of 64 that see nothing before themselves but one character."""
    total = tokens = 0.0
    for batch in corpus.windows("test", 64, WINDOW):
        total -= float(training.family(batch).log_prob.sum())
        tokens += float(batch.mask.sum())
    return total / tokens


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, help="train so long instead of 2,000 steps")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("overrides", nargs="*")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    budget = [f"train.seconds={given.seconds}"] if given.seconds else [f"train.steps={STEPS}"]
    with tempfile.TemporaryDirectory() as folder:
        training, corpus = setup([*budget, *given.overrides], Path(folder))
        ours, theirs = in_turns(training.update, peer_step(corpus.tokenizer.vocab_size))
        training, corpus = setup([*budget, *given.overrides], Path(folder))
        begun = time.perf_counter()
        fit(training)
        seconds = time.perf_counter() - begun
        loss = nats(training, corpus)
    parameters = sum(p.numel() for p in training.family.parameters())
    table = Table("measure", "ours", "plain GPT-2", "bar", title=f"{parameters:,} parameters, {given.threads} threads")
    table.add_row("ms/step, in turns", f"{ours:.1f}", f"{theirs:.1f}", "")
    table.add_row("ratio", f"{ours / theirs:.2f}", "1", "1.35")
    table.add_row("steps", f"{training.progress.step:,}", "2,000", "")
    table.add_row("seconds of training", f"{seconds:.0f}", "", "600" if given.seconds else "")
    table.add_row("nats/char, stride 64", f"{loss:.4f}", "1.8983", "1.50" if given.seconds else "1.60")
    Console().print(table)


if __name__ == "__main__":
    main()
