"""A family's width from the number of parameters that it is to have."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from gentext.config.build import build

SIZES = ("width", "states")  # the keys that say how large a family is
MOST = 2**15  # that either may become

log = logging.getLogger("gentext")


def give_size(family: DictConfig, parameters: int) -> int | None:
    """The parameters of the family once its widths, or its numbers of states, bring it nearest to `parameters`.

    All of them become one number, an even one, and a multiple of twice the attention heads where there are some; of a
    game that of the generator alone. A family without any, such as an n-gram, stays as it is: None.

    Args:
        family: the node, changed in place; what the corpus decides in it (`vocab_size`) is known.
        parameters: how many it is to have.
    """
    nodes = list(_sized(family.generator if "generator" in family else family))
    if not nodes:
        log.info("track=parameters: %s has no width and stays as it is", family._target_)
        return None
    unit = max(2 * node.heads if "heads" in node else 2 if key == "width" else 1 for node, key in nodes)
    low, high = 1, MOST // unit
    while low < high:  # the first of at least so many parameters
        middle = (low + high) // 2
        low, high = (low, middle) if _size(_give(family, nodes, middle * unit)) >= parameters else (middle + 1, high)
    around = [n for n in (low - 1, low) if n >= 1]
    best = min(around, key=lambda n: abs(_size(_give(family, nodes, n * unit)) - parameters))
    size = _size(_give(family, nodes, best * unit))
    log.info("track=parameters: %s=%d, %d parameters", nodes[0][1], best * unit, size)
    return size


def _sized(node: DictConfig) -> Iterator[tuple[DictConfig, str]]:
    """Every node at or below this one that has a size, with its key."""
    for key in SIZES:
        if isinstance(node.get(key), int):
            yield node, key
    for key in node:
        below = None if OmegaConf.is_interpolation(node, str(key)) else node.get(key)
        if isinstance(below, DictConfig):
            yield from _sized(below)


def _give(family: DictConfig, nodes: list[tuple[DictConfig, str]], size: int) -> DictConfig:
    for node, key in nodes:
        node[key] = size
    return family


def _size(family: DictConfig) -> int:
    import torch

    with torch.device("meta"):  # no memory, no numbers
        return build(family).size()
