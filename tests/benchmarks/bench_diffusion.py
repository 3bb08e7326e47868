"""A training step of masked diffusion beside one of the autoregressive Transformer of equal size, on the same texts.

python tests/benchmarks/bench_diffusion.py [rounds]     (both alternate; medians of processor time; the bar is 1.15)

Texts are captions, of like length in a batch as in training.
"""

import random
import statistics
import sys
import time

import torch

from gentext.data.tokenizer import Word
from gentext.language_model import LanguageModel
from gentext.models import MaskedDiffusion, Transformer
from gentext.train.optimizers import Optimizer
from gentext.truth import GeneratedCorpus, Grammar
from gentext.types import EOS, Batch, pad

BATCH = 32


def captions() -> tuple[int, list[Batch]]:
    """The vocabulary's size, and batches in no order, each of texts of like length."""
    rows = GeneratedCorpus(Grammar(), train=4000, valid=0, test=1).rows()
    lines = [row.text for split, row in rows if split == "train"]
    tokenizer = Word().fit(lines)
    texts = sorted(([*ids, EOS] for ids in tokenizer.encode(lines)), key=len)
    batches = [pad(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    random.Random(0).shuffle(batches)
    return tokenizer.vocab_size, batches


class Side:
    """A family in training."""

    def __init__(self, family: LanguageModel, optimizer: str) -> None:
        self.family = family.train()
        self.optimizers = Optimizer(optimizer, 2e-3, None, 0.01, 0.9, 0.95, None).build(family)
        self.seconds: list[float] = []

    def step(self, batch: Batch) -> None:
        begun = time.process_time()
        (-self.family(batch).log_prob.sum() / batch.mask.sum()).backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.seconds.append(time.process_time() - begun)


if __name__ == "__main__":
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    v, batches = captions()
    for optimizer in ("adamw", "muon"):
        for width in (64, 128):
            torch.manual_seed(0)
            sides = [Side(make(v, width=width, context=50), optimizer) for make in (Transformer, MaskedDiffusion)]
            for batch in batches[: rounds + 3]:
                for side in sides:
                    side.step(batch)
            plain, ours = (statistics.median(side.seconds[3:]) for side in sides)
            print(
                f"width {width:3}, {optimizer:5}: Transformer {1e3 * plain:.1f} ms, diffusion {1e3 * ours:.1f} ms"
                f" a step of {BATCH} captions, {ours / plain:.3f} times"
            )
