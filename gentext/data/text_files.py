"""Text in files: the named corpora, and the user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from gentext.checks import one_of
from gentext.data.download import Remote, fetch
from gentext.data.prompts import Prompt
from gentext.data.readers import SUFFIXES, TextReader, side_by_side
from gentext.data.source import SPLIT_NAMES, Source, cut_notes, identity_of, in_splits
from gentext.data.splits import SPLITS, Cut, Size, TextRow
from gentext.data.tables import BadRows, Column
from gentext.data.words import word_rule
from gentext.files import sha256


@dataclass(frozen=True)
class PublishedCorpus(Source):
    """A named corpus: its published files by name, and which of them is which split.

    `splits` maps train, valid, test, or `all` where one text is to be cut, to a file's name, or to those of files one
    after the other; with `source` and `target` columns in files side by side, a name holds `{column}`. A split that no
    file gives is cut by `cut`, `valid`, `test` and `seed` (see Cut) out of `all`, or out of train. Of train so much as
    `train` says is kept.

    Example:
        >>> files = {"a.txt": {"sha256": "0" * 64, "url": "https://example.org/a.txt"}}
        >>> source = PublishedCorpus("mine", "mine", "me", "CC0", files, {"all": "a.txt"}, "whitespace")
        >>> source.stream, source.pairs
        (False, False)
    """

    name: str
    folder: str
    origin: str
    licence: str
    files: Mapping[str, Mapping[str, str]]  # name: {sha256, url}
    splits: Mapping[str, str | Sequence[str]]
    words: str
    lowercase: bool = False
    unit: str = "line"
    blank: bool = False
    spaces: bool = True
    format: str | None = None
    target: Column = "text"
    source: Column | None = None
    labels: bool = False
    cut: str = "random"
    train: int | None = None
    valid: Size = 0.05
    test: Size = 0.05
    seed: int = 0

    @property
    def stream(self) -> bool:
        return self.unit == "stream"

    @property
    def pairs(self) -> bool:
        return self.source is not None

    def about(self) -> dict[str, Any]:
        return {"files": self.files, "splits": self.splits}

    def fetch(self) -> list[Path]:
        return [fetch(self.folder, name, Remote(**self.files[name])) for name in self._needed()]

    def identity(self) -> str:
        self.fetch()
        return identity_of(self, {name: self.files[name]["sha256"] for name in self._needed()})

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        bodies = {split: self._reading(split) for split in self.splits}
        cut = Cut(self.cut, self.valid, self.test, self.seed, self.train)
        return in_splits(bodies, cut, stream=self.stream, name=self.name)

    def _parts(self, split: str) -> list[list[str]]:
        """The names of a split's files, one after the other, each with the one of its sources beside it, if any."""
        given = self.splits[split]
        parts = []
        for name in [given] if isinstance(given, str) else given:
            beside = "{column}" in name and self.source is not None
            parts.append(
                [name.format(column=column) for column in ([self.target, self.source] if beside else [self.target])]
            )
        return parts

    def _needed(self) -> list[str]:
        names = [name for split in self.splits for part in self._parts(split) for name in part]
        for name in names:
            if name not in self.files:
                raise ValueError(f"{self.name} has no file {name}; it has {', '.join(self.files)}")
        return names

    def _reading(self, split: str) -> Callable[[], Iterator[TextRow]]:
        reader = TextReader(self.unit, self.format, self.target, self.source, self.lowercase, self.blank, self.spaces)
        parts = [[fetch(self.folder, name, Remote(**self.files[name])) for name in part] for part in self._parts(split)]

        def rows() -> Iterator[TextRow]:
            for paths in parts:
                yield from reader.rows(paths[0]) if len(paths) == 1 else side_by_side(reader, *paths)

        return rows


@dataclass(frozen=True)
class LocalText(Source):
    """The user's own text: a file, or a folder of files (train.*, valid.*, test.*; else all of them, to be cut).

    Pairs are the columns `source` and `target` of a table (see TextReader), or two files beside one another,
    train.SOURCE and train.TARGET; or `prompt` cuts a text into what is given and what is to be written. Where `sha256`
    states a split's, another text stops the run. Without a `name` the corpus is called by the file's stem and eight
    digits of its text's sha256.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "my.txt"
    >>> _ = path.write_text(chr(10).join(f"line {i}" for i in range(10)))
    >>> [row.text for split, row in LocalText(str(path), cut="tail", test=2).rows() if split == "test"]
    ['line 8', 'line 9']
    """

    needs_path: ClassVar[bool] = True
    path: str
    name: str = ""  # the file's, if none is given
    origin: str = "the user's own"
    licence: str = "the user's own"
    words: str = "treebank"
    lowercase: bool = False
    unit: str = "line"
    blank: bool = False
    format: str | None = None
    target: Column | None = "text"
    source: Column | Sequence[Column] | None = None
    labels: bool = False  # the target is one of few labels of its source
    cut: str = "random"
    train: int | None = None  # texts (of a stream: characters) that are kept of train; None: all
    valid: Size = 0.05
    test: Size = 0.05
    seed: int = 0
    skip_bad: bool = False  # leave out rows of a table that are not text, and count them
    sha256: Mapping[str, str] = field(default_factory=dict)  # of splits, as a record states them
    spaces: bool = True
    join: str = " | "  # between the parts of a source
    prompt: Prompt = None  # of a text: its beginning is the source
    keep_lines: bool = False
    named: bool = field(init=False, repr=False)
    _bad: BadRows = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "named", bool(self.name))
        if self.needs_path and not self.path:
            raise ValueError("data.path is empty; give a file or a folder of files, such as data.path=my.txt")
        if not self.name:
            object.__setattr__(self, "name", Path(self.path).name.split(".")[0] or "text")
        word_rule(self.words)
        if self.labels and self.source is None:
            raise ValueError("data.labels is true, and data.source names no column of texts; give data.source=text")
        for split in self.sha256:
            one_of("sha256", split, SPLITS)
        object.__setattr__(self, "_bad", BadRows(self.skip_bad))
        self._reader()  # wrong options fail here, before anything is read
        self._cut()

    @property
    def stream(self) -> bool:
        return self.unit == "stream"

    @property
    def pairs(self) -> bool:
        return self.source is not None or self.prompt is not None

    def fetch(self) -> list[Path]:
        return list(chain.from_iterable(self._bodies().values()))

    def identity(self) -> str:
        bodies = self._bodies().items()
        return identity_of(self, {f"{split}/{path.name}": sha256(path) for split, paths in bodies for path in paths})

    def rows(self) -> Iterator[tuple[str, TextRow]]:
        bodies = {split: partial(self._read, paths) for split, paths in self._bodies().items()}
        return in_splits(bodies, self._cut(), stream=self.stream, name=self.path)

    def skipped(self) -> BadRows:
        return self._bad

    def notes(self) -> list[str]:
        notes = cut_notes(self._bodies(), self._cut(), self.path)
        if ignored := self._ignored():
            notes.append(
                f"{self.path}: {', '.join(ignored)} read as no split, for their names do not say train, valid or test"
            )
        return notes

    def _cut(self) -> Cut:
        return Cut(self.cut, self.valid, self.test, self.seed, self.train)

    def _reader(self) -> TextReader:
        return TextReader(
            self.unit,
            self.format,
            self.target,
            self.source,
            self.lowercase,
            self.blank,
            self.spaces,
            bad=self._bad,
            join=self.join,
            prompt=self.prompt,
            characters=self.words == "char",
            keep_lines=self.keep_lines,
        )

    def _read(self, paths: list[Path]) -> Iterator[TextRow]:
        """The rows of these files, one after another, or side by side where their names end in the two columns."""
        reader = self._reader()
        sides = {_bare(path).suffix.removeprefix("."): path for path in paths}
        if len(reader.sources) == 1 and set(sides) == {str(self.target), str(reader.sources[0])}:
            yield from side_by_side(reader, sides[str(self.target)], sides[str(reader.sources[0])])
            return
        row = TextRow("\n")
        for path in paths:
            if self.stream and not row.text.endswith("\n"):
                yield TextRow("\n")
            for row in reader.rows(path):
                yield row

    @staticmethod
    def _named(folder: Path) -> dict[Path, str | None]:
        """The files of a folder, each with the split that its name says."""
        files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        return {file: SPLIT_NAMES.get(file.name.split(".")[0].lower()) for file in files}

    def _ignored(self) -> list[str]:
        """Files of no split, in a folder whose files are named by splits."""
        path = Path(self.path).expanduser()
        named = self._named(path) if path.is_dir() else {}
        return [file.name for file, split in named.items() if split is None] if any(named.values()) else []

    def _bodies(self) -> dict[str, list[Path]]:
        """Files by split, or by `all`."""
        path = Path(self.path).expanduser()
        if path.is_file():
            return {"all": [path]}
        if not path.is_dir():
            raise ValueError(f"{path} does not exist; data.path must name a file or a folder of files")
        named = self._named(path)
        files = list(named)
        if all(split is None for split in named.values()):
            readable = [f for f in files if _bare(f).suffix.lower() in (".txt", ".text", "", *SUFFIXES)]
            if not readable:
                raise ValueError(f"{path} holds no file of text (.txt, {', '.join(SUFFIXES)}, each also .gz)")
            return {"all": readable}
        if "train" not in named.values():
            raise ValueError(
                f"{path} holds {', '.join(f.name for f in files)}, but no train.*; a folder with named splits needs it"
            )
        return {split: [f for f, s in named.items() if s == split] for split in SPLITS if split in named.values()}


def _bare(path: Path) -> Path:
    """The path without .gz."""
    return path.with_name(path.name.removesuffix(".gz"))
