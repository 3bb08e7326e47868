"""Bad values of every numeric key of every family: refused in a line before training begins, or trained with."""

from __future__ import annotations

import functools
import os
import random
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacks.forked import Outcome, Tally, note
from attacks.forked import command as ended
from attacks.kills import write_text
from models.checkpoints import gpt2
from omegaconf import DictConfig, ListConfig, OmegaConf

from gentext import config, run_pipeline

SMALL = {
    "layers": 1, "heads": 2, "width": 16, "embedding": 8, "states": 8, "blocks": 2, "rank": 4, "steps": 2, "epochs": 1,
    "iterations": 2, "draw": 10, "valid_every": 2, "rollouts": 1, "log_every": 2, "hypotheses": 20, "samples": 20,
    "filters": 4, "grow_from": 4, "latent": 4, "restarts": 1, "bootstrap": 20, "representations": 2, "memory_slots": 1,
    "head_size": 8, "pretrain": 2, "batch_size": 16,
}  # fmt: skip
CHECKPOINT = "checkpoint"  # a tiny one, for families that read one
GROUPS = ("data", "tokenizer", "family", "train", "loss", "decode", "eval")
BAD: dict[str, tuple[str, ...]] = {
    "int": ("-1", "0", "nan", "inf", "1000000000", "1e30", "word", "null", "[1]", "{a:1}", "2.5", "true"),
    "float": ("-1", "0", "nan", "inf", "-inf", "1e30", "word", "null", "[1.0]", "{a:1}", "true"),
    "list": ("[]", "[nan]", "[-1]", "[word]", "[null]", "[[1]]", "[1e30]", "word", "-1"),
}
MEMORY = 12 << 30  # bytes of address space beyond which an allocation fails
LONG = 15  # seconds of a processor after which what goes on is taken for training


@dataclass
class Case:
    """One key of a family with a value."""

    family: str
    key: str
    kind: str
    value: str


def cases(count: int, first: int = 0) -> list[Case]:
    """The cases `first` to `first + count` of all, always the same; the families take turns, so do their keys."""
    families = [
        name
        for name, about in config.groups()["family"].items()
        if "data=labelled" not in about and name != "distilled"  # which needs a teacher's run
    ]
    return [_of(families[i % len(families)], i // len(families)) for i in range(first, first + count)]


def _of(family: str, number: int) -> Case:
    """The case of a family with this number: another key each time, and after all of them other values."""
    keys = _keys(family)
    key, kind = keys[number % len(keys)]
    values = list(BAD[kind])
    random.Random(key).shuffle(values)
    return Case(family, key, kind, values[number // len(keys) % len(values)])


def run(chosen: list[Case]) -> Tally:
    """Give each."""
    tally = Tally("values")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "here"
        write_text(folder)
        gpt2(folder / CHECKPOINT)
        for case in chosen:
            got = _run(case, folder)
            kind, faults = _judged(case, got)
            tally.count(kind, [f"{case.family} {case.key}={case.value}: {fault}" for fault in faults])
            shutil.rmtree(folder / "runs", ignore_errors=True)
    return tally


def _run(case: Case, folder: Path) -> Outcome:
    words = [*small(case.family), f"{case.key}={case.value}"]
    return ended(["run", *words], cwd=folder, cache=folder / "cache", before=_noted)


def _noted() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (LONG, 2 * LONG))
    signal.signal(signal.SIGXCPU, lambda *_: (note(hangs="yes"), os._exit(0)))
    train = run_pipeline.prepare

    def prepare(*given: Any) -> float:
        note(began="yes")
        return train(*given)

    run_pipeline.prepare = prepare


def _judged(case: Case, got: Outcome) -> tuple[str, list[str]]:
    began = "began" in got.said
    last = got.err.strip().splitlines()[-1:] or [""]
    if "hangs" in got.said:
        return ("at work", []) if began else ("hangs", ["hangs before training"])
    if got.traceback or got.killed:
        return "traceback", [f"exit {got.code}: {got.err[-600:]}"]
    if got.code == 2:
        diverged = "is not finite" in got.err or "memory is not enough" in got.err
        if began and not diverged:
            return "refused late", [f"refused after training began: {last[0][:300]}"]
        words = [] if case.key.split(".")[-1] in got.err or diverged else [f"names no key: {last[0][:300]}"]
        return "refused", words
    senseless = case.value in ("nan", "word", "{a:1}", "[nan]", "[word]", "true", "[null]", "[[1]]")
    senseless |= case.kind == "int" and case.value in ("inf", "2.5", "1e30", "[1]")
    senseless |= case.kind == "float" and case.value == "[1.0]"
    return "taken", ["is taken"] * senseless


@functools.cache
def small(family: str) -> tuple[str, ...]:
    """A family on a small corpus, made small."""
    texts = ["data=text", "data.path=text.tsv", "data.name=mine", "data.valid=20", "data.test=40", "data.target=0"]
    texts += ["data.source=1"] * (family in ("seq2seq", "copy", "lead"))
    texts += [f"family.model={CHECKPOINT}"] * (family in ("pretrained", "smollm2"))
    words = [*texts, f"family={family}", "tracker=jsonl", "eval.samples=20"]
    cfg = config.compose(words)
    for key, value in leaves(cfg):
        small = SMALL.get(key.split(".")[-1])
        if isinstance(value, int) and small is not None and value > small and key.split(".")[0] in GROUPS:
            words.append(f"{key}={small}")
    return tuple(words)


@functools.cache
def _keys(family: str) -> list[tuple[str, str]]:
    """Every numeric key of a family, and every list: its name and its kind, in an order of its own."""
    found = []
    for key, value in leaves(config.compose(small(family))):
        kind = "" if isinstance(value, bool) else type(value).__name__
        if kind in BAD and key.split(".")[0] in (*GROUPS, "seed", "max_len"):
            found.append((key, kind))
    random.Random(family).shuffle(found)
    return found


def leaves(node: DictConfig, where: str = "") -> Iterator[tuple[str, Any]]:
    for key in node:
        at = node._get_node(key)
        if OmegaConf.is_interpolation(node, key) or at._is_missing():
            continue
        if isinstance(at, DictConfig) and not at._is_none():
            yield from leaves(at, f"{where}{key}.")
        elif isinstance(at, ListConfig):
            yield f"{where}{key}", OmegaConf.to_container(at)
        else:
            yield f"{where}{key}", at._value()
