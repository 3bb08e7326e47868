"""Which rules of a known grammar the samples over-use and under-use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from scipy.stats import norm

from gentext.metrics.base import Absent, TextMetric
from gentext.truth.grammar import RuleUsage
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

    Example:
        >>> import torch
        >>> from gentext.truth import Grammar
        >>> grammar, metric = Grammar(), RuleProfile()
        >>> metric.update(grammar, Samples(tuple(grammar.sample(200, torch.Generator().manual_seed(0)))))
        >>> metric.compute()["rule_gap"] < 0.2
        True
    """

    higher_is_better: ClassVar[bool | None] = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("uses", "expected", "deviation", "accepted", "rejected"):
            self.add_column(name, torch.double)

    def update(self, truth: object, samples: Samples) -> None:
        if not isinstance(truth, Parses):
            raise Absent("the known distribution is no grammar, so it has no rules")
        n = len(samples)
        if not np.isfinite(truth.log_prob(samples.texts)).any():
            self.append("rejected", np.array([n]))
            return
        usage = truth.rule_usage(samples.texts)
        weight = usage.accepted
        self.append("uses", usage.observed * weight)
        self.append("expected", usage.expected * weight)
        self.append("deviation", usage.z * np.sqrt(weight))  # in standard deviations of one sentence: these add up
        self.append("accepted", np.array([weight]))
        self.append("rejected", np.array([usage.rejected]))

    def values(self) -> Mapping[str, Value]:
        parts = len(self.column("accepted"))
        accepted, rejected = self.column("accepted").sum(), self.column("rejected").sum()
        if not accepted + rejected:
            raise Absent("RuleProfile needs samples, and there are none")
        if not accepted:
            raise Absent("the grammar accepts no sample, so none uses its rules")
        uses, expected, deviation = (
            self.column(name).reshape(parts, -1).sum(0) for name in ("uses", "expected", "deviation")
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
