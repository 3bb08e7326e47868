"""Every game against its formula, written out in probabilities."""

import math

import pytest
import torch

from gentext.critics import TextCNN
from gentext.games import RULES, Adversity, Ranking, slope

REAL, FAKE = torch.tensor([[0.3], [-1.2], [2.0]]), torch.tensor([[-0.5], [1.4], [0.1]])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def formulas(real, fake):
    """What critic and generator make small, from lists of verdicts."""
    m_real, m_fake = mean(real), mean(fake)
    log_loss = -mean(math.log(sigmoid(r)) for r in real) - mean(math.log(1 - sigmoid(f)) for f in fake)
    return {
        "standard": (log_loss, mean(math.log(1 - sigmoid(f)) for f in fake)),
        "non_saturating": (log_loss, -mean(math.log(sigmoid(f)) for f in fake)),
        "least_squares": (
            mean((r - 1) ** 2 for r in real) / 2 + mean(f**2 for f in fake) / 2,
            mean((f - 1) ** 2 for f in fake) / 2,
        ),
        "hinge": (mean(max(0, 1 - r) for r in real) + mean(max(0, 1 + f) for f in fake), -m_fake),
        "wasserstein": (m_fake - m_real, -m_fake),
        "relativistic": (
            -mean(math.log(sigmoid(r - f)) for r, f in zip(real, fake, strict=True)),
            -mean(math.log(sigmoid(f - r)) for r, f in zip(real, fake, strict=True)),
        ),
        "relativistic_average": (
            -mean(math.log(sigmoid(r - m_fake)) for r in real) - mean(math.log(1 - sigmoid(f - m_real)) for f in fake),
            -mean(math.log(sigmoid(f - m_real)) for f in fake) - mean(math.log(1 - sigmoid(r - m_fake)) for r in real),
        ),
    }


@pytest.mark.parametrize("rule", RULES)
def test_each_game_is_its_formula(rule):
    critic, generator = formulas(REAL[:, 0].tolist(), FAKE[:, 0].tolist())[rule]
    assert Adversity(rule).critic(REAL, FAKE).item() == pytest.approx(critic, abs=1e-5)
    assert Adversity(rule).generator(REAL, FAKE).item() == pytest.approx(generator, abs=1e-5)


def test_smoothing_lowers_the_target_of_real_text_alone():
    found = Adversity("non_saturating", smoothing=0.1).critic(REAL, FAKE).item()
    real, fake = REAL[:, 0].tolist(), FAKE[:, 0].tolist()
    wanted = -mean(0.9 * math.log(sigmoid(r)) + 0.1 * math.log(1 - sigmoid(r)) for r in real)
    assert found == pytest.approx(wanted - mean(math.log(1 - sigmoid(f)) for f in fake), abs=1e-5)
    squares = Adversity("least_squares", smoothing=0.1).critic(REAL, FAKE).item()
    assert squares == pytest.approx(mean((r - 0.9) ** 2 for r in real) / 2 + mean(f**2 for f in fake) / 2, abs=1e-5)


def test_a_rank_is_the_mean_share_of_likeness_over_references():
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(4, 5, generator=rng), torch.randn(3, 5, generator=rng)
    references, others = real[:2], real[2:]

    def like(a, b):
        return math.exp(2.0 * float(torch.cosine_similarity(a, b, dim=0)))

    def rank(text, among):
        return mean(like(text, u) / (like(text, u) + sum(like(other, u) for other in among)) for u in references)

    game = Ranking(sharpness=2.0)
    assert game.score(fake, real).exp().tolist() == pytest.approx([rank(text, others) for text in fake], abs=1e-5)
    loss = -mean(math.log(rank(text, fake)) for text in others) - mean(
        math.log(1 - rank(text, others)) for text in fake
    )
    assert game.critic(real, fake).item() == pytest.approx(loss, abs=1e-5)


def test_the_slope_of_a_linear_critic_is_known():
    class Linear(torch.nn.Module):
        dense = False

        def embed(self, tokens):
            return torch.nn.functional.one_hot(tokens, 7).float()

        def judge(self, vectors):
            return 3.0 * vectors[:, 0, :1]

    tokens = torch.randint(7, (5, 4))
    assert slope(Linear(), tokens, tokens, torch.Generator()).item() == pytest.approx(4.0)


def test_the_slopes_gradient_reaches_the_critic():
    critic = TextCNN(7, embedding=4, filters={2: 3})
    tokens = torch.randint(7, (5, 4))
    slope(critic, tokens, tokens.flip(0), torch.Generator()).backward()
    assert critic.convolutions[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"rule": "tv"}, "hinge"),
        ({"smoothing": 1.0}, "0.1"),
        ({"penalty": -1.0}, "10"),
        ({"rule": "hinge", "smoothing": 0.1}, "no target"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        Adversity(**wrong)


def test_pairs_need_as_many_of_both():
    with pytest.raises(ValueError, match="relativistic_average"):
        Adversity("relativistic").critic(torch.zeros(3), torch.zeros(4))
