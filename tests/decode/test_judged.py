"""Decoders that draw more than they give, against closed forms over three words."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF

from gentext.data import Word
from gentext.data.source import Truth
from gentext.decode import Ancestral, Consensus, Constrained, Filter, Refine, Reject, Rerank, Resample, WordList
from gentext.decode import consensus as mbr
from gentext.decode.reject import log_acceptance
from gentext.language_model import Decoder, Judge, LanguageModel
from gentext.metrics import KnownTruth
from gentext.models import HMM, NGram
from gentext.types import EOS, Batch, Samples, Scores, Step, pad


class Words(Judge):
    """Log-odds by a text's first token."""

    odds = True

    def __init__(self, odds: dict[int, float]) -> None:
        self.by_token = odds

    def score(self, batch: Batch) -> torch.Tensor:
        return torch.tensor([self.by_token.get(int(first), 0.0) for first in batch.tokens[:, 0]])


class Length(Judge):
    def score(self, batch: Batch) -> torch.Tensor:
        return batch.lengths.float()


def family() -> NGram:
    model = NGram(7, order=2)
    model.accumulate(pad([[4, EOS]] * 6 + [[5, EOS]] * 3 + [[6, EOS]] + [[4, 5, 6, EOS]] * 2))
    model.maximize()
    return model.eval()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(batch: Batch) -> torch.Tensor:
    return torch.bincount(batch.tokens[:, 0], minlength=7)[4:] / len(batch)


def test_the_best_of_k_has_its_closed_form():
    model, n, k = family(), 4000, 3
    first = model.start(1).logits.softmax(-1)[0]
    order = [6, 5, 4]  # worst to best; every other first token is worse still
    odds = {token: float(i + 1) for i, token in enumerate(order)}
    below, wanted = 1 - float(first[[4, 5, 6]].sum()), {}
    for token in order:
        wanted[token] = (below + float(first[token])) ** k - below**k
        below += float(first[token])
    found = shares(Rerank(judge=Words(odds), candidates=k)(model, n, 5, rng=rng()))
    assert found.tolist() == pytest.approx([wanted[t] for t in (4, 5, 6)], abs=4 * math.sqrt(0.25 / n))


def test_the_likeliest_draw_is_the_likeliest():
    model = family()
    made = Rerank(by="likelihood", candidates=64)(model, 3, 5, rng=rng())
    every = model.sample(2000, 5, decoder=Rerank(by="likelihood", candidates=2).base, rng=rng(1))
    best = (model.log_prob(every) / every.lengths).max()
    assert torch.allclose((model.log_prob(made) / made.lengths).max(), best)


def test_the_sum_weighs_the_two():
    model = family()
    heavy = Rerank(judge=Length(), by="sum", weight=100.0, candidates=8)(model, 50, 5, rng=rng())
    own = Rerank(by="likelihood", candidates=8)(model, 50, 5, rng=rng())
    assert torch.equal(heavy.tokens, own.tokens)


def test_rejection_keeps_by_the_formula():
    model, odds = family(), {4: -2.0, 5: 0.0, 6: 2.0}
    first = model.start(1).logits.softmax(-1)[0].double()
    decoder = Reject(judge=Words(odds), accept=0.2, burn_in=4000)
    n = 3000
    batch = decoder(model, n, 5, rng=rng())
    log_odds = torch.tensor([odds.get(token, 0.0) for token in range(7)], dtype=torch.double)
    best = torch.tensor(2.0, dtype=torch.double)
    low, high = -50.0, 50.0
    for _ in range(80):
        gamma = (low + high) / 2
        rate = float((first * log_acceptance(log_odds, best, gamma).exp()).sum())
        low, high = (gamma, high) if rate > 0.2 else (low, gamma)
    wanted = first * log_acceptance(log_odds, best, gamma).exp() / 0.2
    assert shares(batch).tolist() == pytest.approx(wanted[4:].tolist(), abs=0.04)
    assert 3 < (decoder.count.drawn - 4000) / n < 8


class Tiny(LanguageModel):
    """Twelve texts: one word of three, and with probability 0.4 a second."""

    def __init__(self) -> None:
        super().__init__()
        self.vocab_size = 7
        self.first = torch.tensor([0, 0, 0, 0, 0.6, 0.3, 0.1])

    def start(self, n, *, rng=None):
        return Step(self.first.log().expand(n, -1), torch.zeros(n))

    def step(self, state, tokens):
        more = torch.where(state == 0, 0.4, 0.0)[:, None]
        end = torch.nn.functional.one_hot(torch.tensor(EOS), 7)
        return Step((more * self.first + (1 - more) * end).log(), state + 1)


TEXTS = [[a, EOS] for a in (4, 5, 6)] + [[a, b, EOS] for a in (4, 5, 6) for b in (4, 5, 6)]
ODDS = [0.0, 1.5, -2.0, 0.5, 0.5, 3.0, -1.0, 1.0, 2.0, 0.0, -3.0, 2.5]  # of each; two pairs are alike
P = torch.tensor([0.1, 0.2, 0.1, 0.05, 0.05, 0.1, 0.05, 0.05, 0.15, 0.05, 0.0, 0.1], dtype=torch.double)


class Table(Judge):
    """Log-odds of every text of `Tiny`."""

    odds = True

    def score(self, batch: Batch) -> torch.Tensor:
        return torch.tensor(ODDS)[numbers(batch)]


def numbers(batch: Batch) -> torch.Tensor:
    """Which of `TEXTS` each row is."""
    first, second = batch.tokens[:, 0] - 4, batch.tokens[:, 1]
    return torch.where(second == EOS, first, 3 * first + second - 1)


class Twelve(Truth):
    """p over the texts of `Tiny`, each written as its number."""

    name = "twelve"

    def log_prob(self, texts):
        return P.log().numpy()[[int(text) for text in texts]]


def exactly(decoder) -> torch.Tensor:
    """What a decoder gives each text, by enumeration of all candidates."""
    q, s = Tiny().log_prob(pad(TEXTS)).double().exp(), torch.tensor(ODDS, dtype=torch.double)
    if isinstance(decoder, Reject):
        made = q * log_acceptance(s, *decoder._constants(Tiny(), None)).exp()
        return made / made.sum()
    made = torch.zeros(len(q), dtype=torch.double)
    for drawn in itertools.product(range(len(q)), repeat=decoder.candidates):
        scores = s[list(drawn)]
        best = scores == scores.max()
        share = best.double() / best.sum() if isinstance(decoder, Rerank) else scores.softmax(0)
        made.index_add_(0, torch.tensor(drawn), q[list(drawn)].prod() * share)
    return made


@pytest.mark.parametrize(
    "decoder",
    [
        Rerank(judge=Table(), candidates=3),
        Resample(judge=Table(), candidates=3),
        Reject(judge=Table(), accept=0.2),
    ],
    ids=["rerank", "residual_ebm", "reject"],
)
def test_what_a_judge_chooses_has_a_distribution(decoder):
    """Its probabilities, its draws and KL(q, p) are those of the enumeration."""
    exact, n = exactly(decoder), 4000
    known = decoder.distribution(Tiny())
    found = known.log_prob(pad(TEXTS))
    assert known.likelihood == "exact"
    assert float(exact.sum()) == pytest.approx(1)
    assert found.exp().tolist() == pytest.approx(exact.tolist(), rel=0.06, abs=1e-4)
    batch = decoder(Tiny(), n, 5, rng=rng())
    assert numbers(pad(TEXTS)).tolist() == list(range(len(TEXTS)))
    rows = numbers(batch)
    shares = torch.bincount(rows, minlength=len(TEXTS)) / n
    assert shares.tolist() == pytest.approx(exact.tolist(), abs=4 * math.sqrt(0.25 / n))
    error = known.error(batch)
    assert 0 < error < 0.05
    assert abs(float((exact * (found - exact.log())).sum())) < 3 * error
    ones, metric = torch.ones(n, dtype=torch.long), KnownTruth()
    scores = Scores(known.log_prob(batch), ones, ones, ones, ones, "samples", "exact", error=error)
    metric.update(Twelve(), samples=Samples(tuple(map(str, rows.tolist()))), sample_scores=scores)
    value, inside = metric.values()["kl_qp"], P > 0
    given = exact[inside] / exact[inside].sum()
    low, high = value.interval
    assert low < float((given * (given / P[inside]).log()).sum()) < high
    assert (high - low) / 2 > 1.96 * error


def test_the_best_of_k_is_as_far_from_its_base_as_the_closed_form_says():
    """log k - (k - 1) / k nats where no two texts score the same (Beirami et al. 2024)."""
    bank, k = torch.randn(8192, generator=rng(), dtype=torch.double), 16
    best = torch.randn(4000, k, generator=rng(1), dtype=torch.double).amax(1)
    weigh = Rerank(judge=Table(), candidates=k).weighing(Tiny())
    assert float(weigh(best, bank).mean()) == pytest.approx(math.log(k) - (k - 1) / k, abs=0.08)
    assert float(weigh(bank, bank).exp().mean()) == pytest.approx(1, abs=0.01)


def test_a_choice_has_no_likelihood_where_its_base_has_none():
    assert Rerank(judge=Table(), base=Ancestral(top_k=2)).distribution(Tiny()) is None
    assert Rerank(judge=Table()).distribution(Tiny(), length=3) is None
    cold = Rerank(judge=Table(), base=Ancestral(temperature=0.5), candidates=2).distribution(Tiny())
    assert float(cold.log_prob(pad(TEXTS)).exp().sum()) == pytest.approx(1, abs=0.02)


def test_rejection_that_would_not_end_says_its_rate():
    with pytest.raises(ValueError, match=r"kept \d+ of \d+ draws \(\d+\.\d+%\)"):
        Reject(judge=Words({4: -50.0, 5: -50.0, 6: 3.0}), accept=0.001, burn_in=500, most=2)(family(), 50, 5, rng=rng())


@pytest.mark.parametrize("infills", [False, True])
def test_refining_raises_the_judge_s_score(infills):
    torch.manual_seed(0)
    model = HMM(7, states=4).eval() if infills else family()
    decoder = Refine(judge=Length(), rounds=3, share=0.5)
    plain = decoder.base(model, 64, 8, rng=rng())
    made = decoder(model, 64, 8, rng=rng())
    assert made.lengths.float().mean() > plain.lengths.float().mean()
    assert made.tokens.shape[1] <= 8
    assert decoder.count.drawn == 64 + 3 * 32


def test_utilities_are_sacrebleu_s():
    rows = [[4, 5, 6, 4, 5], [4, 5, 6, 6], [5, 5, 4, 5, 6, 6]]
    words = [" ".join(chr(93 + token) for token in row) for row in rows]
    batch = pad(rows)
    ours = mbr.bleu(batch.tokens, batch.mask)
    bleu = BLEU(smooth_method="add-k", smooth_value=1, effective_order=False, tokenize="none")
    for i, hypothesis in enumerate(words):
        for j, reference in enumerate(words):
            assert float(ours[i, j]) * 100 == pytest.approx(
                bleu.sentence_score(hypothesis, [reference]).score, abs=0.01
            )
    texts = ["abcab", "abca", "babcc"]
    codes = pad([[ord(c) for c in text] for text in texts])
    chrf = CHRF()
    for i, hypothesis in enumerate(texts):
        for j, reference in enumerate(texts):
            found = float(mbr.chrf(codes.tokens, codes.mask)[i, j]) * 100
            assert found == pytest.approx(chrf.sentence_score(hypothesis, [reference]).score, abs=0.01)


class Fixed(Decoder):
    """Draws the same texts each time."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.batch = pad(rows)

    def __call__(self, family, n, max_len, *, rng, prompt=None) -> Batch:
        assert n == len(self.batch)
        return self.batch


def test_the_consensus_is_the_text_most_like_the_others():
    rows = [[4, 4, 4, 4, 4, EOS], [5, 6, 5, 6, EOS], [5, 6, 5, 4, EOS], [5, 6, 5, 6, 6, EOS]]
    made = Consensus(base=Fixed(rows), candidates=4)(family(), 1, 6, rng=rng())
    words = [" ".join(chr(93 + token) for token in row[:-1]) for row in rows]
    bleu = BLEU(smooth_method="add-k", smooth_value=1, effective_order=False, tokenize="none")
    mean = [sum(bleu.sentence_score(a, [b]).score for b in words if b != a) for a in words]
    best = max(range(4), key=mean.__getitem__)
    assert made.tokens[0][made.mask[0]].tolist() == rows[best]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rerank(), "judge is null"),
        (lambda: Rerank(judge=Length(), candidates=0), "candidates is 0"),
        (lambda: Resample(judge=Length()), "gives no odds"),
        (lambda: Reject(judge=Words({}), accept=1.5), "accept is 1.5"),
        (lambda: Refine(judge=Length(), share=0.0), "share is 0.0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_rejection_keeps_its_share_when_a_rarer_text_turns_up_that_is_liked_far_more():
    model = family()

    class Rare(Judge):
        """Log-odds that no draw of the burn-in has, whatever its seed: 300 of what begins 6 5."""

        odds = True
        seen = 0

        def score(self, batch):
            self.seen += 1
            liked = torch.tensor([300.0 if row[:2] == [6, 5] else 0.0 for row in batch.tokens.tolist()])
            return liked if self.seen > 1 else torch.zeros(len(batch))

    decoder = Reject(judge=Rare(), accept=0.2, burn_in=100, most=20)
    batch = decoder(model, 300, 5, rng=torch.Generator().manual_seed(0))
    assert len(batch) == 300
    assert decoder.count.drawn < 3500  # as `accept` says: 300 / 0.2, the burn-in, and the last draw's surplus


def test_what_is_judged_has_the_length_of_a_corpus_of_one_length():
    tokenizer = Word().fit(["a b c"])
    every = [
        Consensus(candidates=3, utility="chrf"),
        Rerank(by="likelihood", candidates=3),
        Resample(judge=Words({4: -1.0, 5: 1.0}), candidates=3),
        Reject(judge=Words({4: -1.0, 5: 1.0}), accept=0.3, burn_in=50),
        Refine(judge=Length(), rounds=2),
        Filter(flag=WordList(["zebra"]), base=Rerank(by="likelihood", candidates=2)),
    ]
    torch.manual_seed(0)
    for model in (family(), HMM(7, states=4).eval()):
        for plain in every:
            decoder = plain.reading(tokenizer).lasting(6)
            batch = model.sample(5, 6, decoder=decoder, rng=rng())
            assert batch.lengths.tolist() == [6] * 5
            assert not bool((batch.tokens == EOS).any())
            assert decoder.count.drawn == plain.count.drawn > 0
    with pytest.raises(ValueError, match="decode=constrained ends each within max_len"):
        Filter(flag=WordList(["a"]), base=Constrained(contains=["a"])).lasting(6)
    with pytest.raises(ValueError, match="Fixed cannot be told so"):
        Rerank(by="likelihood", base=Fixed([[4]])).lasting(6)
