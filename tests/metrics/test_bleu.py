"""BLEU and Self-BLEU against NLTK's sentence_bleu, and against the tables that Texygen published."""

import os
import random
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from gentext.data import shared_ngrams
from gentext.data.ngram_arrays import hashed
from gentext.metrics import bleu_counts, intervals
from gentext.metrics.base import Absent
from gentext.metrics.bleu import BLEU, SelfBLEU
from gentext.types import Samples

ORDERS = range(1, 6)
WORDS = {"words": "whitespace", "lowercase": False, "groups": 0}
TEXTS = st.lists(st.text("abc ", max_size=12), min_size=1, max_size=6)


def nltk_bleu(hypothesis: str, references: list[str], order: int, smoothing: str = "method1") -> float:
    smooth = getattr(SmoothingFunction(), smoothing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # method0 warns of every zero count
        return float(sentence_bleu([r.split() for r in references], hypothesis.split(), [1 / order] * order, smooth))


def random_corpus(seed: int, n: int, vocabulary: str = "abcdefghij") -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(vocabulary, k=draw.choice([0, 1, 2, 3, 5, 8, 13]))) for _ in range(n)]


def bleu(texts: list[str], others: list[str], **options) -> np.ndarray:
    metric = BLEU(**{**WORDS, **options})
    metric.update(Samples(tuple(texts)), Samples(tuple(others)))
    return np.stack([value.per_sequence for value in metric.values().values()])


def selfbleu(samples: list[str], **options) -> dict[str, float]:
    metric = SelfBLEU(**{**WORDS, **options})
    metric.update(Samples(tuple(samples)))
    return {name: value.value for name, value in metric.values().items()}


ADVERSARIAL = {
    "short": (["a", "b c", "", "a b c"], ["a b", "c", "b"]),
    "repeated": (["a a a a a a", "the the the the", "a b a b a b"], ["a a a", "the cat", "b a b a b", "a a a a"]),
    "disjoint": (["x y z", "x"], ["a b c", "d e f g"]),
    "empty": (["", "  ", "a"], ["", "a b"]),
    "ties": (["a b c d", "a b", "a b c d e f"], ["a b c", "a b c d e", "x", "a b c d e f g h"]),
    "one word": (["a"] * 3, ["a"]),
}


@pytest.mark.parametrize("smoothing", ["method1", "method0"])
@pytest.mark.parametrize("case", [*ADVERSARIAL, 0, 1, 2])
def test_bleu_equals_nltk(case, smoothing):
    hypotheses, references = ADVERSARIAL.get(case) or (random_corpus(case, 40), random_corpus(case + 9, 30))
    ours = bleu(hypotheses, references, smoothing=smoothing)
    for order in ORDERS:
        theirs = [nltk_bleu(h, references, order, smoothing) for h in hypotheses]
        np.testing.assert_allclose(ours[order - 1], theirs, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS)
def test_bleu_equals_nltk_on_anything(hypotheses, references):
    ours = bleu(hypotheses, references, max_order=3)
    for order in (1, 2, 3):
        theirs = [nltk_bleu(h, references, order) for h in hypotheses]
        np.testing.assert_allclose(ours[order - 1], theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", [*ADVERSARIAL, 0, 1, 2])
def test_selfbleu_equals_nltk_against_all_others(case):
    samples = [*chain(*ADVERSARIAL[case])] if case in ADVERSARIAL else random_corpus(case, 40)
    ours = selfbleu(samples)
    for order in ORDERS:
        theirs = [nltk_bleu(h, samples[:i] + samples[i + 1 :], order) for i, h in enumerate(samples)]
        assert ours[f"selfbleu{order}"] == pytest.approx(np.mean(theirs), abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("abc ", max_size=12), min_size=2, max_size=7))
def test_selfbleu_equals_nltk_on_anything(samples):
    ours = selfbleu(samples, max_order=2)
    for order in (1, 2):
        theirs = [nltk_bleu(h, samples[:i] + samples[i + 1 :], order) for i, h in enumerate(samples)]
        assert ours[f"selfbleu{order}"] == pytest.approx(np.mean(theirs), abs=1e-12)


SIDES = {  # which of 60 texts are hypotheses, which references, and whether each is left out of its own
    "self": (slice(0, 60), slice(0, 60), True),
    "capped": (slice(0, 50), slice(0, 40), True),
    "included": (slice(0, 40), slice(0, 60), False),
    "halves": (slice(0, 30), slice(30, 60), False),
}


@pytest.mark.parametrize("smoothing", ["method1", "floor", "skip"])
@pytest.mark.parametrize("case", SIDES)
@pytest.mark.parametrize("groups", [2, 7, 50])
def test_means_without_a_group_are_those_of_the_others(monkeypatch, case, smoothing, groups):
    """By force: every group left out and all others scored again."""
    monkeypatch.setattr(shared_ngrams, "PART", 16)
    monkeypatch.setattr(bleu_counts, "BLOCK", 8)
    texts = hashed(text.split() for text in [*random_corpus(groups, 58, "abcd"), "a b c d " * 6, "x y z"])
    ours, theirs = np.zeros((2, 60), dtype=bool)
    ours[SIDES[case][0]], theirs[SIDES[case][1]], alone = True, True, SIDES[case][2]
    group = intervals.group_of(60, groups, 0)
    shared = bleu_counts.overlap(texts, 4, None if alone else np.stack([ours, theirs], 1))
    values, means = shared.bleu_without(group, ours, theirs, smoothing, alone)
    assert values.tolist() == shared.bleu(ours, theirs, smoothing, alone).tolist()
    for left_out, mean in enumerate(means):
        kept = group != left_out
        again = shared.bleu(ours & kept, theirs & kept, smoothing, alone).mean(1)
        assert mean == pytest.approx(again, abs=1e-12)


def test_peers_conventions():
    samples, references = random_corpus(1, 40), random_corpus(2, 30)

    def mean(hypotheses, others):
        return pytest.approx(np.mean([nltk_bleu(h, others, 4) for h in hypotheses]), abs=1e-12)

    assert bleu(samples, references, references=7, hypotheses=11)[3].mean() == mean(samples[:11], references[:7])
    assert selfbleu(samples, mode="included", hypotheses=9)["selfbleu4"] == mean(samples[:9], samples)
    assert selfbleu(samples, mode="fresh", hypotheses=9)["selfbleu4"] == mean(samples[:9], samples[9:])
    assert selfbleu(samples, mode="halves")["selfbleu4"] == mean(samples[:20], samples[20:])
    texygen = [nltk_bleu(samples[i], samples[:i] + samples[i + 1 : 12], 4) for i in range(12)]
    assert selfbleu(samples, hypotheses=12, references=12)["selfbleu4"] == pytest.approx(np.mean(texygen), abs=1e-12)
    more = [nltk_bleu(samples[i], samples[:i][:5] + samples[i + 1 : 5], 4) for i in range(12)]
    assert selfbleu(samples, hypotheses=12, references=5)["selfbleu4"] == pytest.approx(np.mean(more), abs=1e-12)


def test_other_smoothings():
    """One of four bigrams, no trigram; and no word at all."""
    floor = bleu(["a b x y z", "q"], ["a b c d e"], smoothing="floor", max_order=3)
    assert floor[2].tolist() == pytest.approx([(2 / 5 * 1 / 4 * 0.1 / 3) ** (1 / 3), 0.1 * np.exp(1 - 5)])
    skip = bleu(["a b x y z", "q"], ["a b c d e"], smoothing="skip", max_order=3)
    assert skip[2].tolist() == pytest.approx([(2 / 5 * 1 / 4) ** (1 / 3), 0])


@settings(deadline=None, max_examples=30)
@given(TEXTS, TEXTS, st.randoms())
def test_order_of_texts_does_not_matter_and_scores_are_shares(hypotheses, references, draw):
    before = bleu(hypotheses, references)
    assert before.min() >= 0
    assert before.max() <= 1 + 1e-12
    shuffled, others = draw.sample(hypotheses, len(hypotheses)), draw.sample(references, len(references))
    np.testing.assert_allclose(bleu(shuffled, others).mean(1), before.mean(1))
    if len(hypotheses) > 1:
        assert selfbleu(shuffled) == pytest.approx(selfbleu(hypotheses))


def test_values_say_how_they_were_made():
    metric = BLEU(groups=100)
    metric.update(Samples(("A dog sat.", "two cats")), Samples(("a dog sat", "a cat", "the dog.")))
    value = metric.values()["bleu4"]
    assert value.signature == "bleu4|refs:3|hyps:2|smooth:method1|tok:treebank+lower|v:1"
    assert value.value == pytest.approx(value.per_sequence.mean())
    assert value.interval is None  # of three references none is left out without a change of what is measured
    assert metric.compute()["bleu2"] == metric.values()["bleu2"].value
    metric = BLEU(words="char", lowercase=False)
    metric.update(Samples(tuple(random_corpus(1, 40))), Samples(tuple(random_corpus(2, 50))))
    value = metric.values()["bleu4"]
    assert value.interval[0] <= value.value <= value.interval[1]
    own = SelfBLEU(words="char", lowercase=False, groups=10)
    own.update(Samples(tuple(random_corpus(3, 80))))
    value = own.values()["selfbleu3"]
    assert value.signature == "selfbleu3|refs:leave-one-out|hyps:80|smooth:method1|tok:char|v:1"
    assert value.interval_kind == "jackknife:10"
    assert value.per_sequence is None
    own = SelfBLEU(hypotheses=9, references=12, words="char", lowercase=False)
    own.update(Samples(tuple(random_corpus(3, 80))))
    assert own.values()["selfbleu3"].signature.startswith("selfbleu3|refs:leave-one-out:12|hyps:9|")


def test_golden_values():
    hypotheses, references = random_corpus(11, 50), random_corpus(12, 50)
    assert bleu(hypotheses, references).mean(1).round(6).tolist() == GOLDEN_BLEU
    assert [round(value, 6) for value in selfbleu(hypotheses).values()] == GOLDEN_SELF


GOLDEN_BLEU = [0.771346, 0.631807, 0.329086, 0.198833, 0.154461]
GOLDEN_SELF = [0.764103, 0.569436, 0.260499, 0.169533, 0.137043]


def test_missing_evidence_is_absent():
    metric = BLEU()
    with pytest.raises(Absent, match="1 or more samples, and there are 0"):
        metric.values()
    metric.update(samples=Samples(("a",)))
    with pytest.raises(Absent, match="references"):
        metric.values()
    own = SelfBLEU()
    own.update(Samples(("a b",)))
    with pytest.raises(Absent, match="2 or more samples, and there are 1"):
        own.values()
    own = SelfBLEU(mode="fresh", hypotheses=9)
    own.update(Samples(("a b", "b")))
    with pytest.raises(Absent, match="no samples are left"):
        own.values()


@pytest.mark.parametrize(
    "make",
    [
        lambda: BLEU(max_order=0),
        lambda: BLEU(smoothing="method9"),
        lambda: BLEU(references=0),
        lambda: BLEU(words="nltk"),
        lambda: SelfBLEU(mode="all"),
        lambda: SelfBLEU(mode="fresh"),
        lambda: SelfBLEU(mode="halves", hypotheses=3),
    ],
)
def test_wrong_arguments_are_told(make):
    with pytest.raises(ValueError, match=r"must be|say how many|leave"):
        make()


def test_references_of_another_tokenisation_are_told(caplog):
    bleu(["a dog sat on the mat"], ["ADOG SATON THEMAT", "THE"])
    assert "6 words 0 occur in the references" in caplog.text
    caplog.clear()
    bleu(["a dog sat ."] * 3, ["a dog sat.", "a cat sat."])
    assert "100 % of samples and 0 % of references end in a full stop apart" in caplog.text
    caplog.clear()
    bleu(["a dog sat on the mat"], ["a dog sat on a log"])
    bleu(["a dog sat .", "a dog"], ["a dog sat ."])
    assert not caplog.text


def read(path: str) -> Samples:
    return Samples(tuple((Path(os.environ["GENTEXT_DATA"]) / path).read_text().splitlines()))


DATA = pytest.mark.skipif(
    "GENTEXT_DATA" not in os.environ, reason="GENTEXT_DATA names no folder with Texygen's samples"
)
TABLES = {  # Zhu et al. 2018, tables of BLEU and Self-BLEU on Image COCO
    "mle": ((0.731, 0.497, 0.305, 0.189), (0.916, 0.769, 0.583, 0.408)),
    "seq": ((0.745, 0.498, 0.294, 0.180), (0.950, 0.840, 0.670, 0.489)),
    "leakgan": ((0.746, 0.528, 0.355, 0.230), (0.966, 0.913, 0.848, 0.780)),
}


@DATA
@pytest.mark.parametrize("model", TABLES)
def test_texygens_published_tables(model):
    samples, references = read(f"texygen-samples/{model}.txt"), read("coco/test.txt")
    metric, own = BLEU(groups=0), SelfBLEU(groups=0)
    metric.update(samples, references)
    own.update(samples)
    for name, values, published in zip(("bleu", "selfbleu"), (metric, own), TABLES[model], strict=True):
        found = values.compute()
        # published to three digits, so that 0.001 on top of half a digit is what can be asked
        assert [found[f"{name}{k}"] for k in range(2, 6)] == pytest.approx(published, abs=0.0011)


PEERS = [  # their own code on the same samples: BLEU-2..5 or Self-BLEU-2..5
    (BLEU(references=500, groups=0), (0.5159, 0.2788, 0.1560, 0.0970)),  # Texygen's default
    (BLEU(hypotheses=200, groups=0), (0.718, 0.473, 0.292, 0.177)),  # TextGAN-PyTorch
    (SelfBLEU(hypotheses=500, references=500, groups=0), (0.7014, 0.4768, 0.3014, 0.1887)),  # Texygen's default
    (SelfBLEU(mode="halves", groups=0), (0.8819, 0.7128, 0.5186, 0.3520)),  # TaylorGAN
    (SelfBLEU(mode="fresh", hypotheses=200, groups=0), (0.908, 0.751, 0.560)),  # TextGAN-PyTorch
    (SelfBLEU(mode="included", hypotheses=200, groups=0), (1.0, 1.0, 1.0, 1.0)),  # RelGAN
]


@DATA
@pytest.mark.parametrize(("metric", "theirs"), PEERS)
def test_peers_numbers_on_texygens_samples(metric, theirs):
    evidence = {"samples": read("texygen-samples/mle.txt"), "references": read("coco/test.txt")}
    metric.update(**{key: evidence[key] for key in metric.collections})
    assert list(metric.compute().values())[1 : 1 + len(theirs)] == pytest.approx(theirs, abs=0.0006)
