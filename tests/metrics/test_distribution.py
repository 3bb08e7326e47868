from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from gentext.metrics.base import Absent
from gentext.metrics.distribution import NgramDistribution
from gentext.types import Samples, Value

texts = st.lists(st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join), min_size=1, max_size=8)


def values(samples, references, **options):
    metric = NgramDistribution(words="whitespace", **{"groups": 0, **options})
    metric.update(samples=Samples(tuple(samples)), references=Samples(tuple(references)))
    return metric.values()


def counted(texts, order):
    words = [text.split() for text in texts]
    return Counter(tuple(w[i : i + order]) for w in words for i in range(len(w) - order + 1))


@settings(max_examples=60, deadline=None)
@given(texts, texts, st.sampled_from([0.5, 1.0]))
def test_every_figure_is_that_of_the_definition(samples, references, smoothing):
    found = values(samples, references, smoothing=smoothing)
    product = 1.0
    for k in range(1, 5):
        a, b = counted(samples, k), counted(references, k)
        if not a or not b:
            assert isinstance(found[f"msj{k}"], Absent)
            assert isinstance(found[f"ngram_js{k}"], Absent)
            continue
        grams = sorted(a | b)
        x, y = (np.array([side[g] for g in grams], dtype=float) for side in (a, b))
        each = x / len(samples), y / len(references)
        product *= np.minimum(*each).sum() / np.maximum(*each).sum()
        assert found[f"msj{k}"].value == pytest.approx(product ** (1 / k), abs=1e-12)
        assert found[f"ngram_js{k}"].value == pytest.approx(jensenshannon(x, y) ** 2, abs=1e-9)
        assert found[f"ngram_kl{k}"].value == pytest.approx(entropy(y + smoothing, x + smoothing), abs=1e-9)
        assert found[f"ngram_reverse_kl{k}"].value == pytest.approx(entropy(x + smoothing, y + smoothing), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(texts.filter(lambda given: any(given)), st.randoms())
def test_bounds_and_order(samples, draw):
    mixed = draw.sample(samples, len(samples))
    same = values(samples, mixed)
    assert same["msj1"].value == pytest.approx(1)
    assert same["ngram_js1"].value == pytest.approx(0, abs=1e-12)
    other = values(samples, ["x y z u v"])
    assert other["msj1"].value == 0
    assert other["ngram_js1"].value == pytest.approx(np.log(2))
    assert bare(values(mixed, ["a b"])) == bare(values(samples, ["a b"]))


def bare(found):
    return {name: value.value if isinstance(value, Value) else str(value) for name, value in found.items()}


def test_the_authors_example():
    """Their README prints {3: 0.17, 4: 0.13, 5: 0.09}."""
    references = [
        "It is a guide to action that ensures that the military will forever heed Party commands",
        "It is the guiding principle which guarantees the military forces always being under the command of the Party",
        "It is the practical guide for the army always to heed the directions of the party",
    ]
    sentences = [
        "It is a guide to action which ensures that the military always obeys the commands of the party",
        "he read the book because he was interested in world history",
    ]
    found = values(sentences, references, max_order=5, lowercase=False)
    published = {"msj3": 0.17, "msj4": 0.13, "msj5": 0.09}
    assert {name: found[name].value for name in published} == pytest.approx(published, abs=0.01)


def test_a_lack_and_an_invention_are_told_apart():
    references = ["a b c d"] * 20
    lacking, inventing = values(["a b"] * 20, references), values(["a b c d e f g h"] * 20, references)
    assert lacking["ngram_kl1"].value > lacking["ngram_reverse_kl1"].value
    assert inventing["ngram_kl1"].value < inventing["ngram_reverse_kl1"].value


@pytest.mark.slow
def test_the_interval_covers_the_spread_over_fresh_samples():
    rng = np.random.default_rng(0)

    def draw(n):
        return [" ".join(rng.choice(list("abcdefgh"), 6, p=np.arange(1, 9) / 36)) for _ in range(n)]

    fresh = [values(draw(200), draw(300))["ngram_js2"].value for _ in range(60)]
    low, high = values(draw(200), draw(300), groups=20)["ngram_js2"].interval
    assert 0.9 < (high - low) / 2 / (1.96 * np.std(fresh)) < 1.6  # with Student's t for 1.96, a little wider


def test_golden_and_parts():
    whole, parts = NgramDistribution(groups=0), NgramDistribution(groups=0)
    samples, references = ("A cat sat.", "the dog sat."), ("the cat sat.", "a dog ran off.")
    whole.update(samples=Samples(samples), references=Samples(references))
    for i in range(2):
        parts.update(samples=Samples(samples[i : i + 1]), references=Samples(references[i : i + 1]))
    assert parts.values() == whole.values()
    found = whole.values()
    assert found["ngram_kl2"].signature == "ngram_kl2|smooth:0.5|refs:2|hyps:2|tok:treebank+lower|v:1"
    assert found["msj2"].signature == "msj2|refs:2|hyps:2|tok:treebank+lower|v:1"
    assert {name: round(value.value, 6) for name, value in found.items()} == GOLDEN


GOLDEN = {
    "msj1": 0.7,
    "msj2": 0.356753,
    "msj3": 0.251506,
    "msj4": 0.0,
    "ngram_js1": 0.091948,
    "ngram_js2": 0.440889,
    "ngram_js3": 0.538581,
    "ngram_js4": 0.693147,
    "ngram_kl1": 0.114542,
    "ngram_kl2": 0.398442,
    "ngram_kl3": 0.431523,
    "ngram_kl4": 0.498446,
    "ngram_reverse_kl1": 0.094914,
    "ngram_reverse_kl2": 0.402856,
    "ngram_reverse_kl3": 0.461099,
    "ngram_reverse_kl4": 0.566875,
}


def test_what_cannot_be_computed_is_absent():
    metric = NgramDistribution()
    metric.update(samples=Samples(("a",)))
    with pytest.raises(Absent, match="1 or more references"):
        metric.values()
    found = values(["", ""], ["a b"])
    assert all(isinstance(value, Absent) for value in found.values())
    one = values(["a"], ["a b"])
    assert isinstance(one["msj1"], Value)
    assert one["msj1"].interval is None
    assert str(one["msj2"]) == "no sample or no reference has 2 words"


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="max_order is 0"):
        NgramDistribution(max_order=0)
    with pytest.raises(ValueError, match="above 0"):
        NgramDistribution(smoothing=0.0)
