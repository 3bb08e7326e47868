"""`gentext report`: the records of a folder, and the text that they are read against, as one page."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from gentext.report import export, page
from gentext.report.samples import Material
from gentext.results import board, render_board
from gentext.results import record as records
from gentext.results.record import Record
from gentext.results.run_folder import changes

PUBLISHED = {"csv": "csv", "json": "json", "md": "markdown"}  # ending -> form

log = logging.getLogger("gentext")


def write(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    failures: Sequence[Mapping[str, str]] = (),
    trusted: Collection[str] = (),
) -> list[Path]:
    """The files of a report on every record below `paths`. Raises ValueError where there is none.

    Args:
        paths: folders of runs.
        out: ends in .html, .md or .tex.
        failures: jobs of a sweep that failed, each with its reason and command.
        trusted: modules of the user's own that the records may name.
    """
    found = records.find(paths)
    if not found:
        raise ValueError(f"{', '.join(map(str, paths))} holds no record to report on; `gentext run` writes some")
    return export.write(page.build(found, material(found, trusted), failures=failures), Path(out))


def publish(found: Sequence[Record], folder: str | Path, *, trusted: Collection[str] = ()) -> list[Path]:
    """The files of a public board: a page, the tables in every form, and the records that both are made of."""
    folder = Path(folder)
    ranked = board.rank(found)
    files = {f"board.{ending}": render_board.FORMS[form](ranked) for ending, form in PUBLISHED.items()}
    files["records.jsonl"] = records.to_jsonl(found)
    index = page.build(found, material(found, trusted), files=tuple(files))
    return [*export.write(index, folder / "index.html"), *(export.put(folder / n, text) for n, text in files.items())]


def material(found: Sequence[Record], trusted: Collection[str] = ()) -> dict[str, Material]:
    """Human and training text by the records' `corpus_key`, of those that have samples and can be opened here.

    It is the text that the records are of, or none; a report without it shows samples bare.
    """
    texts: dict[str, Material] = {}
    tried: set[str] = set()  # the same text by the same options: ten thousand records are mostly of a few
    for record in found:
        if record.corpus_key in texts or not (record.config and records.has_samples(record)):
            continue
        key = repr((record.corpus_key, record.config.get("data"), record.config.get("tokenizer"), record.fingerprints))
        if key in tried:
            continue
        tried.add(key)
        from gentext.run_pipeline import open_corpus  # loads torch, which records alone do not need

        try:
            corpus = open_corpus(OmegaConf.create(dict(record.config)), trusted=trusted)
            if differences := changes(record.fingerprints, corpus.fingerprint(), tokenizer=False):
                raise ValueError(f"it is other text now, by sha256: {'; '.join(differences)}")
        except (ValueError, OSError) as error:
            log.warning(
                "%s cannot be opened here (%s): its samples are shown without their nearest text", record.data, error
            )
            continue
        texts[record.corpus_key] = Material(
            corpus.lines(record.split), corpus.lines("train"), corpus.truth, corpus.words
        )
    return texts
