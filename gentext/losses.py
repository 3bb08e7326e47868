"""Training objectives: a weighted sum of named terms, each in nats per sequence; weights may be schedules."""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from gentext import checks
from gentext.schedules import Schedule
from gentext.types import Batch, Outputs

log = logging.getLogger("gentext")


@runtime_checkable
class Term(Protocol):
    """One part of an objective."""

    weight: float | Schedule

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        """Nats per sequence, to be made small."""
        ...


class Loss(NamedTuple):
    """What an objective makes of one batch."""

    total: Float[Tensor, ""]  # the weighted sum over all sequences of the batch: what a gradient is taken of
    terms: dict[str, Float[Tensor, ""]]  # each term's own sum, unweighted and detached: what is logged


class Objective:
    """The sum of weight(step) * term over named terms.

    It is a sum over sequences, and the trainer divides it by the mean number of tokens of a step: so its value does not
    depend on how a batch is divided over accumulation steps and processes. A row without tokens counts nothing. Terms
    that are `pooled` are statistics of a whole batch, so theirs cannot be divided.

    >>> import torch
    >>> from gentext.types import Batch, Outputs
    >>> batch = Batch(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool))
    >>> outputs = Outputs(torch.tensor([[-1.0, -2.0]]), terms={"kl": torch.tensor([0.5])})
    >>> loss = Objective(nll=NLL(), kl=KL(weight=0.4))(outputs, batch, step=0, total=10)
    >>> round(float(loss.total), 3), {name: float(value) for name, value in loss.terms.items()}
    (3.2, {'nll': 3.0, 'kl': 0.5})
    """

    def __init__(self, **terms: Term) -> None:
        if not terms:
            raise ValueError("an objective needs one term at least, such as nll; try loss=nll")
        self.terms = terms
        self._looked = False

    def __call__(self, outputs: Outputs, batch: Batch, *, step: int, total: int) -> Loss:
        """`step` of `total` decides the weights that are schedules."""
        if not self._looked:
            self._look(outputs)
        real = batch.mask.any(1)
        values = {name: torch.where(real, term(outputs, batch), 0.0).sum() for name, term in self.terms.items()}
        weighted = [_at(self.terms[name].weight, step, total) * value for name, value in values.items()]
        return Loss(sum(weighted[1:], weighted[0]), {name: value.detach() for name, value in values.items()})

    @property
    def pooled(self) -> list[str]:
        """The names of terms that are no sums over texts."""
        return [name for name, term in self.terms.items() if isinstance(term, POOLED)]

    def _look(self, outputs: Outputs) -> None:
        self._looked = True
        if "kl" in outputs.terms and all(isinstance(term, NLL) for term in self.terms.values()):
            log.warning(
                "this family gives a term kl and the loss leaves it out: an autoencoder is trained, whose bound on the "
                "likelihood and whose samples from the prior mean little. For a VAE, try loss=elbo"
            )


def no_loss() -> None:
    """`loss=none`: of trainers without an objective, such as EM.

    Example:
        >>> no_loss() is None
        True
    """


class NLL:
    """-log p of each sequence, EOS included, padding never.

    smoothing: the share of the target that is spread evenly over the vocabulary (Szegedy et al. 2016, section 7); the
    family says the mean log-probability over the vocabulary as the term `uniform`, per token (an adaptive softmax has
    none).

    Example:
        >>> import torch
        >>> from gentext.types import Batch, Outputs
        >>> batch = Batch(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool))
        >>> NLL()(Outputs(torch.tensor([[-1.0, -2.0]])), batch)
        tensor([3.])
    """

    def __init__(self, *, weight: float | Schedule = 1.0, smoothing: float = 0.0) -> None:
        checks.share(smoothing=smoothing)
        self.weight = _not_negative(weight)
        self.smoothing = smoothing

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        nll = -outputs.log_prob.sum(1)
        if self.smoothing == 0:
            return nll
        return (1 - self.smoothing) * nll - self.smoothing * _given(outputs, "uniform").sum(1)


class ModelTerm:
    """A term that the family adds itself, per token or per sequence: `ar` and `tar` of an LSTM, `bow` of a VAE.

    Example:
        >>> import torch
        >>> from gentext.types import Batch, Outputs
        >>> batch = Batch(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool))
        >>> ModelTerm("ar")(Outputs(torch.zeros(1, 2), terms={"ar": torch.tensor([[1.0, 2.0]])}), batch)
        tensor([3.])
    """

    def __init__(self, name: str, *, weight: float | Schedule = 1.0) -> None:
        self.name = name
        self.weight = _not_negative(weight)

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        value = _given(outputs, self.name)
        return value if value.dim() == 1 else value.sum(1)


class KL:
    """KL(q(z | x) || p(z)) of a VAE, which makes -log p(x | z) the negative evidence lower bound.

    weight: a schedule is annealing (Bowman et al. 2016; Fu et al. 2019), a number is beta (Higgins et al. 2017).

    Example:
        >>> import torch
        >>> from gentext.types import Batch, Outputs
        >>> batch = Batch(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool))
        >>> KL(weight=0.5)(Outputs(torch.zeros(1, 2), terms={"kl": torch.tensor([0.5])}), batch)  # unweighted
        tensor([0.5000])
    """

    def __init__(self, *, weight: float | Schedule = 1.0) -> None:
        self.weight = _not_negative(weight)

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        return _given(outputs, "kl")


class FreeBits:
    """The KL where it is above `nats`, else `nats`, so that nothing is gained by making it smaller than that.

    per: `text` bounds the mean KL of the batch, `unit` that of each part of z.
    Source: Kingma et al. 2016, appendix C.8 (means over the minibatch); Li et al. 2019, section 3.2 (each unit).

    Example:
        >>> import torch
        >>> from gentext.types import Batch, Outputs
        >>> batch = Batch(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool))
        >>> outputs = Outputs(torch.zeros(1, 2), terms={"kl_units": torch.tensor([[0.5, 3.0]])})
        >>> FreeBits(2.0)(outputs, batch), FreeBits(2.0, per="unit")(outputs, batch)
        (tensor([3.5000]), tensor([5.]))
    """

    def __init__(self, nats: float, *, per: Literal["text", "unit"] = "text", weight: float | Schedule = 1.0) -> None:
        checks.positive(nats=nats)
        checks.one_of("per", per, ("text", "unit"))
        self.nats, self.per, self.weight = nats, per, _not_negative(weight)

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        units = _given(outputs, "kl_units")
        mean = units.mean(0) if self.per == "unit" else units.sum(1).mean(0, keepdim=True)
        return mean.clamp_min(self.nats).sum().expand(len(units))


class TargetRate:
    """How far the batch's mean KL is from `nats`: a fixed rate at the least distortion.

    Source: Alemi et al. 2018, section 4; Burgess et al. 2018, equation 8.

    Example:
        >>> import torch
        >>> from gentext.types import Batch, Outputs
        >>> batch = Batch(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool))
        >>> TargetRate(2.0)(Outputs(torch.zeros(1, 2), terms={"kl": torch.tensor([0.5])}), batch)
        tensor([1.5000])
    """

    def __init__(self, nats: float, *, weight: float | Schedule = 1.0) -> None:
        checks.at_least(0, nats=nats)
        self.nats, self.weight = nats, _not_negative(weight)

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        kl = _given(outputs, "kl")
        return (kl.mean() - self.nats).abs().expand(len(kl))


class MMD:
    """Maximum mean discrepancy between draws from q(z) and from p(z), under an inverse multiquadratic kernel.

    Unbiased, so that it may be negative; 0 for a single text. It has no unit: `weight` says what it is worth in nats.
    Source: Tolstikhin et al. 2018 (WAE), section 4 and algorithm 2; with KL a part of InfoVAE (Zhao et al. 2019).

    Example:
        >>> import torch
        >>> from gentext.types import Batch, Outputs
        >>> batch = Batch(torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool))
        >>> draws = {"z": torch.tensor([[0.0], [1.0]]), "prior": torch.tensor([[0.0], [1.0]])}
        >>> MMD()(Outputs(torch.zeros(2, 2), terms=draws), batch)
        tensor([-0.3333, -0.3333])
    """

    def __init__(self, *, weight: float | Schedule = 1.0) -> None:
        self.weight = _not_negative(weight)

    def __call__(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " n"]:
        z, prior = _given(outputs, "z"), _given(outputs, "prior")
        n = len(z)
        if n < 2:
            return z.new_zeros(n)
        within = (_likeness(z, z) + _likeness(prior, prior)) * (1 - torch.eye(n, device=z.device))
        return (within.sum() / (n * (n - 1)) - 2 * _likeness(z, prior).mean()).expand(n)


POOLED = (FreeBits, TargetRate, MMD)


def _likeness(one: Float[Tensor, "n z"], other: Float[Tensor, "m z"]) -> Float[Tensor, "n m"]:
    scale = 2 * one.shape[1]  # the mean square distance of two draws from a standard normal
    return scale / (scale + (one[:, None] - other).square().sum(-1))


def _not_negative(weight: float | Schedule) -> float | Schedule:
    """The weight. Raises: ArgumentError where it is below 0, at either end of a schedule: a large term would pay."""
    for step, end in enumerate(("start", "end")):
        value = _at(weight, step, 1)
        if callable(weight) and not value >= 0:
            raise checks.ArgumentError("weight", f"is {value} at the {end} of the run; it must be 0 or more")
        checks.at_least(0, weight=value)
    return weight


def _given(outputs: Outputs, name: str) -> Tensor:
    if name not in outputs.terms:
        known = ", ".join(outputs.terms) or "none"
        full = " (label smoothing needs a full softmax, family.cutoffs=null)" if name == "uniform" else ""
        raise ValueError(
            f"the objective wants the term {name!r}, and this family gives {known}; "
            f"take that term out of the loss, or a family that gives it{full}"
        )
    return outputs.terms[name]


def _at(weight: float | Schedule, step: int, total: int) -> float:
    return weight(step, total) if callable(weight) else weight
