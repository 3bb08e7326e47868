"""What may be built from a configuration that somebody else may have written: that of a run's folder or of a record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from omegaconf import OmegaConf

PACKAGES = tuple(
    f"gentext.{name}"
    for name in ("adversarial", "data", "decode", "losses", "metrics", "models", "schedules", "train", "truth")
)
OTHERS = (  # what an option names outside these packages; a skops file is code, which its `types` allow
    *("gentext.losses.no_loss", "gentext.metrics.no_flag"),
    *("gentext.trained.FittedTruth", "gentext.trained.Teacher"),
    *("gentext.detection.DetectionCorpus", "gentext.distillation.SampledCorpus"),
    *("gentext.run_judge.RunGuide", "gentext.run_judge.RunJudge"),
    *("gentext.flags.RunFlag", "gentext.flags.TransformersFlag"),
)


def refuse_code(node: Any, trusted: Collection[str] = ()) -> None:
    """Refuse a node that names other code than gentext's own public classes, however deep, before anything is imported.

    Args:
        node: of a stored configuration, which is data.
        trusted: modules of which the user allows everything, such as `my_family`.

    Raises: ValueError, naming the key.
    """
    plain = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
    key = node._get_full_key(None) if OmegaConf.is_config(node) else ""
    _walk(plain, key or "the node", trusted)


def _walk(node: Any, key: str, trusted: Collection[str]) -> None:
    if isinstance(node, Mapping):
        if "_target_" in node and not (node["_target_"] is None or _allowed(node["_target_"], trusted)):
            target = str(node["_target_"])
            module = target.rpartition(".")[0] or target
            raise ValueError(
                f"{key}._target_ is {target!r}, which is no public class of gentext. What a run's folder or a record "
                f"holds is data, and no code of others is run for it; where you trust it, allow it by --trust {module}"
            )
        if "_args_" in node and node.get("_target_") in OTHERS:
            raise ValueError(f"{key}._args_ is {node['_args_']!r}; an option gives its arguments by name")
        allows = node.get("trusted", ())
        for module in [allows] if isinstance(allows, str) else allows:  # what is stored cannot trust itself
            if module not in trusted:
                raise ValueError(
                    f"{key}.trusted holds {module!r}: the run read code of that module. Where you trust it, allow it "
                    f"by --trust {module}"
                )
        for name, value in node.items():
            _walk(value, f"{key}.{name}", trusted)
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            _walk(value, f"{key}.{i}", trusted)
    elif isinstance(node, str) and "${" in node:
        raise ValueError(f"{key} is {node!r}; what a run's folder or a record holds refers to nothing outside it")


def _allowed(target: Any, trusted: Collection[str]) -> bool:
    if not isinstance(target, str):
        return False
    if target in OTHERS or any(target.startswith(f"{module}.") for module in trusted):
        return True
    package, _, name = target.rpartition(".")
    if package not in PACKAGES or not name.isidentifier() or name.startswith("_"):
        return False
    found = getattr(import_module(package), name, None)
    return isinstance(found, type) and found.__module__.startswith("gentext.")
