"""Optimisers and the rate that they follow."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gentext.language_model import LanguageModel
from gentext.train.muon import Muon

OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", "muon")
SCHEDULES = ("constant", "linear", "cosine", "wsd")


@dataclass(frozen=True)
class Optimizer:
    """How a gradient moves the weights.

    Weight decay acts on matrices alone: never on biases, gains and embeddings, of which few rows see a gradient.
    lr_embedding: the rate of embeddings that are not the output layer too; None: `lr`.
    muon: orthogonalised momentum on the hidden matrices, and AdamW on embeddings, output, tables of positions, biases
      and gains.
    """

    name: str
    lr: float
    lr_embedding: float | None
    weight_decay: float
    beta1: float
    beta2: float
    momentum: float | None  # of sgd, rmsprop and muon; None: 0, 0 and 0.95

    def build(self, family: nn.Module) -> list[torch.optim.Optimizer]:
        """The optimisers of all parameters of a family or a critic; every group keeps its own rate as `initial_lr`."""
        hidden = _hidden(family) if self.name == "muon" else []
        if self.name == "muon" and not hidden:
            raise ValueError(
                f"{type(family).__name__} has no hidden matrix, which is what muon moves; try train.optimizer=adamw"
            )
        taken = {id(p) for p in hidden}
        groups = self._groups(family, [p for p in family.parameters() if p.requires_grad and id(p) not in taken])
        built = [self._plain(groups)] if groups else []
        if hidden:
            built.append(self._muon(hidden))
        for optimizer in built:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        return built

    def _groups(self, family: nn.Module, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        embeddings = _embeddings(family)
        matrices = [p for p in parameters if p.dim() >= 2 and id(p) not in embeddings]
        groups = [
            {"params": [p for p in parameters if id(p) in embeddings], "lr": self.lr_embedding or self.lr},
            {"params": matrices, "lr": self.lr, "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.dim() < 2], "lr": self.lr},
        ]
        return [{"weight_decay": 0.0, **group} for group in groups if group["params"]]

    def _plain(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.name in ("adamw", "muon"):
            return torch.optim.AdamW(groups, betas=(self.beta1, self.beta2), fused=True)
        if self.name == "adam":
            return torch.optim.Adam(groups, betas=(self.beta1, self.beta2), fused=True)
        if self.name == "sgd":
            return torch.optim.SGD(groups, momentum=self.momentum or 0.0, fused=True)
        return torch.optim.RMSprop(groups, momentum=self.momentum or 0.0)

    def _muon(self, matrices: list[nn.Parameter]) -> torch.optim.Optimizer:
        return Muon(matrices, self.lr, self.weight_decay, 0.95 if self.momentum is None else self.momentum)


def _embeddings(family: nn.Module) -> set[int]:
    """The ids of embedding matrices that serve as nothing else: a tied one is an output layer."""
    users = Counter(id(p) for _, p in family.named_parameters(remove_duplicate=False))
    matrices = {id(p) for m in family.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return {key for key in matrices if users[key] == 1}


def _hidden(family: nn.Module) -> list[nn.Parameter]:
    """The matrices between embedding and output: those of linear and recurrent layers, whatever their size.

    A linear layer of a family's own, not of a part of it, with an output for each token is an output layer.
    """
    outputs = {
        id(layer)
        for module in family.modules()
        if isinstance(module, LanguageModel)
        for layer in module.children()
        if isinstance(layer, nn.Linear) and layer.out_features == module.vocab_size
    }
    layers = [m for m in family.modules() if isinstance(m, nn.Linear | nn.RNNBase | nn.RNNCellBase)]
    between = {id(p) for m in layers if id(m) not in outputs for p in m.parameters(recurse=False)}
    between -= {id(p) for m in family.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    return [p for p in family.parameters() if p.requires_grad and p.dim() == 2 and id(p) in between]


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
