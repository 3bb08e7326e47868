"""The captions: speed against the bars and against NLTK, and how far agreement reaches.

python tests/benchmarks/bench_grammar.py
"""

import time
from collections.abc import Callable
from importlib.resources import files

import numpy as np
import torch
from nltk.grammar import PCFG
from nltk.parse import BottomUpLeftCornerChartParser, InsideChartParser
from nltk.tree import Tree

from gentext.truth.grammar import Grammar

N = 20_000
BAR = 5_000  # sentences a second, for drawing and for scoring


def best(act: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def head(tree: Tree, at: int) -> int | None:
    """Where the noun stands that a phrase beginning at word `at` agrees by."""
    for leaf in range(len(tree.leaves())):
        above = tree[tree.leaf_treeposition(leaf)[:-1]]
        assert isinstance(above, Tree)
        label = above.label()
        if label.startswith("N-") or label in ("Group", "Herd", "Flock"):
            return at + leaf
    return None


def distances(tree: Tree, at: int = 0) -> list[int]:
    """How many words on the finite verb stands from the noun that it agrees with, for each pair in the tree."""
    found: list[int] = []
    subject = None
    for child in tree:
        if isinstance(child, Tree):
            label = child.label()
            if label.startswith(("VP-", "Gaps-")) or label in ("Is", "Are"):
                if subject is not None:
                    found.append(at - subject)
            elif label == "And":
                subject = None  # of two nouns the nearer one counts
            elif subject is None and label not in ("There", "Who", "That"):
                subject = head(child, at)
            found += distances(child, at)
            at += len(child.leaves())
        else:
            at += 1
    return found


def main() -> None:
    torch.set_num_threads(2)
    truth = Grammar()
    texts = truth.sample(N, torch.Generator().manual_seed(0))
    tokens = sum(len(text.split()) for text in texts) / N
    print(f"{len(truth.rules.words)} words, {len(truth.rules)} rules, {tokens:.2f} tokens a sentence, one core used\n")

    draw = N / best(lambda: truth.sample(N, torch.Generator().manual_seed(0)))
    score = N / best(lambda: truth.log_prob(texts))
    profile = N / best(lambda: truth.rule_usage(texts), 3)
    rng = np.random.default_rng(0)
    garbage = [" ".join(rng.choice(truth.rules.words, 60)) for _ in range(2_000)]
    refuse = len(garbage) / best(lambda: truth.log_prob(garbage), 3)
    theirs = PCFG.fromstring((files("gentext.truth") / "captions.pcfg").read_text())
    parser = InsideChartParser(theirs)
    sentences = [text.split() for text in texts[:100]]
    nltk = len(sentences) / best(lambda: [list(parser.parse(words)) for words in sentences], 1)
    print(f"{'sentences a second':32}{'ours':>10}{'bar':>8}{'NLTK':>8}{'ratio':>8}")
    print(f"{'sample':32}{draw:10,.0f}{BAR:8,}")
    print(f"{'log_prob':32}{score:10,.0f}{BAR:8,}{nltk:8,.0f}{score / nltk:8,.0f}")
    print(f"{'rule_usage':32}{profile:10,.0f}")
    print(f"{'log_prob of 60 random words':32}{refuse:10,.0f}\n")

    surprise = -truth.log_prob(texts)
    error = surprise.std() / np.sqrt(N)
    print(f"entropy {truth.entropy:.4f} nats a sentence; mean -log_prob of {N:,}: {surprise.mean():.4f} +- {error:.4f}")
    chart = BottomUpLeftCornerChartParser(theirs)
    reach = [max(distances(next(chart.parse(text.split()))), default=0) for text in texts[:2_000]]
    for beyond in (1, 2, 3, 4, 6, 8):
        share = np.mean([far > beyond for far in reach])
        print(f"a noun more than {beyond} words before its verb: {share:.1%} of sentences")


if __name__ == "__main__":
    main()
