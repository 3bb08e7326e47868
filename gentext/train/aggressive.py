"""Training an encoder ahead of its decoder, so that the posterior does not lag behind the model."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import torch

from gentext.language_model import LanguageModel, SupportsLatent

if TYPE_CHECKING:
    from gentext.train.gradient_state import GradientState

log = logging.getLogger("gentext")

SEEN = 8  # batches of valid that the mutual information is estimated over


class AggressiveEncoder:
    """Before each step of all parameters, the encoder alone descends the loss until it gains nothing more.

    It looks back every `batches` batches, and stops after `limit` of them; all of it ends for good at the first
    validation at which the mutual information of z and text on valid has not risen. That is estimated in batches of 64
    texts, so it reads ln 64 = 4.16 nats at most, and ends where z tells that much.
    What it reads is training text too: a step of all parameters, which is what train.epochs and train.steps count,
    may read 1 + `limit` times the text of an ordinary one.
    Source: He et al. 2019, algorithm 1, "aggressive" training.
    Differs: validations come every `valid_every` steps and not every epoch; the optimiser is the loop's.
    """

    def __init__(self, *, batches: int = 10, limit: int = 50) -> None:
        if not 1 <= batches <= limit:
            raise ValueError(f"the encoder is trained {batches} of {limit} batches ahead; give 1 or more, limit above")
        self.batches, self.limit = batches, limit

    def check(self, family: LanguageModel, processes: int) -> None:
        """Raises: ValueError where there is no encoder to train, or several processes would."""
        if not isinstance(family, SupportsLatent):
            raise ValueError(
                f"train=aggressive trains an encoder ahead, and {type(family).__name__} has none; try train=gradient"
            )
        if processes > 1:
            raise ValueError("train=aggressive trains in one process; give train.processes=1 and train.nodes=1")

    def __call__(self, training: GradientState) -> None:
        if training.place.information is None:
            return
        with _alone(training.family):
            before = math.inf
            for _ in range(self.limit // self.batches):
                loss = sum(training.descend() for _ in range(self.batches)) / self.batches
                if loss >= before:
                    return
                before = loss

    def review(self, training: GradientState) -> None:
        """Look whether z still tells more of the text than at the last validation; if not, this is over."""
        if training.place.information is None:
            return
        rng = training.streams("information", training.device)
        with torch.no_grad():
            batches = [batch.to(training.device) for batch in islice(training.valid(), SEEN)]
            found = torch.cat([training.family.information(batch, rng) for batch in batches])
        information = float(found.mean()) if len(found) else 0.0
        training.monitor.log(training.place.step, {"valid/information": information})
        if information > training.place.information:
            training.place.information = information
            return
        training.place.information = None
        log.info("step %d: z tells no more of the text: all parts train together now", training.place.step)


@contextmanager
def _alone(family: LanguageModel) -> Iterator[None]:
    """Inside, only the encoder's parameters ask for a gradient."""
    mine = {id(parameter) for parameter in family.inference()}
    others = [p for p in family.parameters() if p.requires_grad and id(p) not in mine]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
