"""Relaxed texts become hard ones as the temperature falls, and their gradient that of the expected score."""

import pytest
import torch
from adversarial.three import Bag, Bigram, Players, texts
from scipy import stats

from gentext.adversarial import Gumbel
from gentext.adversarial.gumbel import exponential, relaxed
from gentext.adversarial.losses import PointwiseLoss
from gentext.schedules import Exponential
from gentext.types import EOS, PAD, Batch

LENGTH = 3


def draw(temperature, *, hard=False, sampled=False, n=2_000):
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return relaxed(Bigram(length=LENGTH), n, LENGTH, temperature=temperature, hard=hard, sampled=sampled, rng=rng)


def shares(soft, mask):
    """Of every text, how often the likeliest words are it; and its probability."""
    ids, every = torch.where(mask, soft.argmax(2), PAD), texts(LENGTH)
    with torch.no_grad():
        expected = Bigram(length=LENGTH).log_prob(every).exp()
    return torch.stack([(ids == row).all(1).float().mean() for row in every.tokens]), expected


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
    hard, mask, _ = draw(1.0, hard=True, n=8_000)
    ids = torch.where(mask, hard.argmax(2), PAD)
    found, expected = shares(hard, mask)
    assert torch.allclose(found, expected, atol=0.02)
    assert (mask.sum(1) - 1 == torch.where((ids == EOS).any(1), (ids == EOS).int().argmax(1), LENGTH - 1)).all()


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


def test_noise_is_exponential_far_below_single_precision():
    noise = exponential(2_000, 2_000, torch.Generator().manual_seed(0)).double().flatten()
    assert stats.kstest(noise[:100_000].numpy(), "expon").pvalue > 0.01
    for low in (1e-3, 1e-5, 1e-6):
        assert int((noise < low).sum()) == pytest.approx(4e6 * low, abs=4 * (4e6 * low) ** 0.5)
    assert len(noise[noise < 2**-20].unique()) > 0.99 * (noise < 2**-20).sum()  # of 16 values without more bits
    assert noise.max() > 12


def test_the_entropy_is_that_of_the_choices():
    """Of one token, from its own logits."""
    real = Batch(torch.full((50, 1), 4), torch.ones(50, 1, dtype=torch.bool))
    players = Players(Bigram(length=1), Bag(1))
    found = Gumbel(PointwiseLoss())(players, real, rng=torch.Generator(), step=1, total=1).figures["entropy"]
    expected = torch.distributions.Categorical(probs=players.generator.start(1).logits.softmax(1)).entropy()
    assert found == pytest.approx(expected.item(), abs=1e-6)


def test_words_that_are_read_back_make_texts_of_the_generators_own_distribution():
    found, expected = shares(*draw(2.0, sampled=True, n=8_000)[:2])
    assert torch.allclose(found, expected, atol=0.02)
    drifted, _ = shares(*draw(2.0, n=8_000)[:2])  # relaxed tokens are of another: the generator never read such
    assert (drifted - expected).abs().max() > 0.05


def second_token_worth(read_back):
    """The gradient of the first token's logits where the critic looks at the second token alone."""
    players = Players(Bigram(length=2), Bag(2))
    players.critic.worth.data[0] = 0
    estimator = Gumbel(PointwiseLoss("wasserstein"), read_back=read_back)
    real = Batch(torch.full((50, 2), 4), torch.ones(50, 2, dtype=torch.bool))
    estimator(players, real, rng=torch.Generator().manual_seed(0), step=1, total=1).loss.backward()
    return players.generator.table.grad[0].abs().sum()


def test_a_gradient_reaches_earlier_tokens_through_relaxed_ones_alone():
    assert second_token_worth("relaxed") > 0
    assert second_token_worth("sampled") == 0


def test_a_critic_learns_from_samples_or_from_what_it_judges():
    players, rng = Players(Bigram(length=LENGTH), Bag(LENGTH)), torch.Generator
    samples = Gumbel(PointwiseLoss())
    fake, _ = samples.for_critic(players, [6, 5], LENGTH, rng=rng().manual_seed(0), step=1, total=2)
    assert not fake.tokens.is_floating_point()
    assert (fake.tokens[~fake.mask] == PAD).all()
    estimator = Gumbel(PointwiseLoss(), temperature=Exponential(1.0, 0.01), critic_learns="relaxed")
    for step, heat in ((1, 0.1), (2, 0.01)):  # as hot as the generator's own step of the round
        parts = [*estimator.for_critic(players, [4, 2], LENGTH, rng=rng().manual_seed(0), step=step, total=2)]
        assert [len(mask) for _, mask in parts] == [4, 2]
        soft, mask = map(torch.cat, zip(*parts, strict=True))
        same = relaxed(players.generator, 6, LENGTH, temperature=heat, hard=False, rng=rng().manual_seed(0))
        assert torch.allclose(soft, same[0])
        assert torch.equal(mask, same[1])


@pytest.mark.parametrize("key", ["read_back", "critic_learns"])
def test_other_values_are_refused(key):
    with pytest.raises(ValueError, match=f"{key} is 'hard'; it must be one of"):
        Gumbel(PointwiseLoss(), **{key: "hard"})
