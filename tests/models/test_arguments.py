"""Values that fit an argument's type and no model are refused in one line, which names the argument."""

import math

import pytest

from gentext.decode import Ancestral, Beam, Contrastive
from gentext.models import HMM, LSTM, VAE, EncoderDecoder, NeuralHMM, NGram, Seq2Seq, Transformer
from gentext.models.vae.encoders import LSTMEncoder


def vae(**wrong):
    return VAE(LSTMEncoder(9, layers=1, width=8), LSTM(9, layers=1, width=8), **wrong)


WRONG = [
    *((vae, {"posterior": "vmf", "concentration": value}) for value in (0.0, -1.0, 1e9, math.nan, math.inf)),
    *((vae, {name: value}) for name in ("latent", "importance") for value in (0, -2)),
    *((vae, {"posterior": "normalised", "spread": value}) for value in (0.0, math.nan, math.inf)),
    *((HMM, {name: value}) for name in ("transition_prior", "emission_prior") for value in (-1.0, math.nan, math.inf)),
    *((HMM, {"stepwise": value}) for value in (0.2, 1.5, math.nan)),
    *((HMM, {name: 0}) for name in ("states", "blocks", "rank", "grow_from")),
    *((NeuralHMM, {"state_dropout": value}) for value in (1.0, -0.1, math.nan)),
    *((NGram, {"cache": value}) for value in (1.0, -0.1, math.nan)),
    (NGram, {"history": 0}),
    *((family, {"word_dropout": value}) for family in (LSTM, Seq2Seq, Transformer) for value in (1.0, -0.1, math.nan)),
    *((family, {"embedding": 0}) for family in (LSTM, Seq2Seq)),
    (Transformer, {"inner": 0}),
    *((family, {"layers": 10**9}) for family in (LSTM, Seq2Seq, Transformer, LSTMEncoder, EncoderDecoder)),
    (EncoderDecoder, {"encoder_layers": 10**9}),
    *((EncoderDecoder, {name: 0}) for name in ("layers", "encoder_layers", "heads", "context")),
    *((Ancestral, {"temperature": value}) for value in (0.0, -1.0, math.nan, math.inf)),
    *((Ancestral, {name: math.nan}) for name in ("top_p", "min_p", "typical", "repetition_penalty")),
    *((Beam, {"length_penalty": value}) for value in (math.nan, math.inf)),
    *((Beam, {"diversity": value, "groups": 5}) for value in (-1.0, math.nan, math.inf)),
    *((decoder, {"batch_size": 0}) for decoder in (Ancestral, Beam, Contrastive)),
    (Contrastive, {"alpha": math.nan}),
]


@pytest.mark.parametrize(("made", "wrong"), WRONG)
def test_it_is_refused(made, wrong):
    vocabulary = (
        (9,) if made in (HMM, NeuralHMM, NGram, LSTM, Seq2Seq, Transformer, LSTMEncoder, EncoderDecoder) else ()
    )
    with pytest.raises(ValueError, match="|".join(wrong)) as refused:
        made(*vocabulary, **wrong)
    assert "\n" not in str(refused.value)
