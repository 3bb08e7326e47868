"""Texts that are not wanted drawn again: by a list of words, a regular expression, or any other flag."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

from gentext.checks import ArgumentError, at_least
from gentext.data.tokenizer import Tokenizer
from gentext.decode.candidates import JudgedDecoder
from gentext.decode.chunks import check, join
from gentext.files import read_texts
from gentext.language_model import LanguageModel, TextFlag
from gentext.types import Batch


@dataclass(frozen=True)
class WordList(TextFlag):
    """Flags a text that holds one of these words or phrases, whatever its case.

    words: themselves, or the path of a file that has one a line.

    Example:
        >>> WordList(["bad", "very ugly"]).flag(["a Bad dog", "a badger", "very  ugly"]).tolist()
        [True, False, True]
    """

    words: Sequence[str] | str
    _found: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.words, str):
            if not Path(self.words).is_file():
                raise ArgumentError("words", f"is {self.words!r}, which is no file; give a file of a word a line")
            listed = read_texts(Path(self.words))
        else:
            listed = list(self.words)
        words = [r"\s+".join(map(re.escape, word.split())) for word in listed if word.strip()]
        if not words:
            raise ArgumentError("words", "holds no word; give one or more")
        object.__setattr__(self, "_found", re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE))

    def flag(self, texts: Sequence[str]) -> Bool[ndarray, " n"]:
        return np.array([self._found.search(text) is not None for text in texts], dtype=bool)

    def signature(self) -> str:
        return f"words-{_digest(self._found.pattern)}"


@dataclass(frozen=True)
class Pattern(TextFlag):
    r"""Flags a text in which a regular expression is found.

    Example:
        >>> Pattern(r"\d{3}").flag(["call 555", "call me"]).tolist()
        [True, False]
    """

    pattern: str

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ArgumentError("pattern", f"is {self.pattern!r}, which is no regular expression ({error})") from error

    def flag(self, texts: Sequence[str]) -> Bool[ndarray, " n"]:
        return np.array([re.search(self.pattern, text) is not None for text in texts], dtype=bool)

    def signature(self) -> str:
        return f"pattern-{_digest(self.pattern)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class Filter(JudgedDecoder):
    """What `base` draws, each flagged text drawn again until it is not flagged.

    That is the base's distribution given that a text is not flagged. The record counts the draws of each text that is
    kept (draws_per_text): of d draws, the share 1 - 1 / d was flagged.

    most: draws for each text at most.
    Raises: ValueError, with the share flagged, where `most` draws do not suffice.

    Example:
        >>> from gentext.data import Word
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> model, words = NGram(6, order=1), Word().fit(["a b"])
        >>> _ = model.accumulate(pad([[4, 2], [5, 2]] * 9)); model.maximize()
        >>> decoder = Filter(flag=WordList(["a"])).reading(words)
        >>> draw = decoder(model, 50, 5, rng=torch.Generator().manual_seed(0))
        >>> bool((draw.tokens == 4).any())
        False
    """

    flag: TextFlag
    most: int = 100
    tokenizer: Tokenizer | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        at_least(1, most=self.most)

    def reading(self, tokenizer: Tokenizer) -> Filter:
        made = super().reading(tokenizer)
        assert isinstance(made, Filter)
        object.__setattr__(made, "tokenizer", tokenizer)
        return made

    @torch.no_grad()
    def __call__(
        self,
        family: LanguageModel,
        n: int,
        max_len: int,
        *,
        rng: torch.Generator,
        prompt: Int[Tensor, "n p"] | None = None,
    ) -> Batch:
        """`n` sequences of `max_len` tokens at most, EOS included."""
        check(n, max_len, prompt, 0)
        if self.tokenizer is None:
            raise ValueError("a filter reads texts, and was not told how: call decoder.reading(tokenizer) first")
        rows: list[Tensor] = [torch.empty(0)] * n
        left, tries = list(range(n)), 0
        while left:
            if tries >= self.most:
                raise ValueError(
                    f"decode.filter: {len(left)} of {n} texts were flagged in each of {self.most} draws; raise most, "
                    "or flag less"
                )
            given = None if prompt is None else prompt[torch.tensor(left, device=prompt.device)]
            draw = self.draw(family, len(left), max_len, rng, given)
            flagged = self.flag.flag(self.tokenizer.decode(draw.tokens.tolist()))
            for row, place in enumerate(left):
                if not flagged[row]:
                    rows[place] = draw.tokens[row : row + 1]
            left, tries = [place for row, place in enumerate(left) if flagged[row]], tries + 1
        return join(rows, prompt)
