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
from typing import Any, cast

from hydra._internal.utils import _locate
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf, flag_override

import gentext
from gentext.config import search
from gentext.config.search import folders
from gentext.results import migrations

# What does not change a run's numbers, or is decided per record rather than per trained model.
NOT_IDENTITY = (
    *(
        "out",
        "resume",
        "tracker",
        "decode",
        "eval",
        "device",
        "processes",
        "experiment",
        "title",
        "show_samples",
        "name",
    ),
    "published",
)
SINCE_FORMAT_1 = ("init", "track")  # root keys: where they are empty, a run is named as before there were any


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
    init: str = ""  # a run's folder, whose weights this one begins with where they fit; empty: at random
    track: Any = None  # what every family's training may take alike, in place of train's own limits; null: these hold
    seed: int = 0
    max_len: int | None = None  # tokens of a sequence, EOS included; null: the corpus's longest
    vocab_size: int | None = None  # set from the fitted tokenizer
    context: int | None = None  # tokens of a text after its prompt; set from the corpus
    labels: int | None = None  # different labels of labelled text; set from the corpus
    device: str = "cpu"
    processes: int = 1  # that sample and score together, on a GPU each where there are any; they move no number
    out: str = "runs"
    resume: bool = True  # false: start this run anew, whatever its folder holds
    name: str = ""  # what its row is called on a board; empty: its family, and what sets it apart from other rows
    title: str = ""  # the question that a report puts on top
    published: dict[str, dict[str, float]] = field(default_factory=dict)  # by name: a report shows them
    show_samples: int = 0  # so many of every row are printed below a sweep's board


def register() -> None:
    """Make the root schema, the resolvers and the user's folders known to Hydra."""
    search.register()
    ConfigStore.instance().store("root", Root)
    OmegaConf.register_new_resolver("run_name", lambda *, _root_: run_name(_root_), replace=True)


def located(target: Any, where: str = "") -> Any:
    """What a `_target_` names. Raises ValueError where nothing of that name can be imported."""
    try:
        found = _locate(target)  # get_object logs an error beside the one that it raises
        if not callable(found):
            raise TypeError("it is no class and no function")
        return found
    except Exception as error:  # whatever a user's module raises while it is imported, or Hydra of a bad name
        module = str(target).partition(".")[0]
        reason = error.__cause__ or error
        raise ValueError(
            f"{where}_target_ is {target!r}, which cannot be imported ({type(reason).__name__}: {reason}). Name it as "
            f"module.Class, and start where {module}.py lies or give its folder by --config-dir"
        ) from error


def takes(node: Any, name: str) -> bool:
    """Whether a node's class has a parameter of this name."""
    return isinstance(node, DictConfig) and bool(node.get("_target_")) and name in parameters(node._target_)


def parameters(target: str) -> dict[str, inspect.Parameter]:
    """The parameters of the class or function that a `_target_` names."""
    return dict(inspect.signature(located(target)).parameters)


def always_pairs(data: DictConfig) -> bool:
    """Whether every corpus of this class is of pairs, whatever its options are."""
    return "_target_" in data and vars(located(data["_target_"])).get("pairs") is True


def settle(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration without what `++key=value` gave a class that has no such parameter, or a track left out.

    In a sweep over families, `++train.epochs=4` is for those that have epochs. `~track` takes the option away, but not
    what an experiment's file says of it.
    """
    settled = copy.deepcopy(cfg)
    if any(override.partition("=")[0] == "~track" for override in overrides):
        with flag_override(settled, ["struct", "readonly"], False):
            settled.track = None
    for key in sorted(unknown(settled, overrides), reverse=True):  # what lies within another key goes before it
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(settled, parent)
        with flag_override(node, ["struct", "readonly"], False):
            node.pop(name, None)
    return settled


def unknown(cfg: DictConfig, overrides: Sequence[str]) -> dict[str, list[str]]:
    """The keys of overrides `++key=value` that no parameter of the node's class is, each with those that there are."""
    found = {}
    for override in overrides:
        key = override.partition("=")[0].removeprefix("++")
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(cfg, parent) if override.startswith("++") and parent else None
        if not isinstance(node, DictConfig) or not node.get("_target_") or name.startswith("_"):  # _target_ is Hydra's
            continue
        if not takes(node, name):
            found[key] = [*parameters(node._target_)]
    return found


def taken(cfg: DictConfig, overrides: Sequence[str]) -> list[str]:
    """The overrides but for each `++key=value` that `settle` leaves out."""
    left = unknown(cfg, overrides)
    return [override for override in overrides if override.partition("=")[0].removeprefix("++") not in left]


def identity(cfg: DictConfig) -> dict[str, Any]:
    """The part of a configuration that decides a trained model, as plain data."""
    plain = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    found = ("hydra", "vocab_size", "context", "labels")  # of the corpus
    kept = {key: value for key, value in plain.items() if key not in (*NOT_IDENTITY, *found)}
    return {key: value for key, value in kept.items() if value or key not in SINCE_FORMAT_1}


def fingerprint(node: Any) -> str:
    """Eight hexadecimal digits of the sha256 of plain data."""
    return hashlib.sha256(json.dumps(node, sort_keys=True, default=str).encode()).hexdigest()[:8]


def run_name(cfg: DictConfig) -> str:
    """`captions/ngram-s0-1a2b3c4d`: the same configuration always has the same folder, so a run can be gone on with."""
    chosen = cfg.hydra.runtime.choices
    with search.searching(search.config_dir(cfg.hydra.runtime.config_sources)):  # a worker process has not entered it
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
    """Every config group's options, each with the comment on top of its file; in a folder of it `folder/option`."""
    found: dict[str, dict[str, str]] = {}
    for root in folders():
        for path in sorted(root.rglob("*.yaml")):
            place = path.relative_to(root).with_suffix("")
            depth = 2 if place.parts[0] == "hydra" else 1  # Hydra's own groups are called hydra/launcher and the like
            group, option = "/".join(place.parts[:depth]), "/".join(place.parts[depth:])
            if not option or path.name.startswith("_") or option in found.get(group, {}):
                continue
            lines = path.read_text(encoding="utf-8").splitlines()
            comments = [line for line in lines[:2] if line.startswith("#") and "@package" not in line]
            found.setdefault(group, {})[option] = comments[0].lstrip("# ") if comments else ""
    return found
