"""Which rules of a known grammar the samples over-use and under-use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from scipy.stats import norm
from torchmetrics.utilities import dim_zero_cat

from gentext.metrics.base import Absent, TextMetric
from gentext.text.grammar import RuleUsage
from gentext.types import Samples, Value

EXPECTED = 5  # uses, below which z is no normal variable


@runtime_checkable
class Parses(Protocol):
    """A truth that can say how it would have made a text."""

    def log_prob(self, texts: Sequence[str]) -> np.ndarray: ...

    def rule_usage(self, texts: Sequence[str]) -> RuleUsage: ...


class RuleProfile(TextMetric):
    """rule_gap: the total variation between the rules that accepted samples use and those that the grammar uses.

    rules_off: the share of rules, of those of which 5 uses or more were to be expected, whose number of uses chance
    does not explain (two-sided, 5 % for all rules together by Bonferroni). Of true samples rule_gap is a little above
    zero, the more so the fewer there are; rules_off is zero nineteen times in twenty.
    """

    higher_is_better: ClassVar[bool | None] = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("uses", "expected", "deviation", "accepted", "rejected"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.set_dtype(torch.double)

    def update(self, truth: object, samples: Samples) -> None:
        if not isinstance(truth, Parses):
            raise Absent("the known distribution is no grammar, so it has no rules")
        n = len(samples)
        if not np.isfinite(truth.log_prob(samples.texts)).any():
            self.rejected.append(torch.tensor([n], dtype=torch.double))
            return
        usage = truth.rule_usage(samples.texts)
        weight = usage.accepted
        self.uses.append(torch.from_numpy(usage.observed * weight)[None])
        self.expected.append(torch.from_numpy(usage.expected * weight)[None])
        self.deviation.append(
            torch.from_numpy(usage.z * np.sqrt(weight))[None]
        )  # in those of one sentence: they add up
        self.accepted.append(torch.tensor([weight], dtype=torch.double))
        self.rejected.append(torch.tensor([usage.rejected], dtype=torch.double))

    def values(self) -> Mapping[str, Value]:
        if not len(self.rejected):
            raise Absent("RuleProfile needs samples, and there are none")
        if not len(self.accepted):
            raise Absent("the grammar accepts no sample, so none uses its rules")
        uses, expected, deviation, accepted, rejected = (
            dim_zero_cat(part).sum(0).cpu().numpy()
            for part in (self.uses, self.expected, self.deviation, self.accepted, self.rejected)
        )
        gap = np.abs(uses / uses.sum() - expected / expected.sum()).sum() / 2
        frequent = expected >= EXPECTED
        bound = norm.isf(0.025 / max(frequent.sum(), 1))
        off = np.abs(deviation[frequent] / np.sqrt(accepted)) > bound
        rest, n = f"over:accepted|seqs:{int(accepted + rejected)}|v:1", int(accepted)
        found = {"rule_gap": Value(float(gap), f"rule_gap|{rest}", False, n, "share")}
        if frequent.any():
            found["rules_off"] = Value(float(off.mean()), f"rules_off|{rest}", False, n, "share")
        return found
