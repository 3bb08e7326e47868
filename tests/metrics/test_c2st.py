import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from gentext.data.ngram_arrays import hashed
from gentext.metrics import c2st_cnn
from gentext.metrics.base import Absent
from gentext.metrics.c2st import C2ST, CLASSIFIERS, ngram_counts
from gentext.metrics.c2st_cnn import SentenceCNN, padded
from gentext.types import Samples


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(c2st_cnn, "STEPS", 60)


def texts(n, seed, letters="abcdefgh"):
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(list(letters), rng.integers(3, 8))) for _ in range(n))


def accuracy(classifier, samples, references, **options):
    metric = C2ST(classifier, words="whitespace", **options)
    metric.update(samples=Samples(samples), references=Samples(references))
    return metric.values()[f"c2st_{classifier}"]


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_texts_of_one_kind_are_not_told_apart(classifier):
    value = accuracy(classifier, texts(300, 2), texts(300, 3))
    assert value.interval[0] < 0.5 < value.interval[1]
    assert value.n == 300


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_texts_of_other_words_are(classifier):
    assert accuracy(classifier, texts(80, 0), texts(80, 1, "hijklmno")).value > 0.95


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_texts_of_another_order_are(classifier):
    ascending = tuple(" ".join(sorted(text.split())) for text in texts(200, 0))
    descending = tuple(" ".join(sorted(text.split(), reverse=True)) for text in texts(200, 1))
    assert accuracy(classifier, ascending, descending).value > 0.9


def test_ngram_counts_are_scikit_learns():
    lines = [*texts(20, 0), ""]
    ours = ngram_counts(hashed(line.split() for line in lines)).toarray()
    theirs = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+").fit_transform(lines).toarray()
    assert sorted(map(tuple, ours.T)) == sorted(map(tuple, theirs.T))


def test_the_sides_are_balanced():
    value = accuracy("naive_bayes", texts(20, 0), texts(500, 1))
    assert value.n == 20
    assert "held-out:10x2|train:10x2|seed:0|refs:500|hyps:20|" in value.signature


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.2, 0.5, 0.8]))
def test_the_accuracy_is_a_share_of_the_held_out(seed, held_out):
    value = accuracy("naive_bayes", texts(20, seed), texts(20, seed + 1), held_out=held_out)
    assert value.n == 2 * round(20 * held_out)
    assert value.value * value.n == pytest.approx(round(value.value * value.n))
    assert 0 <= value.interval[0] <= value.value <= value.interval[1] <= 1


def test_padding_and_columns_cut_change_nothing():
    words, size = padded(hashed([["a", "b", "a"], [], ["c"]]))
    assert words.tolist() == [[words[0, 0], words[0, 1], words[0, 0]], [0, 0, 0], [words[2, 0], 0, 0]]
    assert size == 4
    network = SentenceCNN(size, torch.Generator().manual_seed(0))
    assert network(words).tolist() == [0, 0, 0]  # undecided before it is trained


def test_a_run_can_be_repeated_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one = accuracy("cnn", texts(40, 0), texts(40, 1, "efghijkl"), seed=5)
    with torch.inference_mode():
        assert accuracy("cnn", texts(40, 0), texts(40, 1, "efghijkl"), seed=5) == one
    assert torch.equal(torch.get_rng_state(), before)


def test_golden():
    found = [accuracy(name, texts(60, 0), texts(60, 1, "efghijkl")).value for name in ("naive_bayes", "logistic")]
    assert found == pytest.approx([0.966667, 0.933333], abs=1e-6)


def test_what_cannot_be_computed_is_absent_or_refused():
    with pytest.raises(Absent, match="10 or more samples and references; the fewer are 9"):
        accuracy("logistic", texts(9, 0), texts(40, 1))
    with pytest.raises(Absent, match="there are 0"):
        accuracy("logistic", (), texts(40, 1))
    with pytest.raises(Absent, match="a word to tell it by"):
        accuracy("cnn", ("",) * 20, ("",) * 20)
    assert accuracy("logistic", ("",) * 20, ("a b",) * 20).value == 1
    assert padded(hashed([[]] * 3))[0].tolist() == [[0, 0, 0]] * 3
    with pytest.raises(ValueError, match="one of naive_bayes, logistic, cnn"):
        C2ST("svm")
    with pytest.raises(ValueError, match=r"held_out is 1\.0; it must be a share in"):
        C2ST(held_out=1.0)
