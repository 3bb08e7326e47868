"""What a gradient descends: named terms, each in nats per sequence, under weights that may move with the step."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from gentext.schedules import Schedule
from gentext.types import Batch, Outputs


@runtime_checkable
class Term(Protocol):
    """One part of an objective."""

    weight: float | Schedule

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        """Nats per sequence, to be made small."""
        ...


class Loss(NamedTuple):
    total: Float[Tensor, ""]  # the weighted sum over all sequences of the batch: what a gradient is taken of
    terms: dict[str, Float[Tensor, ""]]  # each term's own sum, unweighted and detached: what is logged


class Objective:
    """The sum of weight(step) * term over named terms.

    It is a sum over sequences, and the loop divides by tokens: so it means the same however a batch is divided over
    steps and processes.
    """

    def __init__(self, **terms: Term) -> None:
        if not terms:
            raise ValueError("an objective needs one term at least, such as nll; try loss=nll")
        self.terms = terms

    def __call__(self, outputs: Outputs, batch: Batch, *, step: int, total: int) -> Loss:
        """`step` of `total` decides the weights that are schedules."""
        values = {name: term(outputs, batch).sum() for name, term in self.terms.items()}
        weighted = [_at(self.terms[name].weight, step, total) * value for name, value in values.items()]
        return Loss(sum(weighted[1:], weighted[0]), {name: value.detach() for name, value in values.items()})


class NLL:
    """-log p of each sequence, EOS included, padding never.

    smoothing: the share of the target that is spread evenly over the vocabulary (Szegedy et al. 2016, section 7); the
    family says the mean log-probability over the vocabulary as the term `uniform`, per token.
    """

    def __init__(self, *, weight: float | Schedule = 1.0, smoothing: float = 0.0) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing}; it is a share in [0, 1), 0.1 is usual")
        self.weight = weight
        self.smoothing = smoothing

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        nll = -outputs.log_prob.sum(1)
        if self.smoothing == 0:
            return nll
        return (1 - self.smoothing) * nll - self.smoothing * _given(outputs, "uniform").sum(1)


class Given:
    """A term that the family adds itself, per token or per sequence: `ar` and `tar` of an LSTM, `kl` of a VAE."""

    def __init__(self, name: str, *, weight: float | Schedule = 1.0) -> None:
        self.name = name
        self.weight = weight

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        value = _given(outputs, self.name)
        return value if value.dim() == 1 else value.sum(1)


def _given(outputs: Outputs, name: str) -> Tensor:
    if name not in outputs.terms:
        known = ", ".join(outputs.terms) or "none"
        raise ValueError(
            f"the objective wants the term {name!r}, and this family gives {known}; "
            "take that term out of the loss, or a family that gives it"
        )
    return outputs.terms[name]


def _at(weight: float | Schedule, step: int, total: int) -> float:
    return weight(step, total) if callable(weight) else weight
