"""gentext: every family of text generator, trained on the same tokens, judged by the same harness."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["TrainedModel", "load"]

if TYPE_CHECKING:
    from gentext.trained import TrainedModel, load


def __getattr__(name: str) -> Any:
    """`load` and `Model` on first use: torch takes a second to import, and `gentext --help` needs none of it."""
    if name in __all__:
        return getattr(import_module("gentext.trained"), name)
    raise AttributeError(f"module 'gentext' has no attribute {name!r}")
