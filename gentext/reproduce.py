"""A record's run once more: done again from its configuration alone, and compared figure by figure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from gentext import config
from gentext.config import Root
from gentext.panels import Table
from gentext.results import record as records
from gentext.results import run_folder
from gentext.results.record import Record
from gentext.run_pipeline import Label, open_corpus, run
from gentext.score_pipeline import AS_GIVEN

NODES = ("data", "tokenizer", "family", "train", "loss", "decode", "eval")
KIND = ("platform", "cpu", "cpus", "threads", "python", "torch", "numpy", "gentext", "commit")  # of `Record.versions`
TRACKER = {"jsonl": {"_target_": "gentext.trackers.Jsonl"}}


def configuration(record: Record, changed: Sequence[str] = (), trusted: Collection[str] = ()) -> DictConfig:
    """The configuration of a record's run, with these keys of the root changed: out, device, resume, name.

    Args:
        record: of a run.
        changed: such as `["out=again"]`.
        trusted: modules of which it may name classes, beside gentext's own.

    Raises: ValueError where the record is of no run, names other code, or another key is to be changed.
    """
    if record.decode == AS_GIVEN or not record.config.get("family"):
        raise ValueError(f"{record.folder}: its texts were drawn by no run; to judge them again: {record.command}")
    given = {word.partition("=")[0]: word.partition("=")[2] for word in changed}
    if other := given.keys() - {"out", "device", "resume", "name"}:
        raise ValueError(
            f"{', '.join(sorted(other))}: a run that is repeated is what its record says; change out, device, resume "
            "or name alone, or give the record's command to `gentext run` with your changes"
        )
    root = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(Root)))
    cfg = OmegaConf.create({**root, **record.config, "tracker": TRACKER, "resume": True})
    cfg = cast(DictConfig, OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(changed))))
    for name in NODES:
        config.refuse_code(cfg[name], trusted)
    config.check_run(cfg)
    return cfg


def repeat(record: Record, cfg: DictConfig, folder: Path | None = None, command: str = "") -> tuple[Path, list[Record]]:
    """The folder and the records of a record's run, done again; what the folder holds already is not.

    Raises: ValueError where the data is not what it was.
    """
    corpus = open_corpus(cfg.copy())
    if differences := run_folder.changes(record.fingerprints, corpus.fingerprint()):
        raise ValueError(f"the data is not that of the record, by sha256: {'; '.join(differences)}")
    if folder is None:
        key = config.fingerprint([config.identity(cfg), record.versions.get("gentext")])
        folder = Path(cfg.out) / record.data / f"{records.file_stem(record.family)}-s{record.seed}-{key}"
    variant = re.sub(r" ?weights=\S+$", "", record.variant)  # `run` says which of its weights a row shows
    return folder, run(cfg, folder, Label(record.family, variant, command or record.command))


def run_again(path: str, changed: Sequence[str] = ()) -> tuple[Path, list[Record]]:
    """The folder and the records of the run of a record's file, done again in its own folder or under `out=`."""
    found = records.find([path])
    if len(found) > 1 and len({(one.folder, one.seed) for one in found}) > 1:
        raise ValueError(f"{path} holds {len(found)} records; give the file of one: .../record.NAME.json")
    record, here = found[0], Path(found[0].folder)
    cfg = configuration(record, changed)
    own = (here / run_folder.MANIFEST).exists() and not any(word.startswith("out=") for word in changed)
    command = shlex.join(["gentext", "run", "--from", path, *changed])
    return repeat(record, cfg, here if own else None, record.command or command)


@dataclass(frozen=True)
class Verification:
    """What came of a record's run when it was done again."""

    table: Table
    came_out: bool  # every figure
    record: Record  # the old one, which says so


def verify(record: Record, out: Path, *, trusted: Collection[str] = (), device: str | None = None) -> Verification:
    """A record's run done again under `out`, figure by figure beside what the record says.

    On a machine of the same kind every figure must be equal; elsewhere it must lie within the record's interval, and
    one without an interval must be equal to six digits.
    """
    cfg = configuration(record, [f"device={device}"] if device else [], trusted)
    cfg.out = str(out)
    built = {config.setting(decoder): name for name, decoder in config.build(cfg.decode).items()}
    if record.decode not in built:
        raise ValueError(f"the configuration of {record.folder} has no decode setting {record.decode!r}")
    cfg.decode = {built[record.decode]: cfg.decode[built[record.decode]]}
    _, made = repeat(record, cfg)
    new = next((one for one in made if one.variant == record.variant), None)
    if new is None:
        raise ValueError(f"done again, the run has no row {record.name}; it has {', '.join(one.name for one in made)}")
    theirs, here = _kind(record), _kind(new)
    alike = theirs == here
    rows = [
        [name, f"{old.value:.6g}", f"{new.values[name].value:.6g}" if name in new.values else "-", verdict]
        for name, old in sorted(record.values.items())
        for verdict in [_verdict(old, new.values.get(name), alike)]
    ]
    verdicts = [row[-1] for row in rows]
    came_out = not {"differs", "missing"} & set(verdicts)
    how = {
        "when": new.created,
        "on": _words(new),
        "same_kind": alike,
        "came_out": came_out,
        "equal": verdicts.count("equal"),
        "within": verdicts.count("within its interval"),
        "figures": len(rows),
    }
    apart = ", ".join(f"{name} {theirs[name]}, here {here[name]}" for name in here if theirs[name] != here[name])
    kind = "of the same kind" if alike else f"of another kind ({apart}), so figures may move within intervals"
    note = (
        f"Done again on {how['on']}; the record is of a machine {kind}. {how['equal']} of {len(rows)} figures are equal"
    )
    note += f", {how['within']} within their intervals" * bool(how["within"])
    wrong = len(rows) - how["equal"] - how["within"]
    note += f"; {wrong} did not come out." if wrong else ": it came out."
    title = f"{record.name}, {record.decode}, seed {record.seed} on {record.data}"
    table = Table(title, note, ["figure", "recorded", "again", "verdict"], rows)
    return Verification(table, came_out, replace(record, verified=how))


def _verdict(old: Any, new: Any, alike: bool) -> str:
    if new is None:
        return "missing"
    if new.value == old.value:
        return "equal"
    if alike:
        return "differs"
    if old.interval is None:
        return "equal" if abs(new.value - old.value) <= 1e-6 * abs(old.value) else "differs"
    return "within its interval" if old.interval[0] <= new.value <= old.interval[1] else "differs"


def _kind(record: Record) -> Mapping[str, Any]:
    return {"device": record.config.get("device"), **{name: record.versions.get(name) for name in KIND}}


def _words(record: Record) -> str:
    versions = [record.versions.get(name) for name in ("cpu", "platform")]
    packages = [f"{name} {record.versions[name]}" for name in ("torch", "gentext") if name in record.versions]
    return ", ".join([*(word for word in versions if word), *packages])


def mark(verification: Verification) -> bool:
    """Write into a run's folder that its record was verified; False where the record lies in no such folder."""
    record = verification.record
    folder = Path(record.folder)
    if not records.path_of(folder, record.decode).is_file():
        return False
    with run_folder.locked(folder):
        records.rewrite(record, folder)
    return True
