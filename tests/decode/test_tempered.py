"""What a decode setting draws from is a family too, whose likelihood is that of its draws."""

import torch

from gentext.decode import Ancestral
from gentext.decode.tempered import Tempered
from gentext.families.lstm import LSTM
from gentext.types import pad


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
