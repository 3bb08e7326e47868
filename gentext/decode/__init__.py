"""Turns a family's logits into sequences, once for every family: each decoder is a callable that satisfies Decoder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
