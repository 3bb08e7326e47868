"""Arrays of n-grams: every n-gram of many sentences as an integer, order by order, with no loop over tokens.

An n-gram of order k is a pair of overlapping n-grams of order k - 1, so its rank among all of its order is found from
two smaller ranks by one sort: time and memory grow linearly with the tokens, whatever the vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt64
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
class NgramRanks:
    """The n-grams of one order: an entry for each place where one begins, in the order of the text."""

    order: int
    place: Int[ndarray, " t"]  # ascending; neighbours differ by one within a sentence, by more across two
    sentence: Int[ndarray, " t"]
    rank: Int[ndarray, " t"]  # 0 .. size - 1; equal n-grams have equal ranks
    by_rank: Int[ndarray, " t"]  # the entries sorted by rank, then by place
    size: int

    def longer(self) -> NgramRanks:
        """The n-grams of the next order."""
        at = np.flatnonzero(self.place[1:] == self.place[:-1] + 1)
        pair = self.rank[at] * self.size + self.rank[at + 1]
        return NgramRanks(self.order + 1, self.place[at], self.sentence[at], *ranked(pair))

    def counts(self) -> Int[ndarray, " v"]:
        """How often each n-gram occurs, by rank."""
        return np.bincount(self.rank, minlength=self.size)

    def repeats(self) -> Int[ndarray, " r"]:
        """The sentence of each n-gram that stands earlier in it, once for each time."""
        rank, sentence = self.rank[self.by_rank], self.sentence[self.by_rank]
        return sentence[1:][(rank[1:] == rank[:-1]) & (sentence[1:] == sentence[:-1])]


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
    ordered, by_rank = sort(key)
    ranks = np.zeros(len(key), dtype=np.int64)
    np.cumsum(ordered[1:] != ordered[:-1], out=ranks[1:])
    rank = np.empty_like(ranks)
    rank[by_rank] = ranks
    return rank, by_rank, int(ranks[-1]) + 1


def sort(key: Int[ndarray, " t"]) -> tuple[UInt64[ndarray, " t"], Int[ndarray, " t"]]:
    """How much each key is above the least, in ascending order, and where each stood, equal keys in their order.

    Each integer that is sorted holds as many bits of a key, the lowest first, as leave room for its place: NumPy sorts
    bare integers seven times as fast as it, or torch's radix sort, orders them together with their places.
    """
    above = key.view(np.uint64) - key.min().view(np.uint64)
    bits = len(key).bit_length()
    order, packed = _placed(above, bits)
    wide = int(above.max()).bit_length()
    if wide <= 64 - bits:
        packed >>= bits
        return packed, order
    for done in range(64 - bits, wide, 64 - bits):
        order = order[_placed(above[order] >> done, bits)[0]]
    return above[order], order


def _placed(key: UInt64[ndarray, " t"], bits: int) -> tuple[Int[ndarray, " t"], UInt64[ndarray, " t"]]:
    """The places of keys in ascending order of what is left of them above `bits` bits, and the integers sorted."""
    packed = key << bits
    packed |= np.arange(len(key), dtype=np.uint64)
    packed.sort()
    return (packed & ((1 << bits) - 1)).view(np.int64), packed
