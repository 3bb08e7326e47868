"""The log-probability of many texts under a model, in batches that memory holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from gentext.language_model import LanguageModel
from gentext.types import Batch, pad

SCORED_AT_ONCE = 256  # sequences


@torch.inference_mode()
def log_prob(family: LanguageModel, batches: Iterable[Batch]) -> Float[Tensor, " n"]:
    """Nats per sequence of all batches in order, float64 on the CPU; the model computes where its weights are.

    >>> from gentext.models import NGram
    >>> from gentext.types import pad
    >>> log_prob(NGram(6, order=1), [pad([[4, 5, 2]]), pad([[4, 2], [2]])]).shape
    torch.Size([3])
    """
    weights = next(chain(family.parameters(), family.buffers()), None)
    device = torch.device("cpu") if weights is None else weights.device
    parts = [family.log_prob(batch.to(device)).double().cpu() for batch in batches]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def chunks(batch: Batch, size: int = SCORED_AT_ONCE) -> Iterator[Batch]:
    """The rows of a batch, `size` at a time."""
    return (batch.rows(slice(start, start + size)) for start in range(0, len(batch), size))


def log_prob_of_rows(
    family: LanguageModel, rows: Sequence[Sequence[int]], size: int = SCORED_AT_ONCE
) -> Float[Tensor, " n"]:
    """Nats of each row of ids, `size` rows of similar length at a time, so that little padding is computed."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    parts = (order[start : start + size] for start in range(0, len(order), size))
    found = torch.zeros(len(rows), dtype=torch.float64)
    found[torch.tensor(order, dtype=torch.long)] = log_prob(
        family, (pad([list(rows[i]) for i in part]) for part in parts)
    )
    return found
