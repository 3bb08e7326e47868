"""A probabilistic context-free grammar as arrays: read, checked, with the moments that have a closed form."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property, lru_cache
from textwrap import shorten

import numpy as np
from nltk import grammar as nltk_grammar
from nltk.grammar import Nonterminal
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

log = logging.getLogger("gentext")

Rule = tuple[Nonterminal, tuple[Nonterminal | str, ...]]


@dataclass(frozen=True, eq=False)
class PCFG:
    """The rules of a proper, subcritical grammar without empty right sides; nonterminal 0 is the start symbol.

    In `rhs` a nonterminal stands as its index and word j as `len(nonterminals) + j`. Rules are grouped by left side.
    """

    nonterminals: tuple[str, ...]
    words: tuple[str, ...]
    lhs: np.ndarray  # int [r]
    rhs: tuple[tuple[int, ...], ...]
    prob: np.ndarray  # float64 [r], sums to one over the rules of a left side

    def __len__(self) -> int:
        return len(self.rhs)

    def names(self) -> tuple[str, ...]:
        """Each rule as text: `NP -> 'the' N`."""
        symbols = [*self.nonterminals, *(f"'{word}'" for word in self.words)]
        rules = zip(self.lhs, self.rhs, strict=True)
        return tuple(f"{symbols[a]} -> {' '.join(symbols[i] for i in rhs)}" for a, rhs in rules)

    @cached_property
    def children(self) -> csr_array:
        """How often each nonterminal stands in each rule's right side [r, k]."""
        k = len(self.nonterminals)
        pairs = [(r, symbol) for r, rhs in enumerate(self.rhs) for symbol in rhs if symbol < k]
        row, column = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return csr_array((np.ones(len(row)), (row, column)), shape=(len(self), k))

    @cached_property
    def visits(self) -> np.ndarray:
        """Expected number of nonterminals b in a derivation from a [k, k]: (I - M)^-1 of the mean matrix M.

        Source: Booth and Thompson, Applying Probability Measures to Abstract Languages (1973).
        """
        k = len(self.nonterminals)
        return np.linalg.solve(np.eye(k) - self._mean().toarray(), np.eye(k))

    @cached_property
    def usage(self) -> np.ndarray:
        """Expected uses of each rule in one sentence [r]."""
        return self.visits[0, self.lhs] * self.prob

    @cached_property
    def deviation(self) -> np.ndarray:
        """Standard deviation of the number of uses of each rule in one sentence [r].

        Law of total variance along the branching process: with n_b(a) the visits to b from a, and h_b(q) those from
        the right side of rule q, Var = u_r (1 + 2 p_r h(r)) + p_r^2 (sum_q u_q h(q)^2 - sum_a n_a(S) n_b(a)^2).
        """
        below = self.children @ self.visits
        spread = self.usage @ below**2 - self.visits[0] @ self.visits**2
        own = below[np.arange(len(self)), self.lhs]
        variance = self.usage * (1 + 2 * self.prob * own) + self.prob**2 * spread[self.lhs]
        return np.sqrt(np.maximum(variance, 0.0))

    @property
    def entropy(self) -> float:
        """Entropy of derivations, nats; that of sentences too where no sentence has two derivations."""
        return float(-self.usage @ np.log(self.prob))

    @property
    def mean_length(self) -> float:
        """Expected tokens of a sentence."""
        k = len(self.nonterminals)
        return float(self.usage @ np.array([sum(symbol >= k for symbol in rhs) for rhs in self.rhs], dtype=float))

    def _mean(self) -> csr_array:
        """Expected number of children b of one a [k, k]."""
        k = len(self.nonterminals)
        at = csr_array((self.prob, (self.lhs, np.arange(len(self)))), shape=(k, len(self)))
        return csr_array(at @ self.children)

    def check_subcritical(self, where: str) -> None:
        """Raises: ValueError where derivations do not end, or their mean length is infinite.

        The spectral radius is that of the worst strongly connected component: nothing outside one can grow.
        """
        mean = self._mean()
        _, component = connected_components(mean, connection="strong")
        for c in np.unique(component):
            inside = np.flatnonzero(component == c)
            radius = float(np.abs(np.linalg.eigvals(mean[inside][:, inside].toarray())).max())
            if radius >= 1 - 1e-9:
                names = ", ".join(self.nonterminals[i] for i in inside[:5])
                raise ValueError(
                    f"{where}: the grammar is not subcritical: {names} begets {radius:.4g} of its kind on average, so "
                    "sentences have no finite mean length. Give more weight to rules that end the recursion"
                )


@lru_cache(maxsize=8)  # every run on the embedded captions reads the same grammar
def read(text: str, where: str) -> PCFG:
    """The rules of a grammar in NLTK's notation: `NP -> 'the' N [0.6] | N [0.4]`, a line of comment after #.

    Sentences begin at the first left side. A rule that is written twice counts once, with the sum of its probabilities.
    Raises: ValueError where this is no proper, subcritical grammar; `where` names its source in the message.
    """
    start, weights = _weights(text, where)
    _check_symbols(weights, where)
    reached = _reached(start, weights)
    if lost := list(dict.fromkeys(str(a) for a, _ in weights if a not in reached)):
        log.warning("%s: never reached from %s, so left out: %s", where, start, ", ".join(lost))
    nonterminals = {a: i for i, a in enumerate(reached)}
    kept = sorted((rule for rule in weights if rule[0] in reached), key=lambda rule: nonterminals[rule[0]])
    words = dict.fromkeys(symbol for _, rhs in kept for symbol in rhs if isinstance(symbol, str))
    index = {**nonterminals, **{word: len(nonterminals) + j for j, word in enumerate(words)}}
    lhs = np.array([nonterminals[a] for a, _ in kept])
    prob = np.array([weights[rule] for rule in kept])
    total = np.bincount(lhs, weights=prob)
    for a in np.flatnonzero(np.abs(total - 1) > 1e-6):  # NLTK lets 1 % pass
        name = [*nonterminals][a]
        raise ValueError(f"{where}: the probabilities of {name} sum to {total[a]:.7g}; they must sum to 1")
    rhs = tuple(tuple(index[symbol] for symbol in rhs) for _, rhs in kept)
    rules = PCFG(tuple(map(str, nonterminals)), tuple(words), lhs, rhs, prob / total[lhs])
    rules.check_subcritical(where)
    return rules


def _weights(text: str, where: str) -> tuple[Nonterminal, dict[Rule, float]]:
    """The start symbol, and the probability of each rule in the order of the text."""
    try:
        grammar = nltk_grammar.PCFG.fromstring(text)
    except ValueError as error:
        reason = shorten(str(error).rstrip(".!"), 300)
        raise ValueError(
            f"{where}: not a grammar in NLTK's notation: {reason}. A rule looks like NP -> 'the' N [0.6] | N [0.4]"
        ) from error
    weights: dict[Rule, float] = {}
    for production in grammar.productions():
        rule = (production.lhs(), production.rhs())
        if not production.rhs():
            raise ValueError(f"{where}: {production.lhs()} has an empty right side; write the grammar without them")
        if not production.prob() > 0:
            raise ValueError(f"{where}: {production} needs a probability above 0, in square brackets after the rule")
        weights[rule] = weights.get(rule, 0.0) + production.prob()
    return grammar.start(), weights


def _check_symbols(weights: dict[Rule, float], where: str) -> None:
    """Raises: ValueError where a nonterminal has no rule, or a word is not one token."""
    defined = {a for a, _ in weights}
    used = dict.fromkeys(symbol for _, rhs in weights for symbol in rhs)
    if missing := [str(a) for a in used if isinstance(a, Nonterminal) and a not in defined]:
        raise ValueError(f"{where}: no rule for {', '.join(missing)}; give one, or put words in quotes")
    if odd := [word for word in used if isinstance(word, str) and word.split() != [word]]:
        raise ValueError(f"{where}: {odd[0]!r} is not one token; write a terminal for each, as in 'living' 'room'")


def _reached(start: Nonterminal, weights: dict[Rule, float]) -> dict[Nonterminal, None]:
    """The nonterminals that a derivation can hold, the start symbol first."""
    below: dict[Nonterminal, list[Nonterminal]] = {}
    for a, rhs in weights:
        below.setdefault(a, []).extend(symbol for symbol in rhs if isinstance(symbol, Nonterminal))
    reached = {start: None}
    queue = [start]
    for a in queue:
        for b in below[a]:
            if b not in reached:
                reached[b] = None
                queue.append(b)
    return reached
