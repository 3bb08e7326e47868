"""Arrays of n-grams: every n-gram of many sentences as an integer, order by order, with no loop over tokens.

An n-gram of order k is a pair of overlapping n-grams of order k - 1, so its rank among all of its order is found from
two smaller ranks by one stable radix sort: time and memory grow linearly with the tokens, whatever the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray


@dataclass(frozen=True)
class Sentences:
    """Sentences end to end: an integer for every word (an id, or a hash that processes share), and their lengths."""

    words: Int[ndarray, " t"]
    lengths: Int[ndarray, " n"]

    def __len__(self) -> int:
        return len(self.lengths)

    def __add__(self, other: Sentences) -> Sentences:
        """These sentences, then the others."""
        return Sentences(np.concatenate([self.words, other.words]), np.concatenate([self.lengths, other.lengths]))

    def __getitem__(self, rows: slice) -> Sentences:
        """The sentences of one contiguous slice."""
        begin, end, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"step is {step}; sentences are cut into contiguous slices only: leave the step out")
        offsets = np.concatenate([[0], self.lengths.cumsum()])
        return Sentences(self.words[offsets[begin] : offsets[max(begin, end)]], self.lengths[begin:end])

    @property
    def sentence(self) -> Int[ndarray, " t"]:
        """Which sentence each word stands in."""
        return np.repeat(np.arange(len(self)), self.lengths)


def hashed(sentences: Iterable[Sequence[str]]) -> Sentences:
    """The sentences with each word as 63 bits of its BLAKE2 digest: the same integer in every process.

    Two of a million different words share an integer with probability 5e-8.
    """
    table = _Hashes()
    words: list[int] = []
    lengths: list[int] = []
    for sentence in sentences:
        words.extend(map(table.__getitem__, sentence))
        lengths.append(len(sentence))
    return Sentences(np.array(words, dtype=np.int64), np.array(lengths, dtype=np.int64))


class _Hashes(dict):
    def __missing__(self, word: str) -> int:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self[word] = value = int.from_bytes(digest, "big") >> 1
        return value


@dataclass(frozen=True)
class Units:
    """The n-grams of one order with a sentence's second, third, ... occurrence of one told apart from its first.

    A sentence holds each unit at most once, so that the clipped counts of BLEU, and the minimum of two multisets in
    general, become membership: of c and c' occurrences of one n-gram, min(c, c') units are the same.
    """

    unit: Int[ndarray, " t"]  # 0 .. size - 1; a first occurrence has the n-gram's own rank
    sentence: Int[ndarray, " t"]
    size: int


@dataclass(frozen=True)
class NgramRanks:
    """The n-grams of one order: an entry for each place where one begins, in the order of the text."""

    order: int
    place: Int[ndarray, " t"]  # ascending; neighbours differ by one within a sentence, by more across two
    sentence: Int[ndarray, " t"]
    rank: Int[ndarray, " t"]  # 0 .. size - 1; equal n-grams have equal ranks
    by_rank: Int[ndarray, " t"]  # the entries sorted by rank, then by place
    size: int

    def longer(self, keep: Bool[ndarray, " t"] | None = None) -> NgramRanks:
        """The n-grams of the next order; of those only whose both parts `keep` keeps."""
        follows = self.place[1:] == self.place[:-1] + 1
        if keep is not None:
            follows &= keep[1:]
            follows &= keep[:-1]
        at = np.flatnonzero(follows)
        pair = self.rank[at] * self.size + self.rank[at + 1]
        return NgramRanks(self.order + 1, self.place[at], self.sentence[at], *ranked(pair))

    def counts(self) -> Int[ndarray, " v"]:
        """How often each n-gram occurs, by rank."""
        return np.bincount(self.rank, minlength=self.size)

    def units(self) -> Units:
        """The unit at each place."""
        rank, sentence = self.rank[self.by_rank], self.sentence[self.by_rank]
        again = np.zeros(len(rank), dtype=bool)
        again[1:] = (rank[1:] == rank[:-1]) & (sentence[1:] == sentence[:-1])
        repeats = np.flatnonzero(again)
        if not len(repeats):
            return Units(self.rank, self.sentence, self.size)
        first = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))[repeats]
        occurrence = repeats - first
        extra, _, size = ranked(rank[repeats] * (occurrence.max() + 1) + occurrence)
        unit = self.rank.copy()
        unit[self.by_rank[repeats]] = self.size + extra
        return Units(unit, self.sentence, self.size + size)


def unigrams(sentences: Sentences) -> NgramRanks:
    """The words as n-grams of order 1."""
    sentence = sentences.sentence
    place = np.arange(len(sentence)) + sentence  # one place left free between two sentences
    return NgramRanks(1, place, sentence, *ranked(sentences.words))


def orders(sentences: Sentences, largest: int) -> Iterator[NgramRanks]:
    """The n-grams of orders 1 .. `largest`, one after another."""
    grams = unigrams(sentences)
    yield grams
    for _ in range(1, largest):
        grams = grams.longer()
        yield grams


def ranked(key: Int[ndarray, " t"]) -> tuple[Int[ndarray, " t"], Int[ndarray, " t"], int]:
    """Each key's rank among the distinct keys, the stable order by key, and the number of distinct keys."""
    if not len(key):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), 0
    ordered, by_rank = _sort(key)
    ranks = np.zeros(len(key), dtype=np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=ranks[1:])
    rank = np.empty_like(ranks)
    rank[by_rank] = ranks
    return rank, by_rank, int(ranks[-1]) + 1


def _sort(key: Int[ndarray, " t"]) -> tuple[Int[ndarray, " t"], Int[ndarray, " t"]]:
    """The keys in ascending order, and where each stood: torch's radix sort, five times as fast as NumPy's argsort."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second thread gains a tenth on an idle core, and loses tenfold where the core is taken
    try:
        ordered, index = torch.sort(torch.from_numpy(key), stable=True)
    finally:
        torch.set_num_threads(threads)
    return ordered.numpy(), index.numpy()
