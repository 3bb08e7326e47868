"""What a figure cost: quality per second, per floating-point operation, per parameter."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

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


class PeakMemory:
    """The most memory that this process holds at once from here on.

    A process keeps one high-water mark, which the run of a sweep before may have set: it is set back where the system
    allows it (Linux). Elsewhere a peak below that mark is not known.
    """

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak becomes what is held now
            self._before = 0.0
        except OSError:
            self._before = _high_water()

    def bytes(self) -> float:
        """The peak so far; NaN where it is not known."""
        peak = _high_water()
        return peak if peak > self._before else math.nan


def _high_water() -> float:
    """Bytes: Linux's own count, which can be set back, and elsewhere what getrusage says."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
