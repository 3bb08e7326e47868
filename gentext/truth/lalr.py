"""Whether a grammar is proven to give each sentence one derivation."""

from __future__ import annotations

from collections import defaultdict

from gentext.truth.pcfg import PCFG

Production = tuple[int, tuple[int, ...]]  # left side, right side: nonterminals from 0, then classes of words from k

_END = 1  # the lookahead behind the sentence; class c of words is bit 1 << (c - k + 1) of a set of lookaheads


def conflict(rules: PCFG) -> str | None:
    """None if LALR(1) tables have no conflict, which proves that no sentence has two derivations; else one conflict.

    The proof goes one way: a grammar with a conflict may be unambiguous all the same.
    """
    k = len(rules.nonterminals)
    productions, names = _classed(rules)
    states = _automaton(productions)
    for moves, reductions in zip(states, _lookaheads(productions, states, k), strict=True):
        taken = [(1 << (symbol - k + 1), "to read on") for symbol in moves if symbol >= k]
        for number, lookahead in reductions.items():
            a, rhs = productions[number]
            act = f"{names[a]} -> {' '.join(names[symbol] for symbol in rhs)}"
            for rival, other in taken:
                if both := lookahead & rival:
                    bit = (both & -both).bit_length() - 1
                    return f"before {names[bit - 1 + k] if bit else 'the end'}: {act}, or {other}"
            taken.append((lookahead, act))
    return None


def _classed(rules: PCFG) -> tuple[list[Production], list[str]]:
    """The productions, words of the same use taken as one, that of the whole sentence last; and the symbols' names."""
    k = len(rules.nonterminals)
    uses: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for a, rhs in zip(rules.lhs, rules.rhs, strict=True):
        for symbol in rhs:
            if symbol >= k:
                uses[symbol].add(("under", int(a)) if len(rhs) == 1 else ("itself", symbol))
    names = list(rules.nonterminals)
    classes: dict[frozenset[tuple[str, int]], int] = {}
    number = {i: i for i in range(k)}
    for word, use in uses.items():
        number[word] = classes.setdefault(frozenset(use), len(names))
        if number[word] == len(names):
            names.append(f"'{rules.words[word - k]}'")
    rows = [(int(a), tuple(number[i] for i in rhs)) for a, rhs in zip(rules.lhs, rules.rhs, strict=True)]
    return [*dict.fromkeys(rows), (len(names), (0,))], [*names, "the sentence"]


def _corners(productions: list[Production]) -> dict[int, set[int]]:
    """For each left side every symbol that something derived from it can begin with, itself included."""
    begins: dict[int, set[int]] = defaultdict(set)
    for a, rhs in productions:
        begins[a].add(rhs[0])
    corners = {}
    for a in begins:
        corners[a] = {a}
        queue = [a]
        for b in queue:
            fresh = begins.get(b, set()) - corners[a]
            corners[a] |= fresh
            queue.extend(fresh)
    return corners


def _automaton(productions: list[Production]) -> list[dict[int, int]]:
    """The LR(0) automaton: for each state the state that each symbol leads to. State 0 begins the sentence."""
    of: dict[int, list[int]] = defaultdict(list)
    for number, (a, _) in enumerate(productions):
        of[a].append(number)
    corners = _corners(productions)
    kernels = [frozenset([(len(productions) - 1, 0)])]  # of items (production, symbols read)
    known = {kernels[0]: 0}
    states = []
    for kernel in kernels:  # grows as it is walked
        after: dict[int, set[tuple[int, int]]] = defaultdict(set)
        for number, at in kernel:
            if at < len(rhs := productions[number][1]):
                after[rhs[at]].add((number, at + 1))
        for a in set().union(*(corners.get(symbol, ()) for symbol in after)):
            for number in of[a]:
                after[productions[number][1][0]].add((number, 1))
        targets = {symbol: frozenset(items) for symbol, items in after.items()}
        for target in targets.values():
            if target not in known:
                known[target] = len(kernels)
                kernels.append(target)
        states.append({symbol: known[target] for symbol, target in targets.items()})
    return states


def _lookaheads(productions: list[Production], states: list[dict[int, int]], k: int) -> list[dict[int, int]]:
    """For each state the productions that may end there, each with its set of LALR(1) lookaheads.

    Source: DeRemer and Pennello, Efficient Computation of LALR(1) Look-Ahead Sets (1982); nothing derives the empty
    string here, so that `reads` is what can come next and only `includes` needs a closure.
    """
    of: dict[int, list[int]] = defaultdict(list)
    for number, (a, _) in enumerate(productions):
        of[a].append(number)
    goal = (0, productions[-1][0])
    follow = {(p, a): 0 for p, moves in enumerate(states) for a in moves if a < k}
    for p, a in follow:
        follow[p, a] = sum(1 << (symbol - k + 1) for symbol in states[states[p][a]] if symbol >= k)
    follow[goal] = _END
    passes: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)  # what follows the key follows these
    ends: list[tuple[int, int, tuple[int, int]]] = []
    for p, a in follow:
        for number in of[a]:
            q = p
            for symbol in productions[number][1]:
                last, q = (q, symbol), states[q][symbol]
            ends.append((q, number, (p, a)))
            if last in follow:
                passes[p, a].append(last)
    queue = dict.fromkeys(follow)
    while queue:
        source, _ = queue.popitem()
        for target in passes[source]:
            if follow[source] & ~follow[target]:
                follow[target] |= follow[source]
                queue[target] = None
    reductions: list[dict[int, int]] = [{} for _ in states]
    for q, number, origin in ends:
        reductions[q][number] = reductions[q].get(number, 0) | follow[origin]
    return reductions
