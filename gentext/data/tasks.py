"""Corpora of the tasks that a text generator is asked for: translation, summarisation, dialogue and the like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from gentext.checks import one_of
from gentext.data import examples
from gentext.data.source import identity_of, in_splits
from gentext.data.splits import TextRow
from gentext.data.text_files import LocalText
from gentext.files import sha256


@dataclass(frozen=True)
class TaskText(LocalText):
    """Pairs of a task: the user's own where `path` leads to them, else a small example that gentext makes.

    task: which example it is, and on which board its rows stand.

    >>> source = TaskText(task="translation", source="source", target="target")
    >>> next(source.rows())[1][:2]
    ('Cada día esta vecina pequeña lleva la mesa vieja.', 'Every day this small neighbour carries the old table.')
    """

    needs_path: ClassVar[bool] = False
    path: str = ""
    task: str = ""

    def __post_init__(self) -> None:
        one_of("data.task", self.task, examples.EXAMPLES)
        if not self.path:
            given = {"name": self.name or self.task, "origin": "an example of gentext's", "licence": "free to use"}
            for field, value in given.items():
                object.__setattr__(self, field, value)
        super().__post_init__()
        if not self.pairs:
            raise ValueError(
                f"data={self.task} writes one text given another: name the column of the sources by data.source, or "
                "give data.prompt=0.5, the share of each text that is given"
            )

    def fetch(self) -> list[Path]:
        return super().fetch() if self.path else []

    def identity(self) -> str:
        return super().identity() if self.path else identity_of(self, {"example": sha256(Path(examples.__file__))})

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        if self.path:
            return super().rows()
        return in_splits({"all": self._example}, self._cut(), stream=False, name=self.name)

    def notes(self) -> list[str]:
        return super().notes() if self.path else []

    def _example(self) -> Iterator[TextRow]:
        reader = self._reader()
        for record in examples.records(self.task):
            if unknown := [column for column in reader.columns if column not in record]:
                raise ValueError(
                    f"the example of data={self.task} has the columns {', '.join(record)}, and none called "
                    f"{unknown[0]!r}; give your own text by data.path=FILE_OR_FOLDER, or leave the columns as they are"
                )
            yield from reader.tidy([[record[str(column)] for column in reader.columns]])
