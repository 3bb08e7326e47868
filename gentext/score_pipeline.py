"""`gentext score`: metrics from stored samples with no model, and anyone's text as a row on the board."""

from __future__ import annotations

import hashlib
import inspect
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from gentext import config
from gentext.data.corpus import Corpus
from gentext.data.readers import TextReader, read_sample_log, read_samples
from gentext.evaluation import harness
from gentext.files import read_texts
from gentext.results import record as records
from gentext.results import seeds
from gentext.results.record import Record
from gentext.results.run_folder import check_data, locked, run_of, versions
from gentext.run_pipeline import open_corpus, plain, stored_tokenizer
from gentext.types import Samples

AS_GIVEN = "as given"  # the decode setting of texts that somebody else drew
SAMPLES = f"samples.{records.file_stem(AS_GIVEN)}.txt"


def stored(paths: Sequence[str], judged: Sequence[str], trusted: Collection[str] = ()) -> list[Record]:
    """Every record below `paths` with the metrics of an eval option, computed anew from its stored samples.

    `judged` is the option, and what is changed in it: `["full", "eval.encoder.width=512"]`.

    What rests on the model's own likelihood cannot be recomputed without the model and is kept as it was.
    """
    made = []
    for old in records.find(paths):
        texts, folder = records.samples(old), Path(old.folder)
        if texts is None:
            raise ValueError(
                f"{folder} holds no samples of {old.name}, {old.decode}, to judge anew; run it again: {old.command}"
            )
        cfg = OmegaConf.create(dict(old.config))
        kept_as_they_were = [f"eval.{key}={old.config['eval'][key]}" for key in ("samples", "split")]
        cfg.eval = _composed([*_metrics(judged), *kept_as_they_were]).eval
        corpus = open_corpus(cfg, stored_tokenizer(folder), trusted=trusted)
        check_data(folder, old.fingerprints, corpus.fingerprint(), tokenizer=False)
        values, absent = _judge(cfg, corpus, tuple(texts), with_model=False)
        arrays = records.per_sequence(old)
        kept = {
            name: replace(value, per_sequence=arrays.get(name))
            for name, value in old.values.items()
            if name not in values
        }
        absent = {name: reason for name, reason in absent.items() if name not in kept}
        new = replace(old, values={**kept, **values}, absent=absent, config=plain(cfg))
        new = replace(new, versions={**old.versions, **versions()})
        with locked(folder):
            records.write(new, folder)
        made.append(new)
    seeds.write_seed_summaries(sorted({run_of(Path(one.folder)).parent for one in made}))
    return made


def external(
    file: str,
    references: Sequence[str],
    name: str | None,
    judged: Sequence[str],
    out: str,
    column: str = "text",
    *,
    config_dir: str | Path | None = None,
    temporary: bool = False,
) -> Record:
    """A record of another system's text, judged against the test split of `references`.

    Args:
        file: one sample a line, or a table whose column `column` (a name, or a number from 0) holds them; read as the
            corpus's own files are.
        references: what to judge it against, such as `["data=coco"]`.
        name: the row's on the board; None: the file's, made unique where other text has a record under it.
        judged: an option of the eval group, and what is changed in it.
        out: where its record goes.
        column: of a table.
        config_dir: where options of the user's own are found, for the record's command.
        temporary: the file will be gone, so that the record's command names the samples that are kept beside it.
    """
    if not out:
        raise ValueError("out is empty; name the folder of the record, such as --out runs")
    cfg = _composed([*references, *_metrics(judged)])
    reader = TextReader(
        target=int(column) if column.isdecimal() else column,
        lowercase=cfg.data.get("lowercase", False),
        spaces=cfg.data.get("spaces", True),
        keep_lines=cfg.data.get("keep_lines", False),
    )
    logged = read_sample_log(Path(file))
    if logged is None:
        texts = tuple(read_samples(Path(file), reader, stream=cfg.data.get("unit") == "stream"))
    else:  # an answer is one line of a corpus of lines, and cased as the corpus is
        texts = tuple(" ".join(text.split("\n")).strip() for text in logged)
        texts = tuple(text.lower() for text in texts) if reader.lowercase else texts
    corpus = open_corpus(cfg)
    values, absent = _judge(cfg, corpus, texts, with_model=True)
    name, folder = _place(Path(out) / records.file_stem(corpus.name), name, Path(file), texts)
    where = [] if config_dir is None else ["--config-dir", str(config_dir)]
    file, column = (str(folder / SAMPLES), "text") if temporary else (file, column)
    command = shlex.join(
        [
            *("gentext", "score", *where, "--samples", file, "--column", column, "--references", *references),
            *("--eval", *judged, "--name", name, "--out", out),
        ]
    )
    made = Record(
        data=corpus.name,
        track=corpus.track,
        family=name,
        variant="",
        decode=AS_GIVEN,
        seed=0,
        values=values,
        absent=absent,
        likelihood="none",
        fingerprints=corpus.fingerprint(),
        config=plain(cfg),
        versions=versions(),
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        folder=str(folder),
    )
    with locked(folder):
        records.write(made, folder, texts)
    return made


def _place(parent: Path, name: str | None, file: Path, texts: Sequence[str]) -> tuple[str, Path]:
    """The row's name and its folder, never one that holds the record of another text.

    Raises ValueError where the user's own name is taken.
    """
    chosen = name or file.name.removesuffix(".gz").rsplit(".", 1)[0]
    folder = parent / records.file_stem(chosen)
    if not (folder / SAMPLES).exists() or read_texts(folder / SAMPLES) == list(texts):
        return chosen, folder
    if name is not None:
        raise ValueError(f"{folder} holds the record of another text; give this one another --name, or another --out")
    chosen += "-" + hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]
    return chosen, parent / records.file_stem(chosen)


def _metrics(judged: Sequence[str]) -> list[str]:
    option, *changes = judged
    return [f"eval={option}", *changes]


def _composed(overrides: Sequence[str]) -> DictConfig:
    return config.compose(config.completed(overrides))


def _judge(cfg: DictConfig, corpus: Corpus, texts: tuple[str, ...], *, with_model: bool) -> tuple[dict, dict]:
    """Values and reasons; without `with_model` only of the metrics that ask for no likelihood of a model's own."""
    metrics = config.build(cfg.eval.metrics)
    if not with_model:
        own = {"scores", "sample_scores", "autoencoder", "label_scores", "scorer", "labeller", "critic"}
        metrics = {name: m for name, m in metrics.items() if not own & inspect.signature(m.update).parameters.keys()}
    evidence = harness.gather(corpus, cfg.eval.split)
    references = cast(Samples, evidence.references)
    prompts = references.prompts
    if prompts is not None and len(prompts) != len(texts):
        raise ValueError(f"{len(texts)} samples answer {len(prompts)} prompts of {corpus.name}; give one line for each")
    return harness.evaluate(metrics, replace(evidence, samples=replace(references, texts=texts)))
