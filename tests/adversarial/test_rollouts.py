"""The table of returns: against one prefix at a time, and against enumeration."""

import pytest
import torch
from adversarial.three import Bag, Bigram, texts

from gentext.adversarial.rollouts import completions, rollout
from gentext.decode import Ancestral
from gentext.models.transformer.model import Transformer
from gentext.types import EOS, PAD, Batch, pad

LENGTH = 4


def judge(batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return Bag()(batch.tokens)[:, 0]


def exact(generator, batch):
    """The expected reward given each prefix, by enumeration."""
    every = texts(LENGTH)
    with torch.no_grad():
        weight, reward = generator.log_prob(every).exp(), judge(every)
    table = torch.zeros(batch.tokens.shape)
    for i, length in enumerate(batch.lengths.tolist()):
        for t in range(length):
            same = (every.tokens[:, : t + 1] == batch.tokens[i, : t + 1]).all(1)
            table[i, t] = (weight * reward)[same].sum() / weight[same].sum()
    return table


def one_at_a_time(generator, batch, rollouts, rng):
    """The table as a loop over prefixes fills it, each drawn by the ordinary decoder."""
    table = torch.zeros(batch.tokens.shape)
    for i, length in enumerate(batch.lengths.tolist()):
        for t in range(length):
            prefix = batch.tokens[i, : t + 1]
            if t + 1 == length:
                table[i, t] = judge(Batch(batch.tokens[i : i + 1], batch.mask[i : i + 1]))[0]
                continue
            prompt = prefix.expand(rollouts, -1)
            rest = generator.sample(rollouts, LENGTH - t - 1, decoder=Ancestral(), rng=rng, prompt=prompt)
            whole = pad([[*prefix.tolist(), *row[row != PAD].tolist()] for row in rest.tokens], width=LENGTH)
            table[i, t] = judge(whole).mean()
    return table


@pytest.fixture
def batch():
    return pad([[4, 5, EOS], [EOS], [5, 5, 4, 4], [4, EOS], [5, 4, 4, EOS]], width=LENGTH)


def test_it_is_the_expected_reward_given_each_prefix(batch, rng):
    table = rollout(Bigram(), batch, judge, rollouts=8_000, rng=rng)
    assert torch.allclose(table, exact(Bigram(), batch), atol=0.08)


def test_it_is_what_a_loop_over_prefixes_finds(batch, rng):
    generator = Bigram(seed=3)
    ours = rollout(generator, batch, judge, rollouts=2_000, rng=rng)
    theirs = one_at_a_time(generator, batch, 2_000, rng)
    assert torch.allclose(ours, theirs, atol=0.15)


def test_a_generator_without_choice_gives_the_loops_table_exactly(batch, rng):
    generator = Bigram(sharp=200.0)
    ours = rollout(generator, batch, judge, rollouts=3, rng=rng)
    assert torch.allclose(ours, one_at_a_time(generator, batch, 3, rng), atol=1e-5)


def test_the_last_token_has_the_texts_own_reward_and_what_follows_eos_has_none(batch, rng):
    table = rollout(Bigram(), batch, judge, rollouts=4, rng=rng)
    last = table.gather(1, batch.lengths[:, None] - 1)[:, 0]
    assert torch.allclose(last, judge(batch))
    assert (table[~batch.mask] == 0).all()


def test_every_unfinished_prefix_is_gone_on_with_so_many_times(batch, rng):
    parts = list(completions(Bigram(), batch, 5, rng))
    seen = torch.zeros(batch.tokens.shape, dtype=torch.long)
    for texts_, row, at in parts:
        seen.view(-1).index_add_(0, row * LENGTH + at, torch.ones_like(row))
        same = texts_.tokens == batch.tokens[row]
        shared = torch.arange(LENGTH) <= at[:, None]
        assert (same | ~shared).all()
        assert ((texts_.tokens == EOS).sum(1) <= 1).all()
    unfinished = torch.arange(LENGTH) + 1 < batch.lengths[:, None]
    assert (seen == 5 * unfinished).all()


def test_a_transformers_cache_is_shared_too(rng):
    torch.manual_seed(0)
    generator = Transformer(6, layers=1, heads=2, width=16, context=LENGTH + 1).eval()
    for parameter in generator.parameters():
        parameter.data += 0.5 * torch.randn(parameter.shape)
    batch = pad([[4, 5, 4, EOS], [5, EOS]], width=LENGTH)
    parts = list(completions(generator, batch, 3_000, rng))
    first = torch.cat([texts_.tokens[(row == 0) & (at == 1)][:, 2] for texts_, row, at in parts])
    with torch.no_grad():
        expected = generator.prime(torch.tensor([[4, 5]])).logits.softmax(1)[0]
    assert torch.allclose(torch.bincount(first, minlength=6) / len(first), expected, atol=0.04)


def test_a_discounted_reward_counts_less_the_later_it_comes(rng):
    generator = Bigram(sharp=200.0)
    batch = generator.sample(4, LENGTH, decoder=Ancestral(), rng=rng)
    batch = pad([row[row != PAD].tolist() for row in batch.tokens], width=LENGTH)
    plain = rollout(generator, batch, judge, rollouts=2, rng=rng)
    halved = rollout(generator, batch, judge, rollouts=2, discount=0.5, rng=rng)
    left = batch.lengths[:, None] - 1 - torch.arange(LENGTH)
    assert torch.allclose(halved[batch.mask], (plain * 0.5 ** left.clamp_min(0))[batch.mask])
