"""What a VAE's latent space is worth, from what its encoder and decoder say of each text."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from gentext.metrics.base import Absent
from gentext.metrics.latent_use import Autoencoder, LatentUse
from gentext.types import Latents, Scores


class Told:
    """An Autoencoder of figures that are given."""

    def __init__(self, n: int = 40) -> None:
        rng = torch.Generator().manual_seed(0)
        self.elbo = -30 + torch.randn(n, generator=rng).double()
        self.kl = 5 + torch.rand(n, generator=rng).double()
        scale = torch.tensor([1.0, 0.5, 0.05, 0.0])
        self.mean = torch.randn(n, 4, generator=rng) * scale

    def read(self, texts: int, importance: int) -> Latents:
        rows = slice(0, texts)
        return Latents(
            elbo=self.elbo[rows],
            bound=self.elbo[rows] + 1,
            kl=self.kl[rows],
            information=self.kl[rows] - 0.5,
            mean=self.mean[rows],
            split="test",
            of=10_000,
        )


def test_the_figures_fit_together():
    assert isinstance(Told(), Autoencoder)
    metric = LatentUse(texts=40, importance=500)
    metric.update(Told())
    found = metric.values()
    assert found["negative_elbo"].value == pytest.approx(-float(Told().elbo.mean()))
    assert found["iw_nll"].value == pytest.approx(found["negative_elbo"].value - 1)
    parts = found["reconstruction_nll"].value + found["posterior_kl"].value
    assert parts == pytest.approx(found["negative_elbo"].value)
    assert found["active_units"].value == 2
    assert found["active_units"].signature.startswith("active_units|of:4|above:0.01|")
    assert {name for name, value in found.items() if value.exactness == "upper"} == {"iw_nll", "negative_elbo"}
    assert found["mutual_information"].exactness == "lower"  # of 40 texts it is ln 40 at most
    assert found["mutual_information"].signature == "mutual_information|split:test|seqs:40 of 10000|v:1"


def test_a_language_model_is_the_zero_line_over_the_same_texts():
    log_prob = -torch.arange(100.0).double()
    scores = Scores(log_prob, *(torch.ones(100, dtype=torch.long) for _ in range(4)), split="test", kind="exact")
    metric, vae = LatentUse(texts=40, importance=500), LatentUse(texts=40, importance=500)
    metric.update(scores=scores)
    told = Told()
    told.read = lambda texts, importance: dataclasses.replace(Told().read(texts, importance), of=100)
    vae.update(told, scores=dataclasses.replace(scores, kind="bound"))
    (line,) = metric.values().values()
    assert line.per_sequence.tolist() == [i * 100 // 40 for i in range(40)]
    assert (line.exactness, line.signature) == ("exact", vae.values()["iw_nll"].signature)
    with pytest.raises(Absent, match="no model with a latent space"):
        LatentUse().update(scores=dataclasses.replace(scores, kind="bound"))


def test_bounds_carry_their_draws_their_texts_and_their_error():
    metric = LatentUse(texts=30, importance=7)
    metric.update(Told())
    bound = metric.values()["iw_nll"]
    assert bound.signature == "iw_nll|iw:7|split:test|seqs:30 of 10000|v:1"
    low, high = bound.interval
    assert low < bound.value < high
    assert high - low == pytest.approx(2 * 1.96 * np.std(bound.per_sequence, ddof=1) / 30**0.5, rel=0.1)
    assert bound.interval_kind == "bootstrap:10000"


def test_one_text_shows_no_use_of_a_space():
    metric = LatentUse()
    metric.update(Told(1))
    with pytest.raises(Absent, match="2 texts"):
        metric.values()
    with pytest.raises(ValueError, match="texts is 1; it must be 2 or more"):
        LatentUse(texts=1)
