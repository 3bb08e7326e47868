"""Modified Kneser-Ney against Chen and Goodman's recursion on dictionaries, with the conventions of lmplz."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.models.ngram import kneser_ney, table
from gentext.models.ngram.model import NGram
from gentext.types import BOS, EOS, RESERVED, UNK, pad

V = 9
Gram = tuple[int, ...]


class ByTheBook:
    """p(w | h) by the recursion itself."""

    def __init__(self, rows: list[list[int]], v: int, order: int, prune: tuple[int, ...]) -> None:
        self.v = v
        sentences = [(BOS, *row, EOS) for row in rows]
        raw = [Counter(s[i : i + k] for s in sentences for i in range(len(s) - k + 1)) for k in range(1, order + 1)]
        latest = latest_backwards(sentences, order)
        self.counts: list[dict[Gram, int]] = []
        self.discounts: list[tuple[float, ...]] = []
        self.kept: list[set[Gram]] = []
        for k in range(1, order + 1):
            if k == order:
                adjusted = dict(raw[k - 1])
            else:
                adjusted = dict(Counter(gram[1:] for gram in raw[k]))
                adjusted |= {gram: count for gram, count in raw[k - 1].items() if gram[0] == BOS}
            adjusted.pop((BOS,), None)
            tally = Counter(adjusted.values())
            last = latest[:k][::-1]
            if k < order and last in adjusted:
                tally[adjusted[last]] -= 1
                tally[raw[k - 1][last]] += 1
            self.counts.append(adjusted)
            self.discounts.append(discounts(tally))
            self.kept.append({gram for gram in adjusted if k == 1 or raw[k - 1][gram] > prune[k - 1]})
        self.successors: dict[Gram, list[Gram]] = defaultdict(list)
        for counts in self.counts:
            for gram in counts:
                self.successors[gram[:-1]].append(gram)

    def p(self, word: int, context: Gram) -> float:
        """The probability of a word after a context shorter than the order."""
        shorter = 1 / (self.v - 2) if not context else self.p(word, context[1:])
        counts, kept = self.counts[len(context)], self.kept[len(context)]
        successors = self.successors[context]
        if not successors:
            return shorter
        total = sum(counts[gram] for gram in successors)
        left = sum(self.discount(gram) if gram in kept else counts[gram] for gram in successors)
        gram = (*context, word)
        own = counts[gram] - self.discount(gram) if gram in kept else 0.0
        return own / total + left / total * shorter

    def discount(self, gram: Gram) -> float:
        return self.discounts[len(gram) - 1][min(self.counts[len(gram) - 1][gram], 3) - 1]


def discounts(tally: Counter[int]) -> tuple[float, ...]:
    if tally[1] and tally[2] and tally[3]:
        y = tally[1] / (tally[1] + 2 * tally[2])
        closed = (1 - 2 * y * tally[2] / tally[1], 2 - 3 * y * tally[3] / tally[2], 3 - 4 * y * tally[4] / tally[3])
        if all(0 < d <= j for j, d in enumerate(closed, 1)):
            return closed
    return 0.5, 1.0, 1.5


def latest_backwards(sentences: list[Gram], order: int) -> Gram:
    """The n-gram, read backwards, that lmplz sorts last: words rank by first appearance, BOS and EOS lowest."""
    age = {BOS: 0, EOS: 1}
    for sentence in sentences:
        for word in sentence:
            age.setdefault(word, len(age))
    grams = ((BOS,) * (order - 1) + sentence for sentence in sentences)
    backwards = (tuple(s[i - order + 1 : i + 1][::-1]) for s in grams for i in range(order, len(s)))
    return max(backwards, key=lambda gram: [age[word] for word in gram])


def assert_by_the_book(family: NGram, book: ByTheBook, rows: list[list[int]]) -> None:
    ours = family(pad([[*row, EOS] for row in rows])).log_prob
    for i, row in enumerate(rows):
        said = (BOS, *row, EOS)
        for j in range(1, len(said)):
            context = said[max(0, j - family.order + 1) : j]
            assert float(ours[i, j - 1].exp()) == pytest.approx(book.p(said[j], context), rel=2e-5)


@pytest.mark.parametrize(
    ("order", "prune"),
    [*((k, ()) for k in (1, 2, 3, 4, 7)), (2, (0, 1)), (4, (0, 0, 1)), (3, (0, 1, 2)), (5, (0, 1, 2))],
)
def test_equals_the_recursion_of_the_paper(fitted, texts, order, prune):
    rows = texts(order, 80)
    family = fitted(rows, order=order, prune=prune)
    book = ByTheBook(rows, V, order, family.prune)
    assert torch.allclose(family.discounts, torch.tensor(book.discounts, dtype=torch.float64))
    assert_by_the_book(family, book, rows[:10] + texts(99, 20))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(UNK, 6), max_size=8), min_size=1, max_size=12),
    st.integers(1, 6),
    st.sampled_from([(), (0, 1)]),
)
def test_any_tiny_corpus(fitted, rows, order, prune):
    prune = prune[:order]
    family = fitted(rows, v=7, order=order, prune=prune)
    assert_by_the_book(family, ByTheBook(rows, 7, order, family.prune), [*rows[:3], [], [5, 5, 5, 3], [6, 4]])
    at = family.start(1)
    for token in (5, 5, 6, UNK):
        assert float(at.logits.exp().sum()) == pytest.approx(1.0, abs=1e-5)
        at = family.step(at.state, torch.tensor([token]))


@pytest.mark.parametrize("few", [0, 1000])
def test_a_model_depends_neither_on_parts_nor_on_how_n_grams_are_found(fitted, texts, monkeypatch, few):
    rows, held_out = texts(3, 60), pad([[*row, EOS] for row in texts(4, 20)])
    whole = fitted(rows, order=4)
    monkeypatch.setattr(kneser_ney, "CHUNK", 7)
    monkeypatch.setattr(table, "PART", 5)
    monkeypatch.setattr(table, "FEW", few)  # a hash table for all contexts, or for none
    parts = fitted(rows, order=4)
    assert [len(grams.table) > 0 for grams in parts.model.orders] == [few == 0] * 4
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True))
    assert torch.equal(whole(held_out).log_prob, parts(held_out).log_prob)


def test_an_n_gram_takes_few_bytes():
    words = torch.randint(RESERVED, 500, (100, 40), generator=torch.Generator().manual_seed(0))
    family = NGram(500, order=5)
    family.accumulate(pad(words.tolist()))
    family.maximize()
    assert sum(held.nbytes for held in family.buffers()) < 30 * family.size()


def test_ngrams_are_those_of_the_text(fitted, texts):
    rows = texts(4, 40)
    family = fitted(rows, order=3)
    book = ByTheBook(rows, V, 3, (0, 0, 0))
    for k in (2, 3):
        grams, counts = family.ngrams(k)
        assert dict(zip(map(tuple, grams.tolist()), counts.tolist(), strict=True)) == book.counts[k - 1]
    grams, counts = family.ngrams(1)
    assert grams[:, 0].tolist() == list(range(1, V))
    assert counts[0] == 0  # BOS
    with pytest.raises(ValueError, match="order 4"):
        family.ngrams(4)


def test_the_fallback_discounts_are_said_aloud(fitted, caplog):
    family = fitted([[4, 5], [5]], order=2)
    assert family.discounts.tolist() == [[0.5, 1.0, 1.5]] * 2
    assert caplog.text.count("fallback discounts 0.5, 1.0 and 1.5") == 2
