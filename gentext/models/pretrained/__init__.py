"""Families around a checkpoint of transformers: causal, encoder-decoder and masked."""

from gentext.models.pretrained.causal import PretrainedCausal
from gentext.models.pretrained.encoder_decoder import PretrainedEncoderDecoder
from gentext.models.pretrained.masked import PretrainedMasked
from gentext.models.pretrained.model import Pretrained

__all__ = ["Pretrained", "PretrainedCausal", "PretrainedEncoderDecoder", "PretrainedMasked"]
