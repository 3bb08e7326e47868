"""gentext: every family of text generator, trained on the same tokens, judged by the same harness."""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

__version__ = "0.1.0"

# on first use: torch takes a second to import, and `gentext --help` needs none of it
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Package(ModuleType):
    """Keeps `gentext.run` the function of the API once the module of that name, which it needs, is imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
