"""`gentext bench RUN`: what each form of a trained model costs to draw from and to keep, and its quality."""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from gentext import compression
from gentext.compression import Form
from gentext.decode import Ancestral
from gentext.language_model import LanguageModel
from gentext.metrics.likelihood import HeldOutLikelihood
from gentext.models import NGram
from gentext.panels import Points, Table
from gentext.results.cost import PeakMemory
from gentext.run_pipeline import open_corpus
from gentext.seeding import Streams
from gentext.text_scores import scores_of
from gentext.trained import TrainedModel, load
from gentext.types import EOS, Value, pad

BATCHES = (1, 64)  # texts drawn at once
REPEATS = 3  # of each draw, after one that warms up; the median counts
LONGEST = 64  # tokens of a draw
NEURAL = ("fp32", "bf16", "int8", "int8_weights", "int8_dynamic")
COUNTED = ("fp32", "count=2", "prune=1e-6", "prune=1e-5", "bits=8", "bits=4")
TORCHAO = {"int8_weights": "Int8WeightOnlyConfig", "int8_dynamic": "Int8DynamicActivationInt8WeightConfig"}
COLUMNS = (
    *("run", "form", "bits a character", "change", "tokens/s, 1", "tokens/s, 64", "first token, ms"),
    *("numbers", "on disk, MB", "peak, MB"),
)
FLAGS = ("amx_bf16", "avx512_bf16")  # of a processor that multiplies bfloat16 itself
MEGABYTE = 1e6


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


def bench(
    runs: Sequence[str | Path],
    *,
    forms: Sequence[str] = (),
    texts: int = 200,
    device: str = "cpu",
    trusted: Collection[str] = (),
) -> tuple[Table, Points]:
    """A row for each form of each run (speed, memory, size, bits a character), and size against quality as a picture.

    Each form is measured in a process of its own, with as many threads as torch takes here.

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
            raise ValueError(f"{run} is a {type(model.family).__name__}, which gives texts no likelihood")
        chosen = forms or _forms(model.family)
        found: dict[str, Measured] = {}
        for form in chosen:
            done = _in_form(model, form, (str(runs[0]), texts, device, tuple(trusted)))
            if isinstance(done, str):
                notes.append(f"{Path(run).name} has no {form}: {done}.")
                continue
            found[form] = done
            places.append((Path(run).name, done))
            rows.append(_row(Path(run).name, done, found.get("fp32", done)))
        notes += _slower(found, device)
    note = (
        f"Bits a character of {texts} test texts, and how they differ from fp32. Tokens a second when 1 and "
        f"{BATCHES[1]} texts are drawn at once, threads: {torch.get_num_threads()}. Peak: memory beyond what a process "
        f"holds before it reads the model. {' '.join(notes)}"
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
    )
    return Table("What each form costs", note.strip(), list(COLUMNS), rows), picture


def _forms(family: LanguageModel) -> tuple[str, ...]:
    """The forms that a family may have."""
    if isinstance(family, NGram):
        return tuple(form for form in COUNTED if not (family.adaptive and form.startswith("bits")))
    return NEURAL if any(p.dim() > 1 for p in family.parameters()) else ("fp32",)


def _row(name: str, one: Measured, whole: Measured) -> list[str | float]:
    speeds = [one.per_second[n] for n in BATCHES]
    change = f"{100 * (one.bits / whole.bits - 1):+.2f} %"
    sizes = [int(one.size), *(bytes_ / MEGABYTE if math.isfinite(bytes_) else "-" for bytes_ in (one.disk, one.peak))]
    return [name, one.form, one.bits, change, *speeds, 1000 * one.first, *sizes]


def _slower(found: dict[str, Measured], device: str) -> list[str]:
    """Where bfloat16 does not pay, and how to tell from the processor."""
    if not {"fp32", "bf16"} <= found.keys():
        return []
    whole, half = (statistics.mean(found[form].per_second.values()) for form in ("fp32", "bf16"))
    if half >= whole or torch.device(device).type != "cpu":
        return []
    flags = cpu_flags()
    held = [flag for flag in FLAGS if flag in flags]
    why = f"it has none of {', '.join(FLAGS)} among the flags of /proc/cpuinfo, so that every product is converted"
    if held:
        why = f"it has {', '.join(held)}, but matrices so small gain nothing by it"
    return [f"bf16 draws {whole / half:.1f} times slower than fp32 on this processor: {why}."]


def cpu_flags() -> set[str]:
    """What the processor can do, as Linux names it; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def _in_form(model: TrainedModel, form: str, how: tuple[str, int, str, tuple[str, ...]]) -> Measured | str:
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


def _measure(run: str, form: str, first: str, texts: int, device: str, trusted: tuple[str, ...]) -> Measured | str:
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
        first_token = _seconds(model, 1, 1, prompts)[0]
        speeds = {}
        for n in BATCHES:
            seconds, tokens = _seconds(model, n, LONGEST, prompts)
            speeds[n] = tokens / seconds
        most = torch.cuda.max_memory_allocated(device) if on_gpu else peak.bytes() - held
        own = open_corpus(model.config, model.tokenizer, trusted=trusted)
        scores = scores_of(family, own, lines, prompts, device)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        return str(error).splitlines()[0]
    metric = HeldOutLikelihood()
    metric.update(scores)
    bits = metric.values()["bits_per_char"]
    disk = math.nan if form in TORCHAO else float((Path(run) / "model.safetensors").stat().st_size)
    value = bits.value if isinstance(bits, Value) else math.nan
    return Measured(form, value, speeds, first_token, family.size(), disk, most)


def _by_torchao(family: LanguageModel, form: str) -> None:
    """Linear layers in 8 bits, by torchao. Raises: ValueError where it is not installed, or finds no such layer."""
    if not any(isinstance(module, nn.Linear) for module in family.modules()):
        raise ValueError("torchao quantises linear layers alone, and it has none")
    for name in ("torchao", "torch.utils._pytree"):  # of kernels for other machines, which nobody asked for
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        from torchao import quantization
    except ImportError as error:
        raise ValueError("torchao is not installed; pip install 'gentext[quant]'") from error
    quantization.quantize_(family, getattr(quantization, TORCHAO[form])())


def _seconds(model: TrainedModel, n: int, longest: int, prompts: list[str] | None) -> tuple[float, int]:
    """The median time of drawing `n` texts, and the tokens that were drawn."""
    given = None
    if prompts is not None:
        ids = model.tokenizer.encode([prompts[i % len(prompts)] for i in range(n)])
        given = pad([[*row, EOS] for row in ids]).tokens.to(model.device)
    times, tokens = [], 0
    for i in range(REPEATS + 1):
        rng = Streams(0)("bench", model.device)
        begun = time.perf_counter()
        with torch.inference_mode():
            draw = model.family.sample(n, longest, decoder=Ancestral(), rng=rng, prompt=given)
        if torch.device(model.device).type == "cuda":
            torch.cuda.synchronize()
        if i:
            times.append(time.perf_counter() - begun)
        tokens = int(draw.lengths.sum())
    return statistics.median(times), tokens


def _held() -> float:
    """Bytes that this process holds now."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return math.nan
