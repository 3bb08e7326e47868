"""An encoder trained ahead of its decoder, and pretrained as an autoencoder's."""

from __future__ import annotations

import pytest
import torch
from train import tiny

from gentext.language_model import SupportsLatent
from gentext.models.vae.model import VAE
from gentext.seeding import Streams
from gentext.train.aggressive import AggressiveEncoder
from gentext.train.distributed import ProcessGroup
from gentext.train.gradient_state import GradientState
from gentext.train.stages import ResetPart, Stages


@pytest.fixture
def vae(tmp_path):
    corpus = tiny.corpus(tmp_path)
    return corpus, tiny.vae(corpus)


def weights(part) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in part.parameters()])


def test_ahead_of_a_step_the_encoder_moves_alone(vae, notes):
    corpus, family = vae
    assert isinstance(family, SupportsLatent)
    training = GradientState(tiny.bound(), family, corpus, Streams(0), notes(), ProcessGroup())
    encoder, space, decoder = weights(family.encoder), weights(family.space), weights(family.decoder)
    AggressiveEncoder(batches=2, limit=4)(training)
    assert training.progress.step == 0
    assert training.progress.tokens > 0
    assert not torch.equal(weights(family.encoder), encoder)
    assert not torch.equal(weights(family.space), space)
    assert torch.equal(weights(family.decoder), decoder)
    assert all(parameter.requires_grad for parameter in family.parameters())
    training.update()
    assert not torch.equal(weights(family.decoder), decoder)


def test_it_ends_when_z_tells_no_more(vae, notes, monkeypatch):
    corpus, family = vae
    told = iter([0.1, 0.5, 0.4, 0.9])
    monkeypatch.setattr(VAE, "information", lambda self, batch, rng: torch.full((len(batch),), next(told)))
    monitor = notes()
    tiny.bound(steps=6, valid_every=1, aggressive=AggressiveEncoder(batches=1, limit=2)).run(
        family, corpus, streams=Streams(0), monitor=monitor
    )
    assert monitor.curve("valid/information") == pytest.approx([0.1, 0.5, 0.4])
    assert monitor.curve("valid/kl")


def test_only_an_encoder_can_be_ahead(vae, notes):
    corpus, family = vae
    with pytest.raises(ValueError, match="train=gradient"):
        tiny.bound(aggressive=AggressiveEncoder()).run(family.decoder, corpus, streams=Streams(0), monitor=notes())
    with pytest.raises(ValueError, match="one process"):
        tiny.bound(aggressive=AggressiveEncoder(), processes=2).check(family, corpus)
    with pytest.raises(ValueError, match="1 or more"):
        AggressiveEncoder(batches=0)


def test_without_valid_it_would_never_end(tmp_path):
    corpus = tiny.corpus(tmp_path, valid=0)
    with pytest.raises(ValueError, match=r"no text there; give data\.valid="):
        tiny.bound(aggressive=AggressiveEncoder()).check(tiny.vae(corpus), corpus)


def test_a_part_is_put_back_and_the_others_stay_as_they_were_trained(vae, notes):
    corpus, family = vae
    encoder, decoder = weights(family.encoder), weights(family.decoder)
    stages = Stages(autoencode=ResetPart(tiny.bound(steps=3, valid_every=1000), "decoder"))
    stages.run(family, corpus, streams=Streams(0), monitor=notes())
    assert torch.equal(weights(family.decoder), decoder)
    assert not torch.equal(weights(family.encoder), encoder)
    with pytest.raises(ValueError, match=r"no part 'critic'.*encoder, decoder"):
        Stages(first=ResetPart(tiny.bound(), "critic")).check(family, corpus)
