"""Adversarial training of text generators: critics, losses of both players, gradient estimators, the trainer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
