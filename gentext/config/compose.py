"""Composing a configuration from its options and overrides, before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gentext.config.advice import one_line
from gentext.config.schema import folder, groups, register


def compose(overrides: Sequence[str], config_dir: str | None = None, *, with_hydra: bool = False) -> DictConfig:
    """The composed configuration. Raises ValueError with advice where it cannot be composed."""
    register()
    search = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir else []
    try:
        with hydra.initialize_config_dir(str(folder()), version_base="1.3"):
            return hydra.compose("config", [*overrides, *search], return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise one_line(error, overrides, partial(_chosen, overrides, config_dir)) from error


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
        raise one_line(error, overrides) from error
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
