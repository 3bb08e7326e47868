"""Likelihood on its scales: figures by hand, bounds told apart, nothing made of nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gentext.metrics.base import Absent
from gentext.metrics.intervals import standard_error
from gentext.metrics.likelihood import HeldOutLikelihood, OwnLikelihood, PaddedLikelihood
from gentext.types import Scores


def scores(log_prob, *, tokens=None, kind="exact", convention="line", split="test", chars=None) -> Scores:
    log_prob = torch.tensor(log_prob, dtype=torch.float64)
    ones = torch.ones(len(log_prob), dtype=torch.long)
    tokens = ones * 4 if tokens is None else torch.tensor(tokens)
    chars = ones * 20 if chars is None else torch.tensor(chars)
    return Scores(log_prob, tokens, chars, ones * 25, ones * 5, split, kind, convention)


def values(metric, *parts):
    for part in parts:
        metric.update(part)
    return metric.values()


def test_figures_by_hand():
    found = values(HeldOutLikelihood(), scores([-6.0, -10.0, -8.0], tokens=[3, 4, 5], chars=[10, 20, 30]))
    expected = {
        "nll_test": 8.0,
        "token_nll": 2.0,
        "bits_per_char": 24 / 60 / math.log(2),
        "bits_per_byte": 24 / 75 / math.log(2),
        "word_ppl": math.exp(24 / 15),
    }
    assert {name: value.value for name, value in found.items()} == pytest.approx(expected)
    for name, value in found.items():
        assert value.interval[0] <= value.value <= value.interval[1]
        version = 2 if name.startswith("bits") else 1  # of the text, whatever the vocabulary
        assert value.signature == f"{name}|line|split:test|seqs:3|v:{version}"
        assert (value.exactness, value.higher_is_better, value.n) == ("exact", False, 3)
        if name != "word_ppl":
            assert value.per_sequence.mean() == pytest.approx(value.value)


@pytest.mark.parametrize("n", [50, 3_000])
def test_an_error_that_all_texts_share_is_in_every_interval(n):
    rng = np.random.default_rng(0)
    tokens = rng.integers(2, 60, n)
    plain = scores(-rng.normal(2.0 * tokens, np.sqrt(tokens)), tokens=tokens, split="samples")
    alone, shared = (values(OwnLikelihood(), replace(plain, error=error)) for error in (0.0, 0.7))
    for name, unit in (("nll_div", 1.0), ("token_nll_div", tokens.mean())):
        ends = np.array(shared[name].interval) - shared[name].value
        own = standard_error(alone[name].per_sequence)
        assert ends == pytest.approx(np.array([-1, 1]) * 1.959964 * np.hypot(own, 0.7 / unit))
        assert shared[name].interval_kind == "normal+draws"
        assert alone[name].interval_kind != "normal+draws"
        assert shared[name].value == alone[name].value


def test_figures_of_each_text_have_the_error_of_the_whole_and_none_of_its_length():
    """The spread of the lengths made the error of a figure for each token three times as large in tests."""
    rng = np.random.default_rng(0)
    n, tokens = 400, rng.integers(2, 60, 400)
    chars = 5 * tokens + rng.integers(0, 9, n)
    nats = rng.normal(2.0 * tokens, np.sqrt(tokens))
    for metric, split in ((HeldOutLikelihood(), "test"), (OwnLikelihood(), "samples"), (PaddedLikelihood(60), "test")):
        found = values(metric, scores(-nats, tokens=tokens, chars=chars, split=split))
        units = {"token_nll": tokens, "token_nll_div": tokens, "bits_per_char": chars * math.log(2)}
        for name, value in found.items():
            if value.per_sequence is None:
                continue
            unit = units.get(name, np.full(n, nats.sum() / value.value / n))
            without = (nats.sum() - nats) / (unit.sum() - unit)
            jackknifed = np.sqrt((n - 1) * without.var())
            assert value.per_sequence.mean() == pytest.approx(value.value), name
            assert standard_error(value.per_sequence) == pytest.approx(jackknifed, rel=0.02), name
            assert value.interval[1] - value.interval[0] == pytest.approx(2 * 1.96 * jackknifed, rel=0.05), name


def test_unknown_words_are_spelled_in_figures_of_the_text_and_name_the_vocabulary_in_all_others():
    known = scores([-6.0, -10.0, -8.0])
    some = replace(known, vocabulary="1f0c92ab", closed=True, spelling=torch.tensor([0.0, 12.0, 0.0]).double())
    found = values(HeldOutLikelihood(), some)
    assert found["bits_per_char"].value == pytest.approx((24 + 12) / 60 / math.log(2))
    assert found["bits_per_byte"].value == pytest.approx((24 + 12) / 75 / math.log(2))
    assert found["bits_per_char"].signature == values(HeldOutLikelihood(), known)["bits_per_char"].signature
    for name, value in (("nll_test", 8.0), ("token_nll", 2.0), ("word_ppl", math.exp(24 / 15))):
        assert found[name].value == pytest.approx(value)
        assert found[name].signature == f"{name}|line|vocab:1f0c92ab|split:test|seqs:3|v:1"
    unspelled = values(HeldOutLikelihood(), replace(some, spelling=None))
    assert isinstance(unspelled["bits_per_char"], Absent)
    assert unspelled["nll_test"].value == 8
    whole = values(HeldOutLikelihood(), replace(known, vocabulary="1f0c92ab", spelling=torch.zeros(3).double()))
    told = {name: "vocab" in value.signature for name, value in whole.items()}
    assert told == {name: name == "token_nll" for name in told}  # any vocabulary that knows all words is as good


def test_a_bound_is_marked_and_none_is_absent():
    bound = scores([-1.0, -2.0], kind="bound", convention="line+iw:500")
    found = values(HeldOutLikelihood(), bound)
    assert {value.exactness for value in found.values()} == {"upper"}
    assert found["nll_test"].signature == "nll_test|line|iw:500|split:test|seqs:2|v:1"
    with pytest.raises(Absent, match="neither exact nor a bound"):
        values(HeldOutLikelihood(), scores([-1.0], kind="none"))
    with pytest.raises(Absent, match="there are none"):
        HeldOutLikelihood().values()


def test_a_pseudo_likelihood_is_marked_as_such():
    found = values(HeldOutLikelihood(), scores([-1.0, -2.0], kind="pseudo"))
    assert {value.exactness for value in found.values()} == {"pseudo"}


def test_parts_make_the_whole_and_reset_forgets():
    whole, parts = HeldOutLikelihood(), HeldOutLikelihood()
    at_once = values(whole, scores([-1.0, -2.0, -3.0]))
    assert values(parts, scores([-1.0]), scores([-2.0, -3.0]))["nll_test"].interval == at_once["nll_test"].interval
    parts.reset()
    assert values(parts, scores([-7.0], split="valid"))["nll_test"].value == 7
    parts.update(scores([-7.0], split="train"))
    with pytest.raises(ValueError, match="exact line train and exact line valid; one metric takes one split"):
        parts.values()


def test_infinite_cost_is_told_and_a_diverged_model_is_an_error():
    found = values(HeldOutLikelihood(), scores([-1.0, -math.inf]))
    assert found["bits_per_char"].value == math.inf == found["word_ppl"].value
    assert found["bits_per_char"].interval is None
    with pytest.raises(ValueError, match="sequence 1 of test is not a number"):
        values(HeldOutLikelihood(), scores([-1.0, math.nan]))


def test_units_that_are_not_there_leave_the_other_figures():
    found = values(HeldOutLikelihood(), scores([-1.0, -2.0], chars=[0, 0]))
    assert isinstance(found["bits_per_char"], Absent)
    assert found["token_nll"].value == pytest.approx(3 / 8)


def test_entropy_of_the_models_own_samples():
    found = values(OwnLikelihood(), scores([-2.0, -4.0], split="samples"))
    assert (found["nll_div"].value, found["token_nll_div"].value) == (3.0, pytest.approx(6 / 8))
    assert found["nll_div"].higher_is_better is None


def test_padded_likelihood_divides_by_all_places():
    """Texygen's MLE on captions: 26.6 nats a sentence look like 0.718 a token where 37 places are counted."""
    found = values(PaddedLikelihood(width=37), scores([-26.566] * 3))["padded_nll"]
    assert found.value == pytest.approx(0.718)
    assert found.signature == "padded_nll|width:37|line|split:test|seqs:3|v:1"
    assert values(PaddedLikelihood(), scores([-2.0, -6.0], tokens=[1, 4]))["padded_nll"].value == 1.0
    with pytest.raises(Absent, match="4 tokens, more than the 3"):
        values(PaddedLikelihood(width=3), scores([-1.0]))
    with pytest.raises(ValueError, match="width is 0"):
        PaddedLikelihood(width=0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(-60, -0.1), st.integers(1, 30)), min_size=2, max_size=20), st.randoms())
def test_order_does_not_matter_and_scales_agree(rows, draw):
    def figures(rows):
        log_prob, tokens = zip(*rows, strict=True)
        return {k: v.value for k, v in values(HeldOutLikelihood(resamples=0), scores(log_prob, tokens=tokens)).items()}

    found = figures(rows)
    assert figures(draw.sample(rows, len(rows))) == pytest.approx(found)
    assert found["bits_per_char"] * 20 == pytest.approx(found["bits_per_byte"] * 25)
    assert np.log(found["word_ppl"]) * 5 == pytest.approx(found["nll_test"])
