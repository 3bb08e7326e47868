"""Text of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gentext.data.readers import TextReader
from gentext.data.source import SPLIT_NAMES, identity_of, in_splits
from gentext.data.splits import Cut, Size, TextRow


@dataclass(frozen=True)
class HubText:
    """A data set of the Hugging Face hub, by the `datasets` library (an extra: pip install 'gentext[hf]')."""

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
    licence: str = "see the data set's card"
    stream: bool = field(default=False, init=False)
    truth: None = field(default=None, init=False)

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
        columns = [self.target] if self.source is None else [self.target, self.source]
        loaded = self._loaded()
        for split, data in loaded.items():
            lacking = [column for column in columns if column not in data.column_names]
            if lacking:
                raise ValueError(
                    f"{self.path}, split {split}, has no column {lacking[0]!r}; it has {', '.join(data.column_names)}. "
                    "Name them by data.target and (for pairs) data.source"
                )
        tidy = TextReader(lowercase=self.lowercase)._clean
        bodies = {
            split: (lambda data=data: tidy([str(record[c]) for c in columns] for record in data))
            for split, data in loaded.items()
        }
        return in_splits(bodies, Cut(self.cut, self.valid, self.test, self.seed), stream=False, name=self.path)

    def _loaded(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError as error:
            raise ValueError("data=hf needs datasets, which is an extra: pip install 'gentext[hf]'") from error
        try:
            found = datasets.load_dataset(self.path, self.config, revision=self.revision)
        except (FileNotFoundError, ConnectionError, ValueError) as error:
            raise ValueError(
                f"could not load {self.path} ({error}); check data.path, data.config and the network"
            ) from error
        named = {SPLIT_NAMES[split]: data for split, data in found.items() if split in SPLIT_NAMES}
        return named if "train" in named else {"all": next(iter(found.values()))}
