"""The policy gradient is the gradient of the expected reward, less noisy under a baseline."""

import pytest
import torch
from adversarial.three import Bag, Bigram, Players, texts

from gentext.adversarial import Reinforce
from gentext.adversarial.baselines import LearnedBaseline, MovingBaseline
from gentext.adversarial.critics import GRUCritic
from gentext.adversarial.losses import PointwiseLoss
from gentext.adversarial.reinforce import at_end, to_go
from gentext.adversarial.rewards import ConstantReward, IdentityReward, OddsReward, ProbabilityReward
from gentext.decode import Ancestral
from gentext.language_model import Critic
from gentext.types import Batch, pad

LENGTH = 3
REAL = Batch(torch.full((4_000, LENGTH), 4), torch.ones(4_000, LENGTH, dtype=torch.bool))


def play(estimator, rng, *, generator=None, critic=None, real=REAL):
    players = Players(generator or Bigram(length=LENGTH), critic or Bag(LENGTH))
    move = estimator(players, real, rng=rng, step=1, total=1)
    move.loss.backward()
    return players.generator.table.grad, move


def exact(reward):
    """Minus the gradient of the expected reward, by enumeration."""
    generator, every = Bigram(length=LENGTH), texts(LENGTH)
    with torch.no_grad():
        value = reward(Bag(LENGTH)(every.tokens)[:, 0])
    (-(generator.log_prob(every).exp() * value).sum()).backward()
    return generator.table.grad


@pytest.mark.parametrize("baseline", [None, MovingBaseline()])
@pytest.mark.parametrize("rollouts", [0, 4])
def test_the_gradient_is_that_of_the_expected_reward(rollouts, baseline, rng):
    estimator = Reinforce(PointwiseLoss(), ProbabilityReward(), rollouts=rollouts, baseline=baseline)
    runs = torch.stack([play(estimator, rng)[0] for _ in range(6)])
    error = (runs.mean(0) - exact(ProbabilityReward())).norm() / exact(ProbabilityReward()).norm()
    assert error < 0.12


def test_rollouts_and_a_baseline_make_it_vary_less(rng):
    def spread(**options):
        estimator = Reinforce(PointwiseLoss(), ProbabilityReward(), **options)
        few = Batch(REAL.tokens[:64], REAL.mask[:64])
        return torch.stack([play(estimator, rng, real=few)[0] for _ in range(20)]).var(0).sum()

    plain = spread(rollouts=0)
    assert spread(rollouts=0, baseline=MovingBaseline()) < 0.7 * plain
    assert spread(rollouts=8, baseline=MovingBaseline()) < 0.5 * plain


def test_under_a_baseline_a_constant_reward_moves_nothing(rng):
    still, _ = play(Reinforce(PointwiseLoss(), ConstantReward(2.0), rollouts=0, baseline=MovingBaseline()), rng)
    assert still.abs().max() < 1e-6
    moved, _ = play(Reinforce(PointwiseLoss(), ConstantReward(2.0), rollouts=0), rng)
    assert moved.abs().max() > 1e-3  # noise alone: its mean is zero


@pytest.mark.parametrize(("value", "rollouts"), [(1.0, 10), (0.3, 0), (0.7, 16)])
def test_nor_does_it_under_adam_which_makes_steps_of_rounding_errors(value, rollouts, rng):
    generator = Bigram(length=LENGTH)
    before = generator.table.detach().clone()
    players = Players(generator, Bag(LENGTH))
    estimator = Reinforce(PointwiseLoss(), ConstantReward(value), rollouts=rollouts, baseline=MovingBaseline())
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.1)
    for step in range(30):
        optimizer.zero_grad()
        estimator(players, Batch(REAL.tokens[:16], REAL.mask[:16]), rng=rng, step=step, total=30).loss.backward()
        optimizer.step()
    assert torch.equal(generator.table, before)


def test_the_entropy_bonus_is_the_gradient_of_entropy(rng):
    estimator = Reinforce(PointwiseLoss(), ConstantReward(0.0), rollouts=0, entropy=1.0, baseline=MovingBaseline())
    runs = torch.stack([play(estimator, rng)[0] for _ in range(6)]).mean(0)
    generator, every = Bigram(length=LENGTH), texts(LENGTH)
    log_prob = generator.log_prob(every)
    (log_prob.exp() * log_prob).sum().backward()
    assert (runs - generator.table.grad).norm() / generator.table.grad.norm() < 0.12


class Dense(Critic):
    """One for every token 4, and a fortune for whatever stands after EOS."""

    dense, outputs, vocab_size = True, 1, 6

    def embed(self, tokens):
        return torch.nn.functional.one_hot(tokens, 6).float()

    def forward_embedded(self, vectors):
        return vectors[..., 4] + 1e6 * vectors[..., 0]

    def forward(self, tokens):
        return self.forward_embedded(self.embed(tokens))


def test_reward_after_eos_is_never_counted(rng):
    estimator = Reinforce(PointwiseLoss(), IdentityReward(), rollouts=0)
    fake = pad([[4, 5, 2], [4, 4, 4], [2]], width=LENGTH)
    returns = estimator.returns(Players(Bigram(), Dense()), fake, fake, rng)
    assert returns.tolist() == [[1, 0, 0], [3, 2, 1], [0, 0, 0]]


def test_a_generator_rewarded_for_one_token_learns_it(rng):
    generator = Bigram(length=LENGTH)
    players, estimator = (
        Players(generator, Dense()),
        Reinforce(PointwiseLoss(), IdentityReward(), rollouts=0, baseline=MovingBaseline()),
    )
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.4)
    real = Batch(REAL.tokens[:64], REAL.mask[:64])
    for _ in range(25):
        optimizer.zero_grad()
        estimator(players, real, rng=rng, step=1, total=1).loss.backward()
        optimizer.step()
    draw = generator.sample(200, LENGTH, decoder=Ancestral(), rng=rng)
    assert (draw.tokens == 4).float().mean() > 0.95


def test_a_learned_baseline_learns_what_the_tokens_before_tell():
    torch.manual_seed(0)
    baseline = LearnedBaseline(6, width=8)
    optimizer = torch.optim.Adam(baseline.parameters(), lr=0.05)
    every = texts(LENGTH)
    returns = torch.zeros(every.tokens.shape)
    returns[:, 1:] = (every.tokens[:, :-1] == 4).float()
    for _ in range(60):
        optimizer.zero_grad()
        loss = baseline.learn(baseline(every, returns), returns, every.mask)
        loss.backward()
        optimizer.step()
    assert loss < 0.01
    with torch.no_grad():
        guess = baseline(pad([[4, 5, 4], [5, 5, 5]]), returns[:2])
    assert guess[0, 0] == pytest.approx(float(guess[1, 0]))  # it has not seen the token that it judges


def test_shares_of_the_batch_have_a_mean_of_one(rng):
    move = play(
        Reinforce(PointwiseLoss(), OddsReward(), rollouts=0, self_normalised=True, baseline=MovingBaseline()), rng
    )[1]
    assert move.figures["advantage_sd"] > 0
    seen = []

    class Seen(MovingBaseline):
        def forward(self, texts, returns):
            seen.append((texts.mask, returns))
            return super().forward(texts, returns)

    play(Reinforce(PointwiseLoss(), OddsReward(), rollouts=0, self_normalised=True, baseline=Seen()), rng)
    ((mask, returns),) = seen
    assert mask.sum(1).unique().numel() > 1  # a long text weighs no more than a short one
    assert float(returns[:, 0].mean()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("discount", [1.0, 0.5])
def test_returns_are_discounted_sums(discount):
    rewards = torch.tensor([[1.0, 2.0, 4.0], [1.0, 0.0, 0.0]])
    wanted = [[sum(discount**k * r for k, r in enumerate(row[i:])) for i in range(3)] for row in rewards.tolist()]
    assert torch.allclose(to_go(rewards, discount), torch.tensor(wanted))
    mask = torch.tensor([[True, True, False]])
    assert torch.allclose(at_end(torch.tensor([8.0]), mask, discount), torch.tensor([[8 * discount, 8.0, 0.0]]))


def test_a_dense_critic_wants_no_rollouts():
    critic = GRUCritic(6, width=4, embedding=4, dense=True)
    with pytest.raises(ValueError, match=r"loss\.rollouts=0"):
        Reinforce(PointwiseLoss(), ProbabilityReward(), rollouts=2).check(Players(Bigram(length=LENGTH), critic))


@pytest.mark.parametrize("rule", ["hinge", "least_squares", "wasserstein"])
def test_a_probability_is_made_of_logits_alone(rule):
    players = Players(Bigram(length=LENGTH), Bag(LENGTH))
    Reinforce(PointwiseLoss(rule), IdentityReward()).check(players)
    with pytest.raises(ValueError, match=r"adversarial\.IdentityReward"):
        Reinforce(PointwiseLoss(rule), ProbabilityReward()).check(players)


@pytest.mark.parametrize("rule", ["relativistic", "relativistic_average", "wasserstein"])
def test_a_game_of_differences_rewards_differences(rule):
    real, fake = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.5], [2.5]])
    near, far = PointwiseLoss(rule).score(fake, real), PointwiseLoss(rule).score(fake + 15, real + 15)
    assert torch.allclose(near, torch.tensor([[-1.5], [0.5]]))
    assert torch.allclose(far, near)


@pytest.mark.parametrize(("wrong", "advice"), [({"rollouts": -1}, "rollouts"), ({"discount": 1.5}, "discount")])
def test_settings_that_make_no_sense_are_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        Reinforce(PointwiseLoss(), ProbabilityReward(), **wrong)
