"""A grammar made ready for charts: right sides cut to pairs, and chains of unary rules summed in advance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gentext.truth.pcfg import PCFG


def ranges(first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each i in turn the integers from `first[i]`, `count[i]` of them; and the i of each."""
    which = np.repeat(np.arange(len(count)), count)
    return np.arange(len(which)) + (first - np.cumsum(count) + count)[which], which


@dataclass(frozen=True)
class _Base:
    """Rules of one kind before chains: a head over a key (a word, a symbol, or the number of a pair of symbols)."""

    head: np.ndarray
    key: np.ndarray
    prob: np.ndarray
    rule: np.ndarray  # of the grammar; -1: made by cutting

    @classmethod
    def of(cls, rows: list[tuple[int, int, float, int]]) -> _Base:
        head, key, prob, rule = zip(*rows, strict=True) if rows else ((), (), (), ())
        ids = (np.array(column, dtype=np.int64) for column in (head, key, rule))
        return cls(next(ids), next(ids), np.array(prob, dtype=float), next(ids))


class ChartTable:
    """What stands over a key once chains are closed: heads with the log of their total weight, key by key."""

    def __init__(self, base: _Base, chains: np.ndarray, useful: np.ndarray, keys: int) -> None:
        top, bottom = np.nonzero((chains > 0) & useful[:, None])  # chains from a symbol that is of use above
        order = np.argsort(bottom, kind="stable")
        first = np.searchsorted(bottom[order], base.head)
        at, self._base = ranges(first, np.searchsorted(bottom[order], base.head, side="right") - first)
        self._top = top[order][at]
        weight = chains[self._top, base.head[self._base]] * base.prob[self._base]
        entry, self._entry = np.unique(base.key[self._base] * len(chains) + self._top, return_inverse=True)
        total = np.bincount(self._entry, weights=weight, minlength=len(entry))
        self._share = weight / total[self._entry]
        self._source = base
        self.head = entry % len(chains)
        self.weight = np.log(total)
        self._first = np.searchsorted(entry // len(chains), np.arange(keys + 1))

    def over(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The entries over each key in turn; and the position in `keys` of each."""
        return ranges(self._first[keys], self._first[keys + 1] - self._first[keys])

    def credit(self, uses: np.ndarray, rules: np.ndarray, chains: np.ndarray) -> None:
        """Hands expected uses of entries on to the rules at their bottom, and to the chains above them."""
        share = uses[self._entry] * self._share
        rule = self._source.rule[self._base]
        np.add.at(rules, rule[rule >= 0], share[rule >= 0])
        np.add.at(chains, (self._top, self._source.head[self._base]), share)


def _chains(unary: _Base, k: int, size: int) -> np.ndarray:
    """The total weight of all chains of unary rules from a to b [size, size]; only the first `k` symbols have any."""
    link = np.zeros((k, k))
    np.add.at(link, (unary.head, unary.key), unary.prob)
    reach = np.eye(k) + link > 0
    while (further := reach.astype(float) @ reach > 0).sum() > reach.sum():
        reach = further
    chains = np.eye(size)
    chains[:k, :k] = np.where(reach, np.linalg.inv(np.eye(k) - link), 0.0)  # no chain: exactly zero, not a rounding
    return chains


def _cut(rules: PCFG) -> tuple[int, dict[str, list[tuple[int, int, float, int]]], list[tuple[int, int]]]:
    """Right sides cut to pairs: the number of symbols, (head, key, prob, rule) by kind, and the pairs in order.

    A right side a b c becomes a [b c], where [b c] is a new symbol that all rules with this tail share; a word in a
    longer right side becomes a new symbol, too.
    """
    k = len(rules.nonterminals)
    rows: dict[str, list[tuple[int, int, float, int]]] = {"lexical": [], "unary": [], "binary": []}
    numbers: dict[tuple[int, ...], int] = {}
    pairs: dict[tuple[int, int], int] = {}

    def add(head: int, rhs: tuple[int, ...], prob: float, rule: int) -> None:
        if len(rhs) == 1:
            word = rhs[0] - k
            rows["lexical" if word >= 0 else "unary"].append((head, word if word >= 0 else rhs[0], prob, rule))
        else:
            pair = (symbol(rhs[:1]), symbol(rhs[1:]))
            rows["binary"].append((head, pairs.setdefault(pair, len(pairs)), prob, rule))

    def symbol(tail: tuple[int, ...]) -> int:
        if len(tail) == 1 and tail[0] < k:
            return tail[0]
        if tail not in numbers:
            numbers[tail] = k + len(numbers)
            add(numbers[tail], tail, 1.0, -1)
        return numbers[tail]

    for rule, (head, rhs, prob) in enumerate(zip(rules.lhs, rules.rhs, rules.prob, strict=True)):
        add(int(head), rhs, float(prob), rule)
    return k + len(numbers), rows, list(pairs)


class Closure:
    """Tables by word and by pair of symbols, and the way back from expected uses of their entries to the rules.

    Source: Stolcke, An Efficient Probabilistic Context-Free Parsing Algorithm (1995), section 4.5: the weight of all
    chains from a to b is (I - U)^-1, cycles included, where U holds the probabilities of unary rules.
    """

    def __init__(self, rules: PCFG) -> None:
        size, rows, pairs = _cut(rules)
        self._rules = len(rules)
        self._unary = _Base.of(rows["unary"])
        self._chains = _chains(self._unary, len(rules.nonterminals), size)
        left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        self.pair = np.full((size, size), -1, dtype=np.int32)  # number of the pair; -1: no rule for it
        self.pair[left, right] = np.arange(len(pairs))
        self.is_left, self.is_right = (np.isin(np.arange(size), side) for side in (left, right))
        useful = self.is_left | self.is_right
        useful[0] = True
        self.words = ChartTable(_Base.of(rows["lexical"]), self._chains, useful, len(rules.words))
        self.pairs = ChartTable(_Base.of(rows["binary"]), self._chains, useful, len(pairs))

    def rule_uses(self, words: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Expected uses of each rule of the grammar [r], given those of the entries of both tables."""
        uses = np.zeros(self._rules)
        chains = np.zeros_like(self._chains)
        self.words.credit(words, uses, chains)
        self.pairs.credit(pairs, uses, chains)
        per_weight = np.divide(chains, self._chains, out=np.zeros_like(chains), where=self._chains > 0)
        visits = self._chains.T @ per_weight @ self._chains.T  # of a link a -> b, per unit of its probability
        uses[self._unary.rule] += self._unary.prob * visits[self._unary.head, self._unary.key]
        return uses
