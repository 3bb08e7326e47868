"""Minimal pairs of a grammar: sentences whose verb agrees with its subject, and the same with the verb's other form."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from gentext.truth.pcfg import PCFG
from gentext.truth.sampling import Expander

# marks among the words of a drawn sentence: no word of a grammar begins with a NUL
_VERB, _CLAUSE, _INNER = "\0verb", "\0clause", "\0inner"


class MinimalPair(NamedTuple):
    """Two sentences that differ in the form of one verb."""

    right: str
    wrong: str
    between: str  # subject and verb: simple (no clause), subject_relative, object_relative, attractor


class AgreementPairs:
    """Draws minimal pairs of number agreement from a grammar.

    The grammar names its phrases as the embedded one does: a clause is a subject `Sub-KIND-sg` and a predicate
    `VP-KIND-sg` (or -pl); a subject may hold a relative clause `Rel-*`, in which a noun `Emb-*-sg` may stand before its
    own verb; finite verbs are `V-KIND-sg` and `V-KIND-pl`, their words in one order, and `Is` and `Are`.
    Raises: ValueError where it has no such phrases.
    """

    def __init__(self, rules: PCFG) -> None:
        self._other_form = _forms(rules)
        marked = _marked(rules)
        if not self._other_form or not any(word.startswith(_VERB) for word in marked.words):
            raise ValueError(
                "the grammar names no subjects Sub-KIND-sg before predicates VP-KIND-sg, or no verbs V-KIND-sg and "
                "V-KIND-pl, by which agreement is found"
            )
        self._expander = Expander(marked)

    def draw(self, n: int, rng: torch.Generator) -> list[MinimalPair]:
        """The pairs of `n` sentences, of each whose first clause has such a subject and predicate."""
        found = (self._pair(text.split(" ")) for text in self._expander.draw(n, rng))
        return [pair for pair in found if pair is not None]

    def _pair(self, words: list[str]) -> MinimalPair | None:
        verb = next((at for at, word in enumerate(words) if word.startswith(_VERB)), None)
        if verb is None or words[verb + 1] not in self._other_form:
            return None
        between = "simple"
        if _CLAUSE in words[:verb]:
            inner = words[words.index(_CLAUSE) + 2]  # behind who or that
            between = "object_relative" if inner.startswith(_INNER) else "subject_relative"
            if between == "object_relative" and _number(inner) != _number(words[verb]):
                between = "attractor"
        wrong = [*words[: verb + 1], self._other_form[words[verb + 1]], *words[verb + 2 :]]
        return MinimalPair(_unmarked(words), _unmarked(wrong), between)


def _unmarked(words: list[str]) -> str:
    return " ".join(word for word in words if not word.startswith("\0"))


def _number(name: str) -> str:
    return name.rpartition("-")[2]


def _forms(rules: PCFG) -> dict[str, str]:
    """The other form of each finite verb, singular or plural."""
    k = len(rules.nonterminals)
    classes: dict[str, list[str]] = {}
    for a, rhs in zip(rules.lhs, rules.rhs, strict=True):
        if len(rhs) == 1 and rhs[0] >= k:
            classes.setdefault(rules.nonterminals[a], []).append(rules.words[rhs[0] - k])
    verbs = [name for name in classes if name.startswith("V-") and name.endswith("-sg")]
    found = {}
    for one, other in [*((name, name[:-3] + "-pl") for name in verbs), ("Is", "Are")]:
        for singular, plural in zip(classes.get(one, ()), classes.get(other, ()), strict=False):
            found |= {singular: plural, plural: singular}
    return found


def _marked(rules: PCFG) -> PCFG:
    """The grammar with marks before predicates, relative clauses of subjects, and the subjects in these."""
    k, names, words = len(rules.nonterminals), rules.nonterminals, list(rules.words)

    def marked(a: int, rhs: tuple[int, ...]) -> tuple[int, ...]:
        made, before = [], ""
        for symbol in rhs:
            name = names[symbol] if symbol < k else ""
            mark = ""
            if name.startswith("VP-") and before.startswith("Sub-"):
                mark = f"{_VERB}-{_number(name)}"
            elif name.startswith("Rel-") and names[a].startswith("Sub-"):
                mark = _CLAUSE
            elif name.startswith("Emb-"):
                mark = f"{_INNER}-{_number(name)}"
            if mark:
                if mark not in words:
                    words.append(mark)
                made.append(k + words.index(mark))
            made.append(symbol)
            before = name
        return tuple(made)

    rhs = tuple(marked(int(a), symbols) for a, symbols in zip(rules.lhs, rules.rhs, strict=True))
    return replace(rules, rhs=rhs, words=tuple(words))
