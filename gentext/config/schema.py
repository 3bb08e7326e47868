"""The keys of a run, where conf/ lies, and a run's identity."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.utils import get_object
from omegaconf import MISSING, DictConfig, OmegaConf, flag_override

import gentext
from gentext.results import migrations

# What does not change a run's numbers, or is decided per record rather than per trained model.
NOT_IDENTITY = ("out", "resume", "tracker", "decode", "eval", "device", "experiment", "title", "show_samples")


@dataclass
class Root:
    """Every key of a run. A wrong key or type fails at the prompt."""

    data: Any = MISSING
    tokenizer: Any = MISSING
    family: Any = MISSING
    train: Any = MISSING
    loss: Any = None
    decode: dict[str, Any] = field(default_factory=dict)
    eval: Any = MISSING
    tracker: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    max_len: int | None = None  # tokens of a sequence, EOS included; null: the corpus's longest
    vocab_size: int | None = None  # set from the fitted tokenizer
    device: str = "cpu"
    out: str = "runs"
    resume: bool = True  # false: start this run anew, whatever its folder holds
    title: str = ""  # the question that a report puts on top
    show_samples: int = 0  # so many of every row are printed below a sweep's board


def folder() -> Path:
    """Where conf/ lies: inside an installed package, or beside it in a checkout."""
    package = Path(gentext.__file__).resolve().parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


def register() -> None:
    """Make the root schema and the resolvers known to Hydra."""
    ConfigStore.instance().store("root", Root)
    OmegaConf.register_new_resolver("run_name", lambda *, _root_: run_name(_root_), replace=True)


def takes(node: Any, name: str) -> bool:
    """Whether a node's class has a parameter of this name."""
    return isinstance(node, DictConfig) and bool(node.get("_target_")) and name in parameters(node._target_)


def parameters(target: str) -> dict[str, inspect.Parameter]:
    """The parameters of the class or function that a `_target_` names."""
    return dict(inspect.signature(get_object(target)).parameters)


def settle(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration without what `++key=value` gave a class that has no such parameter.

    In a sweep over families, `++train.epochs=4` is for those that have epochs.
    """
    settled = copy.deepcopy(cfg)
    for override in overrides:
        parent, _, name = override.partition("=")[0].removeprefix("++").rpartition(".")
        node = OmegaConf.select(settled, parent) if override.startswith("++") and parent else None
        if isinstance(node, DictConfig) and node.get("_target_") and not takes(node, name):
            with flag_override(node, ["struct", "readonly"], False):
                node.pop(name, None)
    return settled


def identity(cfg: DictConfig) -> dict[str, Any]:
    """The part of a configuration that decides a trained model, as plain data."""
    plain = OmegaConf.to_container(cfg, resolve=False)
    return {key: value for key, value in plain.items() if key not in (*NOT_IDENTITY, "hydra", "vocab_size")}


def fingerprint(node: Any) -> str:
    """Eight hexadecimal digits of the sha256 of plain data."""
    return hashlib.sha256(json.dumps(node, sort_keys=True, default=str).encode()).hexdigest()[:8]


def run_name(cfg: DictConfig) -> str:
    """`captions/ngram-s0-1a2b3c4d`: the same configuration always has the same folder, so a run can be gone on with."""
    chosen = cfg.hydra.runtime.choices
    settled = settle(cfg, cfg.hydra.overrides.task)
    key = fingerprint([identity(settled), gentext.__version__])
    return f"{_corpus(cfg.data) or chosen.data}/{chosen.family}-s{cfg.seed}-{key}"


def _corpus(data: DictConfig) -> str:
    """The name of a corpus as part of a path: its own, or its file's; empty where it has neither."""
    given = [data.get(key) for key in ("name", "path") if not OmegaConf.is_missing(data, key)]
    name = next((Path(str(value)).name for value in given if value), "")
    return re.sub(r"[^\w-]", "-", name.split(".")[0]).strip("-")


def former_names(cfg: DictConfig, choices: Mapping[str, Any], overrides: Sequence[str] = ()) -> list[str]:
    """The names that older versions gave a run of this configuration."""
    epochs = OmegaConf.select(cfg, "train.epochs", default=migrations.EPOCHS)
    kept = migrations.former(identity(settle(cfg, overrides)), epochs)
    hashes = dict.fromkeys(fingerprint([each, migrations.VERSION]) for each in kept)
    return [f"{choices['data']}/{choices['family']}-s{cfg.seed}-{each}" for each in hashes]


def groups() -> dict[str, dict[str, str]]:
    """Every config group's options, each with the comment on top of its file."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(folder().rglob("*.yaml")):
        group = path.parent.relative_to(folder()).as_posix()
        if group == "." or path.name.startswith("_"):
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        said = [line for line in lines[:2] if line.startswith("#") and "@package" not in line]
        found.setdefault(group, {})[path.stem] = said[0].lstrip("# ") if said else ""
    return found
