"""Beam search: exact when as wide as the space, consistent scores, diverse groups."""

import math

import pytest
import torch

from gentext.decode import Ancestral, Beam
from gentext.types import EOS, PAD


def _row(batch, i=0):
    return tuple(batch.tokens[i][batch.mask[i]].tolist())


@pytest.mark.parametrize("penalty", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("seed", range(4))
def test_a_full_width_beam_finds_the_enumerated_best(make_chain, rng, seed, penalty):
    chain = make_chain(7, seed=seed)
    exact = {row: log_prob / len(row) ** penalty for row, log_prob in chain.enumerate(4).items()}
    order = sorted(exact, key=exact.get, reverse=True)
    best = Beam(width=4**4, length_penalty=penalty).best(chain, 2, 4, rng=rng, k=5)
    for i in range(2):
        assert [_row(best.batch, 5 * i + j) for j in range(5)] == order[:5]
        torch.testing.assert_close(best.scores[i], torch.tensor([exact[row] for row in order[:5]]))


def test_a_beam_of_one_is_greedy(make_chain, rng):
    for seed in range(5):
        chain = make_chain(12, seed=seed)
        greedy = Ancestral(top_k=1)(chain, 1, 8, rng=rng)
        best = Beam(width=1).best(chain, 1, 8, rng=rng)
        assert best.scores.item() * len(_row(best.batch)) >= chain.log_prob(greedy).item() - 1e-5
        assert _row(Beam(width=1, min_len=8)(chain, 1, 8, rng=rng)) == _row(
            Ancestral(top_k=1, min_len=8)(chain, 1, 8, rng=rng)
        )


def test_a_naive_beam_finds_the_same(make_chain, rng):
    for seed in range(6):
        chain, width, max_len = make_chain(20, seed=seed, scale=0.7), 3, 6
        log_prob = chain.table.log_softmax(-1)
        live, done = [((), 0.0)], []
        for _i in range(max_len):
            grown = [((*row, t), s + float(log_prob[row[-1] if row else 1, t])) for row, s in live for t in range(20)]
            done += [(row, s / len(row)) for row, s in grown if row[-1] == EOS]
            live = sorted((x for x in grown if x[0][-1] != EOS), key=lambda x: -x[1])[:width]
        done += [(row, s / len(row)) for row, s in live]
        expected = sorted(done, key=lambda x: -x[1])[:width]
        best = Beam(width=width).best(chain, 1, max_len, rng=rng)
        assert [_row(best.batch, j) for j in range(width)] == [row for row, _ in expected]
        torch.testing.assert_close(best.scores[0], torch.tensor([s for _, s in expected]))


def test_scores_are_the_familys_own_log_probabilities(chain, rng):
    best = Beam(width=6, groups=3, diversity=0.7, length_penalty=0.0).best(chain, 2, 6, rng=rng)
    torch.testing.assert_close(chain.log_prob(best.batch), best.scores.flatten())
    assert (best.scores[:, :-1] >= best.scores[:, 1:]).all()


def test_groups_are_more_diverse_than_one_beam(make_chain, rng):
    chain = make_chain(30, seed=2)
    firsts = lambda beam: len(set(beam.best(chain, 1, 6, rng=rng).batch.tokens[:, 0].tolist()))  # noqa: E731
    assert firsts(Beam(width=6, groups=6, diversity=50.0)) == 6
    assert firsts(Beam(width=6)) < 6


def test_each_prompt_gets_its_own_search_whatever_the_batch(chain, rng):
    prompt = torch.tensor([[4, 5], [6, PAD], [5, 6], [4, PAD]])
    together = Beam(width=4)(chain, 4, 5, rng=rng, prompt=prompt)
    for i in range(4):
        assert _row(Beam(width=4, batch_size=1)(chain, 1, 5, rng=rng, prompt=prompt[i : i + 1])) == _row(together, i)


def test_rules_hold_and_missing_hypotheses_are_minus_infinity(chain, rng):
    best = Beam(width=4, no_repeat_ngram=1, min_len=2).best(chain, 1, 4, rng=rng)
    for j in range(4):
        row = _row(best.batch, j)
        assert len(row) == len(set(row)) > 2
    few = Beam(width=8, min_len=1).best(chain, 1, 1, rng=rng)
    assert few.scores.isfinite().sum() == 4  # UNK and three words: no more exist
    with pytest.raises(ValueError, match="no token left"):
        Beam(width=2, no_repeat_ngram=1, min_len=8)(chain, 1, 8, rng=rng)


def test_the_search_never_calls_eos_certain(make_chain, rng):
    chain = make_chain(5)
    chain.table[:, EOS] = -torch.inf
    best = Beam(width=2).best(chain, 1, 3, rng=rng)
    assert len(_row(best.batch)) == 3
    assert math.isfinite(best.scores[0, 0])


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [({"width": 0}, "width"), ({"groups": 2}, "divide"), ({"diversity": 0.5}, "between groups")],
)
def test_settings_that_make_no_sense_are_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        Beam(**wrong)
