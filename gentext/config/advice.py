"""Errors of a configuration in one plain sentence, with the names that are near."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from gentext.checks import missing
from gentext.config.schema import Root, groups, parameters
from gentext.results import migrations

KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}  # in OmegaConf's messages
LAUNCHERS = {"joblib": "sweep", "submitit_local": "sweep", "submitit_slurm": "sweep", "ray": "ray"}  # by extra


def near(given: str, known: Iterable[str], noun: str = "names") -> str:
    """Advice: the known names most like what was given."""
    options = sorted({str(name) for name in known if not str(name).startswith("_")})
    close = difflib.get_close_matches(given, options, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known {noun}: {', '.join(options)}"


def near_option(group: str, given: str) -> str:
    """Advice for an option that its group has not: what it is called now, or the names that are near."""
    renamed = migrations.OPTIONS.get(group, {}).get(given)
    return f"It is called {group}={renamed} now" if renamed else near(given, groups()[group], "options")


def near_key(given: str, known: Iterable[str], noun: str = "names") -> str:
    """Advice for a key that is not there: what it is called now, or the names that are near."""
    known = list(known)
    renamed = migrations.KEYS.get(given)
    return f"It is called {renamed} now" if renamed in known else near(given, known, noun)


def one_line(
    error: Exception, overrides: Sequence[str] = (), chosen: Callable[[], DictConfig] | None = None
) -> Exception:
    """Hydra's error as one plain sentence with advice.

    Args:
        error: what Hydra or OmegaConf raised.
        overrides: what the user wrote.
        chosen: composes the options that the overrides choose, for the keys near a mistyped one.
    """
    cause = error.__cause__
    while isinstance(cause, HydraException | OmegaConfBaseException) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, ValueError | OSError) and not isinstance(cause, OmegaConfBaseException):
        return cause
    message = str(error).strip()
    ambiguous = re.match(r"Ambiguous value for argument '(.*)'", message)
    unread = error.override if isinstance(error, OverrideParseException) else ambiguous and ambiguous[1]
    if unread:
        key, given, value = unread.partition("=")
        if not given:
            instead = f"data.path={shlex.quote(unread)}" if "." in unread else f"{unread}=..."
            return ValueError(f"{unread} is no KEY=VALUE; did you mean {instead}?")
        what = "is several values, which -m sweeps over" if ambiguous else "cannot be read"
        quoted = shlex.quote(f'{key}="{value}"') if '"' not in value else f"{key}='{value}' with the marks inside"
        return ValueError(f"{unread} {what}; where it is one text, put it in quotes of its own: {quoted}")
    for name, extra in LAUNCHERS.items():
        if re.search(f"Could not (find|load) 'hydra/launcher/{name}'", message):
            return ValueError(missing("this launcher", f"hydra-{name.split('_')[0]}-launcher", extra))
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        group = key.split("@")[0]
        if group in groups() and f"Could not find '{group}/{value}'" in message:
            return ValueError(f"{group}={value} is unknown. {near_option(group, value)}")
        if "Could not override" in message and f"'{key}'" in message:
            inner = re.search(r"full_key: (\S+)", f"{message} {cause}")
            if inner and inner[1].startswith(f"{key}.") and override[0] not in "+~":
                return ValueError(f"{inner[1]} is no key of this run; +{override} adds it to {key}")
            return ValueError(f"{key} is no key of this run. {_near_key(key, chosen)}")
    typed = re.match(r"Error merging override [+]*([^=]+)=", message)
    kind = re.search(
        r"Value '(.*)' (?:of type '\w+' could not be converted to|is not a valid) (\w+)", f"{message} {cause}"
    )
    if typed and kind:
        return ValueError(f"{typed[1]} is {kind[1]!r}; it must be {KINDS.get(kind[2], kind[2])}")
    reasons = [message] + ([str(cause)] if cause is not None and str(cause) not in message else [])
    lines = [line.strip() for reason in reasons for line in reason.splitlines() if line.strip()]
    return ValueError(
        " ".join(line for line in lines if not line.startswith(("full_key", "object_type", "reference_type")))
    )


def _near_key(key: str, chosen: Callable[[], DictConfig] | None) -> str:
    """Advice for a mistyped key: siblings at the level where it goes wrong."""
    *parents, last = key.split(".")
    if parents == ["track"] and (chosen is None or chosen().get("track") is None):
        return "A track is chosen first: track=time, track=flops or track=parameters"
    if not parents or chosen is None:
        return near_key(last, {*Root.__dataclass_fields__, *groups(), "train.epochs"}, "keys")
    node: Any = chosen()
    for name in parents:
        if not isinstance(node, DictConfig) or name not in node:
            last = name
            break
        node = node._get_node(name)
    known = list(node) if isinstance(node, DictConfig) else list(Root.__dataclass_fields__)
    if isinstance(node, DictConfig) and "_target_" in node:
        known += parameters(node._target_)
    return near_key(last, known, "keys")
