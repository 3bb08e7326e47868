"""A corpus: text in three splits, encoded once, read from disk as batches."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gentext.text.cut import SPLITS
from gentext.text.download import cache_folder
from gentext.text.encode import Meta, encode, write_text
from gentext.text.sources import Source
from gentext.text.store import Lines, Ragged, keep
from gentext.text.tokenizer import Recipe, Tokenizer
from gentext.text.truth import Truth
from gentext.text.words import word_rule
from gentext.types import EOS, PAD, Batch

PIECE = 256  # tokens of a piece of a stream, unless max_len says otherwise
LONGEST = 10_000  # tokens of a line that are plausible; more is asked about, for a batch is as wide as its longest row
BUCKET = 50  # batches that are sorted by length together

log = logging.getLogger("gentext")


class Corpus:
    """Texts of `train`, `valid` and `test`, and their token ids, both memory-mapped.

    `max_len` counts tokens, EOS included: it is the longest row that `batches` gives. A longer line is cut there, has
    no EOS, and is counted in the fingerprint. A stream is one text: `windows` reads it through, and `lines` and
    `batches` give it in pieces of `max_len` tokens, none of which ends in EOS but the last.
    """

    def __init__(
        self, source: Source, tokenizer: Tokenizer, text: Path, ids: Path, meta: Meta, max_len: int | None
    ) -> None:
        self.name = source.name
        self.tokenizer = tokenizer
        self.stream = source.stream
        self.pairs = source.pairs
        self.truth: Truth | None = source.truth
        self._source = source
        self._meta = meta
        self._text = {split: Lines(Ragged(text / split, "uint8")) for split in SPLITS}
        self._asked = (
            {split: Lines(Ragged(text / f"{split}.prompt", "uint8")) for split in SPLITS} if self.pairs else None
        )
        self._ids = {split: Ragged(ids / split, meta["dtype"]) for split in SPLITS}
        self._prompts = (
            {split: Ragged(ids / f"{split}.prompt", meta["dtype"]) for split in SPLITS} if self.pairs else None
        )
        self.max_len = self._limit(max_len)
        self._cut = {
            split: 0 if self.stream else int((self._ids[split].lengths > self.max_len).sum()) for split in SPLITS
        }
        for split, n in self._cut.items():
            if n:
                log.warning(
                    "%s: %d of %d lines of %s are longer than max_len=%d tokens and are cut there",
                    self.name,
                    n,
                    self.size(split),
                    split,
                    self.max_len,
                )

    @classmethod
    def open(
        cls, source: Source, tokenizer: Recipe | Tokenizer, *, max_len: int | None = None, cache: Path | None = None
    ) -> Corpus:
        """The corpus of a source, its tokenizer fitted on train unless it is given fitted, all of it kept in `cache`.

        Raises ValueError where the source holds no usable text, OSError where the cache cannot be written.
        """
        cache = cache_folder() if cache is None else Path(cache)
        text, said = keep(cache / "text", source.identity(), lambda folder: write_text(source, folder))
        train = Lines(Ragged(text / "train", "uint8"))
        fitted = tokenizer if isinstance(tokenizer, Tokenizer) else _fit(tokenizer, source, said, train, text, cache)
        key = hashlib.sha256(f"{said['sha256']}/{fitted.sha256}/{source.stream}".encode()).hexdigest()
        ids, meta = keep(cache / "ids", key, lambda folder: encode(text, fitted, folder, stream=source.stream))
        return cls(source, fitted, text, ids, {**said, **meta}, max_len)

    def lines(self, split: str) -> Sequence[str]:
        """The texts of a split, as a sequence that reads from disk; of a stream, its pieces."""
        _known(split)
        return Pieces(self, split) if self.stream else self._text[split]

    def prompts(self, split: str) -> Sequence[str] | None:
        """What each text answers, where the corpus is of pairs."""
        _known(split)
        return None if self._asked is None else self._asked[split]

    def size(self, split: str) -> int:
        """How many texts a split has (of a stream: pieces)."""
        _known(split)
        return -(-self.tokens(split) // self.max_len) if self.stream else len(self._ids[split])

    def tokens(self, split: str) -> int:
        """How many tokens a split has, one EOS a line included (of a stream: one at its end)."""
        _known(split)
        return len(self._ids[split].values)

    def words(self, text: str) -> list[str]:
        """The words of a text by the corpus's own rule, lower-cased where the corpus is."""
        return word_rule(self._source.words).split(text.lower() if self._source.lowercase else text)

    def batches(self, split: str, size: int, *, rng: torch.Generator | None = None) -> Iterator[Batch]:
        """One epoch in batches of `size` rows: in order, or with `rng` shuffled, rows of like length together."""
        n, lengths = self.size(split), self._lengths(split)
        if rng is None:
            groups: Iterator[np.ndarray] | list[np.ndarray] = (
                np.arange(i, min(i + size, n)) for i in range(0, n, size)
            )
        else:
            order = torch.randperm(n, generator=rng).numpy()
            pools = (order[i : i + size * BUCKET] for i in range(0, n, size * BUCKET))
            pools = (pool[np.argsort(lengths[pool], kind="stable")] for pool in pools)
            groups = [pool[i : i + size] for pool in pools for i in range(0, len(pool), size)]
            groups = [groups[i] for i in torch.randperm(len(groups), generator=rng)]
        for rows in groups:
            yield self._rows(split, rows)

    def windows(self, split: str, size: int, length: int) -> Iterator[Batch]:
        """A stream in `size` parallel rows of `length` tokens, each row going on where it stood in the batch before.

        The first batch begins anew: it does not carry.
        """
        if not self.stream:
            raise ValueError(f"{self.name} is a corpus of lines; windows are of a stream. Use data.unit=stream")
        values = self._ids[split].values
        part = -(-len(values) // size)
        starts = np.minimum(np.arange(size) * part, len(values))
        ends = np.minimum(starts + part, len(values))
        for at in range(0, part, length):
            begin = np.minimum(starts + at, ends)
            yield replace(_gather(values, begin, np.minimum(begin + length, ends) - begin), carry=at > 0)

    def batch(self, texts: Sequence[str], prompts: Sequence[str] | None = None) -> Batch:
        """Any texts as a batch, on the same terms as `batches`: EOS at the end, cut at `max_len` with a warning."""
        end = [] if self.stream else [EOS]
        rows = [[*ids, *end] for ids in self.tokenizer.encode(texts)]
        long = sum(len(row) > self.max_len for row in rows)
        if long:
            log.warning(
                "%d of %d texts are longer than max_len=%d tokens and are cut there", long, len(rows), self.max_len
            )
        batch = _padded([row[: self.max_len] for row in rows])
        if prompts is None:
            return batch
        end = [EOS] if self.pairs else []
        return replace(batch, prompt=_padded([[*ids, *end] for ids in self.tokenizer.encode(prompts)]).tokens)

    def fingerprint(self) -> dict[str, Any]:
        """What decides the numbers that rest on this corpus, as plain data."""
        source = self._source
        return {
            "name": self.name,
            "origin": source.origin,
            "licence": source.licence,
            "words": source.words,
            "lowercase": source.lowercase,
            "stream": self.stream,
            "pairs": self.pairs,
            "max_len": self.max_len,
            "tokenizer": self.tokenizer.signature(),
            "tokenizer_sha256": self.tokenizer.sha256,
            "splits": {
                split: {
                    **self._meta["splits"][split],
                    "tokens": self.tokens(split),
                    "unknown": self._meta["unknown"][split],
                    "cut": self._cut[split],
                }
                for split in SPLITS
            },
        }

    def _limit(self, asked: int | None) -> int:
        if asked is not None:
            if asked < 2:
                raise ValueError(
                    f"max_len is {asked}; it must be 2 or more (a token and EOS), or null for the longest line"
                )
            return asked
        if self.stream:
            return PIECE
        longest = {split: int(self._ids[split].lengths.max(initial=1)) for split in SPLITS}
        split = max(longest, key=lambda split: longest[split])
        if longest[split] > LONGEST:
            line = int(self._ids[split].lengths.argmax())
            raise ValueError(
                f"line {line + 1} of {self.name}'s {split} has {longest[split] - 1} tokens, and a batch is as wide as "
                "its longest row. Give max_len=512 to cut such lines there, or read one stream (data.unit=stream)"
            )
        return longest[split]

    def _lengths(self, split: str) -> np.ndarray:
        if self.stream:
            n = self.tokens(split)
            return np.diff(np.append(np.arange(0, n, self.max_len), n))
        return np.minimum(self._ids[split].lengths, self.max_len)

    def _rows(self, split: str, rows: np.ndarray) -> Batch:
        ids = self._ids[split]
        starts = rows * self.max_len if self.stream else ids.offsets[rows]
        batch = _gather(ids.values, starts, self._lengths_of(split, rows))
        if self._prompts is None:
            return batch
        asked = self._prompts[split]
        starts = asked.offsets[rows]
        return replace(batch, prompt=_gather(asked.values, starts, asked.offsets[rows + 1] - starts).tokens)

    def _lengths_of(self, split: str, rows: np.ndarray) -> np.ndarray:
        if self.stream:
            return np.minimum((rows + 1) * self.max_len, self.tokens(split)) - rows * self.max_len
        return np.minimum(self._ids[split].offsets[rows + 1] - self._ids[split].offsets[rows], self.max_len)


class Pieces(Sequence[str]):
    """A stream's text in pieces of `max_len` tokens, decoded as they are read."""

    def __init__(self, corpus: Corpus, split: str) -> None:
        self._corpus, self._split = corpus, split

    def __len__(self) -> int:
        return self._corpus.size(self._split)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"piece {index} of {len(self)}")
        start = index % len(self) * self._corpus.max_len
        ids = self._corpus._ids[self._split].values[start : start + self._corpus.max_len]
        return self._corpus.tokenizer.decode([ids.tolist()])[0]


def _fit(recipe: Recipe, source: Source, said: dict[str, Any], train: Lines, text: Path, cache: Path) -> Tokenizer:
    """The recipe's tokenizer of this train split, from the cache where it was fitted before."""
    vocabulary = tuple(getattr(source.truth, "vocabulary", None) or ())
    key = json.dumps([said["splits"]["train"], repr(recipe), vocabulary])

    def write(folder: Path) -> dict[str, Any]:
        prompts = Lines(Ragged(text / "train.prompt", "uint8")) if source.pairs else ()
        recipe.fit((t for texts in (train, prompts) for t in texts), vocabulary=vocabulary).save(
            folder / "tokenizer.json"
        )
        return {}

    folder, _ = keep(cache / "tokenizers", hashlib.sha256(key.encode()).hexdigest(), write)
    return Tokenizer.load(folder / "tokenizer.json")


def _gather(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Batch:
    """Rows `values[start : start + length]` as a batch."""
    width = max(int(lengths.max(initial=0)), 1)
    at = starts[:, None] + np.arange(width)[None]
    mask = np.arange(width)[None] < lengths[:, None]
    tokens = np.where(mask, values[np.minimum(at, len(values) - 1)], PAD) if len(values) else np.zeros(at.shape)
    return Batch(torch.from_numpy(tokens.astype(np.int64)), torch.from_numpy(mask))


def _padded(rows: list[list[int]]) -> Batch:
    lengths = np.array([len(row) for row in rows], np.int64)
    values = np.fromiter((i for row in rows for i in row), np.int64, int(lengths.sum()))
    return _gather(values, np.cumsum(lengths) - lengths, lengths)


def _known(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"{split!r} is no split; they are {', '.join(SPLITS)}")
