"""The n-gram as a family: fitting, windows, prompts, draws, checkpoints, errors."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from safetensors.torch import load_model, save_model
from scipy import stats

from gentext.decode import Ancestral
from gentext.decode.tempered import Tempered
from gentext.language_model import LanguageModel
from gentext.models.ngram.model import NGram
from gentext.types import EOS, PAD, Batch, pad

V = 9


def with_prompt(prompts: list[list[int]], rows: list[list[int]]) -> Batch:
    batch = pad(rows)
    return Batch(batch.tokens, batch.mask, torch.tensor(prompts))


def test_before_the_first_fit_it_is_uniform():
    family = NGram(V, order=3)
    batch = pad([[4, 5, EOS], [EOS]])
    uniform = -math.log(V - 2)
    assert family.accumulate(batch).tolist() == pytest.approx([3 * uniform, uniform])
    assert family.step(family.start(1).state, torch.tensor([5])).logits[0, EOS].item() == pytest.approx(uniform)


def test_a_second_fit_forgets_the_first(fitted, texts):
    once = fitted(texts(5, 30), order=3)
    twice = fitted(texts(6, 30), order=3)
    for row in texts(5, 30):
        twice.accumulate(pad([[*row, EOS]]))
    twice.maximize()
    assert torch.equal(once.start(1).logits, twice.start(1).logits)


@pytest.mark.parametrize("length", [1, 3, 50])
@pytest.mark.parametrize("cache", [0.0, 0.3])
def test_windows_of_a_stream_are_one_text(texts, windows, length, cache):
    tokens = [token for row in texts(7, 30) for token in [*row, EOS]]
    whole, cut = (NGram(V, order=4, cache=cache, history=10) for _ in range(2))
    whole.accumulate(*windows(tokens, len(tokens)))
    for window in windows(tokens, length):
        cut.accumulate(window)
    whole.maximize()
    cut.maximize()
    held_out = [token for row in texts(8, 10) for token in [*row, EOS]]
    scored = torch.cat([cut(window).log_prob for window in windows(held_out, length)], 1)
    assert torch.allclose(scored, whole(*windows(held_out, len(held_out))).log_prob, atol=1e-6)


def test_windows_keep_their_rows():
    family = NGram(V)
    family.accumulate(pad([[4, 5], [5, 6]]))
    with pytest.raises(ValueError, match="3 rows carry on 2"):
        family.accumulate(Batch(torch.full((3, 1), 4), torch.ones(3, 1, dtype=torch.bool), carry=True))


def test_a_prompt_is_counted_and_not_scored(texts):
    whole, parted = NGram(V, order=3), NGram(V, order=3)
    for row in texts(9, 30, longest=6):
        said = [4, 5, *row, EOS]
        whole.accumulate(pad([said]))
        parted.accumulate(with_prompt([said[:2]], [said[2:]]))
    whole.maximize()
    parted.maximize()
    scores = parted(with_prompt([[4, 5], [6, PAD]], [[7, EOS], [7, EOS]])).log_prob
    assert torch.allclose(scores[0], whole(pad([[4, 5, 7, EOS]])).log_prob[0, 2:])
    assert torch.allclose(scores[1], whole(pad([[6, 7, EOS]])).log_prob[0, 1:])


@pytest.mark.parametrize("cache", [0.0, 0.4])
@pytest.mark.parametrize("prune", [(), (0, 0, 2)])
@pytest.mark.parametrize("min_len", [0, 2])
def test_sampling_top_down_is_exact(fitted, texts, cache, prune, min_len, monkeypatch):
    monkeypatch.setattr(Ancestral, "__call__", None)  # by which every token has the whole vocabulary's logits
    family = fitted(texts(10, 200), order=4, cache=cache, history=3, prune=prune)
    n, prompt = 8_000, [4, 5]
    draw = family.sample(
        n,
        2,
        decoder=Ancestral(min_len=min_len),
        rng=torch.Generator().manual_seed(0),
        prompt=torch.tensor([prompt] * n),
    )
    outcomes = [*itertools.product(range(3, V), range(3 if min_len else 2, V)), *([] if min_len else [(EOS,)])]
    seen = dict.fromkeys(outcomes, 0)
    for row in draw.tokens.tolist():
        seen[tuple(token for token in row if token != PAD)] += 1
    own = Tempered(family, 1.0, min_len) if min_len else family
    expected = own.log_prob(with_prompt([prompt] * len(outcomes), [list(row) for row in outcomes])).exp() * n
    assert float(expected.sum()) == pytest.approx(n, rel=1e-4)
    observed = torch.tensor([seen[row] for row in outcomes]).double()
    likely = expected >= 5
    cells = torch.stack([torch.cat([x[likely], x[~likely].sum()[None]]).double() for x in (observed, expected)])
    cells = cells[:, cells[1] > 0]
    assert stats.chisquare(cells[0], cells[1] * (cells[0].sum() / cells[1].sum())).pvalue > 1e-3


def test_a_tempered_draw_goes_through_the_decoder(fitted, texts):
    family = fitted(texts(11, 50), order=3)
    one = family.sample(4, 5, decoder=Ancestral(top_k=1), rng=torch.Generator().manual_seed(0))
    assert all(torch.equal(row, one.tokens[0]) for row in one.tokens)
    with pytest.raises(ValueError, match="0 sequences"):
        family.sample(0, 5, decoder=Ancestral(), rng=torch.Generator())


def test_the_cache_mixes_in_what_was_said_lately(fitted, texts):
    rows, share, size = texts(12, 60), 0.3, 4
    plain, adaptive = fitted(rows, order=3), fitted(rows, order=3, cache=share, history=size)
    assert adaptive.adaptive
    assert not plain.adaptive
    row = [4, 4, 5, 4, 7, 7, 4, 8, EOS]
    ours, alone = adaptive(pad([row, [5, EOS]])).log_prob.exp(), plain(pad([row, [5, EOS]])).log_prob.exp()
    for j, token in enumerate(row):
        said = row[max(0, j - size) : j]
        mixed = (1 - share) * alone[0, j] + share * said.count(token) / len(said) if said else alone[0, j]
        assert float(ours[0, j]) == pytest.approx(float(mixed), rel=1e-5)
    stepped = LanguageModel.forward(adaptive, pad([row, [5, EOS]])).log_prob.exp()
    assert torch.allclose(ours, stepped, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_fresh_model_loads_a_saved_one(fitted, texts, order, tmp_path):
    family = fitted(texts(13, 50), order=order)
    save_model(family, str(tmp_path / "model.safetensors"))
    fresh = NGram(V, order=order)
    load_model(fresh, tmp_path / "model.safetensors")
    batch = pad([[4, 5, 6, EOS]])
    assert torch.equal(family(batch).log_prob, fresh(batch).log_prob)
    with pytest.raises(ValueError, match="of 9 tokens and this one of 12"):
        NGram(12, order=order).load_state_dict(family.state_dict())
    with pytest.raises(RuntimeError, match="orders"):
        NGram(V, order=order + 1).load_state_dict(family.state_dict())


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"order": 0}, "order is 0"),
        ({"order": 11}, "order is 11"),
        ({"prune": [0, -1]}, "0 or more"),
        ({"prune": [1]}, "begins with 0"),
        ({"prune": [0, 2, 1]}, "never falls"),
        ({"prune": [0, 0, 0, 1], "order": 3}, "more thresholds"),
        ({"cache": 1.0}, "cache is 1.0"),
        ({"cache": 0.2, "history": 0}, "history is 0"),
        ({"vocab_size": 3}, "vocab_size is 3"),
    ],
)
def test_wrong_settings_are_answered_with_advice(keys, why):
    with pytest.raises(ValueError, match=why):
        NGram(**{"vocab_size": V, **keys})


def test_an_empty_text_is_answered_with_advice():
    family = NGram(V)
    with pytest.raises(ValueError, match="empty"):
        family.maximize()
    family.accumulate(Batch(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1, dtype=torch.bool)))
    with pytest.raises(ValueError, match="empty"):
        family.maximize()
