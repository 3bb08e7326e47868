"""From nodes of a configuration to objects: the only call of hydra's instantiate, and the checks before it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from gentext.config.advice import near_key, near_option, one_line
from gentext.config.schema import located
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
        raise one_line(error) from error.__cause__


def check(node: Any, where: str = "") -> None:
    """Bind every node below to the signature of its `_target_`, before anything is built."""
    if isinstance(node, DictConfig) and "_target_" in node:
        target = located(node._target_, where)
        known = inspect.signature(target).parameters
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            for key in node:
                if not str(key).startswith("_") and key not in known:
                    raise ValueError(f"{where}{key} is not an argument of {node._target_}. {near_key(str(key), known)}")
        for key in node:
            if OmegaConf.is_missing(node, key):
                name = node._get_full_key(key)
                raise ValueError(f"{name} has no value, and {node._target_} needs one; give {name}=...")
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


def decoder(name: str | Callable[..., Any], changed: Mapping[str, Any], *, max_len: int) -> Any:
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
    options = {path.stem: path for root in reversed(folders()) for path in (root / "decode").glob("*.yaml")}
    if name not in options:
        raise ValueError(f"no decoder is called {name!r}. {near_option('decode', name)}")
    held = OmegaConf.load(options[name])
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
