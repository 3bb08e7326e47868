"""Cooperative training: the expected divergence from the mediator, whose gradient passes no drawn token."""

import pytest
import torch
from adversarial.three import Bag, Bigram, Players, texts
from train import tiny

from gentext.adversarial import Cooperative, Gumbel, Mediator, PointwiseLoss, TextGAN
from gentext.evaluation.text_scorer import critic_of
from gentext.types import Batch

LENGTH = 3


def game(n):
    return Batch(torch.full((n, LENGTH), 4), torch.ones(n, LENGTH, dtype=torch.bool))


def expected(generator, model):
    """By enumeration: of each beginning, its probability as a constant times the divergence of the next token."""
    every = texts(LENGTH)
    weight = generator.log_prob(every).exp().detach()
    at, among, total = generator.start(len(every.tokens)), model.start(len(every.tokens)), 0.0
    for i in range(LENGTH):
        p, q = at.logits.softmax(1), among.logits.softmax(1).detach()
        terms = torch.where(q > 0, p * (p.clamp_min(1e-30).log() - q.clamp_min(1e-30).log()), 0.0)
        total = total + (weight * every.mask[:, i] * terms.sum(1)).sum()
        at, among = generator.step(at.state, every.tokens[:, i]), model.step(among.state, every.tokens[:, i])
    return total


def test_its_loss_and_gradient_are_those_of_all_beginnings():
    generator, model = Bigram(length=LENGTH), Bigram(length=LENGTH, seed=3)
    exact = expected(generator, model)
    (by_hand,) = torch.autograd.grad(exact, generator.table)
    found = Cooperative()(
        Players(generator, Mediator(model)), game(60_000), rng=torch.Generator().manual_seed(0), step=1, total=1
    )
    (gradient,) = torch.autograd.grad(found.loss, generator.table)
    assert found.loss.item() == pytest.approx(exact.item(), rel=0.02)
    assert torch.allclose(gradient, by_hand, atol=0.004)
    assert by_hand.abs().max() > 0.08
    assert model.table.grad is None


def test_a_generator_that_is_its_mediator_rests():
    generator = Bigram(length=LENGTH)
    found = Cooperative()(
        Players(generator, Mediator(Bigram(length=LENGTH))),
        game(50),
        rng=torch.Generator().manual_seed(0),
        step=1,
        total=1,
    )
    (gradient,) = torch.autograd.grad(found.loss, generator.table)
    assert abs(found.loss.item()) < 1e-5
    assert gradient.abs().max() < 1e-6


def test_the_mediator_learns_the_mean_of_both_texts_by_likelihood():
    model, loss = Bigram(length=LENGTH), Cooperative().game
    mediator = Mediator(model)
    real, fake = texts(LENGTH).rows(torch.tensor([0, 1])), texts(LENGTH).rows(torch.tensor([3, 4]))
    found = loss.critic(mediator(real.tokens), mediator(fake.tokens))
    means = [model(batch).log_prob.sum(1).mean() for batch in (real, fake)]
    assert found.item() == pytest.approx(-sum(means).item() / 2)


def test_of_long_and_of_short_texts_the_mediator_becomes_the_even_mixture():
    model = Bigram(length=LENGTH)
    mediator, loss = Mediator(model), Cooperative().game
    short, long = torch.tensor([[4, 2, 0]]), torch.tensor([[5, 5, 5]])
    optimizer = torch.optim.Adam([model.table], 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        loss.critic(mediator(long), mediator(short)).backward()
        optimizer.step()
    first = model.start(1).logits.softmax(1)[0]
    assert first[[4, 5]].tolist() == pytest.approx([0.5, 0.5], abs=0.01)


def test_padding_adds_nothing_to_a_texts_score():
    mediator = Mediator(Bigram(length=LENGTH))
    wide = mediator(torch.tensor([[4, 2, 0, 0], [5, 4, 2, 0]]))
    assert wide[0].item() == pytest.approx(mediator(torch.tensor([[4, 2]])).item())
    assert wide.shape == (2,)


def test_it_refuses_a_critic_of_texts_and_a_bound_by_name():
    with pytest.raises(ValueError, match=r"model@family\.critic=mediator"):
        Cooperative().check(Players(Bigram(), Bag()))
    bound = Bigram()
    bound.likelihood = "bound"
    with pytest.raises(ValueError, match=r"model@family\.generator=lstm"):
        Cooperative().check(Players(bound, Mediator(Bigram())))
    with pytest.raises(ValueError, match=r"model@family\.critic\.model=lstm"):
        Mediator(bound)


def test_other_games_refuse_a_mediator():
    with pytest.raises(ValueError, match="loss=cooperative"):
        Gumbel(PointwiseLoss()).check(Players(Bigram(), Mediator(Bigram())))


def test_a_mediator_is_no_critic_that_metrics_may_ask(tmp_path):
    corpus = tiny.corpus(tmp_path)
    assert critic_of(TextGAN(Bigram(), Mediator(Bigram())), corpus) is None
    assert critic_of(TextGAN(Bigram(), Bag()), corpus) is not None
