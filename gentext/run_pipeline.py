"""The pipeline, on one screen: corpus -> family -> training -> samples -> metrics -> records."""

from __future__ import annotations

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_model

from gentext import config, panels
from gentext.checks import ArgumentError
from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Tokenizer
from gentext.decode.base import BaseDecoder
from gentext.decode.candidates import JudgedDecoder
from gentext.evaluation import harness, latents, parallel
from gentext.files import atomic, read_json, write_json
from gentext.inspection.text import example
from gentext.language_model import (
    Decoder,
    LanguageModel,
    SupportsAnswers,
    SupportsCheckpoint,
    SupportsPanels,
    SupportsPrepare,
    SupportsSubwords,
    SupportsTexts,
)
from gentext.models import Student
from gentext.results import naming, run_folder
from gentext.results import record as records
from gentext.results.cost import PeakMemory
from gentext.results.record import Record
from gentext.results.run_folder import PANELS, Manifest, versions
from gentext.seeding import Streams
from gentext.trackers import SPENT, RunMonitor, Tracker, logging_to
from gentext.train.base import denormals_as_zero, device_of, in_order
from gentext.train.em import EMTrainer
from gentext.train.gradient import GradientTrainer
from gentext.train.progress import Track
from gentext.trained import about_weights, begin_with, load_weights, needed
from gentext.types import EOS, Batch, Samples, Scores

PREPARED = "prepared.pt"
PREPARED_ROWS = 256  # of the batches in which a family looks at the text before it is trained, where EM does not say
WITH = "versions"  # in trained.json, beside the cost
BEGUN = "begun_with"  # there too
SUMMED = ("train_seconds", "train_core_seconds", "train_tokens", "train_flops")  # with those of the run begun with

log = logging.getLogger("gentext")


@dataclass(frozen=True)
class Label:
    """How a run is called on a board: the family's option, and what the command line changed in it."""

    family: str
    variant: str = ""
    command: str = ""

    def of(self, weights: str) -> Label:
        """The label of the rows that show weights which the training kept; of no name those that it ended with."""
        return replace(self, variant=f"{self.variant} weights={weights}".strip()) if weights else self


def run(cfg: DictConfig, folder: Path, label: Label, trackers: Mapping[str, Tracker] | None = None) -> list[Record]:
    """The records of one run, one per decode setting. What its folder already holds is not done again.

    Args:
        cfg: composed and checked.
        folder: of the run.
        label: how it is called on a board.
        trackers: more of them than the configuration names.
    """
    with denormals_as_zero(), run_folder.at_work(folder, anew=not cfg.resume), logging_to(folder):
        streams = Streams(cfg.seed)
        if cfg.eval.samples < 1:
            raise ValueError(f"eval.samples is {cfg.eval.samples}; judge 1 text or more, for example eval.samples=1000")
        corpus = open_corpus(cfg, stored_tokenizer(folder))
        if not corpus.size(cfg.eval.split):  # a wrong split fails now, not after training
            given = f"eval.split is {cfg.eval.split}, and {corpus.name} has no text there"
            raise ValueError(f"{given}; give data.{cfg.eval.split}=100 or another number, or another eval.split")
        named = config.build(cfg.decode)
        kind = config.located(cfg.family._target_)
        if isinstance(kind, type) and issubclass(kind, SupportsTexts):  # whose texts are the same however others draw
            plain_first = sorted(named, key=lambda name: config.setting(named[name]) != "ancestral")
            named = {plain_first[0]: named[plain_first[0]]}
        for name, decoder in named.items():  # known only now that the corpus is
            decoder.reading(corpus.tokenizer)  # refuses conditions and judges of other words
            if isinstance(decoder, BaseDecoder) and decoder.min_len > cfg.max_len:
                given = f"decode.{name}.min_len is {decoder.min_len}"
                raise ValueError(f"{given}, above max_len, which is {cfg.max_len}; lower it, or raise max_len")
        decoders = {config.setting(decoder): decoder for decoder in named.values()}
        track: Track | None = config.build(cfg.track) if cfg.track else None
        if track is not None and track.parameters is not None:
            config.give_size(cfg.family, track.parameters)
        decided = config.decides_its_text(cfg.data)
        manifest = run_folder.begin(folder, corpus.fingerprint(), writers(cfg, corpus), decided=decided)
        found = {place: standing(cfg, place, decoders) for place in places(folder)}
        if any(None in stand.values() for stand in found.values()):
            torch.manual_seed(streams.derive("parameters"))  # torch's initialisers know no other generator
            family: LanguageModel = config.build(cfg.family).to(cfg.device)
            if isinstance(family, SupportsAnswers):
                family.check(corpus)
            if not isinstance(family, SupportsTexts):  # which writes without a decoder
                for name, decoder in named.items():
                    check_decoder(name, decoder, family, corpus.one_length)
            mirrors = {**config.build(cfg.tracker), **(trackers or {})}
            with RunMonitor(folder, mirrors, resume=cfg.resume, config=plain(cfg)) as monitor:
                cost, trained_with, first = train(cfg, family, corpus, streams, monitor, manifest, track)
                look_inside(family, corpus, streams("panels", cfg.device), manifest)
                for place in places(folder):
                    found[place] = standing(cfg, place, decoders)
                    if None in found[place].values():
                        weights = "" if place == folder else place.name
                        if weights:
                            cost = summed(load_kept(cfg, family, corpus, place), first)
                        job = gathered(cfg, place, label.of(weights), family, corpus, cost, streams, monitor)
                        job = replace(job, trained_with=trained_with, begun_with=first)
                        for setting in [setting for setting, record in found[place].items() if record is None]:
                            found[place][setting] = evaluate(job, decoders[setting], setting)
        else:
            log.info("%s is finished: its records stand (resume=false starts anew)", folder)
            kept = {record.config.get("name") or "" for stand in found.values() for record in stand.values() if record}
            if cfg.name and cfg.name not in kept:
                log.warning("name=%s changes nothing: the rows of a finished run keep their name", cfg.name)
        return [record for stand in found.values() for record in stand.values() if record is not None]


def places(folder: Path) -> list[Path]:
    """The folders of a run's records: its own, and those of the weights that its training kept besides."""
    return [folder, *run_folder.kept_weights(folder)]


def standing(cfg: DictConfig, folder: Path, settings: Collection[str]) -> dict[str, Record | None]:
    """By decode setting the record, where the folder holds it whole, judged as now asked."""
    return {setting: _standing(cfg, folder, setting) for setting in settings}


def _standing(cfg: DictConfig, folder: Path, setting: str) -> Record | None:
    path = records.path_of(folder, setting)
    if not path.exists():
        return None
    records.settle(folder, setting)
    try:
        old = records.read(path)
        return old if old.config.get("eval") == plain(cfg)["eval"] and records.whole(old) else None
    except ValueError as error:
        log.warning("%s: it is made anew (%s)", setting, error)
        return None


@dataclass(frozen=True)
class Evaluation:
    """A trained run about to be judged."""

    cfg: DictConfig
    folder: Path
    label: Label
    family: LanguageModel
    corpus: Corpus
    cost: dict[str, float]  # of the training
    evidence: harness.Evidence  # what is the same for all decode settings
    monitor: RunMonitor
    trained_with: Mapping[str, str] = field(default_factory=dict)  # versions and machine of the process that ended it
    begun_with: Mapping[str, Any] = field(default_factory=dict)  # see Record
    kept: harness.Kept = field(default_factory=dict)  # what metrics found that no decode setting changes


def gathered(
    cfg: DictConfig,
    folder: Path,
    label: Label,
    family: LanguageModel,
    corpus: Corpus,
    cost: dict[str, float],
    streams: Streams,
    monitor: RunMonitor,
) -> Evaluation:
    """A trained family with the evidence that is the same for all decode settings."""
    scores = harness.score(family, corpus, cfg.eval.split, monitor=monitor, processes=cfg.processes)
    seed = streams.derive("latent")
    reader = latents.reader(family, corpus, cfg.eval.split, seed=seed, device=cfg.device)
    evidence = harness.gather(corpus, cfg.eval.split, scores, autoencoder=reader, family=family)
    return Evaluation(cfg, folder, label, family, corpus, cost, evidence, monitor)


def load_kept(cfg: DictConfig, family: LanguageModel, corpus: Corpus, folder: Path) -> dict[str, float]:
    """What it cost to come to weights that a training kept in a folder of their own; they are put into the family.

    The folder is made one that every command reads as it reads a run's.
    """
    if Manifest.read(folder) is None:
        for name, write in writers(cfg, corpus).items():
            write(folder / name)
        manifest = Manifest(folder, corpus.fingerprint())
        manifest.add(*(name for name in run_folder.FILES if (folder / name).exists()))
    paths = {name: needed(folder, name) for name in ("model.safetensors", "trained.json")}
    load_weights(family, paths["model.safetensors"], cfg.device)
    return read_json(paths["trained.json"])


def open_corpus(
    cfg: DictConfig, tokenizer: Tokenizer | None = None, *, trusted: Collection[str] | None = None
) -> Corpus:
    """The corpus with its tokenizer; fills in the configuration's `vocab_size`, `max_len`, `context` and `labels`.

    Args:
        cfg: of a run.
        tokenizer: one that is fitted already; None: fitted here, as the configuration says.
        trusted: of a stored configuration, the modules that it may name; None: the configuration is the user's own.
    """
    data = config.build(cfg.data, trusted=trusted)
    corpus = Corpus.open(data, tokenizer or config.build(cfg.tokenizer, trusted=trusted), max_len=cfg.max_len)
    cfg.vocab_size = corpus.tokenizer.vocab_size
    cfg.max_len = corpus.max_len
    cfg.context = corpus.context
    cfg.labels = len(corpus.labels) or None
    return corpus


def stored_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer that a run has begun with; None where its folder holds none."""
    path, rules = (run_folder.stored(folder, name) for name in ("tokenizer.json", "tokenizer.rules.json"))
    return Tokenizer.load(path) if path and rules else None


def writers(cfg: DictConfig, corpus: Corpus) -> dict[str, Callable[[Path], None]]:
    """What writes the files that a run begins with, by their names."""
    return {
        "config.yaml": lambda path: OmegaConf.save(cfg, path, resolve=True),
        "tokenizer.json": corpus.tokenizer.save,
    }


def train(
    cfg: DictConfig,
    family: LanguageModel,
    corpus: Corpus,
    streams: Streams,
    monitor: RunMonitor,
    manifest: Manifest,
    track: Track | None = None,
) -> tuple[dict[str, float], dict[str, str], dict[str, Any]]:
    """What the training cost, with what it was computed, and with which run it began.

    The family is trained in place, or loaded where the folder holds it trained; within what a track allows.
    """
    folder = monitor.folder
    model, done = (run_folder.stored(folder, name) for name in ("model.safetensors", "trained.json"))
    if model and done:
        load_weights(family, model, cfg.device)
        log.info("%s holds the trained model: loaded (resume=false starts anew)", folder)
        _clear_checkpoints(folder)  # a run that was killed while it did leaves some
        cost = read_json(done)
        return cost, cost.pop(WITH, {}), cost.pop(BEGUN, {})
    first: dict[str, Any] = {}
    if cfg.init:
        begin_with(family, corpus.tokenizer, Path(cfg.init))
        first = origin(Path(cfg.init))
    if isinstance(family, Student):
        family.taught_by(corpus.tokenizer.sha256)
    loop = config.build(cfg.train)
    loop.check(family, corpus)  # before an HMM looks at the text for minutes
    inside = corpus.tokenizer.goes_on()
    if isinstance(family, SupportsSubwords) and inside is not None:
        family.subwords(torch.from_numpy(inside))
    untrained = isinstance(loop, GradientTrainer) and loop.steps == 0
    if isinstance(family, SupportsCheckpoint):
        family.unchanged = untrained and not cfg.init
    memory = PeakMemory()
    rows = loop.batch_size if isinstance(loop, EMTrainer) else PREPARED_ROWS
    prepared = prepare(family, corpus, streams, manifest, rows)
    if track is not None and track.of_training:
        loop.allowance = track.after(prepared["core_seconds"], prepared["flops"])
    begun, core_begun = time.perf_counter(), time.process_time()
    loop.run(family, corpus, streams=streams, monitor=monitor)
    core_seconds = monitor.spent.get("core_seconds", time.process_time() - core_begun)
    cost = {
        "train_seconds": prepared["seconds"] + monitor.spent.get("seconds", time.perf_counter() - begun),
        "train_core_seconds": prepared["core_seconds"] + core_seconds,
        "train_tokens": monitor.spent.get("tokens", 0.0 if untrained else float(corpus.tokens("train"))),
        "parameters": float(family.size()),
        "peak_bytes": memory.bytes(),
    }
    flops = prepared["flops"] + monitor.spent.get("flops", 0.0 if untrained else family.flops(corpus.tokens("train")))
    if math.isfinite(flops):
        cost["train_flops"] = flops
    if "round" in monitor.spent:  # of a game
        cost |= {"kept_round": monitor.spent["round"], "collapsed": monitor.spent["collapsed"]}
    with atomic(folder / "model.safetensors") as path:
        save_model(family, str(path), about_weights(family))
    made_with = versions() | {"device": device_name(cfg.device)}
    cost = summed(cost, first)
    write_json({**cost, WITH: made_with, **({BEGUN: first} if first else {})}, folder / "trained.json")
    manifest.add("model.safetensors", "trained.json")
    _clear_checkpoints(folder)
    return cost, made_with, first


def origin(folder: Path) -> dict[str, Any]:
    """Of a trained run that another begins with: what its training cost, and what a Record says of it besides."""
    cost = read_json(folder / "trained.json")
    found: dict[str, Any] = {"cost": {key: cost[key] for key in SUMMED if key in cost}}
    for record in records.find([folder]):
        if Path(record.folder) == folder:
            name, _, decided = naming.identity(record)
            found["row"] = f"{record.data}/{record.family}-{config.fingerprint([name, decided])}"
            break
    return found


def summed(cost: Mapping[str, float], first: Mapping[str, Any]) -> dict[str, float]:
    """The cost of a training with that of the run that it began with; without what is not known of both."""
    earlier = first.get("cost", dict.fromkeys(SUMMED, 0.0))
    unknown = {key for key in SUMMED if key not in earlier}
    return {key: value + earlier.get(key, 0.0) for key, value in cost.items() if key not in unknown}


def _clear_checkpoints(folder: Path) -> None:
    """Remove what a run that is trained need not go on from: several times the model."""
    stages = [path for path in folder.iterdir() if path.is_dir() and {*os.listdir(path)} <= {"checkpoint", "done"}]
    for left in (folder / "checkpoint", *stages):
        shutil.rmtree(left, ignore_errors=True)
    for name in (PREPARED, SPENT):
        (folder / name).unlink(missing_ok=True)


def prepare(family: LanguageModel, corpus: Corpus, streams: Streams, manifest: Manifest, rows: int) -> dict[str, float]:
    """The `seconds`, `core_seconds` and `flops` that a family took to look at the training text.

    An HMM that grows is half trained by then.

    What it has become is stored until it is trained, so that a killed run need not do it again.
    """
    if not isinstance(family, SupportsPrepare):
        return {"seconds": 0.0, "core_seconds": 0.0, "flops": 0.0}
    if path := run_folder.stored(manifest.folder, PREPARED):
        kept = torch.load(path, weights_only=True)
        family.load_state_dict(kept["family"])
        return {"core_seconds": kept["seconds"], "flops": 0.0, **{key: kept[key] for key in kept if key != "family"}}
    begun, core_begun = time.perf_counter(), time.process_time()
    device = device_of(family)
    batches = (batch.to(device) for batch in in_order(corpus, "train", rows, 256, rows=32))
    family.prepare(batches, rng=streams("prepare"))
    spent = {"seconds": time.perf_counter() - begun, "core_seconds": time.process_time() - core_begun}
    spent["flops"] = family.prepare_flops
    with atomic(manifest.folder / PREPARED) as temporary:
        torch.save({"family": family.state_dict(), **spent}, temporary)
    manifest.add(PREPARED)
    return spent


def look_inside(family: LanguageModel, corpus: Corpus, rng: torch.Generator, manifest: Manifest) -> None:
    """Write `panels.json`, what a trained family shows of its inside; where that fails the run goes on."""
    folder = manifest.folder
    if run_folder.stored(folder, PANELS):
        return
    family.eval()
    try:
        with torch.inference_mode():
            found = family.panels(corpus, rng) if isinstance(family, SupportsPanels) else []
            found = [*found, *example(family, corpus)]
        if found:
            write_json(panels.plain(found), folder / PANELS)
            manifest.add(PANELS)
    except Exception as error:  # whatever it is, a trained model is worth more than a look at it
        log.warning("%s has no panels: %s: %s", folder, type(error).__name__, error)


def evaluate(job: Evaluation, decoder: Decoder, setting: str) -> Record:
    """The record of one decode setting, written."""
    cfg, corpus = job.cfg, job.corpus
    decoder = decoder.reading(corpus.tokenizer)
    length = corpus.one_length
    begun, drawn = time.perf_counter(), decoder.count.drawn if isinstance(decoder, JudgedDecoder) else 0
    draw, texts = sample(job, decoder, setting, length)
    seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    likely = job.evidence.scores and not (isinstance(decoder, JudgedDecoder) and (corpus.pairs or corpus.stream))
    known = (
        decoder.distribution(job.family, length) if likely else None
    )  # a judge's choice hangs on the prompt, the cut
    decoded = None
    if isinstance(job.evidence.scores, Scores) and known is not job.family and corpus.truth is not None:
        if known is not None:  # else it truncates, and what it draws from has no likelihood that is known
            decoded = harness.score(known, corpus, cfg.eval.split, monitor=job.monitor)
        decoded = decoded or replace(job.evidence.scores, kind="none")  # the family's own are not this setting's
    evidence = replace(
        job.evidence,
        samples=replace(cast(Samples, job.evidence.references), texts=tuple(texts)),
        sample_scores=harness.score_draw(known, corpus, draw, texts, cfg.eval.split) if known is not None else None,
        decoded_scores=decoded,
    )
    values, absent = harness.evaluate(config.build(cfg.eval.metrics), evidence, job.kept)
    cost = {
        **job.cost,
        "sample_seconds": seconds,
        "sample_tokens": float(draw.lengths.sum()),
        **(
            {"draws_per_text": (decoder.count.drawn - drawn) / len(texts)} if isinstance(decoder, JudgedDecoder) else {}
        ),
        **({} if corpus.stream or length else {"samples_cut": 1 - float((draw.tokens == EOS).any(1).double().mean())}),
        "judge_seconds": time.perf_counter() - begun,
        "flops_per_token": job.family.flops(1000) / 1000,
    }
    made_with = versions() | {"device": device_name(cfg.device)}
    differing = {key: old for key, old in job.trained_with.items() if made_with.get(key) != old}
    made = Record(
        data=corpus.name,
        track=corpus.track,
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
        versions={**made_with, **{f"trained {key}": old for key, old in differing.items()}},
        begun_with=job.begun_with,
        command=job.label.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        folder=str(job.folder),
    )
    records.write(made, job.folder, texts)
    job.monitor.record(made, texts)
    return made


def check_decoder(name: str, decoder: Decoder, family: LanguageModel, length: int | None) -> None:
    """Raises: ValueError where a decode setting of this name cannot draw from a family, or texts of one `length`."""
    try:
        decoder.check(family)
        if length is not None:
            decoder.lasting(length)
    except ArgumentError as error:
        raise ValueError(f"decode.{name}.{error}") from error


def device_name(device: str) -> str:
    """The device as a record names it: a GPU by its model, for it decides the last digits."""
    found = torch.device(device)
    return torch.cuda.get_device_name(found) if found.type == "cuda" else device


def sample(job: Evaluation, decoder: Decoder, setting: str, length: int | None) -> tuple[Batch, list[str]]:
    """`eval.samples` sequences (of pairs: an answer to each prompt), all of `length` tokens where it is given.

    Of a stream no more than valid and test each have pieces: they are compared with those, and more of them would be
    judged for minutes where a corpus is small. The random numbers are of the stream named after the decode setting, for
    a large draw of several; unknown words are spelled.
    """
    cfg, corpus = job.cfg, job.corpus
    n, prompt, stream = cfg.eval.samples, None, f"sample/{setting}"
    if corpus.stream:
        n = min(n, *(size for split in ("valid", "test") if (size := corpus.size(split))))
    prompts = corpus.prompts(cfg.eval.split)
    if prompts is not None:
        prompt = corpus.prompt_ids(prompts)
        n = len(prompt)
    if isinstance(job.family, SupportsTexts):
        texts = job.family.texts(corpus, n, split=cfg.eval.split, rng=Streams(cfg.seed)(stream))
        return corpus.batch(texts, whole=True), texts
    if length is not None:
        decoder = decoder.lasting(length)
    job.family.eval()
    how = {"decoder": decoder, "seed": cfg.seed, "name": stream, "prompt": prompt}
    with job.monitor.progress(None, f"sampling {n}: {setting}", ""):
        draw = parallel.sample(job.family, n, length or cfg.max_len, processes=cfg.processes, **how)
    return draw, corpus.texts(draw.tokens.tolist(), seed=Streams(cfg.seed).derive(f"spelling/{setting}"))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as plain data, interpolations resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
