"""Relaxed texts become hard ones as the temperature falls, and their gradient that of the expected score."""

import pytest
import torch
from adversarial.three import Bag, Bigram, Players, texts

from gentext.adversarial import Gumbel
from gentext.adversarial.gumbel import relaxed
from gentext.adversarial.losses import PointwiseLoss
from gentext.schedules import Exponential
from gentext.types import EOS, PAD, Batch

LENGTH = 3


def draw(temperature, *, hard=False, n=2_000):
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return relaxed(Bigram(length=LENGTH), n, LENGTH, temperature=temperature, hard=hard, rng=rng)


def test_it_is_a_distribution_at_every_temperature():
    soft, mask, _ = draw(1.0)
    assert torch.allclose(soft.sum(2), torch.ones(2_000, LENGTH), atol=1e-5)
    assert (soft[..., [PAD, 1, 3]][mask] == 0).all()
    assert (soft[~mask].argmax(1) == PAD).all()


def test_the_relaxed_forward_is_the_hard_one_as_the_temperature_falls():
    hard = draw(1e-3, hard=True)[0]
    away = [float((draw(heat)[0] - hard).abs().mean()) for heat in (0.5, 0.1, 0.01, 1e-3)]
    assert away == sorted(away, reverse=True)
    assert away[-1] < 1e-3


def test_hard_tokens_follow_the_generators_own_distribution():
    hard, mask, entropy = draw(1.0, hard=True, n=8_000)
    ids = torch.where(mask, hard.argmax(2), PAD)
    every = texts(LENGTH)
    with torch.no_grad():
        expected = Bigram(length=LENGTH).log_prob(every).exp()
    found = torch.stack([(ids == row).all(1).float().mean() for row in every.tokens])
    assert torch.allclose(found, expected, atol=0.02)
    assert (mask.sum(1) - 1 == torch.where((ids == EOS).any(1), (ids == EOS).int().argmax(1), LENGTH - 1)).all()
    assert 0 < entropy < 1.1


def test_its_gradient_approaches_that_of_the_expected_score():
    """The score is linear in the tokens; the bias of relaxed tokens falls with the temperature."""
    generator, every = Bigram(length=1, sharp=0.5), texts(1)
    with torch.no_grad():
        worth = Bag(1)(every.tokens)[:, 0]
    (-(generator.log_prob(every).exp() * worth).sum()).backward()
    exact = generator.table.grad
    real = Batch(torch.full((20_000, 1), 4), torch.ones(20_000, 1, dtype=torch.bool))
    away = []
    for heat in (3.0, 0.3):
        players = Players(Bigram(length=1, sharp=0.5), Bag(1))
        estimator = Gumbel(PointwiseLoss("wasserstein"), temperature=heat)
        estimator(players, real, rng=torch.Generator().manual_seed(0), step=1, total=1).loss.backward()
        away.append(float((players.generator.table.grad - exact).norm() / exact.norm()))
    assert away[1] < 0.1 < away[0]


def test_the_schedules_end_is_reached_whatever_the_length_of_the_run():
    for total in (3, 40):
        estimator = Gumbel(PointwiseLoss(), temperature=Exponential(1.0, 0.01))
        real = Batch(torch.full((4, LENGTH), 4), torch.ones(4, LENGTH, dtype=torch.bool))
        players = Players(Bigram(length=LENGTH), Bag(LENGTH))
        heats = [
            estimator(players, real, rng=torch.Generator(), step=step, total=total).figures["temperature"]
            for step in (1, total)
        ]
        assert heats[0] > heats[1]
        assert heats[1] == pytest.approx(0.01)
