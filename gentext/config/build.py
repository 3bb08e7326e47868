"""From nodes of a configuration to objects: the only call of hydra's instantiate, and the checks before it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from gentext.checks import ArgumentError, at_least, device
from gentext.config.advice import near_key, near_option, one_line
from gentext.config.schema import located, takes, unknown
from gentext.config.search import folders
from gentext.config.trust import refuse_code


def build(node: Any, *, trusted: Collection[str] | None = None) -> Any:
    """The object that a node describes.

    Args:
        node: what the user composed; or, with `trusted`, what a run's folder or a record holds.
        trusted: modules of which a stored node may name classes, beside gentext's own; None: the node is the user's.

    Raises: ValueError with the near names where a key fits nothing, and where a stored node names other code.
    """
    if trusted is not None:
        refuse_code(node, trusted)
    check(node)
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except HydraException as error:
        raise _named(error, node) from error.__cause__


def _named(error: HydraException, node: Any) -> Exception:
    """The error in one sentence; where a class refuses an argument, with the key that the user writes."""
    cause, found = error.__cause__, re.search(r"^full_key: (\S+)$", str(error), re.MULTILINE)
    if not isinstance(cause, ArgumentError) or found is None:
        return one_line(error)
    at, path = node._get_root(), []
    for part in found[1].split("."):
        at = at._get_node(int(part) if isinstance(at, ListConfig) else part)
        path.append(part)
        if at._is_interpolation():  # train.loss is ${loss}: the key is loss
            path = re.sub(r"[${}]", "", at._value()).split(".")
            at = at._dereference_node()
    return ValueError(f"{'.'.join(path)}.{cause.name.rpartition('.')[2]} {cause.problem}")


def check_known(jobs: Iterable[tuple[DictConfig, Sequence[str]]]) -> None:
    """Refuse a `++key=value` that no job of a sweep takes: what some take is left out of the others, and a typo of all.

    What an experiment's file gives for some of its families is left out where none of these is chosen.

    Args:
        jobs: each one's configuration, Hydra's node included, and overrides.
    """
    first, *others = [(cfg, unknown(cfg, overrides)) for cfg, overrides in jobs]
    of_families = {key.lstrip("+") for key in first[0].hydra.sweeper.get("params") or {}}
    for key, known in first[1].items():
        if key not in of_families and all(key in found for _, found in others):
            raise ValueError(f"{key} is no key of this run. {near_key(key.rpartition('.')[2], known, 'keys')}")


def check_run(cfg: DictConfig) -> None:
    """Check the configuration of a run as far as that goes without its data: keys, types, and what each class refuses.

    Raises: ValueError, naming the key.
    """
    if not cfg.out:
        raise ValueError("out is empty; name the folder of the runs, such as out=runs")
    for group in ("data", "tokenizer", "family", "train", "eval"):
        if not isinstance(cfg.get(group), DictConfig):
            raise ValueError(f"{group} is {_given(cfg, group)}, and every run has one; give {group}=NAME")
    for group in ("data", "tokenizer", "family", "train", "loss", "eval"):
        check(cfg.get(group), f"{group}.")
    nodes = ("decode", "tracker", "eval.metrics")
    for group in nodes:
        check_nodes(cfg, group)
    if not cfg.decode:
        raise ValueError("decode is empty, and a run draws its texts by one; give decode=ancestral or another")
    if cfg.track is not None:
        check(cfg.track, "track.")
    device("device", cfg.device)
    at_least(1, processes=cfg.processes)
    at_least(0, show_samples=cfg.show_samples)
    for name, kind, needed in (
        ("samples", int, "a whole number, such as 1000"),
        ("split", str, "a split, such as test"),
    ):
        if not _fits(cfg.eval.get(name), kind):  # of no class, whose signature would say so
            raise ValueError(f"eval.{name} is {_given(cfg, f'eval.{name}')}; it must be {needed}")
    trial = copy.deepcopy(cfg)  # the data say how many tokens there are: any number will do here
    with open_dict(trial):
        trial.vocab_size, trial.max_len = cfg.vocab_size or TRIAL_VOCABULARY, cfg.max_len or TRIAL_LENGTH
        trial.context = cfg.context or trial.max_len
        trial.labels = cfg.labels or 2
    tracks = () if trial.track is None else (trial.track,)
    for node in (trial.train, trial.loss, *tracks, *(OmegaConf.select(trial, group) for group in nodes)):
        build(node)
    import torch

    try:
        with torch.device("meta"):  # no memory, no numbers
            build(trial.family)
    except ValueError as error:
        if isinstance(error.__cause__, ValueError):  # otherwise it needs numbers to be built, and is when it runs
            raise


TRIAL_VOCABULARY, TRIAL_LENGTH = 100_000, 64


def check(node: Any, where: str = "") -> None:
    """Bind every node below to the signature of its `_target_`, before anything is built.

    Raises: ValueError, naming the key, where an argument is unknown, missing, or of a type that the class cannot take.
    """
    if isinstance(node, ListConfig):
        children: list[tuple[Any, Any]] = [(i, node._get_node(i)) for i in range(len(node))]
    elif isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
        if "_target_" in node:
            _check_target(node, where)
        children = [(key, node._get_node(key)) for key in node]
    else:
        return
    for key, child in children:
        if not child._is_missing():
            check(child, f"{where}{key}.")


def check_nodes(cfg: DictConfig, group: str) -> None:
    """Check a group of named nodes. Raises: ValueError where one of them is none, such as `tracker.console=null`."""
    nodes = OmegaConf.select(cfg, group)
    if not isinstance(nodes, DictConfig):
        raise ValueError(f"{group} is {_given(cfg, group)}; it must be objects by name, and {group}={{}} is for none")
    for name in nodes:
        node: Any = nodes._get_node(name)
        if not isinstance(node, DictConfig) or node._is_none():
            value = node._value()
            shown = "null" if value is None else repr(value)
            raise ValueError(f"{group}.{name} is {shown}, and stands for an object; ~{group}.{name} leaves it out")
        if not node._is_interpolation() and "_target_" not in node:
            raise ValueError(
                f"{group}.{name} has no _target_, and stands for an object; name its class by {group}.{name}._target_, "
                f"or leave it out by ~{group}.{name}"
            )
    check(nodes, f"{group}.")


def _given(cfg: DictConfig, key: str) -> str:
    """What an error says that a key is."""
    parent, _, name = key.rpartition(".")
    above = OmegaConf.select(cfg, parent) if parent else cfg
    if not isinstance(above, DictConfig) or name not in above:
        return "left out"
    return "null" if above[name] is None else repr(above[name])


def _check_target(node: DictConfig, where: str) -> None:
    named: Any = node._get_node("_target_")
    target = named._value()
    if not isinstance(target, str):
        raise ValueError(f"{where}_target_ is {target!r}; it must be the dotted name of a class")
    made = located(target, where)
    known = inspect.signature(made).parameters
    rest = next((one for one in known.values() if one.kind is one.VAR_KEYWORD), None)
    given = [str(key) for key in node if not str(key).startswith("_")]
    for key in given:
        if key not in known and rest is None:
            raise ValueError(f"{where}{key} is not an argument of {target}. {near_key(key, known)}")
        if OmegaConf.is_missing(node, key):
            name = node._get_full_key(key)
            raise ValueError(f"{name} has no value, and {target} needs one; give {name}=...")
    if not target.startswith("gentext."):  # what others annotate they may mean otherwise: a Path made of a text
        return
    # of a dataclass those of its fields, each resolved where its class stands; they are its constructor's
    hints = get_type_hints(made.__init__ if inspect.isclass(made) and not dataclasses.is_dataclass(made) else made)
    for key in given:
        hint = hints.get(key if key in known or rest is None else rest.name, Any)
        if not OmegaConf.is_interpolation(node, key) and not _fits(node[key], hint):
            value = OmegaConf.to_container(node[key]) if OmegaConf.is_config(node[key]) else node[key]
            leave = f"; ~{where}{key} leaves it out" if value is None and key not in known else ""
            raise ValueError(f"{where}{key} is {value!r}, and {target} needs {_words(hint)}{leave}")


def _words(hint: Any) -> str:
    """An annotation as a user reads it: `float | None`, `Schedule`."""
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", inspect.formatannotation(hint)).replace("NoneType", "null")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a configuration may be what an annotation asks for; a node with a `_target_` is an object."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if hint is Any or (isinstance(value, DictConfig) and "_target_" in value):
        return hint not in (bool, int, float, str, type(None))
    if origin is Literal:
        return value in parts
    if hint in SCALARS:
        return isinstance(value, SCALARS[hint]) and (hint is bool or not isinstance(value, bool))
    if isinstance(value, ListConfig):
        held = origin or hint
        if not (isinstance(held, type) and issubclass(list, held)) and held is not tuple:
            return False
        element = next((part for part in parts if part is not Ellipsis), Any)
        return all(OmegaConf.is_interpolation(value, i) or _fits(value[i], element) for i in range(len(value)))
    if isinstance(value, DictConfig):
        held = origin or hint
        if not (isinstance(held, type) and issubclass(dict, held)):
            return False
        keys, values = parts if len(parts) == 2 else (Any, Any)
        return all(_fits(key, keys) and _fits(value[key], values) for key in value)
    return not isinstance(value, int | float | str | None)  # an object, which a node builds


def _shown(value: Any) -> str:
    """A value of a decode setting; of a decoder inside one, its own setting in brackets."""
    if isinstance(value, float):
        return f"{value:g}"
    return (
        f"({setting(value).replace(' ', ',')})" if type(value).__module__.startswith("gentext.decode") else str(value)
    )


SCALARS: dict[Any, Any] = {bool: bool, int: int, float: (int, float), str: str, type(None): type(None)}


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`temperature=0.7 top_k=40` as typed keywords. Raises ValueError for a pair that is none."""
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"{pair!r} is no setting; write NAME=VALUE, such as temperature=0.7")
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.from_dotlist(list(pairs))))


def decoder(name: str | Callable[..., Any], changed: Mapping[str, Any], *, max_len: int) -> Any:
    """The decoder of an option of conf/decode with some of its settings changed, or the one that is made already.

    It writes for a reader, and leaves the unknown word out where `ban_unk` is not among the changes.

    Raises: ValueError for no such one, and for changes of one that is made.
    """
    if not isinstance(name, str):
        if changed:
            raise ValueError(
                f"{', '.join(changed)}: given beside a decoder that is made already; make the {type(name).__name__} "
                "with them, or name an option of conf/decode, such as decoder='ancestral'"
            )
        return name
    options = {path.stem: path for root in reversed(folders()) for path in (root / "decode").glob("*.yaml")}
    if name not in options:
        raise ValueError(f"no decoder is called {name!r}. {near_option('decode', name)}")
    held = OmegaConf.load(options[name])
    if len(held) > 1:
        raise ValueError(f"{name} is {len(held)} settings ({', '.join(map(str, held))}); name an option that is one")
    node = next(iter(held.values()))
    readable = {"ban_unk": True} if takes(node, "ban_unk") else {}
    root = OmegaConf.create({"max_len": max_len, "decoder": OmegaConf.merge(node, readable, dict(changed))})
    try:
        return build(root.decoder)
    except ValueError as error:  # its settings are given without a group
        raise ValueError(re.sub(r"(?<![\w.])decoder\.(?=\w)", "", str(error))) from error


def setting(decoder: Any) -> str:
    """A decode setting in words: its class, and every argument that is not at its default."""
    fields = {each.name: each for each in dataclasses.fields(decoder) if each.init}
    defaults = {
        name: each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
        for name, each in fields.items()
    }
    changed = {name: getattr(decoder, name) for name, default in defaults.items() if getattr(decoder, name) != default}
    words = [f"{name}={_shown(value)}" for name, value in changed.items()]
    return " ".join([type(decoder).__name__.lower(), *words])
