"""The neural HMM and state dropout: proper distributions, a state carried over windows, and learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gentext.models.hmm.base import BaseHMM
from gentext.models.hmm.model import HMM
from gentext.models.hmm.neural import NeuralHMM
from gentext.models.hmm.parameters import HMMParameters
from gentext.types import BOS, EOS, PAD, Batch, pad

V = 12
SHAPES = {
    "plain": {"states": 4},
    "blocked": {"states": 6, "blocks": 3},
    "low rank": {"states": 4, "rank": 3},
    "both": {"states": 8, "blocks": 2, "rank": 3},
}


def made(**options) -> NeuralHMM:
    torch.manual_seed(0)
    return NeuralHMM(V, **{"width": 8, "states": 4, "dropout": 0.0, "state_dropout": 0.0, **options})


def texts(n: int, seed: int = 0) -> Batch:
    """Words of two kinds that take turns."""
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 7, (n,), generator=rng).tolist()
    return pad(
        [[*(4 + int(torch.randint(4, (), generator=rng)) + 4 * (i % 2) for i in range(k)), EOS] for k in lengths]
    )


def sums_to_one(tables: HMMParameters) -> None:
    p = tables.map(lambda table: table.detach().exp())
    assert float(p.initial.sum()) == pytest.approx(1.0, abs=1e-5)
    for factor in p.factors:
        assert torch.allclose(factor.sum(1), torch.ones(len(factor)), atol=1e-5)
    emitted = p.emission.new_zeros(p.blocks, p.per_block).index_add(0, p.block, p.emission)
    assert torch.allclose(emitted, torch.ones_like(emitted), atol=1e-5)
    assert (p.emission[[PAD, BOS]] == 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_its_tables_are_distributions_and_it_learns(shape):
    family, batch = made(**SHAPES[shape]), texts(60)
    family.prepare([batch], rng=torch.Generator())
    sums_to_one(family.log_tables())
    optimizer = torch.optim.Adam(family.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = -family(batch).log_prob.sum() / batch.mask.sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.2
    assert all(torch.isfinite(parameter).all() for parameter in family.parameters())


def test_it_begins_with_the_words_frequencies_and_the_blocks_of_clusters():
    def halves(bigrams, k, *, rng):
        return np.arange(V) * k // V

    family = made(states=4, blocks=2, clusters=halves)
    family.prepare([pad([[4, 4, 4, 5, EOS], [4, 5, 9, EOS]])], rng=torch.Generator())
    assert family.block.tolist() == [0] * 6 + [1] * 6
    first, second = family.frequency[4:6].tolist()
    assert first - second == pytest.approx(np.log(2))
    with pytest.raises(ValueError, match="states=4 is more than the 3 tokens"):
        made(states=4).prepare([pad([[4, 5, EOS]])], rng=torch.Generator())


@pytest.mark.parametrize("shape", SHAPES)
def test_state_dropout_leaves_a_smaller_hmm(shape):
    for kind in (HMM, NeuralHMM):
        torch.manual_seed(0)
        family = kind(V, **SHAPES[shape], state_dropout=0.5)
        kept = family._kept_states()
        assert kept.shape == (family.blocks, family.states // family.blocks // 2 or 1)
        thinned = family.log_tables().keep(kept)
        sums_to_one(thinned)
        assert len(thinned.initial) == kept.numel()
        torch.manual_seed(1)
        family.train()
        family(texts(5)).log_prob.sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in family.parameters())
        family.eval()
        assert torch.equal(family(texts(5)).log_prob, family(texts(5)).log_prob)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_dropped_state_is_as_if_it_were_not_there(shape):
    torch.manual_seed(0)
    family = HMM(V, **SHAPES[shape])
    kept = family._kept_states()[:, :-1]
    whole, thinned = family.log_tables(), family.log_tables().keep(kept)
    states = (kept + torch.arange(family.blocks)[:, None] * whole.per_block).view(-1)
    gone = torch.ones(family.states, dtype=torch.bool)
    gone[states] = False
    *leave, enter = whole.factors
    enter = enter.masked_fill(gone, -torch.inf).log_softmax(1)
    cut = HMMParameters(
        whole.initial.masked_fill(gone, -torch.inf).log_softmax(0), (*leave, enter), whole.emission, whole.block
    )
    ours, theirs = Fixed(thinned), Fixed(cut)
    with torch.no_grad():
        assert torch.allclose(ours(texts(9)).log_prob, theirs(texts(9)).log_prob, atol=1e-5)


class Fixed(BaseHMM):
    """An HMM of given tables."""

    def __init__(self, tables: HMMParameters) -> None:
        super().__init__(V, len(tables.initial), tables.blocks, None)
        self.block.copy_(tables.block)
        self.fixed = tables

    def log_tables(self) -> HMMParameters:
        return self.fixed


def test_a_stream_is_carried_from_one_draw_of_states_to_the_next():
    torch.manual_seed(0)
    family = NeuralHMM(V, states=8, blocks=2, width=8, state_dropout=0.5).train()
    tokens = torch.randint(4, V, (3, 10))
    mask = torch.ones_like(tokens, dtype=torch.bool)
    family(Batch(tokens, mask))
    belief, _ = family.carried["training"]
    assert belief.shape == (3, 4)
    assert torch.allclose(belief.sum(1), torch.ones(3), atol=1e-5)
    assert ((belief > 0).sum(1) <= 2).all()
    assert torch.isfinite(family(Batch(tokens, mask, carry=True)).log_prob).all()


def test_a_share_of_all_states_is_refused():
    with pytest.raises(ValueError, match="state_dropout=1"):
        made(state_dropout=1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_half_precision_is_not_for_sums_over_paths(shape):
    family, batch = made(**SHAPES[shape]), texts(20)
    family.prepare([batch], rng=torch.Generator())
    losses, gradients = [], []
    for enabled in (False, True):
        family.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = -family(batch).log_prob.sum()
        loss.backward()
        losses.append(loss.detach())
        gradients.append(family.vectors.grad.clone())
    assert torch.equal(*losses)
    assert torch.equal(*gradients)
