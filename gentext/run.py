"""The pipeline, on one screen: corpus -> family -> training -> samples -> metrics -> records."""

from __future__ import annotations

import json
import logging
import resource
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_model, save_model

from gentext import config, panels
from gentext.data.corpus import Corpus
from gentext.evaluation import harness, latents
from gentext.files import atomic, write_json, write_texts
from gentext.language_model import Decoder, LanguageModel, SupportsPanels, SupportsPrepare
from gentext.results import record as records
from gentext.results.record import Record
from gentext.results.run_folder import clear, locked, versions
from gentext.seeding import Streams
from gentext.trackers import RunMonitor, logging_to
from gentext.train.base import in_order
from gentext.types import Batch

log = logging.getLogger("gentext")


@dataclass(frozen=True)
class Label:
    """How a run is called on a board: the family's option, and what the command line changed in it."""

    family: str
    variant: str = ""
    command: str = ""


def run(cfg: DictConfig, folder: Path, label: Label) -> list[Record]:
    """The records of one run, one per decode setting. What its folder already holds is not done again."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), logging_to(folder):
        if not cfg.resume:
            clear(folder)
        streams = Streams(cfg.seed)
        if cfg.eval.samples < 1:
            raise ValueError(f"eval.samples is {cfg.eval.samples}; judge 1 text or more, for example eval.samples=1000")
        corpus = open_corpus(cfg)
        corpus.size(cfg.eval.split)  # a wrong split fails now, not after training
        decoders = {config.setting(decoder): decoder for decoder in config.build(cfg.decode).values()}
        found = {setting: standing(cfg, folder, setting) for setting in decoders}
        if None in found.values():
            torch.manual_seed(streams.derive("parameters"))  # torch's initialisers know no other generator
            family = config.build(cfg.family).to(cfg.device)
            with RunMonitor(folder, config.build(cfg.tracker), resume=cfg.resume, config=plain(cfg)) as monitor:
                cost = train(cfg, family, corpus, streams, monitor)
                look_inside(family, corpus, streams("panels", cfg.device), folder)
                scores = harness.score(family, corpus, cfg.eval.split, device=cfg.device, monitor=monitor)
                seed = streams.derive("latent")
                reader = latents.reader(family, corpus, cfg.eval.split, seed=seed, device=cfg.device)
                evidence = harness.gather(corpus, cfg.eval.split, scores, autoencoder=reader)
                job = Evaluation(cfg, folder, label, family, corpus, cost, evidence, monitor)
                for setting in [setting for setting, record in found.items() if record is None]:
                    found[setting] = evaluate(job, decoders[setting], setting)
        else:
            log.info("%s is finished: its records stand (resume=false starts anew)", folder)
        return list(found.values())


def standing(cfg: DictConfig, folder: Path, setting: str) -> Record | None:
    """The record of a decode setting where the folder holds it, judged as now asked."""
    path = records.path_of(folder, setting)
    old = records.read(path) if path.exists() else None
    return old if old is not None and old.config.get("eval") == plain(cfg)["eval"] else None


@dataclass(frozen=True)
class Evaluation:
    """A trained run about to be judged."""

    cfg: DictConfig
    folder: Path
    label: Label
    family: LanguageModel
    corpus: Corpus
    cost: dict[str, float]
    evidence: harness.Evidence  # what is the same for all decode settings
    monitor: RunMonitor


def open_corpus(cfg: DictConfig, *, trusted: Collection[str] | None = None) -> Corpus:
    """The corpus with its tokenizer fitted; fills in the configuration's `vocab_size` and `max_len`.

    trusted: of a stored configuration, the modules that it may name; None: the configuration is the user's own.
    """
    data, tokenizer = (config.build(node, trusted=trusted) for node in (cfg.data, cfg.tokenizer))
    corpus = Corpus.open(data, tokenizer, max_len=cfg.max_len)
    cfg.vocab_size = corpus.tokenizer.vocab_size
    cfg.max_len = corpus.max_len
    return corpus


def train(
    cfg: DictConfig, family: LanguageModel, corpus: Corpus, streams: Streams, monitor: RunMonitor
) -> dict[str, float]:
    """What the training cost. The family is trained in place, or loaded where the folder holds it trained."""
    folder, done = monitor.folder, monitor.folder / "trained.json"
    if done.exists():
        load_model(family, folder / "model.safetensors", device=cfg.device)
        log.info("%s holds the trained model: loaded (resume=false starts anew)", folder)
        return json.loads(done.read_text(encoding="utf-8"))
    loop = config.build(cfg.train)
    loop.check(family)  # before an HMM looks at the text for minutes
    prepared = prepare(family, corpus, streams, folder / "prepared.pt")
    begun = time.perf_counter()
    loop.run(family, corpus, streams=streams, monitor=monitor)
    cost = {
        "train_seconds": prepared + monitor.last.get("seconds", time.perf_counter() - begun),
        "train_tokens": monitor.last.get("tokens", float(corpus.tokens("train"))),
        "parameters": float(family.size()),
        "peak_bytes": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
    }
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    corpus.tokenizer.save(folder / "tokenizer.json")
    with atomic(folder / "model.safetensors") as path:
        save_model(family, str(path))
    write_json(cost, done)
    stages = [path.parent for path in folder.glob("*/done")]
    for left in (folder / "checkpoint", *stages):  # several times the model, and nothing goes on from it now
        shutil.rmtree(left, ignore_errors=True)
    (folder / "prepared.pt").unlink(missing_ok=True)
    return cost


def prepare(family: LanguageModel, corpus: Corpus, streams: Streams, path: Path) -> float:
    """The seconds that a family took to look at the training text; an HMM that grows is half trained by then.

    What it has become lies at `path` until it is trained, so that a killed run need not do it again.
    """
    if not isinstance(family, SupportsPrepare):
        return 0.0
    if path.exists():
        kept = torch.load(path, weights_only=True)
        family.load_state_dict(kept["family"])
        return kept["seconds"]
    begun = time.perf_counter()
    family.prepare(in_order(corpus, "train", 256, 256, rows=32), rng=streams("prepare"))
    seconds = time.perf_counter() - begun
    with atomic(path) as temporary:
        torch.save({"family": family.state_dict(), "seconds": seconds}, temporary)
    return seconds


def look_inside(family: LanguageModel, corpus: Corpus, rng: torch.Generator, folder: Path) -> None:
    """Write `panels.json`, what a trained family shows of its inside; where that fails the run goes on."""
    path = folder / "panels.json"
    if not isinstance(family, SupportsPanels) or path.exists():
        return
    family.eval()
    try:
        with torch.inference_mode():
            write_json(panels.plain(family.panels(corpus, rng)), path)
    except Exception as error:  # whatever it is, a trained model is worth more than a look at it
        log.warning("%s has no panels: %s: %s", folder, type(error).__name__, error)


def evaluate(job: Evaluation, decoder: Decoder, setting: str) -> Record:
    """The record of one decode setting, written."""
    cfg, corpus = job.cfg, job.corpus
    stem = records.file_stem(setting)
    length = corpus.truth.length if corpus.truth is not None else None  # of every text of such a corpus
    begun = time.perf_counter()
    draw = sample(job, decoder, setting, length)
    seconds = time.perf_counter() - begun
    texts = corpus.tokenizer.decode(draw.tokens.tolist())
    write_texts(texts, job.folder / f"samples.{stem}.txt")
    begun = time.perf_counter()
    known = decoder.distribution(job.family, length) if job.evidence.scores else None
    decoded = None
    if job.evidence.scores and known is not job.family and corpus.truth is not None:
        if known is not None:  # else it truncates, and what it draws from has no likelihood that is known
            decoded = harness.score(known, corpus, cfg.eval.split, device=cfg.device, monitor=job.monitor)
        decoded = decoded or replace(job.evidence.scores, kind="none")  # the family's own are not this setting's
    evidence = replace(
        job.evidence,
        samples=replace(job.evidence.references, texts=tuple(texts)),
        sample_scores=harness.score_draw(known, corpus, draw, texts, cfg.device) if known is not None else None,
        decoded_scores=decoded,
    )
    values, absent = harness.evaluate(config.build(cfg.eval.metrics), evidence)
    cost = {
        **job.cost,
        "sample_seconds": seconds,
        "sample_tokens": float(draw.lengths.sum()),
        "judge_seconds": time.perf_counter() - begun,
        "flops_per_token": job.family.flops(1000) / 1000,
    }
    made = Record(
        data=corpus.name,
        track="conditional" if corpus.pairs else "unconditional",
        family=job.label.family,
        variant=job.label.variant,
        decode=setting,
        seed=cfg.seed,
        values=values,
        absent=absent,
        likelihood=job.family.likelihood,
        adaptive=job.family.adaptive,
        fingerprints=corpus.fingerprint(),
        config=plain(cfg),
        cost=cost,
        versions=versions(),
        command=job.label.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        folder=str(job.folder),
    )
    records.write(made, job.folder)
    job.monitor.log(0, {f"{stem}/{name}": value.value for name, value in values.items()})
    return made


def sample(job: Evaluation, decoder: Decoder, setting: str, length: int | None) -> Batch:
    """`eval.samples` sequences (of pairs: an answer to each prompt), all of `length` tokens where it is given.

    They come from the stream named after the decode setting.
    """
    cfg, corpus = job.cfg, job.corpus
    n, prompt, rng = cfg.eval.samples, None, Streams(cfg.seed)(f"sample/{setting}", cfg.device)
    prompts = corpus.prompts(cfg.eval.split)
    if prompts is not None:
        prompt = corpus.batch([], prompts).prompt.to(cfg.device)
        n = len(prompt)
    if length is not None:
        decoder = replace(decoder, min_len=length)
    job.family.eval()
    with job.monitor.progress(None, f"sampling {n}: {setting}", ""), torch.inference_mode():
        return job.family.sample(n, length or cfg.max_len, decoder=decoder, rng=rng, prompt=prompt).to("cpu")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain data, interpolations resolved."""
    return OmegaConf.to_container(cfg, resolve=True)
