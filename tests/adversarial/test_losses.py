"""Every game against its formula, written out in probabilities."""

import math

import pytest
import torch

from gentext.adversarial.critics import GRUCritic, TextCNN
from gentext.adversarial.losses import RULES, PointwiseLoss, RankingLoss, gradient_penalty
from gentext.types import Batch, pad

V = 9
REAL, FAKE = torch.tensor([[0.3], [-1.2], [2.0]]), torch.tensor([[-0.5], [1.4], [0.1]])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def formulas(real, fake):
    """What critic and generator make small, from lists of scores."""
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
    assert PointwiseLoss(rule).critic(REAL, FAKE).item() == pytest.approx(critic, abs=1e-5)
    assert PointwiseLoss(rule).generator(REAL, FAKE).item() == pytest.approx(generator, abs=1e-5)


def test_smoothing_lowers_the_target_of_real_text_alone():
    found = PointwiseLoss("non_saturating", smoothing=0.1).critic(REAL, FAKE).item()
    real, fake = REAL[:, 0].tolist(), FAKE[:, 0].tolist()
    wanted = -mean(0.9 * math.log(sigmoid(r)) + 0.1 * math.log(1 - sigmoid(r)) for r in real)
    assert found == pytest.approx(wanted - mean(math.log(1 - sigmoid(f)) for f in fake), abs=1e-5)
    squares = PointwiseLoss("least_squares", smoothing=0.1).critic(REAL, FAKE).item()
    assert squares == pytest.approx(mean((r - 0.9) ** 2 for r in real) / 2 + mean(f**2 for f in fake) / 2, abs=1e-5)


def test_a_rank_is_the_mean_share_of_likeness_over_references():
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(4, 5, generator=rng), torch.randn(3, 5, generator=rng)
    references, others = real[::2], real[1::2]

    def like(a, b):
        return math.exp(2.0 * float(torch.cosine_similarity(a, b, dim=0)))

    def rank(text, among):
        return mean(like(text, u) / (like(text, u) + sum(like(other, u) for other in among)) for u in references)

    game = RankingLoss(sharpness=2.0)
    assert game.score(fake, real).exp().tolist() == pytest.approx([3 * rank(text, others) for text in fake], abs=1e-5)
    assert game.generator(real, fake).item() == pytest.approx(-mean(math.log(rank(x, others)) for x in fake), abs=1e-5)
    loss = -mean(math.log(rank(text, fake)) for text in others) - mean(
        math.log(1 - rank(text, others)) for text in fake
    )
    assert game.critic(real, fake).item() == pytest.approx(loss, abs=1e-5)


def ids(rows, *lengths):
    return pad([torch.randint(4, V, (n,)) for n in lengths for _ in range(rows)], width=6)


CRITICS = {
    "cnn": lambda: TextCNN(V, embedding=4, filters={2: 3}, dropout=0.0),
    "several": lambda: TextCNN(V, embedding=4, filters={2: 3}, representations=2, dropout=0.0),
    "dense": lambda: GRUCritic(V, embedding=4, width=5, dense=True, dropout=0.0),
}


@pytest.mark.parametrize("name", CRITICS)
def test_the_slope_is_that_of_the_mean_score_by_one_hots(name):
    torch.manual_seed(0)
    critic, real, fake = CRITICS[name](), ids(3, 4, 6), ids(3, 6, 3)
    found = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(1))
    share = torch.rand(6, generator=torch.Generator().manual_seed(1))[:, None, None]
    one, other = (torch.nn.functional.one_hot(batch.tokens, V).float() for batch in (real, fake))
    at = (one + share * (other - one)).requires_grad_()
    mask = (real.mask | fake.mask).float() if critic.dense else torch.ones(critic(at).shape)
    (gradient,) = torch.autograd.grad(((critic(at) * mask).sum(1) / mask.sum(1)).sum(), at, create_graph=True)
    wanted = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    for mine, other in zip(
        *(torch.autograd.grad(x, list(critic.parameters())[:2]) for x in (found, wanted)), strict=True
    ):
        assert torch.allclose(mine, other, atol=1e-5)


def test_what_stands_after_the_end_has_no_slope():
    torch.manual_seed(0)
    critic, short = CRITICS["dense"](), ids(4, 3)
    wide = Batch(*(torch.nn.functional.pad(x, (0, 30)) for x in (short.tokens, short.mask)))
    found = [gradient_penalty(critic, x, x, torch.Generator().manual_seed(1)).item() for x in (short, wide)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_penalty_holds_a_wasserstein_critic_though_it_may_grow_its_embeddings():
    torch.manual_seed(0)
    game, critic = PointwiseLoss("wasserstein", penalty=10.0), TextCNN(V, embedding=4, filters={2: 8}, dropout=0.0)
    rng, optimizer = torch.Generator().manual_seed(0), torch.optim.Adam(critic.parameters(), lr=0.02)
    real, fake = ids(16, 5), ids(16, 5)
    real.tokens[:, 2] = 4
    far = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = game.critic(critic(real.tokens), critic(fake.tokens))
        (loss + game.penalty * gradient_penalty(critic, real, fake, rng)).backward()
        optimizer.step()
        far.append(-loss.item())
    apart = (2 * 5) ** 0.5  # of two texts of five words at most: what a critic of slope one can set between them
    assert 0.3 < max(far[-50:]) < apart


@pytest.mark.parametrize(
    ("played", "critic", "advice"),
    [
        (RankingLoss(), CRITICS["cnn"], "critic=ranker"),
        (RankingLoss(), CRITICS["dense"], "critic=ranker"),
        (PointwiseLoss(), lambda: TextCNN(V, embedding=4, filters={2: 3}, outputs=5), "critic=text_cnn"),
        (PointwiseLoss("relativistic"), CRITICS["dense"], "relativistic_average"),
    ],
)
def test_a_critic_that_the_game_cannot_be_played_with_is_refused(played, critic, advice):
    with pytest.raises(ValueError, match=advice):
        played.check(critic())


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
        PointwiseLoss(**wrong)


def test_pairs_need_as_many_of_both():
    with pytest.raises(ValueError, match="relativistic_average"):
        PointwiseLoss("relativistic").critic(torch.zeros(3), torch.zeros(4))
