"""The text VAE: its decoders write under z alike in one pass and step by step, and its bound is a bound."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from gentext.decode import Ancestral, Beam, Contrastive
from gentext.language_model import LanguageModel, SupportsConditioning
from gentext.losses import KL, NLL, FreeBits, Objective
from gentext.models.lstm import LSTM
from gentext.models.ngram.model import NGram
from gentext.models.seq2seq import Seq2Seq
from gentext.models.transformer.model import Transformer
from gentext.models.vae.encoders import LSTMEncoder, TransformerEncoder
from gentext.models.vae.model import VAE, LatentConditioned
from gentext.types import EOS, PAD, Batch, pad

V = 9
ROWS = [[4, 5, 6, EOS], [7, EOS], [EOS], [8, 4, 4, 7, 5, EOS]]
DECODERS = {
    "lstm": lambda: LSTM(V, layers=2, width=16),
    "narrow lstm": lambda: LSTM(V, layers=1, width=16, embedding=8),
    "seq2seq": lambda: Seq2Seq(V, width=16, dropout=0.0),
    "additive seq2seq": lambda: Seq2Seq(V, layers=2, width=16, embedding=8, attention="bahdanau", tied=False),
    "transformer": lambda: Transformer(V, layers=2, heads=2, width=16),
    "short-sighted transformer": lambda: Transformer(V, layers=2, heads=2, width=16, context=3),
    "learned positions": lambda: Transformer(V, layers=1, heads=2, width=16, positions="learned", context=8),
    "relative positions": lambda: Transformer(V, layers=1, heads=2, width=16, positions="relative", context=3),
}


def make(decoder: str = "lstm", *, seed: int = 0, **options) -> VAE:
    torch.manual_seed(seed)
    options = {"latent": 3, **options}
    vae = VAE(LSTMEncoder(V, width=16), DECODERS[decoder](), **options)
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.4)
    return vae.eval()


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("decoder", DECODERS)
def test_one_pass_equals_steps_under_z(decoder, skip):
    vae, batch = make(decoder, skip=skip), pad(ROWS)
    assert isinstance(vae.decoder, SupportsConditioning)
    z = torch.randn(len(batch), 3)
    for mode in (torch.enable_grad, torch.no_grad):
        with mode():
            ours = vae.decoder(batch, z).log_prob
            stepped = LanguageModel.forward(LatentConditioned(vae, z), batch).log_prob
            assert torch.allclose(ours, stepped, atol=1e-5)
            assert not torch.allclose(ours, vae.decoder(batch, -z).log_prob, atol=1e-2)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_prompt_is_gone_on_from_under_z(decoder):
    vae, batch = make(decoder), pad(ROWS)
    prompted = replace(batch, prompt=torch.tensor([[4, EOS], [5, PAD]]).repeat(len(batch), 1)[: len(batch)])
    z = torch.randn(len(batch), 3)
    stepped = LanguageModel.forward(LatentConditioned(vae, z), prompted).log_prob
    assert torch.allclose(vae.decoder(prompted, z).log_prob, stepped, atol=1e-5)


@pytest.mark.parametrize(
    "decoder", [Ancestral(top_k=1, batch_size=3), Beam(width=2, batch_size=4), Contrastive(top_k=2, batch_size=6)]
)
def test_a_draw_that_is_split_is_written_under_all_rows(decoder):
    vae, z, rng = make(), 3 * torch.randn(7, 3), torch.Generator().manual_seed(0)
    whole = LatentConditioned(vae, z)
    for _ in range(2):  # the rows begin anew with each draw
        draw = whole.sample(7, 6, decoder=decoder, rng=rng)
        for row, place in zip(draw.tokens, z, strict=True):
            alone = LatentConditioned(vae, place[None]).sample(1, 6, decoder=decoder, rng=rng)
            assert row[row != PAD].tolist() == alone.tokens[0][alone.tokens[0] != PAD].tolist()
    with pytest.raises(ValueError, match="one row for each"):
        whole.sample(8, 6, decoder=decoder, rng=rng)


@pytest.mark.parametrize("posterior", ["normal", "vmf"])
def test_more_draws_tighten_the_bound_towards_the_integral(posterior):
    """One number in z (on the sphere two): the integral over the prior is a sum over a fine grid."""
    vae = make(latent=1 if posterior == "normal" else 2, posterior=posterior, concentration=2.0)
    batch = pad(ROWS)
    with torch.no_grad():
        places = 2001
        if posterior == "normal":
            z = torch.linspace(-8, 8, places)[:, None]
            log_mass = vae.space.log_prior(z[:, None])[:, 0] + math.log(16 / (places - 1))
        else:
            angle = torch.arange(places) * (2 * math.pi / places)
            z, log_mass = torch.stack([angle.cos(), angle.sin()], 1), torch.full((places,), -math.log(places))
        exact = torch.stack(
            [(vae.decoder(pad([row] * places), z).log_prob.sum(1) + log_mass).logsumexp(0) for row in ROWS]
        )
        weights = vae.log_weights(batch, 20_000, torch.Generator().manual_seed(0))
        bounds = {k: (weights.view(len(ROWS), -1, k).logsumexp(2) - math.log(k)).mean(1) for k in (1, 5, 50, 1000)}
    for fewer, more in itertools.pairwise(bounds):
        assert (bounds[more] > bounds[fewer]).all()
    assert torch.allclose(bounds[1000], exact, atol=0.02)
    assert (bounds[50] < exact + 0.01).all()


def test_the_likelihood_is_the_importance_weighted_bound():
    vae, batch = make(importance=7), pad(ROWS)
    with torch.no_grad():
        weights = vae.log_weights(batch, 7, torch.Generator().manual_seed(0))
        assert torch.allclose(vae.log_prob(batch), weights.logsumexp(1) - math.log(7), atol=1e-5)
        assert torch.equal(vae.log_prob(batch), vae.log_prob(batch))


def test_one_draw_is_on_average_the_bound_that_is_trained():
    vae, batch = make(), pad(ROWS)
    with torch.no_grad():
        weights = vae.log_weights(batch, 20_000, torch.Generator().manual_seed(0)).mean(1)
        torch.manual_seed(0)
        wide = vae(pad(ROWS * 5000))
        trained = (wide.log_prob.sum(1) - wide.terms["kl"]).view(-1, len(ROWS)).mean(0)
    assert torch.allclose(weights, trained, atol=0.1)


def test_what_is_drawn_from_the_posterior_is_the_text_and_from_the_prior_it_is_not():
    torch.manual_seed(0)
    texts = [[a, b, a, b, EOS] for a in range(4, V) for b in range(4, V)]
    batch = pad(texts)
    vae = VAE(LSTMEncoder(V, width=32), LSTM(V, layers=1, width=32), latent=8).train()
    objective = Objective(nll=NLL(), kl=FreeBits(5.0))
    optimiser = torch.optim.AdamW(vae.parameters(), lr=0.04)
    for _ in range(100):
        objective(vae(batch), batch, step=0, total=1).total.div(len(batch)).backward()
        optimiser.step()
        optimiser.zero_grad()
    vae.eval()
    rng = torch.Generator().manual_seed(0)
    greedy = Ancestral(top_k=1)
    with torch.no_grad():
        back = LatentConditioned(vae, vae.encode(batch).mean).sample(len(batch), 6, decoder=greedy, rng=rng)
        drawn = vae.sample(len(batch), 6, decoder=greedy, rng=rng)
    right = sum(row[mask].tolist() == text for row, mask, text in zip(back.tokens, back.mask, texts, strict=True))
    guessed = sum(row[mask].tolist() == text for row, mask, text in zip(drawn.tokens, drawn.mask, texts, strict=True))
    assert right > 0.8 * len(texts)
    assert guessed < 0.4 * len(texts)


def test_the_encoder_reads_no_padding():
    batch, wide = pad(ROWS), pad(ROWS, width=11)
    torch.manual_seed(0)
    for encoder in (LSTMEncoder(V, layers=2, width=8), TransformerEncoder(V, heads=2, width=8)):
        assert torch.allclose(encoder(batch), encoder(wide), atol=1e-5)
        assert encoder(batch).isfinite().all()
        nothing = Batch(batch.tokens, torch.zeros_like(batch.mask))
        assert encoder(nothing).isfinite().all()


def test_normalised_means_have_their_spread_whatever_the_encoder_says():
    vae = make(posterior="normalised", spread=0.6).train()
    batch = pad([[4 + i % 5, 4 + i // 5, EOS] for i in range(25)])
    assert torch.allclose(vae.encode(batch).mean.std(0, correction=0), torch.tensor(0.6), atol=1e-3)
    with torch.no_grad():
        vae.space.mean.weight.mul_(1e-3)  # making them small gains nothing
    assert torch.allclose(vae.encode(batch).mean.std(0, correction=0), torch.tensor(0.6), atol=1e-2)
    assert vae.encode(pad([[4, EOS]])).mean.isfinite().all()
    assert not vae.space.norm.weight.requires_grad


def test_a_bag_of_words_is_predicted_from_z_alone():
    vae, batch = make(bag=True), pad(ROWS)
    with torch.no_grad():
        outputs = vae(batch)
        words = vae.bag(outputs.terms["z"]).log_softmax(-1)
    expected = [-sum(float(words[i, token]) for token in row) for i, row in enumerate(ROWS)]
    assert outputs.terms["bow"].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_family_that_cannot_write_under_a_vector_is_no_decoder():
    with pytest.raises(ValueError, match=r"NGram cannot.*model@family.decoder=lstm"):
        VAE(LSTMEncoder(V), NGram(V))


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"latent": 0}, "family=lstm"),
        ({"posterior": "beta"}, "normal, normalised or vmf"),
        ({"spread": -1.0}, "0.6 is usual"),
        ({"importance": 0}, "1 time or more"),
        ({"latent": 1, "posterior": "vmf"}, "latent=2 or more"),
    ],
)
def test_settings_that_make_no_vae_are_answered_with_advice(options, advice):
    with pytest.raises(ValueError, match=advice):
        make(**options)


def test_training_it_as_an_autoencoder_is_said_aloud(caplog):
    vae, batch = make(), pad(ROWS)
    Objective(nll=NLL(), kl=KL(weight=0.0))(vae(batch), batch, step=0, total=1)
    assert not caplog.records
    Objective(nll=NLL())(vae(batch), batch, step=0, total=1)
    assert "try loss=elbo" in caplog.text
