"""`train=em`: expectation-maximisation for families that learn by counting."""

from __future__ import annotations

import copy
import math
import time

import torch

from gentext.seeding import Streams
from gentext.text.corpus import Corpus
from gentext.train.loop import Monitor, in_order
from gentext.types import Counted, Family


class EM:
    """Alternates `accumulate` over the training split and `maximize`, and keeps the parameters that are best on valid.

    A family whose counts are its parameters' closed form (`closed_form = True`: the n-gram) is done in one pass.
    Source: Dempster, Laird and Rubin (1977), section 3.
    """

    def __init__(
        self, *, iterations: int = 50, patience: int = 3, tolerance: float = 1e-4, batch_size: int = 256
    ) -> None:
        if iterations < 1 or patience < 1 or batch_size < 1:
            raise ValueError(
                f"train=em needs iterations, patience and batch_size of 1 or more, got {iterations}, {patience} "
                f"and {batch_size}"
            )
        self.iterations = iterations
        self.patience = patience
        self.tolerance = tolerance
        self.batch_size = batch_size

    @torch.no_grad()
    def run(self, family: Family, corpus: Corpus, *, streams: Streams, monitor: Monitor) -> None:
        """Trains `family` in place. Raises ValueError where it cannot count."""
        if not isinstance(family, Counted):
            raise ValueError(
                f"train=em needs a family that counts (accumulate and maximize); {type(family).__name__} has neither. "
                "Try train=gradient loss=nll"
            )
        if getattr(family, "closed_form", False):
            self._pass(family, corpus, monitor, "counting")
            return
        best, best_state, since = -math.inf, None, 0
        begun = time.perf_counter()
        for iteration in range(1, self.iterations + 1):
            train = self._pass(family, corpus, monitor, f"EM {iteration}/{self.iterations}")
            valid = self._valid(family, corpus)
            monitor.log(iteration, {"train/nll": -train, "valid/nll": -valid, "seconds": time.perf_counter() - begun})
            if valid > best + self.tolerance:
                best, best_state, since = valid, copy.deepcopy(family.state_dict()), 0
            else:
                since += 1
            if since >= self.patience:
                break
        if best_state is not None:
            family.load_state_dict(best_state)

    def _pass(self, family: Counted, corpus: Corpus, monitor: Monitor, description: str) -> float:
        """One E-step over train and the M-step; mean nats per token under the parameters before it."""
        total, tokens = 0.0, 0
        with monitor.progress(corpus.tokens("train"), description, "tokens") as bar:
            for batch in in_order(corpus, "train", self.batch_size, window=4096):
                count = int(batch.mask.sum())
                total += float(family.accumulate(batch).sum())
                tokens += count
                bar.update(count)
            family.maximize()
        return total / max(tokens, 1)

    def _valid(self, family: Family, corpus: Corpus) -> float:
        total, tokens = 0.0, 0
        for batch in in_order(corpus, "valid", self.batch_size, window=4096):
            total += float(family.log_prob(batch).sum())
            tokens += int(batch.mask.sum())
        return total / max(tokens, 1)
