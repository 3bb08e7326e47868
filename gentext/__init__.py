"""gentext: every family of text generator, trained on the same tokens, judged by the same harness."""

import lazy_loader

__version__ = "0.1.0"

# on first use: torch takes a second to import, and `gentext --help` needs none of it
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
