"""Known truth: a probabilistic context-free grammar that can be sampled and evaluated exactly."""

from __future__ import annotations

import fnmatch
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64

from gentext.data.source import Truth
from gentext.truth import pcfg
from gentext.truth.agreement import AgreementPairs, MinimalPair
from gentext.truth.inside import Inside
from gentext.truth.lalr import conflict
from gentext.truth.sampling import Expander

log = logging.getLogger("gentext")


@dataclass(frozen=True)
class RuleUsage:
    """How often each rule is used per sentence: by the grammar itself, and in given texts.

    `z` is (observed - expected) in standard errors of `accepted` sentences of the grammar itself: above 2 the rule is
    over-used, below -2 under-used. Under an ambiguous grammar `observed` is an expectation, and z is cautious.
    """

    rules: tuple[str, ...]
    expected: np.ndarray  # uses per sentence, float64 [r]
    observed: np.ndarray  # uses per accepted text
    z: np.ndarray
    accepted: int  # texts that have a derivation; only they tell something about rules
    rejected: int

    def ranked(self) -> list[tuple[str, float, float, float]]:
        """(rule, expected, observed, z), the greatest deviation first."""
        order = np.argsort(-np.abs(self.z), kind="stable")
        return [(self.rules[r], float(self.expected[r]), float(self.observed[r]), float(self.z[r])) for r in order]


class Grammar(Truth):
    """A grammar as a `Truth`: independent sentences, their exact probability, and what rules they use.

    Sentences are drawn as words with one space between, the full stop too. In a text to be judged any white space will
    do, and a mark such as the full stop may touch the word before it; case counts.

    `path` names a file in NLTK's PCFG notation; None is the embedded grammar of captions, whose sentences are lower
    case and end in " .".
    Raises: ValueError where the file holds no proper, subcritical grammar.

    >>> grammar = Grammar()
    >>> (text,) = grammar.sample(1, torch.Generator().manual_seed(0))
    >>> bool(grammar.log_prob([text])[0] > -100), float(grammar.log_prob(["dog a ."])[0])
    (True, -inf)
    """

    def __init__(self, path: str | Path | None = None, name: str = "captions") -> None:
        self.name = name
        source = files("gentext.truth") / "captions.pcfg" if path is None else Path(path)
        try:
            text = source.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{source} is not UTF-8 text ({error.reason} at byte {error.start})") from error
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.rules = pcfg.read(text, str(source))
        self.words = self.rules.words  # the lexicon
        self.mean_length = self.rules.mean_length  # tokens, the full stop included
        self._index = {word: i for i, word in enumerate(self.rules.words)}
        self._expander = Expander(self.rules)
        self._inside = Inside(self.rules)

    @cached_property
    def entropy(self) -> float | None:
        """H(p) in nats per sentence, exact; None where sentences may have two derivations and no closed form holds.

        The entropy of derivations is that of sentences if the grammar is unambiguous, which LALR(1) tables without a
        conflict prove. Else the mean of -log_prob over samples estimates H(p), with a standard error.
        """
        if (reason := conflict(self.rules)) is None:
            return self.rules.entropy
        log.info("%s: not proven unambiguous (%s), so its entropy has no closed form", self.name, reason)
        return None

    def sample(self, n: int, rng: torch.Generator) -> list[str]:
        """`n` independent sentences."""
        if n < 0:
            raise ValueError(f"cannot draw {n} sentences; give a number from 0")
        return self._expander.draw(n, rng)

    def log_prob(self, texts: Sequence[str]) -> Float64[np.ndarray, " n"]:
        """log p(text) in nats, all derivations summed; -inf where the grammar does not accept the text."""
        rows = [self._numbers(text) for text in texts]
        return self._inside.log_prob(rows)

    def parse(self, text: str) -> dict[str, float]:
        """How often `text` uses each rule, rules not used left out: expected uses if it has several derivations.

        Raises: ValueError where the grammar does not accept the text.
        """
        scores, uses = self._inside.rule_uses([self._numbers(text)])
        if np.isinf(scores[0]):
            raise ValueError(f"{self.name} does not accept {text!r}; log_prob gives -inf there, without an error")
        return {name: float(count) for name, count in zip(self.rules.names(), uses, strict=True) if count > 0}

    def rule_usage(self, texts: Sequence[str]) -> RuleUsage:
        """Which rules `texts` over-use and under-use, measured against the grammar itself.

        Raises: ValueError where the grammar accepts none of them.
        """
        scores, uses = self._inside.rule_uses([self._numbers(text) for text in texts])
        accepted = int(np.isfinite(scores).sum())
        if not accepted:
            raise ValueError(f"{self.name} accepts none of {len(texts)} texts, so they say nothing about its rules")
        observed = uses / accepted
        error = self.rules.deviation / np.sqrt(accepted)
        certain = error < 1e-9  # a rule that every sentence uses equally often
        z = np.where(certain, 0.0, (observed - self.rules.usage) / np.where(certain, 1.0, error))
        return RuleUsage(self.rules.names(), self.rules.usage, observed, z, accepted, len(texts) - accepted)

    def requires(self, texts: Sequence[str], rules: Sequence[str]) -> Bool[np.ndarray, " n"]:
        """Whether no derivation of a text does without the rules that match one of the patterns.

        Args:
            texts: that the grammar accepts; of others it is true.
            rules: patterns of rules as `PCFG.names` writes them, * and ? for any letters: `Emb-* -> * That *`.

        Raises: ValueError where a pattern matches no rule.

        Example:
            >>> texts = ["a man is sitting in the park .", "a man is sitting in the park while a dog is running ."]
            >>> Grammar().requires(texts, ["S -> Clause While *"]).tolist()
            [False, True]
        """
        names = self.rules.names()
        for pattern in rules:
            if not fnmatch.filter(names, pattern):
                raise ValueError(
                    f"{pattern!r} matches no rule of {self.name}; one reads {names[0]!r}, and * is any text"
                )
        kept = np.array([not any(fnmatch.fnmatchcase(name, pattern) for pattern in rules) for name in names])
        rhs = tuple(symbols for symbols, keep in zip(self.rules.rhs, kept, strict=True) if keep)
        rest = replace(self.rules, lhs=self.rules.lhs[kept], rhs=rhs, prob=self.rules.prob[kept])
        return np.isinf(Inside(rest).log_prob([self._numbers(text) for text in texts]))

    def agreement_pairs(self, n: int, rng: torch.Generator) -> list[MinimalPair]:
        """The pairs of `n` sentences and the same with the first verb in its other form, which the grammar rejects.

        Of sentences whose first clause is a subject and a finite predicate, as `AgreementPairs` finds them by name.
        Raises: ValueError where the grammar names no such phrases.

        Example:
            >>> Grammar().agreement_pairs(2, torch.Generator().manual_seed(1))[0][:2]
            ('ten old kids walk near a tree .', 'ten old kids walks near a tree .')
        """
        pairs = self._agreement.draw(n, rng)
        rejected = np.isinf(self.log_prob([pair.wrong for pair in pairs]))
        return [pair for pair, keep in zip(pairs, rejected.tolist(), strict=True) if keep]

    @cached_property
    def _agreement(self) -> AgreementPairs:
        return AgreementPairs(self.rules)

    def _numbers(self, text: str) -> list[int]:
        """The words of a text by their numbers; nothing, which has no derivation, where a word is unknown."""
        words = text.split()
        try:
            return [self._index[word] for word in words]
        except KeyError:
            return self._loose_numbers(words)

    def _loose_numbers(self, words: list[str]) -> list[int]:
        """As `_numbers`, with marks taken off the words that they touch."""
        numbers = []
        for word in words:
            split = [word] if word in self._index or word[-1].isalnum() else [word[:-1], word[-1]]
            if any(part not in self._index for part in split):
                return []
            numbers.extend(self._index[part] for part in split)
        return numbers
