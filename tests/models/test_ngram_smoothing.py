"""Smoothings other than Kneser-Ney: equal to NLTK's above the unigrams, proper, drawn from as they are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_model, save_model
from scipy import stats

from gentext.decode import Ancestral
from gentext.models.ngram.model import NGram
from gentext.types import BOS, EOS, pad

V = 9
OTHERS = {"witten_bell": "WittenBellInterpolated", "absolute": "AbsoluteDiscountingInterpolated"}
KINDS = [*OTHERS, "jelinek_mercer"]


def nltk_model(kind: str, rows: list[list[int]], order: int, unigrams: list[float]):
    """NLTK's, over the same n-grams; its unigrams are ours, which are interpolated with the uniform distribution."""
    lm = pytest.importorskip("nltk.lm")
    grams = [[BOS, *row, EOS][i : i + k] for row in rows for k in range(1, order + 1) for i in range(len(row) + 3 - k)]
    made = getattr(lm, OTHERS[kind])(order, **({"discount": 0.6} if kind == "absolute" else {}))
    made.fit([[tuple(map(str, gram)) for gram in grams if gram != [BOS]]], [str(i) for i in range(V)])
    made.estimator.unigram_score = lambda word: unigrams[int(word)]
    return made


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("order", [2, 3])
def test_it_is_nltk_s(fitted, texts, kind, order):
    rows = texts(3, 25)
    family = fitted(rows, order=order, smoothing=kind, discount=0.6)
    unigrams = fitted(rows, order=1, smoothing=kind, discount=0.6).start(1).logits[0].exp().tolist()
    theirs = nltk_model(kind, rows, order, unigrams)
    for row in texts(8, 10):
        at, said = family.start(1), [BOS]
        for token in [*row, EOS]:
            expected = theirs.score(str(token), [str(i) for i in said[1 - order :]])
            assert float(at.logits[0, token].exp()) == pytest.approx(expected, rel=1e-5)
            at, said = family.step(at.state, torch.tensor([token])), [*said, token]


def test_jelinek_mercer_shares_the_mass_by_its_weight(fitted):
    rows = [[4, 5], [4, 5], [4, 6]]
    logits = fitted(rows, order=2, smoothing="jelinek_mercer", weight=0.9)
    at = logits.step(logits.start(1).state, torch.tensor([4])).logits[0].exp()
    unigram = 0.9 * 2 / 9 + 0.1 / (V - 2)
    assert float(at[5]) == pytest.approx(0.9 * 2 / 3 + 0.1 * unigram, rel=1e-5)
    assert float(at[7]) == pytest.approx(0.1 * 0.1 / (V - 2), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_distribution_that_is_scored_and_drawn_from_alike(fitted, texts, kind, tmp_path):
    family = fitted(texts(4, 30), order=3, smoothing=kind)
    batch = pad([[*row, EOS] for row in texts(9, 6)])
    at, total = family.start(6), torch.zeros(6)
    for i, tokens in enumerate(batch.tokens.T):
        assert torch.allclose(at.logits.exp().sum(1), torch.ones(6), atol=1e-5)
        total += torch.where(batch.mask[:, i], at.logits.gather(1, tokens[:, None])[:, 0], 0.0)
        at = family.step(at.state, tokens)
    assert torch.allclose(family.log_prob(batch), total, atol=1e-4)
    expected = family.start(1).logits[0].exp().double()
    drawn = family.sample(20_000, 1, decoder=Ancestral(), rng=torch.Generator().manual_seed(0)).tokens[:, 0]
    seen = expected > 0
    statistic = (drawn.bincount(minlength=V)[seen] - 20_000 * expected[seen]) ** 2 / (20_000 * expected[seen])
    assert float(statistic.sum()) < stats.chi2.ppf(0.9999, int(seen.sum()) - 1)
    save_model(family, str(tmp_path / "model.safetensors"))
    again = NGram(V, order=3, smoothing=kind)
    load_model(again, tmp_path / "model.safetensors")
    assert torch.equal(again.log_prob(batch), family.log_prob(batch))


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [({"smoothing": "katz"}, "smoothing"), ({"discount": 1.5}, "discount"), ({"weight": 0.0}, "weight")],
)
def test_what_shares_no_mass_is_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        NGram(V, **wrong)
