"""Smoothings other than Kneser-Ney: equal to NLTK's or to a count by hand, proper, drawn from as they are."""

from __future__ import annotations

import functools
import random
from collections import Counter

import pytest
import torch
from safetensors.torch import load_model, save_model
from scipy import stats

from gentext.decode import Ancestral
from gentext.models.ngram.model import NGram
from gentext.types import BOS, EOS, pad

V = 9
OTHERS = {"witten_bell": "WittenBellInterpolated", "absolute": "AbsoluteDiscountingInterpolated"}
KINDS = [*OTHERS, "jelinek_mercer", "katz", "stupid_backoff"]


def nltk_model(kind: str, rows: list[list[int]], order: int, unigrams: list[float]):
    """NLTK's, over the same n-grams; its unigrams are ours, which are interpolated with the uniform distribution."""
    lm = pytest.importorskip("nltk.lm")
    made = getattr(lm, OTHERS[kind])(order, **({"discount": 0.6} if kind == "absolute" else {}))
    made.fit([[tuple(map(str, gram)) for gram in grams(rows, order)]], [str(i) for i in range(V)])
    made.estimator.unigram_score = lambda word: unigrams[int(word)]
    return made


def grams(rows: list[list[int]], order: int) -> list[tuple[int, ...]]:
    """Every n-gram of every order as often as it occurs; BOS alone is none."""
    lines = [(BOS, *row, EOS) for row in rows]
    found = [line[i : i + k] for line in lines for k in range(1, order + 1) for i in range(len(line) + 1 - k)]
    return [gram for gram in found if gram != (BOS,)]


def katz(rows: list[list[int]], v: int, order: int, discount: float):
    """p(token, context) by Katz's formulas, each sum over the vocabulary taken as it is written."""
    counts = Counter(grams(rows, order))
    kept = {}
    for k in range(1, order + 1):
        n = Counter(count for gram, count in counts.items() if len(gram) == k)
        lost = 6 * n[6] / (n[1] or 1)
        factor = {r: ((r + 1) * n[r + 1] / (r * (n[r] or 1)) - lost) / (1 - lost) for r in range(1, 6)}
        regular = all(n[r] for r in range(1, 7)) and all(0 < d <= 1 for d in factor.values())
        for gram, count in counts.items():
            if len(gram) == k:
                kept[gram] = count * factor.get(count, 1.0) if regular else count - discount

    @functools.cache
    def p(token: int, context: tuple[int, ...] | None) -> float:
        if context is None:
            return 1 / (v - 2)
        after = {gram[-1]: kept[gram] for gram in counts if gram[:-1] == context}
        if not after:
            return p(token, shorter(context))
        total = sum(counts[*context, word] for word in after)
        mass = sum(after.values()) / total
        if len(after) == v - 2:
            return after[token] / total / mass
        total += mass > 1 - 1e-9
        if token in after:
            return after[token] / total
        rest = 1 - sum(after.values()) / total
        return rest * p(token, shorter(context)) / (1 - sum(p(word, shorter(context)) for word in after))

    return p


def shorter(context: tuple[int, ...]) -> tuple[int, ...] | None:
    return context[1:] if context else None


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


def zipfian(rows: int, v: int) -> list[list[int]]:
    """Rows of tokens below `v`, the k-th of which is as frequent as 1 / k."""
    rng = random.Random(0)
    return [rng.choices(range(4, v), [1 / k for k in range(1, v - 3)], k=rng.randint(1, 9)) for _ in range(rows)]


@pytest.mark.parametrize(("v", "order", "rows"), [(9, 1, 40), (9, 2, 40), (9, 3, 400), (9, 3, 6), (80, 3, 150)])
def test_katz_is_what_its_formulas_say(fitted, v, order, rows):
    train = zipfian(rows, v)
    family, p = fitted(train, v, order=order, smoothing="katz", discount=0.6), katz(train, v, order, 0.6)
    assert bool((family.discounts[1:] != 0.6).any()) == (rows > 100)  # enough n-grams to estimate them of
    for row in zipfian(6, v):
        at, said = family.start(1), (BOS,)
        for token in [*row, EOS]:
            context = said[1 - order :] if order > 1 else ()
            expected = [p(word, context) for word in range(2, v)]
            assert at.logits[0, 2:].exp().tolist() == pytest.approx(expected, rel=1e-5)
            at, said = family.step(at.state, torch.tensor([token])), (*said, token)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_stupid_back_off_is_nltk_s_divided_by_its_sum(fitted, texts, order):
    lm, rows = pytest.importorskip("nltk.lm"), texts(3, 25)
    theirs = lm.StupidBackoff(0.3, order)
    theirs.fit([[tuple(map(str, gram)) for gram in grams(rows, order)]], [str(i) for i in range(V)])
    seen = {token for row in rows for token in row} | {EOS}
    theirs_unigram = theirs.counts.unigrams.freq
    theirs.counts.unigrams.freq = lambda word: theirs_unigram(word) if int(word) in seen else 0.3 / (V - 2)
    family = fitted(rows, order=order, smoothing="stupid_backoff", alpha=0.3)
    for row in texts(8, 10):
        at, said = family.start(1), [BOS]
        for token in [*row, EOS]:
            context = [str(i) for i in said[1 - order :]] if order > 1 else []
            scores = [theirs.score(str(word), context) for word in range(2, V)]
            assert at.logits[0, 2:].exp().tolist() == pytest.approx([s / sum(scores) for s in scores], rel=1e-5)
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
    [({"smoothing": "katzz"}, "smoothing"), ({"discount": 1.5}, "discount"), ({"weight": 0.0}, "weight")]
    + [({"alpha": alpha}, "alpha") for alpha in (0.0, float("nan"))],
)
def test_what_shares_no_mass_is_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        NGram(V, **wrong)
