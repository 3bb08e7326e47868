"""Composing a configuration from its options and overrides, before anything is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType, Sweep
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from gentext.config.advice import near_option, one_line
from gentext.config.schema import groups, register, takes
from gentext.config.search import folder, folders

PATHS = ("init", "family.model", "data.path", "data.truth.path", "data.truth.run")
TEXTS = ("out", "title")  # never a number, a list or a sweep
LIMITS = ("steps", "epochs", "seconds", "iterations")  # of a training, in a track's place
PLAIN_TEXT = re.compile(r"[A-Za-z_/.~?!][A-Za-z0-9_/.~?!+% -]*(?<! )|")
WORD = re.compile("null|true|false|yes|no|on|off|inf|nan", re.IGNORECASE)
PLAIN_PATH = re.compile(r"(?!(?:null|true|false|yes|no|on|off|inf|nan)$)[A-Za-z_/.~][A-Za-z0-9_/.~-]*", re.IGNORECASE)


def decides_its_text(data: DictConfig) -> bool:
    """Whether the options of a corpus alone say which text it is: published files, or a draw from a known distribution.

    What a path leads to, and what a class of the user's own reads, may change from one day to the next.
    """
    paths = [OmegaConf.select(data, key.removeprefix("data.")) for key in PATHS]
    return data._target_.startswith("gentext.") and not any(paths)


def compose(overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """The composed configuration. Raises ValueError with advice where it cannot be composed.

    Hydra's global state is left as it is, so that this works within any program of Hydra's.
    """
    register()
    overrides = _texts_quoted(overrides)
    _check_choices(overrides)
    outer = VersionBase.instance().version_base
    version.setbase("1.3")
    try:
        cfg = loader().load_configuration("config", list(overrides), RunMode.RUN, False)
    except (HydraException, OmegaConfBaseException) as error:
        raise one_line(error, overrides, partial(_chosen, overrides)) from error
    finally:
        VersionBase.instance().version_base = outer
    _check_mappings(cfg, overrides)
    _check_limits(cfg, overrides)
    if not with_hydra:
        with open_dict(cfg):
            del cfg["hydra"]
    return cfg


def loader() -> ConfigLoader:
    """What composes the options of this package, and those of a folder of the user's own."""
    return ConfigLoaderImpl(create_config_search_path(str(folder())))


def _check_choices(overrides: Sequence[str]) -> None:
    """Refuse an option that is no name, and `tuned=NAME` of no file.

    Of the first Hydra does not say which it is; the second it passes over, for most families have no such file.
    """
    known = groups()
    for override in overrides:
        group, _, name = override.partition("=")
        if group not in known:
            continue
        if name and not isinstance(parsed([override])[0].value(), str | list | Sweep):
            raise ValueError(f"{override} names no option; ~{group} leaves {group} out. {near_option(group, name)}")
        if group == "tuned" and name not in known["tuned"]:
            raise ValueError(f"tuned={name} is unknown; ~tuned is the family's own sizes. {near_option('tuned', name)}")


def _check_mappings(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a mapping that leaves out entries of the one that it is given for: Hydra keeps those, and says nothing.

    Of a node with a class, and of an option as a whole, some keys may be given: it has the others anyhow.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if not value.startswith("{") or "." not in key or key.startswith(("+", "~", "hydra.")):
            continue
        node, (given,) = _select(cfg, key), parsed([override])
        entries = given.value()
        if not isinstance(node, DictConfig) or "_target_" in node or not isinstance(entries, dict):
            continue
        left = [str(name) for name in node if name not in entries]
        if left:
            anew = f"'~{key}' '+{override}'"
            raise ValueError(f"{override} leaves {', '.join(left)} of {key} as they are; {anew} replaces it whole")


def _check_limits(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a limit of training beside a track's, which holds in its place."""
    chosen = _select(cfg, "track._target_")  # ~track leaves an experiment's values of it
    allowed = [key for key in ("core_seconds", "flops") if chosen and _select(cfg, f"track.{key}") is not None]
    shares = _select(cfg, "train.shares") or {}
    if not allowed or None in shares.values():  # a stage without a share goes by its own limits
        return
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key.startswith("train.") and key.rpartition(".")[2] in LIMITS and value not in ("null", "0"):
            raise ValueError(
                f"{override.lstrip('+')} counts for nothing: track.{allowed[0]} says when a training ends. Leave it "
                "out, or give ~track"
            )


def completed(overrides: Sequence[str]) -> list[str]:
    """The overrides, with Hydra's + before every key that a node's class takes though its file does not list it.

    A key that only some jobs of a sweep have gets ++, which `settle` takes from the others.
    """
    overrides = _texts_quoted(overrides)
    given = [(override, *override.partition("=")[0].rpartition(".")[::2]) for override in overrides]
    if not any(parent and parent[0] not in "+~" for _, parent, _ in given):
        return overrides
    composed = partial(_composed, _files())
    choices = [override for override in _choices(overrides) if _is_of_a_group(override)]
    chosen = [composed(*job) for job in jobs(choices, composed=composed)]
    fixed = composed(*(each.input_line or "" for each in parsed(choices) if not each.is_sweep_override()))
    return [_sign(chosen, fixed, parent, name) + override for override, parent, name in given]


@lru_cache(64)
def _composed(_: tuple[tuple[str, int], ...], /, *choices: str) -> DictConfig:
    """What choices compose of the files of options as they are; it is not to be changed, for other runs read it too."""
    return compose(choices, with_hydra=True)


def _files() -> tuple[tuple[str, int], ...]:
    """Every file of options, and when it was last changed."""
    found = (path for each in folders() for path in each.rglob("*.yaml"))
    return tuple(sorted((str(path), path.stat().st_mtime_ns) for path in found))


def is_sweep(overrides: Sequence[str]) -> bool:
    """Whether they choose an experiment that is a sweep, which needs no -m."""
    chosen = _first_choices(next(expand(_texts_quoted(overrides))))
    if not any(word.startswith(("experiment=", "hydra.")) for word in chosen):
        return False
    return _composed(_files(), *chosen).hydra.mode == RunMode.MULTIRUN


def late(overrides: Sequence[str], *, sweep: bool) -> list[str]:
    """The overrides of a sweep, with every choice of a nested option (`encoder@eval.encoder=minilm`) left to its jobs.

    Hydra composes first what no job varies, and what the option belongs to may be the choice of a job alone.
    """
    nested = [override for override in overrides if sweep and _nested(override)]
    alone = {
        each.input_line: f"{each.get_key_element()}=choice({each.value()})"
        for each in parsed(nested)
        if not each.is_sweep_override() and each.type == OverrideType.CHANGE
    }
    return [alone.get(override, override) for override in overrides]


def _sign(chosen: Sequence[DictConfig], fixed: DictConfig, parent: str, name: str) -> str:
    """What Hydra wants before an override of the key `parent.name`.

    `chosen` is of every job, `fixed` of what no job varies: Hydra composes that first, with every override.
    """
    if not parent or parent[0] in "+~":
        return ""
    nodes = [_select(cfg, parent) for cfg in chosen]
    there = [isinstance(node, DictConfig) and name in [*node] for node in nodes]  # a value may be missing
    taken = [takes(node, name) for node in nodes]
    first = _select(fixed, parent)
    in_all, in_first = all(there), isinstance(first, DictConfig) and name in [*first]
    if (in_all and in_first) or not (any(there) or any(taken)):
        return ""
    return "+" if all(taken) and not (any(there) or in_first) else "++"


def _select(cfg: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(cfg, key)
    except OmegaConfBaseException:
        return None


def jobs(
    overrides: Sequence[str], *, sweep: bool | None = None, composed: Callable[..., DictConfig] | None = None
) -> list[list[str]]:
    """The overrides of every job, those that an experiment's own sweep adds included.

    Of a sweep over several keys the first value of each, then every other value one at a time.

    Args:
        overrides: as the user gives them.
        sweep: whether -m is given; None: wherever there are several values.
        composed: what composes overrides, Hydra's node included, where the caller composes some of them too.
    """
    given = list(overrides)
    first = next(expand(given)) if sweep is not False else given
    if any(map(_nested, first)):  # the experiment may choose by its sweep what they belong to
        first = _first_choices(first)
    node = (composed(*first) if composed else compose(first, with_hydra=True)).hydra
    if sweep or node.mode == RunMode.MULTIRUN:
        keys = {override.partition("=")[0] for override in given}
        given += [f"{key}={value}" for key, value in (node.sweeper.get("params") or {}).items() if key not in keys]
    return list(expand(given)) if sweep is not False or node.mode == RunMode.MULTIRUN else [given]


def _choices(overrides: Sequence[str]) -> list[str]:
    """The choices of options among overrides."""
    return [override for override in overrides if "." not in override.partition("=")[0] or _nested(override)]


def _first_choices(overrides: Sequence[str]) -> list[str]:
    """Among the overrides of a job, those that Hydra composes first: no key, and no option of a node within another."""
    words = [*_choices(overrides), *(word for word in overrides if word.startswith("hydra."))]
    return [word for word in words if not _nested(word)]


def _nested(override: str) -> bool:
    """Whether it chooses an option of a node within another, `GROUP@PLACE=OPTION`."""
    return "@" in override.partition("=")[0]


def _is_of_a_group(override: str) -> bool:
    key = override.partition("=")[0].lstrip("+~").partition("@")[0]
    return "/" in key or any((root / key).is_dir() for root in folders())


def _texts_quoted(overrides: Sequence[str]) -> list[str]:
    """The overrides, with quotes around texts, and names of existing files, that Hydra reads as something else.

    A comma makes a sweep, `1e5` a number, `null` nothing; a file or a title may be called so.
    """
    quoted = []
    for override in overrides:
        key, _, value = override.partition("=")
        name, plain = key.lstrip("+"), PLAIN_PATH.fullmatch(value)
        file = name in PATHS and not plain and value and Path(value).expanduser().exists()
        text = name in TEXTS and not plain and not PLAIN_TEXT.fullmatch(value) and value[0] not in "'\""
        word = name in TEXTS and WORD.fullmatch(value)
        if file or text or word:
            text = re.sub(r"(\\*)(\'|$)", lambda found: found[1] * 2 + (found[2] and r"\'"), value)
            override = f"{key}='{text}'"
        quoted.append(override)
    return quoted


def _chosen(overrides: Sequence[str]) -> DictConfig:
    """The configuration that the choices of options alone compose, but nested ones; of a swept choice, the first."""
    return compose([override for override in _choices(next(expand(overrides))) if not _nested(override)])


def parsed(overrides: Sequence[str]) -> list[Override]:
    """The overrides as Hydra reads them. Raises: ValueError with advice for one that it cannot read."""
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise one_line(error, overrides) from error


def discrete(override: Override) -> list[str]:
    """Every value of a sweep over options or values. Raises: ValueError where a glob matches no option."""
    key = override.get_key_element()
    value = override.value()
    if isinstance(value, Glob):
        names = value.filter(list(groups().get(key, {})))
    else:
        names = list(override.sweep_string_iterator())
    if not names:
        raise ValueError(f"{override.input_line} matches no option of {key}")
    return names


def expand(overrides: Sequence[str]) -> Iterator[list[str]]:
    """For a sweep: the overrides with the first value of each, then with every other value one at a time.

    Of an interval, its two ends.
    """
    choices = []
    for override in parsed(overrides):
        if not override.is_sweep_override():
            choices.append([override.input_line])
            continue
        sweep: Any = override.value()
        names = discrete(override) if override.is_discrete_sweep() else [sweep.start, sweep.end]
        choices.append([f"{override.get_key_element()}={name}" for name in names])
    first = [options[0] for options in choices]
    yield first
    for i, options in enumerate(choices):
        for other in options[1:]:
            yield [*first[:i], other, *first[i + 1 :]]
