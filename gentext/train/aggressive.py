"""Aggressive training of a VAE's encoder, so that the posterior does not lag behind the model."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import torch

from gentext.checks import at_least
from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel, SupportsLatent
from gentext.train.gradient_state import GradientState

log = logging.getLogger("gentext")

SEEN = 8  # batches of valid that the mutual information is estimated over


class AggressiveEncoder:
    """Before each step of all parameters, the encoder alone descends the loss until it gains nothing more.

    All of it ends for good at the first validation at which the mutual information of z and text on valid has not
    risen. That is estimated in batches of 64 texts, so it reads ln 64 = 4.16 nats at most, and ends where z tells that
    much. What the encoder reads is training text too: a step of all parameters, which is what train.epochs and
    train.steps count, may read 1 + `limit` times the text of an ordinary one.

    Args:
        batches: training batches between two looks at whether the loss still falls.
        limit: training batches before a step of all parameters at most.

    Source: He et al. 2019, algorithm 1, "aggressive" training.
    Differs: after the inner loop all parameters take the step, where the authors' code moves the decoder alone; the
    loss is looked at every 10 batches, 50 at most, by default, and not every 15, 100 at most; validations come every
    `valid_every` steps and not every epoch; the optimiser is the trainer's.

    Example:
        >>> from gentext.losses import KL, NLL, Objective
        >>> from gentext.train import GradientTrainer
        >>> trainer = GradientTrainer(Objective(nll=NLL(), kl=KL()), steps=100, aggressive=AggressiveEncoder(limit=20))
        >>> trainer.aggressive.batches, trainer.aggressive.limit
        (10, 20)
    """

    def __init__(self, *, batches: int = 10, limit: int = 50) -> None:
        at_least(1, batches=batches)
        at_least(batches, limit=limit)
        self.batches, self.limit = batches, limit

    def check(self, family: LanguageModel, corpus: Corpus, processes: int) -> None:
        """Raises: ValueError where there is no encoder to train, no valid split, or several processes would train."""
        if not isinstance(family, SupportsLatent):
            raise ValueError(
                f"train=aggressive trains an encoder alone first, and {type(family).__name__} has none; "
                "try train=gradient"
            )
        if not corpus.size("valid"):
            raise ValueError(
                f"train=aggressive ends by what z tells of valid, and {corpus.name} has no text there; give "
                "data.valid=100 or another number, or take train=gradient"
            )
        if processes > 1:
            raise ValueError("train=aggressive trains in one process; give train.processes=1 and train.nodes=1")

    def __call__(self, state: GradientState) -> None:
        """Train the encoder alone, until the loss no longer falls."""
        if state.progress.information is None:
            return
        with _alone(state.family):
            before = math.inf
            for _ in range(self.limit // self.batches):
                loss = sum(state.backward_and_step() for _ in range(self.batches)) / self.batches
                if loss >= before:
                    return
                before = loss

    def review(self, state: GradientState) -> None:
        """Look whether z still tells more of the text than at the last validation; if not, this is over."""
        if state.progress.information is None:
            return
        rng = state.streams("information", state.device)
        with torch.no_grad():
            batches = [batch.to(state.device) for batch in islice(state.valid(), SEEN)]
            found = torch.cat([latent(state.family).information(batch, rng) for batch in batches])
        information = float(found.mean()) if len(found) else 0.0
        state.monitor.log(state.progress.step, {"valid/information": information})
        if information > state.progress.information:
            state.progress.information = information
            return
        state.progress.information = None
        log.info("step %d: z tells no more of the text: all parts train together now", state.progress.step)


def latent(family: LanguageModel) -> SupportsLatent:
    """The family, which `check` has found to have a latent vector."""
    assert isinstance(family, SupportsLatent)
    return family


@contextmanager
def _alone(family: LanguageModel) -> Iterator[None]:
    """Inside, only the encoder's parameters ask for a gradient."""
    mine = {id(parameter) for parameter in latent(family).inference()}
    others = [p for p in family.parameters() if p.requires_grad and id(p) not in mine]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
