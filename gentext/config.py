"""Configuration: the root schema, where conf/ lies, a run's identity, and the only call of hydra's instantiate."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import gentext
from gentext.types import Decoder

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
    epochs: float | None = 20  # passes over train at most, for loops that descend
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
    return f"{chosen.data}/{chosen.family}-s{cfg.seed}-{fingerprint([identity(cfg), gentext.__version__])}"


def build(node: Any, **extra: Any) -> Any:
    """The object that a node describes. Raises ValueError with the near names where a key fits nothing."""
    check(node)
    try:
        return hydra.utils.instantiate(node, **extra, _convert_="all")
    except HydraException as error:
        raise _unwrap(error) from error.__cause__


def check(node: Any, where: str = "") -> None:
    """Bind every node below to the signature of its `_target_`, before anything is built."""
    if isinstance(node, DictConfig) and "_target_" in node:
        target = get_object(node._target_) if node._target_ else None
        known = inspect.signature(target).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            for key in node:
                if not str(key).startswith("_") and key not in known:
                    raise ValueError(f"{where}{key} is not an argument of {node._target_}. {near(str(key), known)}")
        _check_types(node, target, where)
    if isinstance(node, DictConfig):
        for key in node:
            if not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
                check(node._get_node(key), f"{where}{key}.")


def _check_types(node: DictConfig, target: Any, where: str) -> None:
    """Raises: ValueError for a plain value that does not fit the annotation of a parameter of ours.

    What others annotate they may mean otherwise: a Path that they make of a text.
    """
    if not str(node._target_).startswith("gentext."):
        return
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for key in node:
        if key not in hints or OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key):
            continue
        value = node[key]
        if not isinstance(value, DictConfig | ListConfig) and not _fits(value, hints[key]):
            annotation = inspect.formatannotation(hints[key])
            raise ValueError(f"{where}{key} is {value!r}, and {node._target_} needs {annotation}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a number, a text, a truth value or null may be what an annotation asks for."""
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str, type(None)):
        return isinstance(value, hint)
    return hint is Any or not isinstance(value, int | float | str | None)  # an object, which a node builds


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`temperature=0.7 top_k=40` as typed keywords. Raises ValueError for a pair that is none."""
    for pair in pairs:
        if "=" not in pair:
            raise ValueError(f"{pair!r} is no setting; write NAME=VALUE, such as temperature=0.7")
    return dict(OmegaConf.to_container(OmegaConf.from_dotlist(list(pairs))))


def decoder(name: str | Decoder, changed: Mapping[str, Any], *, max_len: int) -> Any:
    """The decoder of an option of conf/decode with some of its settings changed, or the one that is made already.

    Raises: ValueError for no such one, and for changes of one that is made.
    """
    if not isinstance(name, str):
        if changed:
            raise ValueError(
                f"{', '.join(changed)}: given beside a decoder that is made already; make the {type(name).__name__} "
                "with them, or name an option of conf/decode, such as decoder='ancestral'"
            )
        return name
    options = sorted(path.stem for path in (folder() / "decode").glob("*.yaml"))
    if name not in options:
        raise ValueError(f"no decoder is called {name!r}; {near(name, options)}")
    held = OmegaConf.load(folder() / "decode" / f"{name}.yaml")
    if len(held) > 1:
        raise ValueError(f"{name} is {len(held)} settings ({', '.join(map(str, held))}); name an option that is one")
    root = OmegaConf.create({"max_len": max_len, "decoder": OmegaConf.merge(next(iter(held.values())), dict(changed))})
    return build(root.decoder)


def setting(decoder: Any) -> str:
    """A decode setting in words: its class, and every argument that is not at its default."""
    defaults = inspect.signature(type(decoder)).parameters
    changed = {name: getattr(decoder, name) for name, at in defaults.items() if getattr(decoder, name) != at.default}
    words = [f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in changed.items()]
    return " ".join([type(decoder).__name__.lower(), *words])


def near(given: str, known: Iterable[str], noun: str = "names") -> str:
    """Advice: the known names most like what was given."""
    options = sorted({str(name) for name in known if not str(name).startswith("_")})
    close = difflib.get_close_matches(given, options, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known {noun}: {', '.join(options)}"


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


def compose(overrides: Sequence[str], config_dir: str | None = None, *, with_hydra: bool = False) -> DictConfig:
    """The composed configuration. Raises ValueError with advice where it cannot be composed."""
    register()
    search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    try:
        with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
            return hydra.compose("config", [*overrides, *search], return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise _unwrap(error, overrides) from error


def completed(overrides: Sequence[str], config_dir: str | None = None) -> list[str]:
    """The overrides, with Hydra's + before every key that a node's class takes though its file does not list it."""
    cfg = _chosen(overrides, config_dir)
    return [f"+{override}" if _takes(cfg, override.partition("=")[0]) else override for override in overrides]


def _chosen(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """The configuration that the choices of options alone compose; of a swept choice, the first."""
    first = next(expand(overrides))
    return compose([override for override in first if "." not in override.partition("=")[0]], config_dir)


def _takes(cfg: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    if not parent or parent[0] in "+~":
        return False
    try:
        node = OmegaConf.select(cfg, parent)
    except OmegaConfBaseException:
        return False
    if not isinstance(node, DictConfig) or "_target_" not in node or name in node:
        return False
    return name in inspect.signature(get_object(node._target_)).parameters


def expand(overrides: Sequence[str]) -> Iterator[list[str]]:
    """For a sweep: the overrides with the first value of each, then with every other value one at a time."""
    try:
        parsed = OverridesParser.create(Plugins.instance()).parse_overrides(list(overrides))
    except HydraException as error:
        raise _unwrap(error, overrides) from error
    choices = []
    for override in parsed:
        if override.is_sweep_override():
            key = override.get_key_element()
            if override.value_type.name == "GLOB_CHOICE_SWEEP":
                names = override.value().filter(list(groups().get(key, {})))
            elif override.is_discrete_sweep():
                names = list(override.sweep_string_iterator())
            else:
                continue  # a range for an optimising sweeper: nothing to compose beforehand
            if not names:
                raise ValueError(f"{override.input_line} matches no option of {key}")
            choices.append([f"{key}={name}" for name in names])
        else:
            choices.append([override.input_line])
    first = [options[0] for options in choices]
    yield first
    for i, options in enumerate(choices):
        for other in options[1:]:
            yield [*first[:i], other, *first[i + 1 :]]


def _unwrap(error: Exception, overrides: Sequence[str] = ()) -> Exception:
    """Hydra's error as one plain sentence with advice."""
    cause = error.__cause__
    while isinstance(cause, HydraException | OmegaConfBaseException) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, ValueError | OSError) and not isinstance(cause, OmegaConfBaseException):
        return cause
    message = str(error).strip()
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        group = key.split("@")[0]
        if group in groups() and f"Could not find '{group}/{value}'" in message:
            return ValueError(f"{group}={value} is unknown. {near(value, groups()[group], 'options')}")
        if "Could not override" in message and f"'{key}'" in message:
            return ValueError(f"{key} is no key of this run. {_near_key(key, overrides)}")
    reasons = [message] + ([str(cause)] if cause is not None and str(cause) not in message else [])
    lines = [line.strip() for reason in reasons for line in reason.splitlines() if line.strip()]
    return ValueError(
        " ".join(line for line in lines if not line.startswith(("full_key", "object_type", "reference_type")))
    )


def _near_key(key: str, overrides: Sequence[str]) -> str:
    """Advice for a mistyped key: siblings at the level where it goes wrong."""
    *parents, last = key.split(".")
    if not parents:
        return near(last, {*Root.__dataclass_fields__, *groups()}, "keys")
    node: Any = _chosen(overrides)
    for name in parents:
        if not isinstance(node, DictConfig) or name not in node:
            last = name
            break
        node = node._get_node(name)
    known = list(node) if isinstance(node, DictConfig) else list(Root.__dataclass_fields__)
    if isinstance(node, DictConfig) and "_target_" in node:
        known += inspect.signature(get_object(node._target_)).parameters
    return near(last, known, "keys")
