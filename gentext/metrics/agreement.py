"""Agreement of subject and verb: how often a model finds the right form of a verb the likelier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, TextScorer, exactness_of
from gentext.metrics.intervals import clopper_pearson
from gentext.truth.agreement import MinimalPair
from gentext.types import Value

KINDS = ("simple", "subject_relative", "object_relative", "attractor")
DRAWN, AT_MOST = 5_000, 100_000  # sentences at once, and in all


@runtime_checkable
class HasAgreement(Protocol):
    """A truth whose sentences have verbs that agree with their subjects."""

    def log_prob(self, texts: Sequence[str]) -> np.ndarray: ...

    def agreement_pairs(self, n: int, rng: torch.Generator) -> list[MinimalPair]: ...


class Agreement(TextMetric):
    """agreement:KIND, the share of pairs of sentences in which the one whose verb agrees with its subject is likelier.

    The sentences are the grammar's own, drawn for this; in the other of each pair the verb of the main clause is in its
    other form (is, are), and the grammar gives it no probability. KIND is what stands between subject and verb:
    simple: no clause, as in "a man in a red shirt is running .";
    subject_relative: "the dogs that chase a ball are running .";
    object_relative: a clause with a noun of its own, in the number of the subject;
    attractor: the same, in the other number: "the bag that the people are holding is lying on the bench .".
    Whoever goes by the last words alone, or by the nearest noun, is right in simple pairs and not in those.
    A half is what guessing gets; two texts of equal probability count as a half. Pairs with a word that the model does
    not know are left out.
    Source: Linzen et al. 2016 (attractors); Marvin and Linzen 2018 (whole sentences compared, the conditions). Differs:
    relative clauses are followed by the whole rest of the sentence, which both sentences share.

    pairs: at most so many of each kind. seed: of the sentences, which are the same for every model.

    Example:
        >>> from gentext.truth import Grammar
        >>> class Guess:
        ...     exactness = "exact"
        ...     def log_prob(self, texts, prompts=None):
        ...         return np.zeros(len(texts))
        ...     def known(self, texts):
        ...         return np.full(len(texts), True)
        >>> metric = Agreement(pairs=10)
        >>> metric.update(truth=Grammar(), scorer=Guess())
        >>> metric.compute()["agreement:attractor"]
        0.5
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, pairs: int = 500, seed: int = 0) -> None:
        super().__init__()
        checks.at_least(1, pairs=pairs)
        self.pairs, self.seed = pairs, seed
        self.add_column("gaps", torch.float64)
        self.add_column("kinds", torch.long)
        self.add_column("inexact", torch.uint8)

    def update(self, truth: object, scorer: TextScorer) -> None:
        if not isinstance(truth, HasAgreement):
            raise Absent("the known distribution is no grammar, so it has no verbs that agree")
        pairs = self._drawn(truth)
        right, wrong = [pair.right for pair in pairs], [pair.wrong for pair in pairs]
        known = np.flatnonzero(scorer.known(right) & scorer.known(wrong))
        right, wrong = [right[at] for at in known], [wrong[at] for at in known]
        self.append("gaps", scorer.log_prob(right) - scorer.log_prob(wrong))
        self.append("kinds", np.array([KINDS.index(pairs[at].between) for at in known], dtype=np.int64))
        self.append("inexact", np.array([scorer.exactness != "exact"], dtype=np.uint8))

    def _drawn(self, truth: HasAgreement) -> list[MinimalPair]:
        """As many pairs of each kind as are wanted, or as 100,000 sentences have."""
        rng = torch.Generator().manual_seed(self.seed)
        kept: dict[str, list[MinimalPair]] = {kind: [] for kind in KINDS}
        for _ in range(0, AT_MOST, DRAWN):
            try:
                found = truth.agreement_pairs(DRAWN, rng)
            except ValueError as error:
                raise Absent(str(error)) from error
            for pair in found:
                kept[pair.between].append(pair)
            if all(len(pairs) >= self.pairs for pairs in kept.values()):
                break
        return [pair for pairs in kept.values() for pair in pairs[: self.pairs]]

    def values(self) -> Mapping[str, Value | Absent]:
        gaps, kinds = self.column("gaps"), self.column("kinds")
        exactness = exactness_of(self.column("inexact"))
        found: dict[str, Value | Absent] = {}
        for place, kind in enumerate(KINDS):
            own = gaps[kinds == place]
            name = f"agreement:{kind}"
            if not len(own):
                found[name] = Absent(f"the model knows all words of no pair of the kind {kind}")
                continue
            share = float(((np.sign(own) + 1) / 2).mean())
            signature = f"{name}|pairs:{self.pairs}|seed:{self.seed}|seqs:{len(own)}|v:1"
            interval = clopper_pearson(share, len(own))._asdict()
            found[name] = Value(share, signature, True, len(own), "share", **interval, exactness=exactness)
        return found
