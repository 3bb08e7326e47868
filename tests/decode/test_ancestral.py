"""Ancestral draws follow the family's distribution, its filters and its rules."""

import itertools
import math
from collections import Counter

import pytest
import torch

from gentext.decode import Ancestral
from gentext.types import EOS, PAD, UNK


def _rows(batch):
    return [tuple(row[keep].tolist()) for row, keep in zip(batch.tokens, batch.mask, strict=True)]


def test_frequencies_match_the_enumerated_distribution(chain, rng):
    n, max_len = 6_000, 3
    seen = Counter(_rows(Ancestral()(chain, n, max_len, rng=rng)))
    exact = {row: math.exp(log_prob) for row, log_prob in chain.enumerate(max_len).items()}
    assert math.isclose(sum(exact.values()), 1, rel_tol=1e-5)
    common = {row: p for row, p in exact.items() if n * p >= 5}
    chi2 = sum((seen[row] - n * p) ** 2 / (n * p) for row, p in common.items())
    df = len(common)
    assert df > 8
    assert chi2 < df + 4 * math.sqrt(2 * df)


def test_one_rng_gives_one_draw_and_the_mask_ends_at_eos(chain):
    first, again = (Ancestral(batch_size=7)(chain, 50, 12, rng=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.tokens, again.tokens)
    assert len(set(_rows(first))) > 10
    for row in _rows(first):
        assert PAD not in row
        assert EOS not in row[:-1]
        assert row[-1] == EOS or len(row) == 12
    assert first.tokens.shape[1] == first.lengths.max()


def test_top_k_1_is_greedy_and_a_low_temperature_tends_to_it(chain, rng):
    greedy = Ancestral(top_k=1)(chain, 2, 6, rng=rng)
    assert _rows(greedy)[0] == _rows(Ancestral(temperature=1e-3)(chain, 1, 6, rng=rng))[0]
    last, expected = 1, []
    while len(expected) < 6 and last != EOS:
        last = int(chain.table[last].argmax())
        expected.append(last)
    assert _rows(greedy) == [tuple(expected)] * 2


def test_finished_rows_are_dropped_from_the_state(chain, rng):
    sizes = []
    step = chain.step
    chain.step = lambda state, tokens: sizes.append(len(tokens)) or step(state, tokens)
    Ancestral()(chain, 400, 40, rng=rng)
    assert sizes[0] == 400
    assert sizes[-1] < 40


def test_min_len_up_to_max_len_fixes_the_length(chain, rng):
    batch = Ancestral(min_len=9, ban_unk=True)(chain, 30, 9, rng=rng)
    assert batch.mask.all()
    assert batch.tokens.shape == (30, 9)
    assert not (batch.tokens == EOS).any()
    assert not (batch.tokens == UNK).any()


def test_no_repeat_ngram_and_what_cannot_go_on(chain, rng):
    batch = Ancestral(no_repeat_ngram=2)(chain, 50, 10, rng=rng)
    for row in _rows(batch):
        pairs = list(itertools.pairwise(row))
        assert len(pairs) == len(set(pairs))
    with pytest.raises(ValueError, match="no token left"):
        Ancestral(no_repeat_ngram=1, min_len=9)(chain, 5, 9, rng=rng)


def test_prompts_prime_each_row_and_come_back(chain, rng):
    prompt = torch.tensor([[4, 5], [6, PAD], [5, 6]])
    batch = Ancestral(top_k=1, batch_size=2)(chain, 3, 1, rng=rng, prompt=prompt)
    assert batch.tokens[:, 0].tolist() == chain.table[torch.tensor([5, 6, 6])].argmax(-1).tolist()
    assert batch.prompt is prompt


def test_plain_says_whether_the_draw_is_the_familys_own():
    assert Ancestral().plain
    assert Ancestral(batch_size=9).plain
    for changed in ({"temperature": 0.9}, {"top_k": 4}, {"top_p": 0.9}, {"min_p": 0.1}, {"typical": 0.9}):
        assert not Ancestral(**changed).plain
    assert not Ancestral(min_len=2).plain


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"temperature": 0.0}, "top_k=1"),
        ({"temperature": -1.0}, "positive"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 1.5}, r"\(0, 1\]"),
        ({"top_p": 0.0}, r"\(0, 1\]"),
        ({"typical": 0.0}, r"\(0, 1\]"),
        ({"min_p": -0.1}, "min_p"),
        ({"batch_size": 0}, "batch_size"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram"),
        ({"min_len": -1}, "min_len"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        Ancestral(**wrong)


def test_calls_that_make_no_sense_are_refused(chain, rng):
    with pytest.raises(ValueError, match="above max_len"):
        Ancestral(min_len=5)(chain, 1, 4, rng=rng)
    with pytest.raises(ValueError, match="n is 0"):
        Ancestral()(chain, 0, 4, rng=rng)
    with pytest.raises(ValueError, match="max_len is 0"):
        Ancestral()(chain, 1, 0, rng=rng)
    with pytest.raises(ValueError, match="one prompt per sequence"):
        Ancestral()(chain, 2, 4, rng=rng, prompt=torch.tensor([[4]]))
