"""Records of several machines joined into one board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gentext.results import naming
from gentext.results.record import Record, find


def merge(paths: Sequence[str | Path]) -> list[Record]:
    """All records below the paths.

    Raises: ValueError where two of them are of one run, or where a corpus of one name is not everywhere the same text.
    """
    runs: dict[object, tuple[Record, str]] = {}
    corpora: dict[tuple[str, str], tuple[str, str]] = {}
    for path in map(str, paths):
        for record in find([path]):
            key, other = corpora.setdefault((record.data, record.split), (record.corpus_key, path))
            if key != record.corpus_key:
                raise ValueError(
                    f"{record.data} is judged against other text in {path} ({record.corpus_key}) than in {other} "
                    f"({key}); give the two corpora different names (data.name=...), or rank them apart"
                )
            run = (record.corpus_key, naming.identity(record), record.seed)
            if run in runs:
                known, where = runs[run]
                raise ValueError(
                    f"{record.name}, {record.decode}, seed {record.seed} stands both in {where} ({known.created}) and "
                    f"in {path} ({record.created}); leave one out, or run one with another seed"
                )
            runs[run] = (record, path)
    return [record for record, _ in runs.values()]
