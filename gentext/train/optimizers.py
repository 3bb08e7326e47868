"""Optimisers and the rate that they follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from gentext.types import Family

OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", "muon")
SCHEDULES = ("constant", "linear", "cosine", "wsd")


@dataclass(frozen=True)
class Optimizer:
    """How a gradient moves the weights.

    Weight decay acts on matrices alone: never on biases and gains.
    muon: orthogonalised momentum on the hidden matrices (Jordan et al. 2024), scaled to AdamW's usual step
      (Liu et al. 2025, section 2.2) so that one rate serves both, and AdamW on embeddings, output, biases and gains.
    """

    name: str
    lr: float
    weight_decay: float
    beta1: float
    beta2: float
    momentum: float | None  # of sgd, rmsprop and muon; None: 0, 0 and 0.95

    def build(self, family: Family) -> list[torch.optim.Optimizer]:
        parameters = [p for p in family.parameters() if p.requires_grad]
        if self.name != "muon":
            return [self._plain(_decayed(parameters, self.weight_decay))]
        hidden = _hidden(family)
        rest = [p for p in parameters if not any(p is matrix for matrix in hidden)]
        if not hidden:
            raise ValueError(
                f"{type(family).__name__} has no hidden matrix, which is what muon moves; try train.optimizer=adamw"
            )
        muon = torch.optim.Muon(
            hidden,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=0.95 if self.momentum is None else self.momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        return [muon, self._adamw(_decayed(rest, self.weight_decay))]

    def _plain(self, groups: list[dict]) -> torch.optim.Optimizer:
        if self.name == "adamw":
            return self._adamw(groups)
        if self.name == "adam":
            return torch.optim.Adam(groups, lr=self.lr, betas=(self.beta1, self.beta2))
        build = torch.optim.SGD if self.name == "sgd" else torch.optim.RMSprop
        return build(groups, lr=self.lr, momentum=self.momentum or 0.0)

    def _adamw(self, groups: list[dict]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.beta1, self.beta2))


def _decayed(parameters: list[nn.Parameter], weight_decay: float) -> list[dict]:
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _hidden(family: Family) -> list[nn.Parameter]:
    """The matrices between embedding and output."""
    embeddings = {id(p) for module in family.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    return [
        p
        for p in family.parameters()
        if p.requires_grad and p.dim() == 2 and id(p) not in embeddings and family.vocab_size not in p.shape
    ]


@dataclass(frozen=True)
class Rate:
    """The share of the learning rate at a step, and at a progress in [0, 1] through the run.

    wsd: warm up, stay, decay linearly over the last share `cooldown` (Hägele et al. 2024).
    """

    schedule: str
    warmup: int  # steps
    cooldown: float
    floor: float  # the share at the end

    def __call__(self, step: int, progress: float) -> float:
        fall = {
            "constant": 0.0,
            "linear": progress,
            "cosine": (1 - math.cos(math.pi * progress)) / 2,
            "wsd": max(0.0, 1 - (1 - progress) / self.cooldown),
        }[self.schedule]
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * (1 - (1 - self.floor) * fall)
