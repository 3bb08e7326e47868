"""`gentext bench RUN`: what each form of a trained model costs to draw from and to keep, and its quality."""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from gentext import compression
from gentext.checks import class_name, missing
from gentext.compression import Form
from gentext.decode import Ancestral
from gentext.language_model import LanguageModel
from gentext.metrics.intervals import bootstrap_ratio
from gentext.models import NGram
from gentext.panels import Points, Table
from gentext.results.cost import PeakMemory
from gentext.run_pipeline import open_corpus
from gentext.seeding import Streams
from gentext.text_scores import LN2, scores_of
from gentext.trained import TrainedModel, load
from gentext.types import EOS, pad

BATCHES = (1, 64)  # texts drawn at once
REPEATS = 6  # of each draw, after one to warm up: their median is between least and largest in 97 of 100 cases
LENGTH = 64  # tokens of a text, at which all end: the work of a draw hangs on no luck
NEURAL = ("fp32", "bf16", "int8", "int8_weights", "int8_dynamic")
COUNTED = ("fp32", "count=2", "prune=1e-6", "prune=1e-5", "bits=8", "bits=4")
TORCHAO = {"int8_weights": "Int8WeightOnlyConfig", "int8_dynamic": "Int8DynamicActivationInt8WeightConfig"}
COLUMNS = (
    *("run", "form", "bits a character", "change", "speed, 1", "speed, 64", "on disk, MB", "peak, MB", "numbers"),
    *("tokens/s, 1", "tokens/s, 64", "first token, ms"),
)
INEXACT = {"bound": "a bound, and may be fewer", "pseudo": "of a pseudo-likelihood, which is no probability of a text"}
FLAGS = ("amx_bf16", "avx512_bf16")  # of a processor that multiplies bfloat16 itself
MEGABYTE = 1e6


class Ratio(NamedTuple):
    """A figure of a form over that of what it is compared with, and the ends of its interval."""

    value: float
    low: float
    high: float

    @property
    def level(self) -> bool:
        """Whether the two cannot be told apart."""
        return self.low <= 1 <= self.high


@dataclass(frozen=True)
class Measured:
    """One form of one run."""

    form: str
    bits: float  # a character of test text
    per_second: dict[int, float]  # tokens drawn, by texts at once
    first: float  # seconds to the first token of one text
    size: float  # numbers that the model holds
    disk: float  # bytes of its file
    peak: float  # bytes that the process holds more than before it read the model
    change: Ratio | None = None  # of bits to those of what it is compared with; None of the first row
    speed: dict[int, Ratio] = field(default_factory=dict)  # of tokens a second, by texts at once, drawn in turns


def bench(
    runs: Sequence[str | Path],
    *,
    forms: Sequence[str] = (),
    texts: int = 200,
    device: str = "cpu",
    trusted: Collection[str] = (),
) -> tuple[Table, Points]:
    """A row for each form of each run (speed, memory, size, bits a character), and size against quality as a picture.

    Each form is measured in a process of its own, with as many threads as torch takes here. Its bits and its speed
    are compared with those of fp32 of its run, and fp32 of a further run with that of the first: both draw in turns,
    so that what else the machine does slows both.

    Args:
        runs: folders of trained runs; all are judged on the test text of the first.
        forms: fp32, bf16, int8, int8_weights, int8_dynamic; count=N, prune=T, bits=B; none: those that a family has.
        texts: of the test split that are scored.
        device: where the model computes.
        trusted: modules of your own that the runs may name.

    Raises: ValueError for an unknown form, or a run that gives texts no likelihood.
    """
    if texts < 1:
        raise ValueError(f"--texts is {texts}; score 1 text of the test split or more")
    for form in forms:
        if form not in NEURAL:
            Form.parse(form)
    rows: list[list[str | float]] = []
    notes, places = [], list[tuple[str, Measured]]()
    for run in runs:
        model = load(run, trusted=trusted)
        if model.family.likelihood == "none":
            raise ValueError(f"{run} is {class_name(model.family)}, which gives texts no likelihood")
        called = str(model.config.get("name") or Path(run).name)
        chosen = forms or _forms(model.family)
        if len(runs) > 1:  # forms are named for all of them: what is of another kind needs no note
            chosen = [form for form in chosen if _of_its_kind(form, model.family)]
        found: dict[str, Measured] = {}
        for form in chosen:
            beside = str(runs[0]) if form == "fp32" else str(run)
            whole = None if form == "fp32" and run == runs[0] else beside
            done = _in_form(model, form, (str(runs[0]), texts, device, tuple(trusted), whole))
            if isinstance(done, str):
                notes.append(f"{called} has no {form}: {done}.")
                continue
            found[form] = done
            places.append((called, done))
            rows.append(_row(called, done))
        if found and model.family.likelihood in INEXACT:
            notes.append(f"{called}: its bits are {INEXACT[model.family.likelihood]}.")
        notes += (f"{called}: {said}" for said in _slower(found, device))
    note = (
        f"Bits a character of {texts} test texts. Change of bits and speed are relative to fp32 of the same run, and "
        f"of fp32 of a further run to that of the first: the change with half its 95 % interval over texts, the speed "
        f"as the median of {REPEATS} draws in turns, from the least to the largest; level where they cannot be told "
        f"apart. Speed: of drawing 1 text at once, or {BATCHES[1]}, each of {LENGTH} tokens, or as many as the family "
        f"reads. Seconds are {_load(device)}: compare speeds rather than tokens a second. Peak: "
        f"memory beyond what a process holds before it reads the model. {' '.join(notes)}"
    )
    drawn = [(name, one) for name, one in places if math.isfinite(one.disk) and math.isfinite(one.bits)]
    picture = Points(
        "Size and quality",
        "Lower and further left is better.",
        [one.disk / MEGABYTE for _, one in drawn],
        [one.bits for _, one in drawn],
        [one.form for _, one in drawn],
        [name for name, _ in drawn],
        "MB on disk",
        "bits a character",
        log_x=True,
    )
    return Table("What each form costs", note.strip(), list(COLUMNS), rows), picture


def _forms(family: LanguageModel) -> tuple[str, ...]:
    """The forms that a family may have."""
    if isinstance(family, NGram):
        return tuple(form for form in COUNTED if not (family.adaptive and form.startswith("bits")))
    return NEURAL if any(p.dim() > 1 for p in family.parameters()) else ("fp32",)


def _of_its_kind(form: str, family: LanguageModel) -> bool:
    """Whether a form is one of n-grams for an n-gram, and of neural families for all others."""
    return form == "fp32" or isinstance(family, NGram) != (form in NEURAL)


def _row(name: str, one: Measured) -> list[str | float]:
    change = "-" if one.change is None else _marked(_percent(one.change), one.change)
    ratios = [_marked(_span(one.speed[n]), one.speed[n]) if n in one.speed else "-" for n in BATCHES]
    sizes = [bytes_ / MEGABYTE if math.isfinite(bytes_) else "-" for bytes_ in (one.disk, one.peak)]
    speeds = [one.per_second[n] for n in BATCHES]
    return [name, one.form, one.bits, change, *ratios, *sizes, int(one.size), *speeds, 1000 * one.first]


def _percent(ratio: Ratio) -> str:
    return f"{100 * (ratio.value - 1):+.2f}±{50 * (ratio.high - ratio.low):.2f} %"


def _span(ratio: Ratio) -> str:
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _marked(shown: str, ratio: Ratio) -> str:
    return f"{shown} level" if ratio.level else shown


def _load(device: str) -> str:
    """What the seconds are of, and how busy the machine is where the system tells."""
    seconds = (
        "of processor time, of one thread" if _alone(device) else f"of a clock, of {torch.get_num_threads()} threads"
    )
    try:
        return f"{seconds}, on a machine with a load of {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores"
    except (AttributeError, OSError):
        return seconds


def _slower(found: dict[str, Measured], device: str) -> list[str]:
    """Where bfloat16 does not pay, and how to tell from the processor."""
    if "bf16" not in found or torch.device(device).type != "cpu":
        return []
    speed = [ratio.value for ratio in found["bf16"].speed.values()]
    if not speed or (half := statistics.geometric_mean(speed)) >= 1:
        return []
    flags = cpu_flags()
    held = [flag for flag in FLAGS if flag in flags]
    why = f"it has none of {', '.join(FLAGS)} among the flags of /proc/cpuinfo, so that every product is converted"
    if held:
        why = f"it has {', '.join(held)}, but matrices so small gain nothing by it"
    return [f"bf16 draws {1 / half:.1f} times slower than fp32 on this processor: {why}."]


def cpu_flags() -> set[str]:
    """What the processor can do, as Linux names it; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def _in_form(model: TrainedModel, form: str, how: tuple[str, int, str, tuple[str, ...], str | None]) -> Measured | str:
    """What a process of its own measured of a form of a model; where the model has no such form, why."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "form"
        stored = {"int8_weights": None, "int8_dynamic": None, "fp32": None}.get(form, form)
        try:
            wanted = None if stored is None else Form.parse(stored)
            place = model.folder if wanted is None else compression.save(model, wanted, out)
        except ValueError as error:
            return str(error)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(_measure, (str(place), form, *how))


def _measure(
    run: str, form: str, first: str, texts: int, device: str, trusted: tuple[str, ...], whole: str | None = None
) -> Measured | str:
    judge = load(first, trusted=trusted)
    corpus = open_corpus(judge.config, judge.tokenizer, trusted=trusted)
    lines, sources = corpus.lines("test")[:texts], corpus.prompts("test")
    prompts = None if sources is None else list(sources[:texts])
    del judge
    gc.collect()
    held, peak, on_gpu = _held(), PeakMemory(), torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    model = load(run, device=device, trusted=trusted)
    family = model.family.eval()
    try:
        if form in TORCHAO:
            _by_torchao(family, form)
        elif form == "bf16":
            family.to(torch.bfloat16)
        (first_token,) = _seconds([model], 1, 1, prompts)
        _seconds([model], BATCHES[-1], LENGTH, prompts, repeats=1)
        most = torch.cuda.max_memory_allocated(device) if on_gpu else peak.bytes() - held
        drawing = [model] if whole is None else [model, load(whole, device=device, trusted=trusted)]
        per_token = {n: _seconds(drawing, n, LENGTH, prompts) for n in BATCHES}
        bits, chars = _bits(model, lines, prompts, trusted)
        change = None if whole is None else _change(bits, _bits(drawing[1], lines, prompts, trusted)[0])
    except (RuntimeError, NotImplementedError, ValueError) as error:
        return str(error).splitlines()[0]
    speeds = {n: 1 / statistics.median(times[0]) for n, times in per_token.items()}
    ratios = {} if whole is None else {n: _median(times[1], times[0]) for n, times in per_token.items()}
    disk = math.nan if form in TORCHAO else float((Path(run) / "model.safetensors").stat().st_size)
    value = float(bits.sum() / chars.sum())
    waited = statistics.median(first_token)
    return Measured(form, value, speeds, waited, family.size(), disk, most, change, ratios)


def _bits(
    model: TrainedModel, lines: Sequence[str], prompts: list[str] | None, trusted: Collection[str]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The bits of each text under a model, the spelling of words that it does not know included; its characters."""
    corpus = open_corpus(model.config, model.tokenizer, trusted=trusted)
    scores = scores_of(model.family.eval(), corpus, lines, prompts, model.device)
    spelled = scores.log_prob if scores.spelling is None else scores.log_prob - scores.spelling
    return -spelled.double().numpy() / LN2, scores.chars.numpy()


def _change(bits: Float[np.ndarray, " n"], whole: Float[np.ndarray, " n"]) -> Ratio:
    """The bits of all texts over those that they are compared with, text by text."""
    ratio = float(bits.sum() / whole.sum())
    return Ratio(ratio, *(bootstrap_ratio(bits, whole).interval or (ratio, ratio)))


def _median(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """The median of the ratios of pairs, between the least and the largest of them."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def _by_torchao(family: LanguageModel, form: str) -> None:
    """Linear layers in 8 bits, by torchao. Raises: ValueError where it is not installed, or finds no such layer."""
    if not any(isinstance(module, nn.Linear) for module in family.modules()):
        raise ValueError("torchao quantises linear layers alone, and it has none")
    for name in ("torchao", "torch.utils._pytree"):  # of kernels for other machines, which nobody asked for
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        from torchao import quantization
    except ImportError as error:
        raise ValueError(missing(form, "torchao", "quant")) from error
    quantization.quantize_(family, getattr(quantization, TORCHAO[form])())


def _seconds(
    models: Sequence[TrainedModel], n: int, length: int, prompts: list[str] | None, repeats: int | None = None
) -> list[list[float]]:
    """Seconds for a token of `n` texts, of each model at each repeat; they draw in turns, after one to warm up.

    All texts have `length` tokens, or as many as a family can read; none ends before. Masked language models draw how
    long each is from the lengths in train, the same ones in every form.
    """
    given = [None if prompts is None else _given(model, n, prompts) for model in models]
    times: list[list[float]] = [[] for _ in models]
    clock = time.process_time if _alone(models[0].device) else time.perf_counter
    for i in range((repeats or REPEATS) + 1):
        for model, prompt, found in zip(models, given, times, strict=True):
            family, rng = model.family, Streams(0)("bench", model.device)
            room = family.room(length, prompt)
            decoder = Ancestral(min_len=0 if family.likelihood == "pseudo" else room)
            begun = clock()
            with torch.inference_mode():
                draw = family.sample(n, room, decoder=decoder, rng=rng, prompt=prompt)
            if torch.device(model.device).type == "cuda":
                torch.cuda.synchronize()
            if i:
                found.append((clock() - begun) / int(draw.lengths.sum()))
    return times


def _alone(device: str) -> bool:
    """Whether one thread does all the work, whose processor time is free of what else the machine does."""
    return torch.device(device).type == "cpu" and torch.get_num_threads() == 1


def _given(model: TrainedModel, n: int, prompts: list[str]) -> Int[torch.Tensor, "n p"]:
    ids = model.tokenizer.encode([prompts[i % len(prompts)] for i in range(n)])
    return pad([[*row, EOS] for row in ids]).tokens.to(model.device)


def _held() -> float:
    """Bytes that this process holds now."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return math.nan
