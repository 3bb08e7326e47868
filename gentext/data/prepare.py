"""Text and token ids written into the cache, chunk by chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from gentext.data.progress import byte_bar
from gentext.data.ragged import Lines, Ragged, RaggedWriter, chunks
from gentext.data.source import Source
from gentext.data.splits import TextRow
from gentext.data.tokenizer import Tokenizer
from gentext.types import EOS, UNK

Meta = dict[str, Any]
ROWS = 10_000  # rows held before they are written


class _SplitText:
    """One split on its way to disk: its texts, their prompts, counts and sha256."""

    def __init__(self, stem: Path, *, stream: bool, pairs: bool) -> None:
        self.texts = RaggedWriter(stem, "uint8")
        self.prompts = RaggedWriter(stem.with_name(stem.name + ".prompt"), "uint8") if pairs else None
        self.hash, self.prompt_hash = hashlib.sha256(), hashlib.sha256()
        self.end = b"" if stream else b"\n"
        self.chars = 0
        self.held: list[TextRow] = []

    def add(self, row: TextRow) -> int:
        """The bytes written: none but once in a while."""
        self.held.append(row)
        return self.flush() if len(self.held) == ROWS else 0

    def flush(self) -> int:
        """The bytes written: the texts of all rows held."""
        before = self.texts.total
        self.chars += sum(len(row.text) for row in self.held)
        self._write(self.texts, self.hash, [row.text.encode() for row in self.held])
        if self.prompts is not None:
            self._write(self.prompts, self.prompt_hash, [(row.prompt or "").encode() for row in self.held])
        self.held = []
        return self.texts.total - before

    def _write(self, writer: RaggedWriter, digest: Any, texts: list[bytes]) -> None:
        writer.append(texts)
        digest.update(b"".join(text + self.end for text in texts))

    def close(self) -> None:
        self.texts.close()
        if self.prompts is not None:
            self.prompts.close()

    def meta(self) -> Meta:
        facts = {
            "lines": self.texts.rows,
            "chars": self.chars,
            "bytes": self.texts.total,
            "sha256": self.hash.hexdigest(),
        }
        return facts if self.prompts is None else facts | {"prompt_sha256": self.prompt_hash.hexdigest()}


def write_text(source: Source, folder: Path) -> Meta:
    """The counts and sha256 of each split, written into `folder`. Raises ValueError where there is no text."""
    with ExitStack() as open_files:
        splits = {
            split: open_files.enter_context(
                closing(_SplitText(folder / split, stream=source.stream, pairs=source.pairs))
            )
            for split in source.split_names
        }
        advance = open_files.enter_context(byte_bar(f"reading {source.name}", None))
        for split, row in source.rows():
            if written := splits[split].add(row):
                advance(written)
        for split in splits.values():
            split.flush()
        meta = {name: split.meta() for name, split in splits.items()}
    for split in ("train", "test"):
        if meta[split]["chars"] == 0:
            raise ValueError(
                f"{source.name}: {split} holds no text (empty, or blank lines alone); give a file with text in it"
            )
    for split, digest in source.sha256.items():
        if meta[split]["sha256"] != digest:
            raise ValueError(
                f"{source.name}: the text of {split} has sha256 {meta[split]['sha256']}, but data.sha256.{split} "
                f"states {digest}; the files or the way they are read have changed"
            )
    whole = hashlib.sha256("/".join(str(meta[split]) for split in source.split_names).encode()).hexdigest()
    skipped = source.skipped()
    return {"sha256": whole, "splits": meta, "skipped": skipped.total, "first_skipped": skipped.first}


def encode(text: Path, tokenizer: Tokenizer, folder: Path, *, splits: Sequence[str], stream: bool) -> Meta:
    """The number type of the ids, written into `folder`: one row a line with EOS, or a whole stream with one EOS.

    And how many tokens of each split are unknown, of what is to be written: prompts are not scored.
    """
    dtype = "uint16" if tokenizer.vocab_size <= 1 << 16 else "uint32"
    unknown = dict.fromkeys(splits, 0)
    for split in splits:
        for part in (split, f"{split}.prompt"):
            if not (text / f"{part}.bin").is_file():
                continue
            lines = Lines(Ragged(text / part, "uint8"))
            bar = byte_bar(f"encoding {part}", lines.rows.values.nbytes)
            with closing(RaggedWriter(folder / part, dtype)) as writer, bar as advance:
                for chunk in chunks(lines):
                    rows = tokenizer.encode(chunk)
                    writer.append(rows if stream else [[*row, EOS] for row in rows])
                    unknown[split] += sum(row.count(UNK) for row in rows) if part == split else 0
                    advance(sum(map(len, chunk)))
                if stream and len(lines):
                    writer.append([[EOS]])
    return {"dtype": dtype, "unknown": unknown}
