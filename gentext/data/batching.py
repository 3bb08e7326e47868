"""Rows of token ids on disk, as batches: in order, shuffled by length, or as windows that go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch

from gentext.data.ragged import Ragged
from gentext.data.tokenizer import Tokenizer
from gentext.types import PAD, UNK, Batch

POOL = 50  # batches whose rows are sorted by length together

Batching = Literal["texts", "tokens", "mixed"]
"""The batches of a shuffled epoch: of as many rows each, or of as many tokens each, where rows of like length meet; or
of as many rows each, of any lengths."""


class Encoded:
    """One split's ids: a row a line, cut at `max_len`; of a stream, a row every `max_len` tokens.

    Args:
        ids: of the split.
        max_len: tokens of the longest row.
        stream: the ids are one text.
        inside: of every id, whether it begins inside a character [v]: no row of a stream does.
    """

    def __init__(self, ids: Ragged, max_len: int, *, stream: bool, inside: np.ndarray | None = None) -> None:
        self.ids, self.max_len, self._stream = ids, max_len, stream
        self._cuts = _between_characters(ids.values, inside, max_len) if stream and inside is not None else None
        self.cut = 0 if stream else int((ids.lengths > max_len).sum())  # rows that lose their end

    def __len__(self) -> int:
        if self._cuts is not None:
            return len(self._cuts) - 1
        return -(-self.tokens // self.max_len) if self._stream else len(self.ids)

    @property
    def tokens(self) -> int:
        """Of all rows together, before any is cut."""
        return len(self.ids.values)

    @property
    def kept(self) -> int:
        """Tokens of all rows together, as far as `max_len` lets them go."""
        return self.tokens if self._stream else int(np.minimum(self.ids.lengths, self.max_len).sum())

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of each of these rows."""
        if self._cuts is not None:
            return self._cuts[rows + 1] - self._cuts[rows]
        end = self.tokens if self._stream else self.ids.offsets[rows + 1]
        return np.minimum(end - self.starts(rows), self.max_len)

    @property
    def longest(self) -> int:
        """Tokens of the longest row, before any is cut."""
        return self.max_len if self._stream else int(self.ids.lengths.max(initial=1))

    def batch(self, rows: np.ndarray) -> Batch:
        """These rows, padded to the longest of them."""
        return self._gather(self.starts(rows), self.lengths(rows))

    def whole(self, size: int) -> Iterator[np.ndarray]:
        """The rows of each batch of whole lines, in order; few where one of them is much longer than `max_len`."""
        for rows in self.epoch(size, None):
            longest = int(self.ids.lengths[rows].max(initial=1))
            least = max(1, size * self.max_len // longest)
            yield from (rows[i : i + least] for i in range(0, len(rows), least))

    def uncut(self, rows: np.ndarray) -> Batch:
        """These lines at their full length."""
        return self._gather(self.starts(rows), self.ids.lengths[rows])

    def epoch(self, size: int, rng: torch.Generator | None, *, batching: Batching = "texts") -> Iterator[np.ndarray]:
        """The rows of each batch, of `size` rows in the mean: in order, or shuffled with `rng`."""
        if size < 1:
            raise ValueError(f"a batch of {size} rows was asked for; it must be 1 or more")
        n = len(self)
        if rng is None:
            yield from (np.arange(i, min(i + size, n)) for i in range(0, n, size))
            return
        order = torch.randperm(n, generator=rng).numpy()
        batches = []
        pool_size = size if batching == "mixed" else size * POOL
        for start in range(0, n, pool_size):
            pool = order[start : start + pool_size]
            lengths = self.lengths(pool)
            by_length = np.argsort(lengths, kind="stable")
            pool = pool[by_length]
            if batching == "tokens":
                batches += np.split(pool, _even_cuts(lengths[by_length], -(-len(pool) // size)))
            else:
                batches += [pool[i : i + size] for i in range(0, len(pool), size)]
        yield from (batches[i] for i in torch.randperm(len(batches), generator=rng).tolist())

    def windows(self, size: int, length: int) -> Iterator[Batch]:
        """All ids as `size` parallel rows, `length` at a time, each row going on where it stood in the batch before."""
        if size < 1 or length < 1:
            raise ValueError(f"windows of {size} rows and {length} tokens were asked for; both must be 1 or more")
        n = self.tokens
        part = -(-n // size)
        starts = np.minimum(np.arange(size) * part, n)
        ends = np.minimum(starts + part, n)
        for at in range(0, part, length):
            begin = np.minimum(starts + at, ends)
            yield replace(self._gather(begin, np.minimum(begin + length, ends) - begin), carry=at > 0)

    def sections(self, size: int, length: int, context: int, rng: torch.Generator | None) -> Iterator[Batch]:
        """All ids cut every `length`, `size` sections at a time, each with the `context` ids before it as its prompt.

        In order; or shuffled, and cut at other places each time, with `rng`.
        """
        if size < 1 or length < 1 or context < 0:
            raise ValueError(f"sections of {size} rows and {length} tokens after {context} were asked for")
        n = self.tokens
        offset = length if rng is None else int(torch.randint(1, length + 1, (1,), generator=rng))
        starts = np.concatenate([[0], np.arange(offset, n, length)])
        lengths = np.diff(starts, append=n)
        order = np.arange(len(starts)) if rng is None else torch.randperm(len(starts), generator=rng).numpy()
        for at in range(0, len(order), size):
            rows = order[at : at + size]
            before = np.minimum(starts[rows], context)
            batch = self._gather(starts[rows], lengths[rows])
            prompt = self._gather(starts[rows] - before, before).tokens if context else None
            yield replace(batch, prompt=prompt)

    def starts(self, rows: np.ndarray) -> np.ndarray:
        """Where each of these rows begins among the ids."""
        if self._cuts is not None:
            return self._cuts[rows]
        return rows * self.max_len if self._stream else self.ids.offsets[rows]

    def _gather(self, starts: np.ndarray, lengths: np.ndarray) -> Batch:
        column = np.arange(max(int(lengths.max(initial=0)), 1))[None]
        mask = column < lengths[:, None]
        tokens = np.full(mask.shape, PAD, np.int64)
        tokens[mask] = self.ids.values[(starts[:, None] + column)[mask]]
        return Batch(torch.from_numpy(tokens), torch.from_numpy(mask))


def _even_cuts(lengths: np.ndarray, parts: int) -> np.ndarray:
    """Where to cut rows of these lengths [n] into `parts` <= n of about as many tokens, and one row at least."""
    ends = np.cumsum(lengths)
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts) + 1
    steps = np.arange(1, parts)
    cuts = np.maximum.accumulate(np.maximum(cuts, steps) - steps) + steps
    return np.minimum(cuts, len(lengths) - parts + steps)


def _between_characters(ids: np.ndarray, inside: np.ndarray, max_len: int) -> np.ndarray:
    """Where rows of at most `max_len` ids begin, and the end: each as long as it can be without cutting a character."""
    cuts = [0] if len(ids) else []
    while cuts and cuts[-1] + max_len < len(ids):
        at = cuts[-1] + max_len
        while at > cuts[-1] + 1 and inside[ids[at]]:
            at -= 1
        cuts.append(at)
    return np.array([*cuts, len(ids)])


class Pieces(Sequence[str]):
    """The rows of a stream as text, decoded as they are read, with the words that the tokenizer does not know.

    Args:
        rows: of the split.
        tokenizer: that made them.
        unknown: gives the split's unknown tokens as they are spelled, in the order of the text.
    """

    def __init__(self, rows: Encoded, tokenizer: Tokenizer, unknown: Callable[[], Sequence[str]]) -> None:
        self._rows, self._tokenizer, self._unknown = rows, tokenizer, unknown

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"piece {index} of {len(self)}")
        row = np.array([index % len(self)])
        batch = self._rows.batch(row)
        unknown = int((batch.tokens == UNK).sum())
        if not unknown:
            return self._tokenizer.decode(batch.tokens.tolist())[0]
        before = int(np.searchsorted(self._places, self._rows.starts(row)[0]))
        return self._tokenizer.decode(batch.tokens.tolist(), self._words[before : before + unknown])[0]

    @cached_property
    def _places(self) -> np.ndarray:
        """Where in the stream the unknown tokens are."""
        return np.flatnonzero(self._rows.ids.values == UNK)

    @cached_property
    def _words(self) -> Sequence[str]:
        return self._unknown()
