"""A filter draws from the family given that a text is not flagged, and counts what it throws away."""

from __future__ import annotations

import pytest
import torch

from gentext.data import Word
from gentext.decode import Filter, WordList
from gentext.models import NGram
from gentext.types import EOS, pad

WORDS = Word().fit(["a b c"])  # ids 4, 5 and 6


def family() -> NGram:
    model = NGram(7, order=2)
    model.accumulate(pad([[4, EOS]] * 6 + [[5, EOS]] * 3 + [[6, EOS]] + [[4, 5, 6, EOS]] * 2))
    model.maximize()
    return model.eval()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_is_kept_has_the_odds_that_it_had():
    model, n = family(), 4000
    decoder = Filter(flag=WordList(["b"])).reading(WORDS)
    draw = decoder(model, n, 6, rng=rng())
    plain = decoder.base(model, 20_000, 6, rng=rng(1))
    held = ~(plain.tokens == 5).any(1)
    for token in (4, 6):
        wanted = float((plain.tokens[held, 0] == token).float().mean())
        assert float((draw.tokens[:, 0] == token).float().mean()) == pytest.approx(wanted, abs=0.03)
    assert not bool((draw.tokens == 5).any())
    assert decoder.count.drawn / n == pytest.approx(1 / float(held.float().mean()), rel=0.05)


def test_each_prompt_keeps_its_row():
    model = family()
    prompt = torch.tensor([[4], [6], [4], [6]])
    decoder = Filter(flag=WordList(["b"])).reading(WORDS)
    draw = decoder(model, 4, 6, rng=rng(), prompt=prompt)
    assert torch.equal(draw.prompt, prompt)
    assert not bool((draw.tokens == 5).any())


def test_what_is_always_flagged_ends_in_a_sentence():
    decoder = Filter(flag=WordList(["a", "b", "c"]), most=3).reading(WORDS)
    with pytest.raises(ValueError, match="flagged in each of 3 draws; raise most"):
        decoder(family(), 50, 6, rng=rng())
    with pytest.raises(ValueError, match=r"call decoder.reading\(tokenizer\) first"):
        Filter(flag=WordList(["a"]))(family(), 1, 6, rng=rng())
    with pytest.raises(ValueError, match="most is 0"):
        Filter(flag=WordList(["a"]), most=0)
