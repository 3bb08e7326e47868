"""Brown clustering: words that keep the same company, merged greedily so that as little mutual information is lost."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csc_array, csr_array


class Brown:
    """Clusters of words that maximise the mutual information of neighbouring clusters.

    Words enter by frequency; whenever there are k + 1 clusters, the two whose merger costs least become one.
    Source: Brown et al. 1992, section 3, with the window of k clusters of its second algorithm.
    Differs: a cluster's marginal counts are those of the whole text, also of words that have not entered yet. Words
    that never occur join the smallest cluster.

    Example:
        >>> counts = csr_array(np.array([[0, 0, 5, 4], [0, 0, 4, 3], [3, 3, 0, 0], [2, 2, 0, 0]]))
        >>> Brown()(counts, 2).tolist()  # the words that the same words follow
        [1, 1, 0, 0]
    """

    def __call__(self, bigrams: csr_array, k: int, *, rng: torch.Generator | None = None) -> np.ndarray:
        """The cluster, 0 .. k-1, of each word, int64 [v], from counts of neighbours [left, right]. Draws nothing."""
        counts = np.asarray(bigrams.sum(1)).ravel() + np.asarray(bigrams.sum(0)).ravel()
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        if not 1 <= k <= len(order):
            raise ValueError(f"{k} clusters were asked of {len(order)} different words; give 1 to {len(order)}")
        window = Window(bigrams, k)
        for rank, word in enumerate(order.tolist()):
            window.place(word)
            if rank >= k:
                window.merge(*window.cheapest())
        return self._labels(window.slot_of, counts)

    def _labels(self, slot_of: np.ndarray, counts: np.ndarray) -> np.ndarray:
        seen = slot_of >= 0
        labels = np.unique(slot_of[seen], return_inverse=True)[1]
        sizes = np.bincount(labels, weights=counts[seen])
        out = np.full(len(slot_of), sizes.argmin())
        out[seen] = labels
        return out


class Window:
    """k + 1 clusters at most, and what merging each pair would lose.

    The mutual information times the token count is sum f(N_ij) - sum n_i log l_i - sum m_j log r_j + constant, with
    f(x) = x log x, N the window's bigrams, n and m their row and column sums, l and r the text's marginals. The losses
    of the first sum are kept up to date pair by pair, in time linear in k for a word with few neighbours.
    """

    def __init__(self, bigrams: csr_array, k: int) -> None:
        self.rows, self.columns = csr_array(bigrams), csc_array(bigrams)
        self.left, self.right = np.asarray(bigrams.sum(1)).ravel(), np.asarray(bigrams.sum(0)).ravel()
        self.slot_of = np.full(len(self.left), -1)
        self.free = list(range(k, -1, -1))
        size = k + 1
        self.used = np.zeros(size, bool)
        self.N = np.zeros((size, size))
        self.marginal = np.zeros((2, size))  # l, r
        self.pairs = np.zeros((2, size, size))  # log(l_i + l_j), log(r_i + r_j)
        self.lost = np.zeros((2, size, size))  # sum over c of f(N_ic) + f(N_jc) - f(N_ic + N_jc), and of columns
        self.corner = np.zeros((size, size))  # mends what `lost` counts twice or wrongly among i and j themselves

    def place(self, word: int) -> None:
        """The word becomes a cluster."""
        slot = self.free.pop()
        self.slot_of[word], self.used[slot] = slot, True
        for axis, matrix in enumerate((self.rows, self.columns)):
            at = slice(matrix.indptr[word], matrix.indptr[word + 1])
            slots = self.slot_of[matrix.indices[at]]
            inside = slots >= 0
            line = np.bincount(slots[inside], matrix.data[at][inside], len(self.used))
            self._lines(axis)[slot] = line
        self.marginal[:, slot] = self.left[word], self.right[word]
        for axis in (0, 1):
            line = self._lines(axis)[:, slot]  # a new term of the sum over c
            near = np.flatnonzero(line)
            self.lost[axis][np.ix_(near, near)] += drop(line, near)[:, near]
        self._refresh(slot)

    def cheapest(self) -> tuple[int, int]:
        """The pair of clusters whose merger loses least."""
        losses = self.losses()
        losses[~self.used] = losses[:, ~self.used] = np.inf
        losses[np.tril_indices(len(losses))] = np.inf
        i, j = np.unravel_index(losses.argmin(), losses.shape)
        return int(i), int(j)

    def losses(self) -> np.ndarray:
        """The mutual information, times the text's bigrams, that merging each pair would lose."""
        losses = self.lost[0] + self.lost[1] + self.corner
        for axis in (0, 1):
            n = self.N.sum(1 - axis)
            alone = n * np.log(np.maximum(self.marginal[axis], 1.0))
            losses += (n[:, None] + n) * self.pairs[axis] - alone[:, None] - alone
        return losses

    def merge(self, a: int, b: int) -> None:
        """Two clusters become one, in the slot of the one with more neighbours."""
        if self._neighbours(a) < self._neighbours(b):
            a, b = b, a
        for axis in (0, 1):
            x, y = self._lines(axis)[:, [a, b]].T  # two terms of the sum over c become one
            near = np.flatnonzero(y)
            change = drop(x + y, near) - drop(x, near) - drop(y, near)
            self.lost[axis][near] += change
            self.lost[axis][:, near] += change.T
            self.lost[axis][np.ix_(near, near)] -= change[:, near]
        for lines in (self.N, self.N.T, self.marginal.T):
            lines[a] += lines[b]
            lines[b] = 0
        self.slot_of[self.slot_of == b] = a
        self.used[b] = False
        self.free.append(b)
        self._refresh(a)
        self._refresh(b)

    def _refresh(self, slot: int) -> None:
        """All that involves a slot whose counts have changed."""
        for axis in (0, 1):
            lines = self._lines(axis)
            near = np.flatnonzero(lines[slot])
            line = lines[slot, near]
            others = lines[:, near]
            self.lost[axis][slot] = (f(line) + f(others) - f(line + others)).sum(1)
            self.lost[axis][:, slot] = self.lost[axis][slot]
            both = self.marginal[axis, slot] + self.marginal[axis]
            self.pairs[axis][slot] = self.pairs[axis][:, slot] = np.log(np.maximum(both, 1))
        ii, ij, ji, jj = self.N[slot, [slot]], self.N[slot], self.N[:, slot], self.N.diagonal()
        twice = f(ii) + f(ij) + f(ji) + f(jj)
        halves = f(ii + ji) + f(ij + jj) + f(ii + ij) + f(ji + jj)
        self.corner[slot] = self.corner[:, slot] = halves - twice - f(ii + ij + ji + jj)

    def _lines(self, axis: int) -> np.ndarray:
        """The counts with the clusters that a sum of `lost` compares as rows: left (0) or right neighbours (1)."""
        return self.N if axis == 0 else self.N.T

    def _neighbours(self, slot: int) -> int:
        return int(np.count_nonzero(self.N[slot]) + np.count_nonzero(self.N[:, slot]))


def f(x: np.ndarray) -> np.ndarray:
    """x log x, of counts: 0 or from 1 on."""
    return x * np.log(np.maximum(x, 1.0))


def drop(x: np.ndarray, near: np.ndarray) -> np.ndarray:
    """f(x_i) + f(x_j) - f(x_i + x_j) for i in `near` and every j."""
    return f(x[near, None]) + f(x) - f(x[near, None] + x)
