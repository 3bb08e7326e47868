"""The engine against enumeration, against log space, and where float32 gives out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from models.paths import enumerate_paths

from gentext.models.hmm.likelihood import log_conditionals
from gentext.models.hmm.log_space import log_forward
from gentext.models.hmm.parameters import HMMParameters
from gentext.types import Batch, pad

SHAPES = {"plain": (1, 4, None), "blocked": (3, 2, None), "low rank": (1, 5, 2), "both": (3, 2, 3)}
WORDS = 7


@pytest.fixture(params=SHAPES)
def tables(request) -> HMMParameters:
    """A random HMM of one of the four structures, log-probabilities in float64."""
    blocks, k, rank = SHAPES[request.param]
    rng = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    s = blocks * k
    block = torch.arange(WORDS) % blocks
    emission = draw(WORDS, k)
    for c in range(blocks):
        emission[block == c] = emission[block == c].log_softmax(0)
    shapes = [(s, s)] if rank is None else [(s, rank), (rank, s)]
    return HMMParameters(
        draw(s).log_softmax(0), tuple(draw(*shape).log_softmax(1) for shape in shapes), emission, block
    )


@pytest.fixture
def batch() -> Batch:
    return pad([[2], [5, 5, 4], [1, 2, 3, 4], [6, 0]])


def score(tables: HMMParameters, batch: Batch, belief=None):
    return log_conditionals(tables, tables.map(lambda t: t.detach().exp()), batch.tokens, batch.mask, belief)


def leaves(tables: HMMParameters) -> HMMParameters:
    return tables.map(lambda table: table.clone().requires_grad_())


def gradients(tables: HMMParameters) -> list[torch.Tensor]:
    return [table.grad for table in (tables.initial, *tables.factors, tables.emission)]


def rows(batch: Batch) -> list[list[int]]:
    return [tokens[mask].tolist() for tokens, mask in zip(batch.tokens, batch.mask, strict=True)]


def test_the_likelihood_is_the_sum_over_paths(tables, batch):
    log_prob, _ = score(tables, batch)
    for ours, row in zip(log_prob.sum(1).tolist(), rows(batch), strict=True):
        assert ours == pytest.approx(math.log(sum(p for _, p in enumerate_paths(tables, row))), abs=1e-12)
    assert (log_prob[~batch.mask] == 0).all()


def test_float32_agrees_with_float64(tables, batch):
    wide, _ = score(tables, batch)
    narrow, _ = score(tables.map(torch.Tensor.float), batch)
    assert torch.allclose(narrow.double(), wide, atol=2e-6)


def test_the_belief_is_the_filtered_posterior(tables, batch):
    _, belief = score(tables, batch)
    for i, row in enumerate(rows(batch)):
        expected = torch.zeros(len(tables.initial), dtype=torch.float64)
        for path, p in enumerate_paths(tables, row):
            expected[path[-1]] += p
        expected /= expected.sum()
        at = int(belief.block[i]) * tables.per_block
        assert torch.allclose(belief.probabilities[i], expected[at : at + tables.per_block])


def test_gradients_are_the_expected_counts_of_enumeration(tables, batch):
    tables = leaves(tables)
    score(tables, batch)[0].sum().backward()
    s, k = len(tables.initial), tables.per_block
    initial, emission, moves = np.zeros(s), np.zeros((WORDS, k)), np.zeros((s, s))
    for row in rows(batch):
        paths = list(enumerate_paths(tables.map(torch.Tensor.detach), row))
        total = sum(p for _, p in paths)
        for path, p in paths:
            initial[path[0]] += p / total
            for word, state in zip(row, path, strict=True):
                emission[word, state % k] += p / total
            for a, b in itertools.pairwise(path):
                moves[a, b] += p / total
    np.testing.assert_allclose(tables.initial.grad, initial, atol=1e-12)
    np.testing.assert_allclose(tables.emission.grad, emission, atol=1e-12)
    np.testing.assert_allclose(tables.factors[0].grad.sum(1), moves.sum(1), atol=1e-12)
    np.testing.assert_allclose(tables.factors[-1].grad.sum(0), moves.sum(0), atol=1e-12)
    if len(tables.factors) == 1:
        np.testing.assert_allclose(tables.factors[0].grad, moves, atol=1e-12)


def test_weighted_gradients_agree_with_autograd_through_log_space(tables, batch):
    weights = torch.rand(batch.tokens.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scaled, logged = leaves(tables), leaves(tables)
    ours, _ = score(scaled, batch)
    start = logged.initial.view(logged.blocks, -1)[logged.block[batch.tokens[:, 0]]]
    theirs, _ = log_forward(logged, batch.tokens, batch.mask, start)
    assert torch.allclose(ours, theirs)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    for a, b in zip(gradients(scaled), gradients(logged), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_a_carried_belief_goes_on_where_the_row_stood(tables, batch):
    whole, last = score(tables, batch)
    first, belief = score(tables, Batch(batch.tokens[:, :2], batch.mask[:, :2]))
    second, end = score(tables, Batch(batch.tokens[:, 2:], batch.mask[:, 2:]), belief)
    assert torch.allclose(torch.cat([first, second], 1), whole)
    assert torch.allclose(end.probabilities, last.probabilities)
    assert torch.equal(end.block, last.block)


def two_topics(rare: float) -> HMMParameters:
    """Two states that never meet; each emits the other's word with probability `rare`."""
    emission = torch.tensor([[1 - rare, rare], [rare, 1 - rare]]).log()
    return HMMParameters(
        torch.tensor([0.5, 0.5]).log(), (torch.eye(2).log(),), emission, torch.zeros(2, dtype=torch.long)
    )


def test_underflow_goes_to_log_space():
    tables = two_topics(1e-34)
    log_prob, belief = score(tables, pad([[0, 0, 1], [0, 0, 0]]))
    assert log_prob[0].sum().item() == pytest.approx(math.log(0.5) + math.log(1e-34), rel=1e-5)
    assert log_prob[1].sum().item() == pytest.approx(math.log(0.5), rel=1e-5)
    assert torch.allclose(belief.probabilities, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


def test_an_overflowing_backward_pass_is_done_in_float64():
    tables = leaves(two_topics(1e-12))
    batch = pad([[0] * 4 + [1] * 4, [0, 0, 0]])  # in float32 either state alone is lost on the way
    score(tables, batch)[0].sum().backward()
    assert torch.allclose(tables.initial.grad, torch.tensor([1.5, 0.5]), atol=1e-3)


def test_an_impossible_word_is_minus_infinity_from_there_on():
    tables = two_topics(0.0)
    log_prob, _ = score(tables, pad([[0, 1, 1], [1, 1]]))
    assert log_prob[0].tolist() == [pytest.approx(math.log(0.5)), -math.inf, -math.inf]
    assert log_prob[1].sum().item() == pytest.approx(math.log(0.5))
