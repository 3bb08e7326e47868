"""Pruned and quantised n-grams, against brute force and against training that leaves the n-grams out."""

from __future__ import annotations

import pytest
import torch

from gentext.evaluation.scoring import prove
from gentext.models import NGram, QuantisedNGram
from gentext.models.ngram.pruning import pruned_by_count, pruned_by_entropy, relative_entropies
from gentext.models.ngram.quantised import quantised, restored
from gentext.types import BOS, EOS, pad

V = 9


def rows(n=120, seed=0):
    rng = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(n):
        length = int(torch.randint(1, 6, (1,), generator=rng))
        drawn = torch.randint(0, 25, (length,), generator=rng).float().sqrt().long()
        made.append([*(4 + drawn).tolist(), EOS])
    return made


def fitted(order=3, **options):
    model = NGram(V, order=order, **options)
    model.accumulate(pad(rows()))
    model.maximize()
    return model.eval()


def of(model, backoff):
    other = NGram(V, order=model.order).eval()
    other.model = backoff
    return other


def test_relative_entropy_is_that_of_the_model_less_one_n_gram():
    model = fitted()
    losses = relative_entropies(model.model)[1]  # of the trigrams
    grams, _ = model.ngrams(3)
    unigrams = model.model.orders[0].log_p.double()
    for i in range(0, len(grams), 5):
        a, b, w = grams[i].tolist()
        number = model.model.orders[1].find(torch.tensor([a]), torch.tensor([b]))
        start = unigrams[EOS if a == BOS else a] + _bigram(model, a)[b]  # a text begins as often as one ends
        p = model.model.logits(torch.stack([torch.tensor([b]), number.long()], 1))[0].double().softmax(-1)
        lower = _bigram(model, b).exp()
        seen = {int(c) for x, y, c in grams.tolist() if (x, y) == (a, b)}
        explicit = torch.zeros(V, dtype=torch.bool)
        explicit[list(seen - {w})] = True
        rest = 1 - p[explicit].sum()
        changed = torch.where(explicit, p, rest / (1 - lower[explicit].sum()) * lower)
        kl = float(start.exp() * torch.where(p > 0, p * (p / changed).log(), 0.0).sum())
        assert float(losses[i]) == pytest.approx(kl, abs=1e-7, rel=1e-3)


def _bigram(model, token):
    """log p after one token alone, whatever stood before it."""
    absent = len(model.model.orders[1])
    return model.model.logits(torch.tensor([[token, absent]]))[0].double().log_softmax(-1)


def test_pruning_by_count_is_training_without_those_n_grams():
    model, batch = fitted(), pad(rows(40, seed=1))
    trained = fitted(prune=[0, 0, 1])
    pruned = of(model, pruned_by_count(model.model, 2))
    assert pruned.size() == trained.size() < model.size()
    assert pruned.log_prob(batch).tolist() == pytest.approx(trained.log_prob(batch).tolist(), abs=1e-5)


def test_a_pruned_model_is_a_distribution_and_keeps_what_it_needs_most():
    model, batch = fitted(4), pad(rows(40, seed=1))
    sizes, costs = [], []
    for threshold in (1e-9, 1e-4, 1e-2):
        pruned = of(model, pruned_by_entropy(model.model, threshold))
        prove(pruned, batch)
        sizes.append(pruned.size())
        costs.append(float(-pruned.log_prob(pad(rows())).sum()))  # of the training text, which it can but fit less
    assert sizes[0] > sizes[1] > sizes[2] >= V
    assert costs[0] < costs[2]


def test_a_few_figures_are_kept_as_they_are_and_many_are_binned_alike():
    few = torch.tensor([-1.0, -2.0, 0.0, -2.0, -5.0])
    for bits in (4, 8):
        codes, bins = quantised(few, bits, apart=0.0)
        assert torch.equal(restored(codes, bins, 5), few)
        assert len(codes) == (3 if bits == 4 else 5)
    many = -torch.rand(1000, generator=torch.Generator().manual_seed(0))
    codes, bins = quantised(many, 4)
    back = restored(codes, bins, 1000)
    order = many.argsort()
    for i, part in enumerate(order.tensor_split(16)):  # bins of equal size, each read as its mean
        own = many[order[(1000 * i + 15) // 16 : (1000 * (i + 1) + 15) // 16]]
        assert back[part[len(part) // 2]] == pytest.approx(float(own.mean()), abs=1e-5)


def test_quantised_it_is_nearly_the_model_and_a_distribution():
    model, batch = fitted(), pad(rows(40, seed=1))
    plain = model.log_prob(batch)
    small = QuantisedNGram.of(model.model, 8).eval()
    prove(small, batch)
    assert small.log_prob(batch).tolist() == pytest.approx(plain.tolist(), abs=1e-3)
    tiny = QuantisedNGram.of(model.model, 4).eval()
    assert 0 < float((tiny.log_prob(batch) - plain).abs().mean()) < 0.5
    again = QuantisedNGram(V, order=3, bits=4)
    again.load_state_dict(tiny.state_dict())
    assert torch.equal(again.eval().log_prob(batch), tiny.log_prob(batch))
    with pytest.raises(ValueError, match="bits is 5; it must be 4 or 8"):
        QuantisedNGram(V, bits=5)
