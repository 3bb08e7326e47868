"""Turns a family's logits into sequences, once for every family: each decoder is a callable that satisfies Decoder."""

from gentext.decode.ancestral import Ancestral
from gentext.decode.beam import Beam
from gentext.decode.contrastive import Contrastive

__all__ = ["Ancestral", "Beam", "Contrastive"]
