"""Text to token ids and back, on the `tokenizers` library: words, characters or byte-level BPE, fitted on train."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from gentext.checks import ArgumentError, a_list, at_least
from gentext.data.spacing import SAMPLE, Spacing, spacing_of
from gentext.data.spelling import UNKNOWN
from gentext.data.words import LINE_OR_WORD, WordRule, word_rule
from gentext.files import write_text
from gentext.types import EOS, RESERVED, UNK

# ids 0..3; NUL, which no text file holds, keeps a text that spells "<unk>" or "<eos>" apart from them
SPELLINGS = ("\0PAD", "\0BOS", "\0EOS", "\0UNK")
BYTES = 256
LARGEST = 1_000_000  # tokens of BPE: no published vocabulary has more, and a billion would end the process

Kind = Literal["word", "char", "bpe", "pretrained"]

log = logging.getLogger("gentext")


@runtime_checkable
class Recipe(Protocol):
    """What conf/tokenizer/*.yaml instantiates: options, and a way to fit them to text."""

    def fit(self, texts: Iterable[str], *, vocabulary: Sequence[str] = (), sources: Iterable[str] = ()) -> Tokenizer:
        """A tokenizer of the train texts.

        Args:
            texts: what is to be written.
            vocabulary: words that are known to exist (a known truth's).
            sources: what is read and never written, of a corpus of pairs.
        """
        ...


@dataclass(frozen=True)
class TokenizerSpec:
    """What `tokenizer.json` cannot say: how text is cut before the library sees it, and put together after."""

    kind: Kind
    words: str
    lowercase: bool
    note: str  # how it was fitted
    spacing: Spacing | None = None  # of words; None: the usual spelling of English
    marks: Mapping[str, int | None] | None = None  # of a pretrained one, its own ids of bos, eos, pad and unk
    back: str | None = None  # of a pretrained one: decoding gives the text itself (exact) or its words

    def plain(self) -> dict[str, Any]:
        """As JSON holds it; what is not given is left out, so that a hash of it stays what it was."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> TokenizerSpec:
        """What `plain` gave."""
        spacing = plain.get("spacing")
        return cls(**{**plain, "spacing": spacing and Spacing(**spacing)})


class Tokenizer:
    """A fitted tokenizer. Neither BOS nor EOS is ever added by `encode`.

    Example:
        >>> tokenizer = Word().fit(["a cat sits", "a dog sits"])
        >>> tokenizer.decode(tokenizer.encode(["a dog sits"]))
        ['a dog sits']
    """

    def __init__(self, model: tokenizers.Tokenizer, rules: TokenizerSpec) -> None:
        self.model = model
        self.rules = rules
        self._ids: dict[str, int] = model.get_vocab()
        self._marks = rules.marks or {}
        self._shift = RESERVED if rules.kind == "pretrained" else 0  # of our ids against the model's
        self.vocab_size: int = max(self._ids.values()) + 1 + self._shift
        own = [model.id_to_token(i) or "" for i in range(self.vocab_size - self._shift)]
        self._spelling = [*SPELLINGS[: self._shift], *own]
        self._spelling[UNK] = UNKNOWN
        if rules.kind == "pretrained":
            # a copy, for transformers sets what it likes on the one that it may hold too
            self.model = tokenizers.Tokenizer.from_str(model.to_str())
            self.model.encode_special_tokens = True  # a text that spells a mark is text
        words = {"word": rules.words, "pretrained": "whitespace"}.get(rules.kind)
        rule = word_rule(words) if words is not None else WordRule(list, "".join)
        self._cut, self._join = rule.split, rules.spacing.join if rules.spacing else rule.join

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        a_list(texts=texts)
        texts = [self._cased(text) for text in texts]
        if self.rules.kind == "bpe":
            return [encoding.ids for encoding in self.model.encode_batch_fast(texts)]
        if self.rules.kind == "pretrained":
            unknown = self._marks["unk"]
            found = self.model.encode_batch_fast(texts, add_special_tokens=False)
            return [[UNK if i == unknown else i + self._shift for i in encoding.ids] for encoding in found]
        cut, known = self._cut, self._ids.get  # a fixed vocabulary: a dictionary beats the library four times over
        return [[known(token, UNK) for token in cut(text)] for text in texts]

    def cut(self, text: str) -> list[str]:
        """The tokens of a text as they are spelled, unknown ones included; those of BPE have no spelling of their own.

        >>> Word().fit(["a cat"]).cut("a dog")
        ['a', 'dog']
        """
        return self._cut(self._cased(text))

    def unknown(self, text: str) -> list[str]:
        """The tokens of a text that it encodes as UNK, as they are spelled, in their order."""
        if self.rules.kind == "bpe":
            return []
        if self.rules.kind == "pretrained":
            mark, read = self._marks["unk"], self.model.encode(self._cased(text), add_special_tokens=False)
            return [text[slice(*at)] for i, at in zip(read.ids, read.offsets, strict=True) if i == mark]
        return [token for token in self.cut(text) if token not in self._ids]

    @property
    def vocabulary(self) -> list[str]:
        """The spelling of every token but the reserved ones, by id."""
        return self._spelling[RESERVED:]

    def typed(self, texts: Sequence[str], *, lowercase: bool = False) -> list[list[int]]:
        """The ids of texts that somebody typed: a warning names the words that are unknown.

        lowercase: the corpus was lower-cased before this tokenizer saw it.
        """
        a_list(texts=texts)
        texts = [text.lower() if lowercase else text for text in texts]
        if self.rules.kind != "bpe":
            unknown = [repr(word) for word in dict.fromkeys(word for text in texts for word in self.unknown(text))]
            if unknown:
                log.warning("the training text (nearly) never says %s: read as unknown", ", ".join(unknown))
        return self.encode(texts)

    def decode(self, rows: Iterable[Sequence[int]], unknown: Iterable[str] = ()) -> list[str]:
        """The text of each row of ids: up to the first EOS, PAD and BOS skipped.

        unknown: how the unknown tokens of all rows are spelled, in their order, where that is known.
        """
        ids = [_until_end([int(i) for i in row]) for row in rows]
        if self.rules.kind == "bpe":
            return self.model.decode_batch([[i for i in row if i >= RESERVED] for row in ids])
        if self.rules.kind == "pretrained":
            mark = self._marks["unk"]
            theirs = [[mark if i == UNK else i - self._shift for i in row] for row in ids]
            return self.model.decode_batch([[i for i in row if i is not None] for row in theirs])
        spelling, join, words = self._spelling, self._join, iter(unknown)
        return [join([next(words, UNKNOWN) if i == UNK else spelling[i] for i in row]) for row in ids]

    def inside(self) -> np.ndarray | None:
        """Of every id whether its first byte goes on a character that another id began [v]; None where none does."""
        if not self._byte_level:
            return None
        named = {chr(256 + i): byte for i, byte in enumerate(b for b in range(BYTES) if not _printed(b))}
        first = [named.get(token[:1], ord(token[:1] or " ")) for token in self._spelling[RESERVED:]]
        found = np.concatenate([np.zeros(RESERVED, bool), [byte & 0xC0 == 0x80 for byte in first]])
        return found if found.any() else None

    def goes_on(self) -> np.ndarray | None:
        """Of every id whether it goes on a word that another id began [v]; None where each token is a word."""
        if isinstance(self.model.decoder, decoders.WordPiece):
            return np.array([token.startswith("##") for token in self._spelling])
        if not self._byte_level:
            return None
        begins = ("Ġ", "Ċ", "ĉ")  # how byte-level BPE spells a space, a line's end and a tab
        continues = [
            bool(token) and token[0].isalnum() and token[0] not in begins for token in self._spelling[RESERVED:]
        ]
        return np.array([False] * RESERVED + continues)

    def signature(self) -> str:
        """word:treebank|case:lower|vocab:4659|min:1|unk:⁇|back:words|sha:1f0c92ab: what moves the numbers.

        `unk`: how unknown tokens read, `none` where there are none. `back`: decoding gives the text itself (exact), its
        words with the usual spacing of English (words), or with the spacing that train has (spaces).
        """
        rules = self.rules
        kind = f"word:{rules.words}" if rules.kind == "word" else rules.kind
        unknown, back = ("none", "exact") if rules.kind == "bpe" else (UNKNOWN, rules.back or "exact")
        if rules.marks is not None and rules.marks["unk"] is None:
            unknown = "none"
        if rules.kind == "word":
            back = "spaces" if rules.spacing else "words"
        case = "lower" if rules.lowercase else "kept"
        read = (f"unk:{unknown}", f"back:{back}", f"sha:{self.sha256[:8]}")
        return "|".join((kind, f"case:{case}", f"vocab:{self.vocab_size}", rules.note, *read))

    def alike(self, other: Tokenizer) -> tuple[list[int], list[int]]:
        """The ids of the tokens that both spell alike, here and there."""
        theirs = {spelling: i for i, spelling in enumerate(other._spelling)}
        pairs = [(i, theirs[spelling]) for i, spelling in enumerate(self._spelling) if spelling in theirs]
        return [mine for mine, _ in pairs], [their for _, their in pairs]

    @property
    def _byte_level(self) -> bool:
        return self.rules.kind == "bpe" or isinstance(self.model.decoder, decoders.ByteLevel)

    @property
    def sha256(self) -> str:
        """Of the model and its rules: equal where every text gets equal ids."""
        return hashlib.sha256((self.model.to_str() + json.dumps(self.rules.plain())).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write `path` (the library's tokenizer.json) and beside it `*.rules.json`, each whole or not at all."""
        path = Path(path)
        write_text(self.model.to_str(pretty=True), path)
        write_text(json.dumps(self.rules.plain()), _rules_file(path))

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """The tokenizer that `save` wrote. Raises ValueError where the files are not such."""
        path = Path(path)
        rules = _rules_file(path)
        for file in (path, rules):
            if not file.is_file():
                raise ValueError(f"{file} does not exist; a tokenizer is {path.name} with {rules.name} beside it")
        try:
            return cls(
                tokenizers.Tokenizer.from_file(str(path)),
                TokenizerSpec.of(json.loads(rules.read_text(encoding="utf-8"))),
            )
        except Exception as error:  # the library raises bare Exception on malformed JSON
            raise ValueError(
                f"{path} is not a saved tokenizer ({error}); fit it again by a run on its corpus"
            ) from error

    def _cased(self, text: str) -> str:
        return (text.lower() if self.rules.lowercase else text).replace("\0", "\ufffd")


@dataclass(frozen=True)
class Word:
    """Words by the corpus's rule (`words: ${data.words}`), the rarest left to UNK.

    Types seen fewer than `min_count` times in train are unknown; `max_size` keeps the most frequent, the
    reserved ids included. The way back of `words: treebank` is the usual spelling of English or, where that damages
    more than a twentieth of the lines of train, the spacing that train has (gentext.data.spacing).

    >>> tokenizer = Word("treebank").fit(["a dog's life.", "a cat."])
    >>> tokenizer.encode(["a cat's life."])
    [[5, 7, 6, 9, 4]]
    >>> tokenizer.decode([[5, 7, 6, 9, 4]])
    ["a cat's life."]
    """

    words: str = "whitespace"
    lowercase: bool = False
    min_count: int = 1
    max_size: int | None = None

    def __post_init__(self) -> None:
        word_rule(self.words)
        at_least(1, min_count=self.min_count)
        at_least(RESERVED + 1, max_size=self.max_size)

    def fit(self, texts: Iterable[str], *, vocabulary: Sequence[str] = (), sources: Iterable[str] = ()) -> Tokenizer:
        split = word_rule(self.words).split
        counts: Counter[str] = Counter()
        shown: list[str] = []
        for text in texts:
            text = text.lower() if self.lowercase else text
            counts.update(split(text))
            if self.words == "treebank" and len(shown) < SAMPLE:
                shown += text.split("\n")[: SAMPLE - len(shown)]
        for text in sources:
            counts.update(split(text.lower() if self.lowercase else text))
        counts.update(dict.fromkeys(vocabulary, self.min_count))
        kept = _most_frequent(counts, self.min_count, self.max_size)
        note = f"min:{self.min_count}" + (f"|max:{self.max_size}" if self.max_size else "")
        lines = pre_tokenizers.Split(Regex(LINE_OR_WORD), "removed", invert=True)
        cut = lines if self.words == "lines" else pre_tokenizers.WhitespaceSplit()
        return _fixed_vocabulary(kept, cut, TokenizerSpec("word", self.words, self.lowercase, note, spacing_of(shown)))


@dataclass(frozen=True)
class Char:
    """Unicode characters, white space and line ends included.

    >>> Char().fit(["abba"]).encode(["ab"])
    [[4, 5]]
    """

    lowercase: bool = False
    min_count: int = 1

    def __post_init__(self) -> None:
        at_least(1, min_count=self.min_count)

    def fit(self, texts: Iterable[str], *, vocabulary: Sequence[str] = (), sources: Iterable[str] = ()) -> Tokenizer:
        counts: Counter[str] = Counter()
        for text in chain(vocabulary, texts, sources):
            counts.update(text.lower() if self.lowercase else text)
        kept = _most_frequent(counts, self.min_count, None)
        cut = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        return _fixed_vocabulary(kept, cut, TokenizerSpec("char", "", self.lowercase, f"min:{self.min_count}"))


@dataclass(frozen=True)
class BPE:
    """Byte-level byte-pair encoding: any language, no unknowns, decoding gives the text itself.

    >>> tokenizer = BPE(vocab_size=300).fit(["the cat", "the dog"])
    >>> tokenizer.decode(tokenizer.encode(["the 猫"]))
    ['the 猫']
    """

    vocab_size: int = 4096
    lowercase: bool = False

    def __post_init__(self) -> None:
        least = RESERVED + BYTES
        if not least <= self.vocab_size <= LARGEST:
            raise ArgumentError(
                "vocab_size",
                f"is {self.vocab_size}; byte-level BPE needs {least} or more ({BYTES} bytes and {RESERVED} reserved "
                f"ids) and {LARGEST} at most. Give for example tokenizer.vocab_size=4096",
            )

    def fit(self, texts: Iterable[str], *, vocabulary: Sequence[str] = (), sources: Iterable[str] = ()) -> Tokenizer:
        model = tokenizers.Tokenizer(models.BPE())
        model.normalizer = normalizers.Lowercase() if self.lowercase else None
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            special_tokens=list(SPELLINGS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        read = chain(texts, sources)
        model.train_from_iterator((text.lower() if self.lowercase else text for text in read), trainer)
        return Tokenizer(model, TokenizerSpec("bpe", "", self.lowercase, f"asked:{self.vocab_size}"))


def _most_frequent(counts: Counter[str], min_count: int, max_size: int | None) -> list[str]:
    """Types by falling count, ties by spelling, so that the ids do not hang on the order of the text."""
    kept = sorted(
        (word for word, count in counts.items() if count >= min_count), key=lambda word: (-counts[word], word)
    )
    if not kept:
        raise ValueError(f"no token occurs {min_count} times or more in train; lower tokenizer.min_count")
    return kept if max_size is None else kept[: max_size - RESERVED]


def _fixed_vocabulary(kept: list[str], cut: pre_tokenizers.PreTokenizer, rules: TokenizerSpec) -> Tokenizer:
    ids = {spelling: i for i, spelling in enumerate((*SPELLINGS, *kept))}
    model = tokenizers.Tokenizer(models.WordLevel(ids, unk_token=SPELLINGS[UNK]))
    model.normalizer = normalizers.Lowercase() if rules.lowercase else None
    model.pre_tokenizer = cut
    return Tokenizer(model, rules)


def _printed(byte: int) -> bool:
    """Whether byte-level BPE spells a byte as the character of its number; it numbers the others on from 256."""
    return 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255


def _until_end(ids: list[int]) -> list[int]:
    ids = ids[: ids.index(EOS)] if EOS in ids else ids
    return [i for i in ids if i == UNK or i >= RESERVED]


def _rules_file(path: Path) -> Path:
    return path.with_suffix(".rules.json")
