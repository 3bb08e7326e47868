"""A corpus: text in splits, encoded once, read from disk as batches."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from gentext.data.batching import Batching, Encoded, Pieces
from gentext.data.cache import keep
from gentext.data.download import cache_folder
from gentext.data.prepare import Meta, encode, write_text
from gentext.data.progress import byte_bar
from gentext.data.ragged import Lines, Ragged, chunks
from gentext.data.source import Source, Truth, facts
from gentext.data.spelling import Spelling
from gentext.data.tokenizer import Recipe, Tokenizer
from gentext.data.words import unspaced, word_rule
from gentext.types import EOS, UNK, Batch, Samples, pad

PIECE = 256  # tokens of a piece of a stream, unless max_len says otherwise
LONGEST = 10_000  # tokens of a line; more is asked about, for a batch is as wide as its longest row
MANY_UNKNOWN = 0.05  # of the tokens of test; more is warned of
LABELS = 1_000  # different ones of labelled text, at most
SHOWN = 1_000  # texts of train that are looked at to tell why
FITTING = 2  # how tokenizers are fitted; one of the cache that was fitted in another way is not used
ENCODING = 2  # what is kept of the ids, likewise

log = logging.getLogger("gentext")


class Corpus:
    """Texts of `train`, `valid` and `test`, and their token ids, both memory-mapped.

    `max_len` counts tokens, EOS included: it is the longest row that `batches` gives. A longer line is cut there, has
    no EOS, and is counted in the fingerprint; `whole` gives all of it, for what is scored is the text. A stream is one
    text: `windows` reads it through, and `lines` and `batches` give it in pieces of `max_len` tokens, none of which
    ends in EOS but the last.

    >>> import tempfile
    >>> from gentext.data import LocalText, Word
    >>> path = Path(tempfile.mkdtemp()) / "my.txt"
    >>> _ = path.write_text(chr(10).join(f"line {i}" for i in range(20)))
    >>> corpus = Corpus.open(LocalText(str(path), name="mine", valid=4, test=4), Word(), cache=path.parent / "cache")
    >>> corpus.size("train"), len(next(corpus.batches("train", 8)))
    (12, 8)
    """

    def __init__(
        self, source: Source, tokenizer: Tokenizer, text: Path, ids: Path, meta: Meta, max_len: int | None
    ) -> None:
        self.name = source.name if source.named else f"{source.name}-{meta['sha256'][:8]}"
        self.tokenizer = tokenizer
        self.stream = source.stream
        self.pairs, self.labelled = source.pairs, source.labels
        self.truth: Truth | None = source.truth
        self.canaries = source.canaries
        self.lowercase = source.lowercase  # its text is lower-cased before any tokenizer sees it
        self._source, self._split = source, word_rule(source.words).split
        self._meta = meta
        splits = source.split_names
        parts = [f"{split}.prompt" for split in splits] if self.pairs else []
        self._text = {part: Lines(Ragged(text / part, "uint8")) for part in (*splits, *parts)}
        stored = {part: Ragged(ids / part, meta["dtype"]) for part in (*splits, *parts)}
        self.max_len = self._limit(max_len, {split: stored[split] for split in splits})
        inside = tokenizer.inside() if self.stream else None
        self._ids = {split: Encoded(stored[split], self.max_len, stream=self.stream, inside=inside) for split in splits}
        self._prompts = {part: Encoded(stored[part], self._longest(stored[part]), stream=False) for part in parts}
        for split, rows in self._ids.items():
            if rows.cut:
                log.warning(
                    "%s: %d of %d lines of %s are longer than max_len=%d tokens: cut there to train on, scored whole",
                    *(self.name, rows.cut, len(rows), split, self.max_len),
                )

        self._warn_of_unknowns()
        if self.labelled:
            _check_labels(self.name, {split: Counter(self._text[split]) for split in splits})

    @classmethod
    def open(
        cls, source: Source, tokenizer: Recipe | Tokenizer, *, max_len: int | None = None, cache: Path | None = None
    ) -> Corpus:
        """The corpus of a source, its tokenizer fitted on train unless it is given fitted, all of it kept in `cache`.

        Raises ValueError where the source holds no usable text, OSError where the cache cannot be written.
        """
        cache = cache_folder() if cache is None else Path(cache)
        text, text_meta = keep(cache / "text", source.identity(), lambda folder: write_text(source, folder))
        fitted = tokenizer if isinstance(tokenizer, Tokenizer) else _fit(tokenizer, source, text_meta, text, cache)
        for note in source.notes():
            log.info("%s", note)
        if text_meta["skipped"]:
            log.warning(
                "%s: %d rows are not text and are left out (a pair needs text on both sides); the first: %s",
                *(source.name, text_meta["skipped"], text_meta["first_skipped"]),
            )
        key = hashlib.sha256(f"{ENCODING}/{text_meta['sha256']}/{fitted.sha256}/{source.stream}".encode()).hexdigest()
        ids, meta = keep(
            cache / "ids",
            key,
            lambda folder: encode(text, fitted, folder, splits=source.split_names, stream=source.stream),
        )
        return cls(source, fitted, text, ids, {**text_meta, **meta}, max_len)

    def lines(self, split: str) -> Sequence[str]:
        """The texts of a split, as a sequence that reads from disk; of a stream, its pieces."""
        rows = self._rows(split)
        if not self.stream:
            return self._text[split]
        return Pieces(rows, self.tokenizer, lambda: self._unknown_words(split))

    def text(self, split: str) -> Iterator[str]:
        """The text of a split itself, in the parts that were read; `lines` of a stream is decoded from its tokens."""
        self._rows(split)
        return iter(self._text[split])

    def prompts(self, split: str) -> Sequence[str] | None:
        """What each text answers, where the corpus is of pairs."""
        self._rows(split)
        return self._text[f"{split}.prompt"] if self.pairs else None

    @property
    def track(self) -> str:
        """What is asked of a model of this corpus, and so which rows stand on one board."""
        if self.labelled:
            return "classification"
        return self._source.task or ("conditional" if self.pairs else "unconditional")

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The different labels of train, where the corpus is of labelled text; else none."""
        return tuple(sorted(set(self._text["train"]))) if self.labelled else ()

    def size(self, split: str) -> int:
        """How many texts a split has (of a stream: pieces)."""
        return len(self._rows(split))

    def tokens(self, split: str) -> int:
        """How many tokens a split has, one EOS a line included (of a stream: one at its end)."""
        return self._rows(split).tokens

    def kept(self, split: str) -> int:
        """How many tokens the batches of a split hold: `tokens` less those that `max_len` cuts off."""
        return self._rows(split).kept

    @property
    def one_length(self) -> int | None:
        """The tokens that every text has, by its truth; None where EOS ends each."""
        return None if self.truth is None else self.truth.length

    @property
    def context(self) -> int:
        """Tokens of the longest text and of the longest prompt, one after the other: what reads both at once needs."""
        return self.max_len + max((prompts.max_len for prompts in self._prompts.values()), default=0)

    def words(self, text: str) -> list[str]:
        """The words of a text by the corpus's own rule, lower-cased where the corpus is."""
        return self._split(text.lower() if self._source.lowercase else text)

    def samples(self, texts: Iterable[str], prompts: Iterable[str] | None = None) -> Samples:
        """Texts to be judged, whose words are cut as this corpus's are."""
        prompts = None if prompts is None else tuple(prompts)
        return Samples(tuple(texts), prompts, self._source.words, self._source.lowercase)

    def batches(
        self, split: str, size: int, *, rng: torch.Generator | None = None, batching: Batching = "texts"
    ) -> Iterator[Batch]:
        """One epoch in batches of `size` rows: in order, or with `rng` shuffled.

        Rows of like length are then together, which wastes little on padding; with `batching="tokens"` a batch has more
        rows than `size` where they are short and fewer where they are long, with "mixed" it has rows of any lengths.
        """
        rows = self._rows(split)
        for chosen in rows.epoch(size, rng, batching=batching):
            batch = rows.batch(chosen)
            prompt = self._prompts[f"{split}.prompt"].batch(chosen).tokens if self.pairs else None
            yield replace(batch, prompt=prompt)

    def whole(self, split: str, size: int) -> Iterator[Batch]:
        """The lines of a split in order, each at its full length: what a likelihood is of; at most `size` at a time."""
        rows = self._rows(split)
        for chosen in rows.whole(size):
            prompt = self._prompts[f"{split}.prompt"].batch(chosen).tokens if self.pairs else None
            yield replace(rows.uncut(chosen), prompt=prompt)

    def longest(self, split: str) -> int:
        """Tokens of the longest line of a split, before any is cut; with its prompt, of a corpus of pairs."""
        prompt = self._prompts[f"{split}.prompt"].longest if self.pairs else 0
        return self._rows(split).longest + prompt

    def cut(self, split: str) -> float:
        """The share of a split's lines that `max_len` cuts in `batches`."""
        rows = self._rows(split)
        return rows.cut / max(len(rows), 1)

    def unknown(self, split: str) -> int:
        """How many tokens of a split the tokenizer does not know."""
        self._rows(split)
        return self._meta["unknown"][split]

    def spelled(self, split: str) -> Float[ndarray, " u"]:
        """What it costs to spell each unknown token of a split, in nats, in the order of the text."""
        self._rows(split)
        return self.spelling_of(self._unknown_words(split)).numpy()

    def spelling_of(self, words: Sequence[str]) -> Float[Tensor, " u"]:
        """What it costs to spell each of some unknown words, in nats."""
        different = list(dict.fromkeys(words))
        cost = dict(zip(different, self._spelling.nats(different).tolist(), strict=True)) if different else {}
        return torch.tensor([cost[word] for word in words], dtype=torch.float64)

    def texts(self, rows: Sequence[Sequence[int]], *, seed: int) -> list[str]:
        """Rows of ids as text, each unknown word of which is drawn letter by letter from what spells those of a split.

        So a text is a draw from the distribution over texts that bits a character are of, and shows no ⁇.
        """
        unknown = sum(row.count(UNK) for row in rows)
        return self.tokenizer.decode(rows, self._spelling.draw(unknown, seed) if unknown else ())

    def _unknown_words(self, split: str) -> list[str]:
        return [word for text in self._text[split] for word in self.tokenizer.unknown(text)]

    @cached_property
    def _spelling(self) -> Spelling:
        types = dict.fromkeys(word for text in self._text["train"] for word in self.tokenizer.cut(text))
        return Spelling(list(types), self.tokenizer.vocabulary)

    def windows(self, split: str, size: int, length: int) -> Iterator[Batch]:
        """A stream in `size` parallel rows of `length` tokens, each row going on where it stood in the batch before.

        The first batch begins anew: it does not carry.
        """
        return self._streamed(split).windows(size, length)

    def sections(
        self, split: str, size: int, length: int, *, context: int = 0, rng: torch.Generator | None = None
    ) -> Iterator[Batch]:
        """A stream in sections of `length` tokens, `size` at a time, the `context` tokens before each as its prompt.

        In order, or with `rng` shuffled and cut at other places each time.
        """
        return self._streamed(split).sections(size, length, context, rng)

    def batch(self, texts: Sequence[str], prompts: Sequence[str] | None = None, *, whole: bool = False) -> Batch:
        """Any texts as a batch, on the same terms as `batches`: EOS at the end, cut at `max_len` with a warning.

        `whole`: none is cut. A prompt ends in EOS where the corpus is of pairs; elsewhere it is the beginning of the
        text to write.
        """
        end = [] if self.stream else [EOS]
        rows = [[*ids, *end] for ids in self.tokenizer.encode(texts)]
        cut = 0 if whole else sum(len(row) > self.max_len for row in rows)
        if cut:
            log.warning(
                "%d of %d texts are longer than max_len=%d tokens and are cut there", cut, len(rows), self.max_len
            )
        batch = pad([row[: self.max_len] if cut else row for row in rows])
        if prompts is None:
            return batch
        return replace(batch, prompt=self.prompt_ids(prompts))

    def prompt_ids(self, prompts: Sequence[str]) -> Int[Tensor, "n p"]:
        """Any prompts as token ids, PAD on the right; each ends in EOS where the corpus is of pairs."""
        end = [EOS] if self.pairs else []
        return pad([[*ids, *end] for ids in self.tokenizer.encode(prompts)]).tokens

    def fingerprint(self) -> dict[str, Any]:
        """What decides the numbers that rest on this corpus, as plain data."""
        return facts(self._source) | {
            "name": self.name,
            "max_len": self.max_len,
            "tokenizer": self.tokenizer.signature(),
            "tokenizer_sha256": self.tokenizer.sha256,
            **({"skipped": self._meta["skipped"]} if self._meta["skipped"] else {}),
            "splits": {
                split: self._meta["splits"][split]
                | {"tokens": rows.tokens, "unknown": self._meta["unknown"][split], "cut": rows.cut}
                for split, rows in self._ids.items()
            },
        }

    def _warn_of_unknowns(self) -> None:
        """Say it where many words of test are unknown, and what to do."""
        unknown, tokens = self._meta["unknown"]["test"], self._ids["test"].tokens
        if tokens and unknown > MANY_UNKNOWN * tokens:
            texts = list(itertools.islice(self.text("train"), SHOWN))
            advice = "lower tokenizer.min_count, or take tokenizer=bpe, which knows every text"
            if self.tokenizer.rules.kind == "word" and unspaced("".join(text[:1000] for text in texts)):
                advice = "the text sets no spaces between words, so that whole lines are words: take tokenizer=char"
            log.warning(
                "%s: %.1f %% of the tokens of test are unknown to the tokenizer; %s",
                *(self.name, 100 * unknown / tokens, advice),
            )
        if unknown and not self._meta["unknown"]["train"]:
            log.warning(
                "%s: test has %d tokens that the tokenizer does not know, and train has none, so that no model learns "
                "how likely an unknown one is; a larger tokenizer.min_count leaves the rarest of train to it",
                *(self.name, unknown),
            )

    def _rows(self, split: str) -> Encoded:
        if split not in self._ids:
            raise ValueError(f"{split!r} is no split of {self.name}; they are {', '.join(self._ids)}")
        return self._ids[split]

    def _streamed(self, split: str) -> Encoded:
        if not self.stream:
            raise ValueError(f"{self.name} is a corpus of lines, not one stream. Use data.unit=stream")
        return self._rows(split)

    def _limit(self, asked: int | None, stored: dict[str, Ragged]) -> int:
        """`max_len` as asked, or the longest row, where that is one that a batch can be as wide as."""
        if asked is not None and asked < 2:
            raise ValueError(
                f"max_len is {asked}; it must be 2 or more (a token and EOS), or null for the longest line"
            )
        if asked is not None or self.stream:
            return asked or PIECE
        longest = max(map(self._longest, stored.values()))
        for split, ids in stored.items():
            if longest > LONGEST and self._longest(ids) == longest:
                raise ValueError(
                    f"line {int(ids.lengths.argmax()) + 1} of {self.name}'s {split} has {longest - 1} tokens, and a "
                    "batch is as wide as its longest row. Give max_len=512 to cut such lines there, or read one stream "
                    "(data.unit=stream)"
                )
        return longest

    @staticmethod
    def _longest(ids: Ragged) -> int:
        return int(ids.lengths.max(initial=1))


def _fit(recipe: Recipe, source: Source, text_meta: Meta, text: Path, cache: Path) -> Tokenizer:
    """The recipe's tokenizer of this train split, from the cache where it was fitted before."""
    words = () if source.truth is None else tuple(source.truth.words)
    key = json.dumps([FITTING, text_meta["splits"]["train"], repr(recipe), words])

    def write(folder: Path) -> Meta:
        bodies = {part: Lines(Ragged(text / part, "uint8")) for part in ("train", *["train.prompt"] * source.pairs)}
        with byte_bar("fitting the tokenizer", sum(lines.rows.values.nbytes for lines in bodies.values())) as advance:
            texts, *sources = (chain.from_iterable(_shown(chunks(lines), advance)) for lines in bodies.values())
            recipe.fit(texts, vocabulary=words, sources=chain(*sources)).save(folder / "tokenizer.json")
        return {}

    folder, _ = keep(cache / "tokenizers", hashlib.sha256(key.encode()).hexdigest(), write)
    return Tokenizer.load(folder / "tokenizer.json")


def _check_labels(name: str, found: Mapping[str, Counter[str]]) -> None:
    """Refuse labels from which nothing can be learned. Raises: ValueError."""
    train = found["train"]
    if len(train) < 2:
        raise ValueError(f"{name} has one label, {next(iter(train))!r}: there is nothing to tell apart")
    if len(train) > LABELS:
        shown = ", ".join(sorted(train)[:3])
        raise ValueError(
            f"{name} has {len(train)} different labels ({shown}, ...), and {LABELS} are the most; does data.target "
            "name the column of labels, and data.source that of texts?"
        )
    for split in ("valid", "test"):
        if unknown := sorted(found[split].keys() - train.keys()):
            raise ValueError(
                f"{name}: {split} has the label {unknown[0]!r}, of which train has no example; leave it out, or give "
                "splits that all hold every label"
            )
    if rare := [label for label, n in train.items() if n == 1]:
        log.warning("%s: train has one example of the label %r alone, from which little can be learned", name, rare[0])


def _shown(parts: Iterator[list[str]], advance: Callable[[int], None]) -> Iterator[list[str]]:
    for part in parts:
        yield part
        advance(sum(map(len, part)))
