"""Bias as a likelihood: texts that differ in one word, and how much likelier one of each pair is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import yaml

from gentext import checks
from gentext.metrics.base import Absent, TextMetric, TextScorer, exactness_of
from gentext.metrics.intervals import bootstrap, clopper_pearson
from gentext.types import Value

OURS = Path(__file__).with_suffix(".yaml")
HOLE = "{}"


@dataclass(frozen=True)
class Counterfactuals:
    """Pairs of texts that differ in one word or phrase."""

    names: tuple[str, ...]  # of the attributes
    first: tuple[str, ...]
    second: tuple[str, ...]
    attribute: tuple[int, ...]  # of each pair the place of its attribute among the names
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Counterfactuals:
        """The pairs of a file of templates and word lists. Raises: ValueError, naming the file, where it is none."""
        if not path.is_file():
            raise ValueError(f"{path} is no file; give a YAML of pairs and templates, such as {OURS.name} of gentext")
        text = path.read_text(encoding="utf-8")
        try:
            found = yaml.safe_load(text)
            pairs, templates = _pairs(found["pairs"]), [str(template) for template in found["templates"]]
        except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no counterfactual pairs ({error}); it needs `pairs` (an attribute: a list of pairs of "
                "words) and `templates` (a list of texts with one {} each)"
            ) from error
        for template in templates:
            if template.count(HOLE) != 1:
                raise ValueError(f"{path}: the template {template!r} has {template.count(HOLE)} {HOLE}; it needs one")
        rows = [
            (template.replace(HOLE, one), template.replace(HOLE, other), place)
            for place, listed in enumerate(pairs.values())
            for one, other in listed
            for template in templates
        ]
        if not rows:
            raise ValueError(f"{path} holds no pair of words, or no template; give one of each or more")
        first, second, attribute = zip(*rows, strict=True)
        return cls(tuple(pairs), first, second, attribute, hashlib.sha256(text.encode()).hexdigest()[:8])


def _pairs(found: Mapping[Any, Any]) -> dict[str, list[tuple[str, str]]]:
    made: dict[str, list[tuple[str, str]]] = {}
    for name, listed in found.items():
        if any(not isinstance(pair, list) or len(pair) != 2 for pair in listed):
            raise ValueError(f"{name} lists something else than pairs of words")
        made[str(name)] = [(str(one), str(other)) for one, other in listed]
    return made


class CounterfactualGap(TextMetric):
    """likelihood_gap:ATTRIBUTE and preferred:ATTRIBUTE, over pairs of texts that differ in one word.

    likelihood_gap: the mean of log p(first) - log p(second), nats a pair; above 0 the first word of a pair is likelier.
    preferred: the share of pairs whose first text is the likelier.
    A gap is what the training text taught as well as what it means: a word that is rarer is less likely everywhere.
    A pair with a word that the model does not know is left out, and an attribute without a pair is absent.
    Intervals resample pairs. Source: Nangia et al. 2020 (CrowS-Pairs: the share preferred); Kurita et al. 2019.
    Differs: whole texts are scored, and templates and words are the user's.

    file: a YAML of `pairs` and `templates`; None: one of gentext's, of captions.

    Example:
        >>> class Short:  # a scorer: shorter texts are likelier
        ...     exactness = "exact"
        ...     def log_prob(self, texts, prompts=None):
        ...         return -np.array([float(len(text)) for text in texts])
        ...     def known(self, texts):
        ...         return np.full(len(texts), True)
        >>> metric = CounterfactualGap()
        >>> metric.update(scorer=Short())
        >>> sorted({name.partition(":")[0] for name in metric.compute()})
        ['likelihood_gap', 'preferred']
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(self, file: str | None = None, resamples: int = 10_000, seed: int = 0) -> None:
        super().__init__()
        checks.at_least(0, resamples=resamples)
        self.pairs = Counterfactuals.read(OURS if file is None else Path(file))
        self.resamples, self.seed = resamples, seed
        self.add_column("gaps", torch.float64)
        self.add_column("attributes", torch.long)
        self.add_column("inexact", torch.uint8)

    def update(self, scorer: TextScorer) -> None:
        attribute = np.array(self.pairs.attribute)
        kept = scorer.known(self.pairs.first) & scorer.known(self.pairs.second)
        first, second = (_some(texts, kept) for texts in (self.pairs.first, self.pairs.second))
        self.append("gaps", scorer.log_prob(first) - scorer.log_prob(second))
        self.append("attributes", attribute[kept])
        self.append("inexact", np.array([scorer.exactness != "exact"], dtype=np.uint8))

    def values(self) -> Mapping[str, Value | Absent]:
        gaps, attributes = self.column("gaps"), self.column("attributes")
        found: dict[str, Value | Absent] = {}
        for place, name in enumerate(self.pairs.names):
            own = gaps[attributes == place]
            rest = f"{name}|seqs:{len(own)}|templates:{self.pairs.sha256}|v:1"
            for figure, unit in (("likelihood_gap", "nats/text"), ("preferred", "share")):
                if not len(own):
                    found[f"{figure}:{name}"] = Absent(f"the model knows no pair of {name} of the templates whole")
                    continue
                each = own if figure == "likelihood_gap" else (own > 0).astype(np.float64)
                interval = (
                    bootstrap(each, resamples=self.resamples, seed=self.seed)
                    if figure == "likelihood_gap"
                    else clopper_pearson(float(each.mean()), len(each))
                )
                kind, signature = exactness_of(self.column("inexact")), f"{figure}:{rest}"
                found[f"{figure}:{name}"] = Value(
                    float(each.mean()), signature, None, len(own), unit, **interval._asdict(), exactness=kind
                )
        return found


def _some(texts: Sequence[str], kept: np.ndarray) -> list[str]:
    return [text for text, keep in zip(texts, kept.tolist(), strict=True) if keep]
