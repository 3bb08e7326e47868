"""The trainable HMM: EM against hmmlearn, priors, mini-batches, streams, prompts, and what it refuses."""

from __future__ import annotations

import itertools
import logging
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from gentext.language_model import SupportsEM
from gentext.models.hmm.base import block_log_softmax
from gentext.models.hmm.m_step import maximized, revive
from gentext.models.hmm.model import HMM
from gentext.models.hmm.parameters import HMMParameters
from gentext.types import BOS, EOS, PAD, Batch, pad

V = 12


def texts(n: int, seed: int = 0, longest: int = 9) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(longest, (n,), generator=rng).tolist()
    return pad([[*torch.randint(3, V, (k,), generator=rng).tolist(), EOS] for k in lengths])


def made(**options) -> HMM:
    torch.manual_seed(0)
    return HMM(V, **{"states": 3, "grow_from": None, **options})


@pytest.mark.parametrize("blocks", [1, 2, 16])
def test_the_words_of_a_large_vocabulary_sum_to_one(blocks):
    """WikiText-2 has 33,281: added up one by one in single precision they had 3e-4 too much."""
    logits = torch.full((33_281, 8), -18.4)  # what each adds is lost beside the likely words: 3.4e-4 of all
    logits[3 : 3 + blocks] = 0
    block = torch.arange(33_281) % blocks
    total = torch.zeros(blocks, 8, dtype=torch.float64)
    total.index_add_(0, block, block_log_softmax(logits, block, blocks).double().exp())
    assert (total - 1).abs().max() < 5e-6


def fit(family: HMM, batch: Batch, iterations: int) -> list[float]:
    figures = []
    for _ in range(iterations):
        figures.append(float(family.accumulate(batch).double().sum()))
        family.maximize()
    return figures


def test_it_counts():
    assert isinstance(made(), SupportsEM)


def hmmlearn(family: HMM, batch: Batch, iterations: int) -> list[float]:
    """The log-likelihoods of hmmlearn's EM from the same start."""
    from hmmlearn.hmm import CategoricalHMM

    tables = family.log_tables().map(lambda table: table.detach().double().exp())
    model = CategoricalHMM(family.states, n_iter=1, tol=-math.inf, init_params="", implementation="scaling")
    model.n_features = len(tables.emission)
    model.startprob_, model.transmat_ = tables.initial.numpy(), tables.factors[0].numpy()
    model.emissionprob_ = tables.emission.T.numpy().copy()
    tokens, lengths = batch.tokens[batch.mask].numpy()[:, None], batch.lengths.tolist()
    figures = []
    for _ in range(iterations):
        model.fit(tokens, lengths)
        figures.append(model.monitor_.history[-1])
    return figures


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_em_is_that_of_hmmlearn(dtype, tolerance):
    family = made(transition_prior=0.0, emission_prior=0.0).to(dtype)
    batch = texts(60)
    theirs = hmmlearn(family, batch, 5)
    ours = fit(family, batch, 5)
    assert ours == pytest.approx(theirs, rel=tolerance)
    assert ours == sorted(ours)


@pytest.mark.slow
@pytest.mark.skipif("GENTEXT_DATA" not in os.environ, reason="needs the WikiText-2 of GENTEXT_DATA")
def test_em_on_wikitext_is_that_of_hmmlearn_to_a_tenth_of_a_nat():
    text = (Path(os.environ["GENTEXT_DATA"]) / "wikitext-2/train.txt").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line.strip()][:1126]
    kinds = {word: 4 + i for i, word in enumerate(sorted({word for line in lines for word in line}))}
    batch = pad([[*(kinds[word] for word in line), EOS] for line in lines])
    torch.manual_seed(0)
    family = HMM(4 + len(kinds), states=32, transition_prior=0.0, emission_prior=0.0)
    theirs = hmmlearn(family, batch, 5)
    assert fit(family, batch, 5) == pytest.approx(theirs, abs=0.1)


def test_batches_add_up():
    batch = texts(50)
    whole, parts = made(), made()
    fit(whole, batch, 1)
    for rows in (slice(0, 20), slice(20, 21), slice(21, 50)):
        parts.accumulate(batch.rows(rows))
    parts.maximize()
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(a.exp(), b.exp(), atol=1e-5)


@pytest.mark.parametrize("options", [{"states": 6, "blocks": 3}, {"rank": 2}, {"states": 6, "blocks": 2, "rank": 3}])
def test_likelihood_rises_under_every_structure(options):
    family = made(transition_prior=0.0, emission_prior=0.0, **options)
    figures = fit(family, texts(80), 8)
    assert all(b >= a - 1e-3 for a, b in itertools.pairwise(figures))
    assert figures[-1] > figures[0] + 1


def test_priors_are_pseudo_counts_for_each_kind_that_was_met():
    moves = torch.tensor([[2.0, 0.5], [0.0, 0.0]])
    counts = HMMParameters(torch.tensor([3.0, 1.0]), (moves,), torch.zeros(8, 2), torch.zeros(8).long())
    counts.emission[4, 0], counts.emission[5, 0], counts.emission[5, 1] = 6.0, 1.0, 1.0
    counts.emission[6, 1], counts.emission[7, 1] = 1.0, 0.4
    new = maximized(counts, counts, torch.tensor([False, False]), transition=1.0, emission=2.0)
    assert torch.allclose(new.initial, torch.tensor([4.0, 2.0]) / 6)
    assert torch.allclose(new.factors[0], torch.tensor([[2.75 / 4, 1.25 / 4], [0.5, 0.5]]))
    words = torch.tensor([0, 0, 0.5, 0.5, 6, 2, 1, 0.5]) / 10.5  # words never seen have half a token at least
    assert torch.allclose(new.emission[:, 0], (torch.tensor([0, 0, 0, 0, 6, 1.0, 0, 0]) + 2 * 2 * words) / 11)


def test_pseudo_tokens_may_be_spread_by_how_many_states_emit_a_word():
    """`the` stands in two states' texts, `York` as often, but in one: a third state rather expects `the`."""
    the, york, once, never = 4, 5, 6, 7
    counts = HMMParameters(torch.ones(3), (torch.ones(3, 3),), torch.zeros(8, 3), torch.zeros(8).long())
    counts.emission[the, 0] = counts.emission[the, 1] = 4.0
    counts.emission[york, 1], counts.emission[once, 0], counts.emission[once, 2] = 8.0, 0.25, 0.75
    new = maximized(counts, counts, torch.tensor([False] * 3), 0.0, emission=1.0, emission_backoff="continuation")
    kinds = torch.tensor([0, 0, 0.5, 0.5, 2, 1, 1, 0.5])  # EOS, UNK and `never` were never seen
    expected = (torch.tensor([0, 0, 0, 0, 0, 0, 0.75, 0]) + 0.75 * kinds / kinds.sum()) / 1.5
    assert torch.allclose(new.emission[:, 2], expected)
    assert float(new.emission[the, 2]) == pytest.approx(2 * float(new.emission[york, 2]))
    assert float(new.emission[never].min()) > 0


@pytest.mark.parametrize(
    ("backoff", "shares"), [("even", [1, 1, 1]), ("unigram", [5, 3, 2]), ("continuation", [1, 2, 1])]
)
def test_pseudo_transitions_may_be_spread_as_states_are_entered(backoff, shares):
    """From the last state half of the steps are counted, all to itself, and half are pseudo-transitions."""
    table = torch.tensor([[5.0, 2, 0], [0, 1, 0], [0, 0, 2]])
    counts = HMMParameters(torch.ones(3), (table,), torch.ones(8, 3), torch.zeros(8).long())
    new = maximized(counts, counts, torch.tensor([False] * 3), 2.0, 0.0, transition_backoff=backoff)
    spread = torch.tensor(shares) / sum(shares)
    assert torch.allclose(new.factors[0][2], 0.5 * spread + torch.tensor([0, 0, 0.5]))
    assert torch.allclose(new.factors[0].sum(1), torch.ones(3))


def test_nothing_leads_to_an_empty_state_by_any_backoff():
    counts = HMMParameters(torch.ones(2), (torch.ones(2, 2),), torch.ones(8, 2), torch.zeros(8).long())
    counts.factors[0][:, 1] = 0.0
    for backoff in ("even", "unigram", "continuation"):
        new = maximized(counts, counts, torch.tensor([False, True]), 1.0, 0.0, transition_backoff=backoff)
        assert new.factors[0][:, 1].tolist() == [0.0, 0.0]


def test_words_never_seen_share_what_those_seen_once_have():
    counts = HMMParameters(torch.ones(1), (torch.ones(1, 1),), torch.zeros(9, 1), torch.zeros(9).long())
    counts.emission[5:] = 1.0  # four words once; EOS, UNK and a third never
    new = maximized(counts, counts, torch.tensor([False]), transition=0.0, emission=1.0)
    assert torch.allclose(new.emission[2:5, 0], torch.tensor(4 / 3 / 8 / 2))
    assert float(new.emission[:2].sum()) == 0


def test_growth_splits_states_and_finds_a_better_optimum():
    rng = torch.Generator().manual_seed(0)
    pairs = torch.randint(4, (300,), generator=rng)
    batch = pad([[4 + i, 8 + i, 4 + i, EOS] for i in pairs.tolist()])
    for options in ({"states": 9}, {"states": 12, "blocks": 3}, {"states": 8, "rank": 4}):
        grown = made(grow_from=2, transition_prior=0.0, emission_prior=0.0, **options)
        grown.prepare([batch], rng=torch.Generator().manual_seed(0))
        random = made(grow_from=None, transition_prior=0.0, emission_prior=0.0, **options)
        random.prepare([batch], rng=torch.Generator().manual_seed(0))
        assert fit(grown, batch, 1)[0] > fit(random, batch, 1)[0]
        tables = grown.log_tables().map(torch.exp)
        assert torch.allclose(tables.factors[-1].sum(1), torch.ones(len(tables.factors[-1])), atol=1e-5)


def test_unseen_words_are_never_impossible():
    family = made()
    fit(family, pad([[4, 5, EOS], [5, 4, 4, EOS]] * 4), 20)
    with torch.no_grad():
        assert torch.isfinite(family.log_prob(pad([[11, 3, EOS]]))).all()
        at = family.start(1)
        assert (at.logits[0, [PAD, BOS]] == -math.inf).all()
        assert torch.isfinite(at.logits[0, 2:]).all()


def test_without_a_prior_an_impossible_text_is_said_aloud(caplog):
    family = made(transition_prior=0.0, emission_prior=0.0)
    fit(family, pad([[4, EOS], [5, EOS]] * 4), 2)
    with caplog.at_level(logging.WARNING, logger="gentext"):
        log_prob = family.accumulate(pad([[6, EOS], [4, EOS]]))
    assert log_prob[0] == -math.inf
    assert torch.isfinite(log_prob[1])
    assert "1 of 2 texts are impossible" in caplog.text


def test_a_dead_state_takes_half_of_the_heaviest(caplog):
    counts = HMMParameters(
        torch.tensor([4.0, 0.0, 1.0]),
        (torch.tensor([[6.0, 0.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),),
        torch.tensor([[0.0, 0, 0], [0, 0, 0], [4, 0, 0], [0, 0, 1], [3, 0, 0], [2, 0, 0], [1, 0, 0]]),
        torch.zeros(7).long(),
    )
    total = [t.sum() for t in (counts.initial, *counts.factors, counts.emission)]
    assert revive(counts, torch.zeros(3, dtype=torch.bool)).tolist() == [1]
    assert counts.emission[:, 0].tolist() == [0, 0, 4, 0, 0, 2, 0]
    assert counts.emission[:, 1].tolist() == [0, 0, 0, 0, 3, 0, 1]
    after = [t.sum() for t in (counts.initial, *counts.factors, counts.emission)]
    assert torch.allclose(torch.stack(total), torch.stack(after))
    assert torch.allclose(counts.factors[0][1], counts.factors[0][0] * 0.4 / 0.6)
    family = made()
    with torch.no_grad():
        family.initial[1], family.factors[0][:, 1] = -math.inf, -math.inf
    with caplog.at_level(logging.WARNING, logger="gentext"):
        fit(family, texts(40), 1)
    assert "1 of 3 states were dead" in caplog.text
    assert family.log_tables().initial[1] > -10


def test_stepwise_em_of_one_step_is_plain_and_then_lags_behind():
    batch = texts(60)
    plain, stepwise = made(), made(stepwise=0.7)
    stepwise.prepare([batch], rng=torch.Generator().manual_seed(1))
    plain.prepare([batch], rng=torch.Generator().manual_seed(1))
    fit(plain, batch, 1)
    fit(stepwise, batch, 1)
    for a, b in zip(plain.parameters(), stepwise.parameters(), strict=True):
        assert torch.allclose(a.exp(), b.exp(), atol=1e-5)
    before = float(stepwise.running0.sum())
    part = batch.rows(slice(0, 20))
    fit(stepwise, part, 1)
    scale = float(stepwise.text) / float(part.mask.sum())
    assert float(stepwise.running0.sum()) == pytest.approx(before * (1 - 2**-0.7) + 20 * scale * 2**-0.7, rel=1e-4)


def test_growth_is_stepwise_where_the_training_is():
    """Half the passes, of sixteen M-steps each, come as far as those that count the whole text (a mean of three)."""
    pairs = torch.randint(4, (320,), generator=torch.Generator().manual_seed(0)).tolist()
    batch, nll = pad([[4 + i, 8 + i, 4 + i, EOS] for i in pairs]), {}
    parts = [batch.rows(slice(i, i + 20)) for i in range(0, 320, 20)]
    for stepwise in (None, 0.6):
        nll[stepwise] = 0.0
        for seed in range(3):
            grown = made(states=12, grow_from=3, stepwise=stepwise)
            grown.prepare(parts, rng=torch.Generator().manual_seed(seed))
            nll[stepwise] -= float(grown.accumulate(batch).mean()) / 3
    assert nll[0.6] < nll[None]


def test_a_stream_carries_its_state_over_windows_and_line_ends():
    tokens = torch.randint(2, V, (2, 30), generator=torch.Generator().manual_seed(0))
    whole = Batch(tokens, torch.ones_like(tokens, dtype=torch.bool))
    windows = [Batch(tokens[:, i : i + 7], whole.mask[:, i : i + 7], carry=i > 0) for i in range(0, 30, 7)]
    family = made().eval()
    with torch.no_grad():
        apart = torch.cat([family(window).log_prob for window in windows], 1)
        assert torch.allclose(apart, family(whole).log_prob, atol=1e-5)
        family(windows[0])
    assert sum(float(family.accumulate(window).sum()) for window in windows) == pytest.approx(
        float(apart.sum()), rel=1e-5
    )


def test_a_prompt_is_read_and_not_scored():
    family = made().eval()
    batch = pad([[4, 5, 6, EOS], [7, EOS]])
    prompt = torch.tensor([[8, 9], [10, PAD]])
    with torch.no_grad():
        ours = family(Batch(batch.tokens, batch.mask, prompt)).log_prob
        for i, given in enumerate(([8, 9], [10])):
            own = batch.tokens[i][batch.mask[i]].tolist()
            whole = family(pad([[*given, *own]])).log_prob[0, len(given) :]
            assert torch.allclose(ours[i][: len(own)], whole, atol=1e-6)


def test_gradient_descent_learns_what_em_learns():
    batch = texts(200, longest=4)
    em, descent = made(transition_prior=0.0, emission_prior=0.0), made()
    target = fit(em, batch, 40)[-1]
    optimiser = torch.optim.Adam(descent.parameters(), lr=0.1)
    for _ in range(120):
        optimiser.zero_grad()
        loss = -descent(batch).log_prob.sum()
        loss.backward()
        optimiser.step()
    assert -float(loss.detach()) > target - 0.015 * abs(target)


def test_relaxed_one_hots_are_the_words_themselves():
    for family in (made(), made(states=6, blocks=3), made(states=6, blocks=2, rank=2)):
        words = torch.tensor([4, 9, 5])
        state = family.start(3).state
        soft = torch.nn.functional.one_hot(words, V).float().requires_grad_()
        hard = family.step(state, words).logits
        relaxed = family.step(state, soft).logits
        assert torch.allclose(hard, relaxed, atol=1e-5)
        relaxed[:, 3:].sum().backward()
        assert torch.isfinite(soft.grad).all()
        assert all(torch.isfinite(p.grad).all() for p in family.parameters())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"states": 7, "blocks": 2}, "multiple"),
        ({"rank": 0}, "rank"),
        ({"emission_prior": -1.0}, "prior"),
        ({"emission_backoff": "kneser_ney"}, "continuation"),
        ({"transition_backoff": "uniform"}, "even"),
        ({"grow_from": 0}, "grow_from"),
        ({"stepwise": 0.2}, "0.5 to 1"),
    ],
)
def test_bad_options_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        made(**options)


def test_more_states_than_tokens_are_refused():
    with pytest.raises(ValueError, match="states=50 is more than the 6 tokens"):
        made(states=50).prepare([pad([[4, 5, EOS], [6, 7, EOS]])], rng=torch.Generator())


def test_maximising_nothing_is_refused():
    with pytest.raises(ValueError, match="before accumulate"):
        made().maximize()


def test_prepare_gives_each_state_a_cluster_to_begin_with():
    class Parity:
        def __call__(self, bigrams, k, *, rng):
            assert bigrams.shape == (V, V)
            assert bigrams[4, 5] == 2
            return np.arange(V) % k

    family = made(states=2, clusters=Parity())
    family.prepare([pad([[4, 5, 6, EOS], [4, 5, EOS]])], rng=torch.Generator().manual_seed(0))
    emission = family.log_tables().emission.exp()
    assert (emission[4::2, 0] > 5 * emission[4::2, 1]).all()
    blocked = made(states=4, blocks=2, clusters=Parity())
    blocked.prepare([pad([[4, 5, 6, EOS], [4, 5, EOS]])], rng=torch.Generator().manual_seed(0))
    assert blocked.block.tolist() == [0, 1] * (V // 2)
