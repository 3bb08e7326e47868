"""The record of one run and one decode setting: the only truth about a run. Trackers, boards and reports read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from gentext.files import _finite, atomic, write_json
from gentext.results import migrations
from gentext.results.cost import efficiencies
from gentext.types import Value

FORMAT = 2
BAD_FOR_FILES = str.maketrans(dict.fromkeys(' /\\:*?"<>|=', "-"))
LONGEST_STEM = 180  # bytes; file systems allow 255 for a whole name


@dataclass(frozen=True)
class Record:
    """Everything that a reader needs to believe, compare and repeat the numbers of one row."""

    data: str  # corpus
    track: str  # unconditional | conditional
    family: str  # the option's name, e.g. seqgan_gumbel; "human" for the training text itself
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
    command: str = ""
    created: str = ""
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
    def split(self) -> str:
        """The split that it was judged on."""
        return (self.config.get("eval") or {}).get("split", "test")


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


def write(record: Record, folder: Path) -> Path:
    """The path of `record.<decode>.json`, written atomically, its per-sequence figures beside it in an npz."""
    stem = file_stem(record.decode)
    arrays = {name: v.per_sequence for name, v in record.values.items() if v.per_sequence is not None}
    with atomic(folder / f"values.{stem}.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **{name: np.asarray(array) for name, array in arrays.items()})
    path = path_of(folder, record.decode)
    write_json(plain(record), path)
    return path


def plain(record: Record) -> dict[str, Any]:
    """A record as plain data, all but its per-sequence figures and its folder."""
    kept = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ("values", "folder")}
    values = {name: _plain(value) for name, value in record.values.items()}
    return _finite({"format": FORMAT, **kept, "values": values, "efficiency": record.efficiency})


def _plain(value: Value) -> dict[str, Any]:
    kept = asdict(value)
    del kept["per_sequence"]
    kept["value"] = float(value.value)
    if value.interval is not None:
        kept["interval"] = [float(end) for end in value.interval]
    return kept


def read(path: Path) -> Record:
    """The record in a file. Raises ValueError where the file is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a record of gentext: {error}. Remove it or run the job again") from error
    return _record(found, path)


def _record(found: Any, path: Path) -> Record:
    """Raises: ValueError where plain data is no record that can be read, naming the file."""
    found = migrations.record(found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        given = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"{path} has record format {given}; this gentext reads formats 1 to {FORMAT}")
    values = {}
    for name, value in found.pop("values").items():
        interval = tuple(map(float, value["interval"])) if value["interval"] is not None else None
        values[name] = Value(**{**value, "value": float(value["value"]), "interval": interval})
    known = {f.name for f in fields(Record)}
    kept = {key: value for key, value in found.items() if key in known}
    return Record(values=values, folder=str(path.parent), **kept)


def find(paths: Sequence[str | Path]) -> list[Record]:
    """Every record below the given folders (or in the given files and records.jsonl), in a stable order."""
    records = []
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f"{path} does not exist; give a folder that `gentext run` wrote, such as runs/")
        records += list(_below(path))
    return records


def _below(path: Path) -> Iterator[Record]:
    if path.is_dir():
        for found in sorted(path.rglob("record.*.json")):
            yield read(found)
        for found in sorted(path.rglob("records.jsonl")):
            yield from _below(found)
    elif path.suffix == ".jsonl":
        for line in path.read_text(encoding="utf-8").splitlines():
            yield _record(json.loads(line), path)
    else:
        yield read(path)


def comparable_signatures(values: Iterable[Value]) -> list[str]:
    """The signatures of figures of one name, sorted: one where they may be compared.

    How many draws a bound rests on (iw:K) parts it from bounds of another number, and not from what is exact.
    """
    signatures = {value.signature for value in values}
    parts = {signature: signature.split("|") for signature in signatures}
    if len({part for found in parts.values() for part in found if part.startswith("iw:")}) == 1:
        signatures = {"|".join(part for part in found if not part.startswith("iw:")) for found in parts.values()}
    return sorted(signatures)


def per_sequence(record: Record) -> dict[str, np.ndarray]:
    """Each metric's figures sentence by sentence, where it is a mean over sentences."""
    path = Path(record.folder) / f"values.{file_stem(record.decode)}.npz"
    if not path.exists():
        return {}
    with np.load(path) as arrays:
        return {name: arrays[name].astype(np.float64) for name in arrays.files}
