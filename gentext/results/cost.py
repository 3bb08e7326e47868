"""What a figure cost: quality per second, per floating-point operation, per parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping

PER = ("train_seconds", "sample_seconds", "flops_per_token", "parameters")  # the costs that a figure is divided by


def efficiencies(figures: Mapping[str, tuple[float, bool | None]], cost: Mapping[str, float]) -> dict[str, float]:
    """Every figure (value, higher is better) per unit of every cost in PER, as `bleu4/train_seconds`."""
    spent = {name: cost[name] for name in PER if name in cost}
    return {
        f"{name}/{per}": ratio
        for name, (value, higher) in figures.items()
        for per, ratio in efficiency(value, higher, spent).items()
    }


def efficiency(value: float, higher_is_better: bool | None, cost: Mapping[str, float]) -> dict[str, float]:
    """`value` per unit of every cost, by name; empty where a ratio would mislead.

    A figure of which less is better (perplexity), or of which neither end is, has no quality per second; and a cost
    that is zero, negative or unknown (NaN: nobody has counted) gives no ratio.
    """
    if higher_is_better is not True or not math.isfinite(value):
        return {}
    return {name: value / amount for name, amount in cost.items() if math.isfinite(amount) and amount > 0}
