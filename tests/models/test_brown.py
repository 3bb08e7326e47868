"""Brown clustering against the definition: mutual information computed from scratch for every pair."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from gentext.models.hmm.brown import Brown, Window


def bigrams(tokens: list[int], v: int) -> csr_array:
    return csr_array((np.ones(len(tokens) - 1), (tokens[:-1], tokens[1:])), shape=(v, v))


def zipf(v: int, n: int, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    p = 1 / np.arange(1, v + 1)
    state, tokens = 0, []
    for _ in range(n):  # each word prefers a few followers, so that there are classes to find
        state = int(rng.choice(v, p=np.roll(p, 3 * (state % 5)) / p.sum()))
        tokens.append(state)
    return tokens


def information(counts: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """sum N_ij log(N_ij total / (l_i r_j))."""
    i, j = np.nonzero(counts)
    return float((counts[i, j] * np.log(counts[i, j] * left.sum() / (left[i] * right[j]))).sum())


def merged(counts: np.ndarray, left: np.ndarray, right: np.ndarray, i: int, j: int):
    counts, left, right = counts.copy(), left.copy(), right.copy()
    for lines in (counts, counts.T, left, right):
        lines[i] += lines[j]
        lines[j] = 0
    return counts, left, right


def by_definition(counts: np.ndarray, k: int) -> list[set[int]]:
    """Brown's greedy algorithm, each loss the difference of two sums over all pairs of clusters."""
    left, right = counts.sum(1), counts.sum(0)
    order = np.argsort(-(left + right), kind="stable")
    clusters: list[set[int]] = []
    for rank, word in enumerate(order):
        clusters.append({int(word)})
        if rank < k:
            continue
        member = [sorted(cluster) for cluster in clusters]
        table = np.array([[counts[np.ix_(a, b)].sum() for b in member] for a in member])
        sums = np.array([left[a].sum() for a in member]), np.array([right[a].sum() for a in member])
        here = information(table, *sums)
        pairs = list(itertools.combinations(range(len(clusters)), 2))
        losses = [here - information(*merged(table, *sums, i, j)) for i, j in pairs]
        i, j = pairs[int(np.argmin(losses))]
        clusters[i] |= clusters.pop(j)
    return clusters


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_it_finds_the_clusters_of_the_definition(seed, k):
    v = 25
    counts = bigrams(zipf(v, 4000, seed), v)
    labels = Brown()(counts, k)
    ours = sorted(sorted(np.flatnonzero(labels == c).tolist()) for c in range(k))
    assert ours == sorted(sorted(cluster) for cluster in by_definition(counts.toarray(), k))


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(0, 8), min_size=30, max_size=200), st.integers(2, 5))
def test_every_loss_is_the_difference_of_informations(tokens, k):
    counts = bigrams(tokens, 9)
    frequency = np.bincount(tokens, minlength=9)
    window = Window(counts, k)
    for rank, word in enumerate(np.argsort(-frequency)[: np.count_nonzero(frequency)].tolist()):
        window.place(word)
        used = np.flatnonzero(window.used)
        here = information(window.N, *window.marginal)
        losses = window.losses()
        for i, j in itertools.combinations(used, 2):
            there = information(*merged(window.N, *window.marginal, i, j))
            assert losses[i, j] == pytest.approx(here - there, abs=1e-8)
        if rank >= k:
            window.merge(*window.cheapest())


def test_words_that_never_occur_join_the_smallest_cluster():
    labels = Brown()(bigrams([0, 1] * 20 + [2, 3] * 5, 6), 2)
    assert labels[4] == labels[5] == np.bincount(labels[:4], weights=[20, 20, 5, 5]).argmin()


def test_words_of_one_company_share_a_cluster():
    rng = np.random.default_rng(0)
    tokens = np.stack([rng.integers(0, 5, 3000), rng.integers(5, 10, 3000), rng.integers(10, 15, 3000)], 1).ravel()
    labels = Brown()(bigrams(tokens.tolist(), 15), 3)
    assert [len(set(labels[i : i + 5])) for i in (0, 5, 10)] == [1, 1, 1]
    assert len(set(labels)) == 3


def test_more_clusters_than_words_are_refused():
    with pytest.raises(ValueError, match="4 clusters were asked of 2 different words"):
        Brown()(bigrams([0, 1, 0], 9), 4)
