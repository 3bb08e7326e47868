"""A VAE and its corpus: what its metrics rest on."""

from __future__ import annotations

import math

import pytest
import torch
from train import tiny

from gentext.evaluation.harness import Evidence, evaluate, score
from gentext.evaluation.latents import reader
from gentext.metrics.latent_use import Autoencoder
from gentext.metrics.likelihood import HeldOutLikelihood
from gentext.models.lstm import LSTM
from gentext.models.vae.encoders import TransformerEncoder
from gentext.models.vae.model import VAE
from gentext.train.base import NullMonitor


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A VAE with random weights, and a corpus of 90 lines about animals."""
    folder = tmp_path_factory.mktemp("animals")
    corpus = tiny.corpus(folder)
    torch.manual_seed(0)
    v = corpus.tokenizer.vocab_size
    vae = VAE(TransformerEncoder(v, heads=2, width=16), LSTM(v, layers=1, width=16), latent=4)
    with torch.no_grad():
        for parameter in vae.parameters():  # so far apart that the encoder tells texts apart
            parameter.normal_(std=0.5)
        vae.space.log_var.bias.fill_(-4.0)
    return vae.eval(), corpus


def test_the_bounds_are_ordered_and_information_is_at_most_the_kl(drawn):
    vae, corpus = drawn
    found = reader(vae, corpus, "train", seed=0, device="cpu")
    assert isinstance(found, Autoencoder)
    told = found.read(60, 30)
    assert len(told.kl) == 60
    assert told.of == corpus.size("train")
    assert (told.bound >= told.elbo).all()
    error = float((told.information - told.kl).std() / 60**0.5)
    assert 0.2 < float(told.information.mean()) <= float(told.kl.mean()) + 2 * error
    assert float(told.information.mean()) <= math.log(60)


def test_the_aggregate_posterior_is_the_mean_of_every_texts(drawn):
    vae, corpus = drawn
    told = reader(vae, corpus, "train", seed=3, device="cpu").read(6, 2)
    lines = corpus.lines("train")
    batch = corpus.batch([lines[i * len(lines) // 6] for i in range(6)])
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        vae.log_weights(batch, 2, rng)
        q = vae.encode(batch)
        z = q.sample(1, rng)
        normal = torch.distributions.Normal(q.mean, (0.5 * q.log_var).exp())
        density = torch.stack([normal.log_prob(row).sum(1) for row in z[:, 0]])  # of draw i under text j
    expected = density.diagonal() - (density.logsumexp(1) - math.log(6))
    assert told.information.tolist() == pytest.approx(expected.tolist(), abs=1e-3)


def test_the_same_seed_reads_the_same_and_only_a_vae_is_read(drawn):
    vae, corpus = drawn
    one, two = (reader(vae, corpus, "valid", seed=1, device="cpu").read(5, 4) for _ in range(2))
    assert torch.equal(one.bound, two.bound)
    assert reader(vae.decoder, corpus, "valid", seed=1, device="cpu") is None


def test_a_bounds_signature_tells_its_draws(drawn, tmp_path):
    vae, corpus = drawn
    metric = HeldOutLikelihood(resamples=100)
    for family, told in ((vae, "nll_test|line|iw:20|split:valid"), (vae.decoder, "nll_test|line|split:valid")):
        found, _ = evaluate({"likelihood": metric}, Evidence(scores=score(
            family, corpus, "valid", monitor=NullMonitor(tmp_path)
        )))  # fmt: skip
        assert found["nll_test"].signature.startswith(told)
