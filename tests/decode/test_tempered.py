"""What a decode setting draws from is a family too, whose likelihood is that of its draws."""

import pytest
import torch

from gentext.decode import Ancestral
from gentext.decode.tempered import Tempered
from gentext.models.lstm import LSTM
from gentext.models.seq2seq import Seq2Seq
from gentext.models.transformer.model import Transformer
from gentext.models.vae.encoders import LSTMEncoder
from gentext.models.vae.model import VAE
from gentext.types import EOS, PAD, Batch, pad


def family():
    torch.manual_seed(0)
    made = LSTM(7, layers=1, width=8).eval()
    for parameter in made.parameters():
        parameter.data += 0.5 * torch.randn(parameter.shape)
    return made


def test_a_decode_setting_names_its_distribution():
    model = family()
    assert Ancestral().distribution(model) is model
    assert Ancestral(temperature=0.5).distribution(model).temperature == 0.5
    assert Ancestral(temperature=0.5, top_k=3).distribution(model) is None


def test_draws_at_a_temperature_have_the_tempered_familys_frequencies(rng):
    model = family()
    tempered = Tempered(model, 0.5)
    draw = model.sample(6_000, 1, decoder=Ancestral(temperature=0.5), rng=rng)
    with torch.no_grad():
        expected = torch.stack([tempered.log_prob(pad([[token]]))[0] for token in range(2, 7)]).exp()
    found = torch.bincount(draw.tokens[:, 0], minlength=7)[2:] / 6_000
    assert torch.allclose(found, expected, atol=0.03)
    with torch.no_grad():
        assert torch.allclose(Tempered(model, 1.0).log_prob(draw), model.log_prob(draw), atol=1e-5)


@pytest.mark.parametrize("make", [Seq2Seq, lambda v, width: Transformer(v, layers=2, heads=2, width=width)])
def test_a_prompt_is_to_a_tempered_family_what_it_is_to_the_family(make):
    torch.manual_seed(0)
    model = make(7, width=16).eval()
    for parameter in model.parameters():
        parameter.data += 0.5 * torch.randn(parameter.shape)
    batch = pad([[4, 5, EOS], [6, EOS], [EOS]])
    for prompt in ([[4, 4, EOS], [5, EOS, PAD], [EOS, PAD, PAD]], [[4, 4, 6], [5, PAD, PAD], [PAD, PAD, PAD]]):
        asked = Batch(batch.tokens, batch.mask, torch.tensor(prompt))
        with torch.no_grad():
            assert torch.allclose(Tempered(model, 1.0)(asked).log_prob, model(asked).log_prob, atol=1e-5)
            cold = (model.prime(asked.prompt).logits / 0.5).log_softmax(1).gather(1, asked.tokens[:, :1])[:, 0]
            assert torch.allclose(Tempered(model, 0.5)(asked).log_prob[:, 0], cold, atol=1e-5)


def test_texts_of_one_length_have_the_frequencies_of_draws_of_that_length(rng):
    model = family()
    draw = model.sample(20_000, 2, decoder=Ancestral(temperature=0.7, min_len=2), rng=rng)
    told = Ancestral(temperature=0.7).distribution(model, 2)
    every = [[a, b] for a in range(2, 7) for b in range(2, 7) if EOS not in (a, b)]
    with torch.no_grad():
        cut, ended = told.log_prob(pad(every)).exp(), told.log_prob(pad([[*text, EOS] for text in every])).exp()
    assert torch.allclose(cut, ended)  # that it ends there is no news
    assert float(ended.sum()) == pytest.approx(1.0, abs=1e-5)
    found = torch.tensor([(draw.tokens == torch.tensor(text)).all(1).float().mean() for text in every])
    assert torch.allclose(found, ended, atol=0.015)
    with torch.no_grad():
        assert told.log_prob(pad([[4, EOS]])).item() == -torch.inf
    assert Ancestral().distribution(model, 2).length == 2


def test_a_bound_at_another_temperature_is_no_likelihood_at_all():
    vae = VAE(LSTMEncoder(7, width=8), LSTM(7, layers=1, width=8), latent=2)
    assert Ancestral().distribution(vae).likelihood == "bound"
    assert Ancestral(temperature=0.5).distribution(vae).likelihood == "none"
