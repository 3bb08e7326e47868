"""What a row's figures are over its seeds, written into the record of every one of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gentext.results import naming
from gentext.results import record as records
from gentext.results.record import Record
from gentext.results.run_folder import KEPT_WEIGHTS, locked
from gentext.results.significance import over_seeds

log = logging.getLogger("gentext")
FEWEST = 3  # seeds of which an interval can be made


def write_seed_summaries(folders: Iterable[Path]) -> None:
    """Write `over_seeds` into the records of the runs that lie beside one another in each of these folders.

    A row is what differs in nothing but its seed, as on the board. A run that another process is at work on is left.
    """
    for folder in folders:
        rows = defaultdict(list)
        for path in sorted([*folder.glob("*/record.*.json"), *folder.glob(f"*/{KEPT_WEIGHTS}/*/record.*.json")]):
            try:
                record = records.read(path)
            except ValueError as error:
                log.warning("%s", error)
            else:
                rows[record.corpus_key, naming.identity(record)].append(record)
        for row in rows.values():
            known = summary(row)
            for record in row:
                if record.over_seeds != known:
                    _write(record, known)


def summary(row: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Mean, 95 % interval (Student's t over the seeds' figures) and seeds of every metric that all hold alike.

    Empty of fewer than three seeds, and where two records have one seed: which of them counts is not known.
    """
    seeds = sorted(record.seed for record in row)
    if len(seeds) < FEWEST or len(set(seeds)) < len(seeds):
        return {}
    found = {}
    for name, value in row[0].values.items():
        held = [record.values[name] for record in row if name in record.values]
        if len(held) == len(row) and all(one.signature == value.signature for one in held):
            mean, interval = over_seeds([one.value for one in held])
            found[name] = {"mean": mean, "interval": list(interval or ()), "seeds": seeds}
    return found


def _write(record: Record, known: Mapping[str, Any]) -> None:
    """Put `known` into the record in its file, where that is still the one that `known` was made of."""
    folder = Path(record.folder)
    path = records.path_of(folder, record.decode)
    try:
        with locked(folder):
            now = records.read(path)
            if (now.created, now.files) == (record.created, record.files):
                records.rewrite(replace(now, over_seeds=known), folder)
    except ValueError as error:
        log.warning("its figures over seeds are not in its record: %s", error)
