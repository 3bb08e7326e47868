"""Policy gradient: tokens are actions, and a critic's scores of the texts that they lead to are their rewards."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gentext.adversarial.baselines import LearnedBaseline, MovingBaseline
from gentext.adversarial.critics import critic_scores
from gentext.adversarial.estimator import Estimator, EstimatorOutput, drawn
from gentext.adversarial.losses import AdversarialLoss
from gentext.adversarial.rewards import Reward
from gentext.adversarial.rollouts import rollout
from gentext.checks import at_least, between
from gentext.language_model import SupportsAdversarial
from gentext.types import Batch


class Reinforce(Estimator):
    """The policy gradient of -(return - baseline) log p: summed over the tokens up to EOS, the mean over texts.

    rollouts: the return of a token is the mean reward of so many texts that go on after it (Yu et al. 2017). With 0 it
      is the reward of the text that did; of a dense critic the sum of the rewards from that token on.
    discount: a reward that comes k tokens later counts discount^k.
    entropy: the weight of the generator's entropy, nats per token, as a reward beside the critic's.
    self_normalised: returns are divided by their mean over the batch's texts (Che et al. 2017, equation 9: MaliGAN's
      weights).
    Source: Williams 1992; Yu et al. 2017 (SeqGAN).

    Example:
        >>> from gentext.adversarial import PointwiseLoss, ProbabilityReward, TextCNN, TextGAN
        >>> from gentext.models import LSTM
        >>> from gentext.types import pad
        >>> players = TextGAN(LSTM(9, layers=1, width=8), TextCNN(9, embedding=4, filters={2: 3}))
        >>> estimator = Reinforce(PointwiseLoss(), ProbabilityReward(), rollouts=2)
        >>> out = estimator(players, pad([[4, 5, 2], [6, 2]]), rng=torch.Generator().manual_seed(0), step=1, total=10)
        >>> sorted(out.figures)
        ['advantage_sd', 'entropy', 'generator_loss', 'reward', 'reward_sd']
    """

    entropy: float

    def __init__(
        self,
        game: AdversarialLoss,
        reward: Reward,
        *,
        baseline: MovingBaseline | LearnedBaseline | None = None,
        rollouts: int = 16,
        discount: float = 1.0,
        entropy: float = 0.0,
        self_normalised: bool = False,
    ) -> None:
        super().__init__()
        at_least(0, rollouts=rollouts, entropy=entropy)
        between(0, 1, discount=discount)
        self.game, self.reward, self.baseline = game, reward, baseline
        self.rollouts, self.discount, self.entropy = rollouts, discount, entropy
        self.self_normalised = self_normalised

    def check(self, players: SupportsAdversarial) -> None:
        self.game.check(players.critic)
        if players.critic.dense and self.rollouts:
            raise ValueError("a dense critic rewards every token itself; give loss.rollouts=0")
        if players.generator.likelihood != "exact":
            raise ValueError(
                f"a policy gradient needs the exact likelihood of a text, and {type(players.generator).__name__} gives "
                "a bound; try loss=gumbel, or model@family.generator=lstm"
            )
        if self.reward.of_a_logit and not self.game.logit:
            raise ValueError(
                f"{type(self.reward).__name__} is a reward of a probability, which this game's score is none of; give "
                "loss.reward._target_=gentext.adversarial.IdentityReward, or a game of logits such as "
                "rule=non_saturating"
            )

    def forward(
        self, players: SupportsAdversarial, real: Batch, *, rng: torch.Generator, step: int, total: int
    ) -> EstimatorOutput:
        generator = players.generator
        n, t = real.tokens.shape
        fake = drawn(generator, n, t, rng)
        log_prob = generator(fake).log_prob
        with torch.no_grad():
            rewards = self.returns(players, real, fake, rng)
            returns = rewards
            if self.self_normalised:
                of_texts = torch.where(fake.mask, rewards, 0.0).sum(1) / fake.lengths
                returns = rewards / of_texts.mean()
            returns = returns - self.entropy * to_go(log_prob, self.discount)
        guessed = torch.zeros_like(returns) if self.baseline is None else self.baseline(fake, returns)
        advantage = torch.where(fake.mask, returns - guessed.detach(), 0.0)
        # what rounding leaves of nothing would move the generator as far as anything, under Adam
        advantage = torch.where(advantage.abs() > 1e-5 * returns.abs(), advantage, 0.0)
        loss = -(advantage * log_prob).sum() / len(fake)
        learns = {} if self.baseline is None else {"baseline_loss": self.baseline.learn(guessed, returns, fake.mask)}
        spread = rewards[fake.mask]
        return EstimatorOutput(
            sum(learns.values(), loss),
            {
                "generator_loss": loss.detach(),
                **{name: value.detach() for name, value in learns.items() if value.requires_grad},
                "reward": spread.mean(),
                "reward_sd": spread.std(correction=0),
                "advantage_sd": advantage[fake.mask].std(correction=0),
                "entropy": -log_prob.detach()[fake.mask].mean(),
            },
        )

    def returns(
        self, players: SupportsAdversarial, real: Batch, fake: Batch, rng: torch.Generator
    ) -> Float[Tensor, "n t"]:
        """The return of each token; 0 after EOS."""
        critic = players.critic
        references = critic_scores(critic, real.tokens, real.mask)

        def rewarded(texts: Batch) -> Tensor:
            return self.reward(self.game.score(critic(texts.tokens), references))

        if critic.dense:
            return to_go(torch.where(fake.mask, rewarded(fake), 0.0), self.discount)
        if not self.rollouts:
            return at_end(rewarded_once(rewarded(fake)), fake.mask, self.discount)
        return rollout(
            players.generator,
            fake,
            lambda texts: rewarded_once(rewarded(texts)),
            rollouts=self.rollouts,
            discount=self.discount,
            rng=rng,
        )


def rewarded_once(rewards: Float[Tensor, "n *k"]) -> Float[Tensor, " n"]:
    """A text's reward, the mean of several."""
    return rewards if rewards.dim() == 1 else rewards.mean(1)


def to_go(rewards: Float[Tensor, "n t"], discount: float) -> Float[Tensor, "n t"]:
    """The sum of the rewards from each token on, those k tokens later times discount^k."""
    if discount == 1:
        return rewards.flip(1).cumsum(1).flip(1)
    columns, sum_ = [], torch.zeros_like(rewards[:, 0])
    for column in rewards.T.flip(0):
        sum_ = column + discount * sum_
        columns.append(sum_)
    return torch.stack(columns[::-1], 1)


def at_end(reward: Float[Tensor, " n"], mask: Bool[Tensor, "n t"], discount: float) -> Float[Tensor, "n t"]:
    """One reward a text, which comes with its last token, as the return of every token."""
    left = mask.flip(1).cumsum(1).flip(1) - 1
    return torch.where(mask, reward[:, None] * discount ** left.clamp_min(0), 0.0)
