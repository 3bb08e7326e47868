"""Text of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gentext.checks import missing
from gentext.data.readers import TextReader
from gentext.data.source import SPLIT_NAMES, Source, cut_notes, identity_of, in_splits
from gentext.data.splits import Cut, Size, TextRow
from gentext.data.tables import BadRows, known_column, text_cells
from gentext.data.words import word_rule


@dataclass(frozen=True)
class HubText(Source):
    """A data set of the Hugging Face hub, by the `datasets` library (an extra: pip install 'gentext[hf]').

    >>> source = HubText("owner/stories", target="story")
    >>> source.name, source.origin
    ('stories', 'https://huggingface.co/datasets/owner/stories')
    """

    path: str
    config: str | None = None
    revision: str | None = None
    target: str = "text"
    source: str | None = None
    words: str = "treebank"
    lowercase: bool = False
    cut: str = "random"
    valid: Size = 0.05
    test: Size = 0.05
    seed: int = 0
    skip_bad: bool = False  # leave out rows that are not text, and count them
    licence: str = "see the data set's card"
    _bad: BadRows = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        word_rule(self.words)
        object.__setattr__(self, "_bad", BadRows(self.skip_bad))
        self._cut()  # wrong options fail here, before anything is read

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        return f"https://huggingface.co/datasets/{self.path}"

    @property
    def pairs(self) -> bool:
        return self.source is not None

    def fetch(self) -> list[Path]:
        self._loaded()
        return []

    def identity(self) -> str:
        return identity_of(self, {split: data._fingerprint for split, data in self._loaded().items()})

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        loaded = self._loaded()
        for split, data in loaded.items():
            for column in self._columns:
                known_column(f"{self.path}, split {split},", column, data.column_names)
        bodies = {split: partial(self._read, split, data) for split, data in loaded.items()}
        return in_splits(bodies, self._cut(), stream=False, name=self.path)

    def skipped(self) -> BadRows:
        return self._bad

    def notes(self) -> list[str]:
        return cut_notes(self._loaded(), self._cut(), self.path)

    def _cut(self) -> Cut:
        return Cut(self.cut, self.valid, self.test, self.seed)

    @property
    def _columns(self) -> list[str]:
        return [self.target] if self.source is None else [self.target, self.source]

    def _read(self, split: str, data: Any) -> Iterator[TextRow]:
        file = f"{self.path}, split {split}"
        self._bad.begin(file)
        cells = text_cells(
            file, ([record[column] for column in self._columns] for record in data), self._columns, self._bad
        )
        return TextReader(target=self.target, source=self.source, lowercase=self.lowercase).tidy(cells)

    def _loaded(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError as error:
            raise ValueError(missing("data=hf", "datasets", "hf")) from error
        try:
            found = datasets.load_dataset(self.path, self.config, revision=self.revision)
        except (FileNotFoundError, ConnectionError, ValueError) as error:
            raise ValueError(
                f"could not load {self.path} ({error}); check data.path, data.config and the network"
            ) from error
        named = {SPLIT_NAMES[split]: data for split, data in found.items() if split in SPLIT_NAMES}
        return named if "train" in named else {"all": next(iter(found.values()))}
