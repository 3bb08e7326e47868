"""The record of one run and one decode setting: the only truth about a run. Trackers, boards and reports read it."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import math
import os
import re
import shlex
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gentext.files import atomic, from_json, read_texts, sha256, to_json, write_json, write_texts
from gentext.results import migrations
from gentext.results.cost import efficiencies
from gentext.value import Value, Values, checked

FORMAT = 3
BAD_FOR_FILES = str.maketrans(dict.fromkeys(' /\\:*?"<>|=', "-"))
LONGEST_STEM = 180  # bytes; file systems allow 255 for a whole name
COMPANIONS = {"values": ".npz", "samples": ".txt"}  # what is stored beside a record -> how its file's name ends
KINDS: dict[str, type] = {"str": str, "int": int, "bool": bool, "Mapping": Mapping}

log = logging.getLogger("gentext")


@dataclass(frozen=True)
class Record:
    """Everything that a reader needs to believe, compare and repeat the numbers of one row."""

    data: str  # corpus
    track: str  # unconditional | conditional
    family: str  # the option's name, e.g. seqgan_gumbel; "human" for held-out text
    variant: str  # what the command line changed in it, e.g. "order=3"
    decode: str  # the decode setting in words, e.g. "temperature=0.7"
    seed: int
    values: Mapping[str, Value]
    absent: Mapping[str, str]  # metric -> why it could not be computed
    likelihood: str  # exact | bound | none
    over_seeds: Mapping[str, Any] = field(default_factory=dict)  # metric -> mean, interval, seeds: of three or more
    adaptive: bool = False  # the model reads the test text's history: marked on the board
    fingerprints: Mapping[str, Any] = field(default_factory=dict)  # sha256 of every split and of the tokenizer
    config: Mapping[str, Any] = field(default_factory=dict)  # resolved
    cost: Mapping[str, float] = field(default_factory=dict)  # seconds, tokens, parameters, FLOPs, bytes
    versions: Mapping[str, str] = field(default_factory=dict)
    begun_with: Mapping[str, Any] = field(default_factory=dict)  # of init=: the row of that run, its cost
    command: str = ""
    created: str = ""
    verified: Mapping[str, Any] = field(default_factory=dict)  # when and on what it was done again, and what came out
    files: Mapping[str, str] = field(default_factory=dict)  # sha256 of what is stored beside it: values, samples
    folder: str = ""  # where it was read from; not stored

    @property
    def name(self) -> str:
        """Family and variant in one phrase."""
        return f"{self.family} {self.variant}".strip()

    @property
    def efficiency(self) -> dict[str, float]:
        """Every figure of which more is better per second, per FLOP and per parameter: `bleu4/parameters`."""
        return efficiencies({name: (v.value, v.higher_is_better) for name, v in self.values.items()}, self.cost)

    @property
    def corpus_key(self) -> str:
        """What two records must share to stand on one board: the text that they were judged against."""
        judged = self.fingerprints.get("splits", {}).get(self.split, {})
        return f"{self.data}:{judged.get('sha256', '')[:12]}"

    @property
    def corpus(self) -> str:
        """The corpus and, where it is not test, the split that it was judged on: `captions`, `captions-valid`."""
        return self.data if self.split == "test" else f"{self.data}-{self.split}"

    @property
    def split(self) -> str:
        """The split that it was judged on."""
        return (self.config.get("eval") or {}).get("split", "test")


FIELD_KINDS = {f.name: KINDS[str(f.type).partition("[")[0]] for f in fields(Record)}


def file_stem(name: str) -> str:
    """A decode setting, or the name of a system, as part of a file name: it never leads outside its folder.

    >>> file_stem("ancestral temperature=0.5"), file_stem("../x")
    ('ancestral-temperature-0.5', '---x')
    """
    stem = "".join(char if char.isprintable() else "-" for char in name.translate(BAD_FOR_FILES))
    dots = len(stem) - len(stem.lstrip("."))
    stem = "-" * dots + stem[dots:]
    if len(stem.encode()) > LONGEST_STEM:
        digest = hashlib.sha256(name.encode()).hexdigest()
        stem = stem.encode()[:LONGEST_STEM].decode(errors="ignore") + f"-{digest[:8]}"
    return stem


def path_of(folder: Path, decode: str) -> Path:
    """Where a run's folder holds the record of a decode setting."""
    return folder / f"record.{file_stem(decode)}.json"


def write(record: Record, folder: Path, texts: Sequence[str] | None = None) -> Path:
    """The path of `record.<decode>.json`, once it, its per-sequence figures and its samples have replaced the old ones.

    They are replaced as one: the record names the sha256 of the two others, which are written beside their places
    first, and a reader takes of the old and the new file the one that the record means. A process killed at any instant
    leaves the old three or the new three.

    Args:
        record: its `files` are filled in here.
        folder: locked by the caller.
        texts: the samples; None where the stored ones stand.
    """
    settle(folder, record.decode)
    made = dict(record.files) if texts is None else {}
    arrays = {name: v.per_sequence for name, v in record.values.items() if v.per_sequence is not None}
    draft = _next(_companion(folder, record.decode, "values"))
    with atomic(draft) as path, path.open("wb") as file:
        named: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez_compressed(file, **named)
    made["values"] = sha256(draft)
    if texts is not None:
        draft = _next(_companion(folder, record.decode, "samples"))
        write_texts(texts, draft)
        made["samples"] = sha256(draft)
    path = rewrite(replace(record, files=made), folder)  # from here on the new ones are meant
    settle(folder, record.decode)
    return path


def rewrite(record: Record, folder: Path) -> Path:
    """The path of `record.<decode>.json`, once the record has replaced the old one and its companions stand."""
    path = path_of(folder, record.decode)
    node = {**plain(record), "files": dict(record.files)}
    write_json({**node, "sha256": _digest(node)}, path)
    return path


def settle(folder: Path, decode: str) -> None:
    """Give the companions that a record means their names, and remove the drafts that none means.

    A process killed right after it wrote a record leaves them to the next one at work in the folder.
    """
    for kind in COMPANIONS:
        path = _companion(folder, decode, kind)
        draft = _next(path)
        if draft.exists():
            try:
                meant = read(path_of(folder, decode)).files.get(kind)
            except (ValueError, OSError):  # there is none, or none that can be read
                meant = None
            if meant == sha256(draft):
                os.replace(draft, path)
            else:
                draft.unlink()


def _companion(folder: Path, decode: str, kind: str) -> Path:
    return folder / f"{kind}.{file_stem(decode)}{COMPANIONS[kind]}"


def _next(path: Path) -> Path:
    return path.with_name(f".{path.name}.next")


def _stored(record: Record, kind: str) -> Path | None:
    """The file of a record's values or samples; None where it is not stored.

    Raises: ValueError where it is not the one that the record was made of.
    """
    path = _companion(Path(record.folder), record.decode, kind)
    meant = record.files.get(kind)
    if meant is None:  # of an older gentext, or of an export
        return path if path.exists() else None
    found = [file for file in (path, _next(path)) if file.exists()]
    for file in found:
        if sha256(file) == meant:
            return file
    if not found:
        log.warning("%s is missing, though its record names it", path)
        return None
    raise ValueError(
        f"{path} is damaged: it is not the file that its record was made of. Remove it and run the job again"
    )


def whole(record: Record) -> bool:
    """Whether the values and the samples of a record of a run stand beside it, as they were written."""
    return all(_stored(record, kind) is not None for kind in COMPANIONS)


def has_samples(record: Record) -> bool:
    """Whether samples are stored beside a record; they are not read."""
    path = _companion(Path(record.folder), record.decode, "samples")
    return path.exists() or _next(path).exists()


def samples(record: Record) -> list[str] | None:
    """The texts of a record; None where they are not stored. Raises: ValueError where they are damaged."""
    path = _stored(record, "samples")
    if path is None:
        return None
    try:
        if path.stat().st_size:
            return read_texts(path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: it is not UTF-8 text ({error})") from error
    raise ValueError(f"{path} is damaged: it is empty. Remove it and run the job again")


def plain(record: Record) -> dict[str, Any]:
    """A record as plain data, as JSON holds it, with its sha256: all but its folder and what is stored beside it."""
    kept = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ("values", "folder", "files")}
    values = {name: _plain(value) for name, value in record.values.items()}
    node = json.loads(to_json({"format": FORMAT, **kept, "values": values, "efficiency": record.efficiency}))
    return {**node, "sha256": _digest(node)}


def to_jsonl(records: Sequence[Record]) -> str:
    """Records as plain data, a line each: what records.jsonl holds. They do not say where the runs lay."""
    kept = [
        replace(
            record,
            command=_anywhere(record.command),
            config={key: value for key, value in record.config.items() if key != "out"},
        )
        for record in records
    ]
    return "".join(json.dumps(plain(record), ensure_ascii=False) + "\n" for record in kept)


def _anywhere(command: str) -> str:
    """A command without its `out=`."""
    return shlex.join(word for word in shlex.split(command) if not word.startswith("out="))


def _plain(value: Value) -> dict[str, Any]:
    kept = asdict(value)
    del kept["per_sequence"]
    kept["value"] = float(value.value)
    if value.interval is not None:
        kept["interval"] = [float(end) for end in value.interval]
    return kept


def _digest(node: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in node.items() if key != "sha256"}
    older = node["format"] < 3
    text = json.dumps(kept, sort_keys=older, ensure_ascii=older)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _is_sound(found: Mapping[str, Any], text: bytes) -> bool:
    """Whether what was read is what was written: its sha256, where it has one, is that of the rest.

    A line of `to_jsonl` is what the digest was taken of once the digest is cut out, so that it need not be made anew.
    """
    if "sha256" not in found:
        return True
    digest = found["sha256"]
    before, cut, after = text.strip().partition(f', "sha256": "{digest}"'.encode(errors="replace"))
    return bool(cut and digest == hashlib.sha256(before + after).hexdigest()) or digest == _digest(found)


def _parsed(text: bytes) -> Any:
    """Plain data of JSON, in half the time that json takes."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # json reads some of what this refuses, such as NaN, or says what is wrong
        return json.loads(text)


def read(path: Path) -> Record:
    """The record in a file. Raises ValueError where the file is not one."""
    try:
        text = path.read_bytes()
        found = _parsed(text)
    except (OSError, ValueError, RecursionError) as error:
        own = path.match("record.*.json")  # else a file that the user named, which never was one
        advice = "Remove it and run the job again" if own else "Give a folder that `gentext run` wrote, such as runs/"
        raise ValueError(f"{path} is not a record of gentext: {error}. {advice}") from error
    return _record(found, text, path, str(path))


def _record(found: Any, text: bytes, path: Path, where: str) -> Record:
    """Raises: ValueError where plain data is no record that can be read, saying `where` it stands."""
    if not isinstance(found, dict) or found.get("format") not in range(1, FORMAT + 1):
        given = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"{where} has record format {given!r}; this gentext reads formats 1 to {FORMAT}")
    if not _is_sound(found, text):
        raise ValueError(f"{where} is damaged: it is not what was written. Remove it and run the job again")
    try:
        whole = from_json(text.decode()) if b'"float"' in text else found  # how a number that is not finite is written
        return _checked(migrations.record(whole), str(path.parent))
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{where} is not a record of gentext: {reason}. Remove it and run the job again") from error


def _checked(found: dict[str, Any], folder: str) -> Record:
    """The record of plain data. Raises: TypeError, KeyError, ValueError or AttributeError where it is none."""
    values, absent = {}, dict(found["absent"])
    for name, node in found["values"].items():
        if math.isnan(checked(name, node)):
            absent[name] = "its figure is not a number"
        else:
            values[name] = node
    kept = {key: value for key, value in found.items() if key in FIELD_KINDS and key != "folder"}
    kept["cost"] = {name: float(amount) for name, amount in found.get("cost", {}).items()}
    record = Record(**{**kept, "values": Values(values), "absent": absent}, folder=folder)
    for name, kind in FIELD_KINDS.items():
        if not isinstance(getattr(record, name), kind):
            raise TypeError(f"its {name} is {getattr(record, name)!r:.40}")
    if not all(isinstance(reason, str) for reason in absent.values()):
        raise TypeError("a reason in absent is no text")
    _ = record.corpus_key  # what it rests on is there too
    return record


def find(paths: Sequence[str | Path]) -> list[Record]:
    """Every record below the given folders (or in the given files and records.jsonl), in a stable order.

    One that cannot be read is left out with a warning. Raises: ValueError where a path does not exist, or where none of
    what there is can be read.
    """
    records: list[Record] = []
    broken: list[ValueError] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f"{path} does not exist; give a folder that `gentext run` wrote, such as runs/")
    with no_collection():
        for found in (found for path in map(Path, paths) for found in _below(path)):
            if isinstance(found, ValueError):
                broken.append(found)
            else:
                records.append(found)
    if broken and not records:
        raise broken[0]
    for error in broken:
        log.warning("left out: %s", error)
    return records


@contextmanager
def no_collection() -> Iterator[None]:
    """Without the search for cycles of garbage: records hold none, and the search takes a third of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _below(path: Path) -> Iterator[Record | ValueError]:
    if path.is_dir():
        for found in sorted(path.rglob("record.*.json")):
            yield _tried(partial(read, found))
        for found in sorted(path.rglob("records.jsonl")):
            yield from _below(found)
    elif path.suffix == ".jsonl":
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _tried(partial(_line, line, path, f"line {number} of {path}"))
    else:
        yield _tried(partial(read, path))


def _tried(act: Callable[[], Record]) -> Record | ValueError:
    try:
        return act()
    except ValueError as error:
        return error


def _line(line: bytes, path: Path, where: str) -> Record:
    try:
        found = _parsed(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not a record of gentext: {error}") from error
    return _record(found, line, path, where)


def comparable_signatures(values: Iterable[Value]) -> list[str]:
    """The signatures of figures of one name, sorted: one where they may be compared.

    How many draws a bound rests on (iw:K) parts it from bounds of another number, and not from what is exact; those of
    an estimate that more draws make no tighter (nelbo:K) part it from nothing.
    """
    signatures = {re.sub(r"\|nelbo:\d+", "", signature) for signature in {value.signature for value in values}}
    parts = {signature: signature.split("|") for signature in signatures}
    if len({part for found in parts.values() for part in found if part.startswith("iw:")}) == 1:
        signatures = {"|".join(part for part in found if not part.startswith("iw:")) for found in parts.values()}
    return sorted(signatures)


def per_sequence(record: Record) -> dict[str, np.ndarray]:
    """Each metric's figures sentence by sentence, where it is a mean over sentences or a ratio (then linearised).

    Raises: ValueError where their file is damaged.
    """
    path = _stored(record, "values")
    if path is None:
        return {}
    try:
        with np.load(path) as arrays:
            return {name: arrays[name].astype(np.float64) for name in arrays.files}
    except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged: {error}. Remove it and run the job again") from error
