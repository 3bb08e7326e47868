"""Classifiers against scikit-learn, against Bayes' rule written out, and over labels of several tokens."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.naive_bayes import MultinomialNB

from gentext.models import ClassConditional, Convolutions, Logistic, NaiveBayes, NeuralClassifier, NGram
from gentext.models.classifier import panels
from gentext.types import EOS, PAD, Batch, pad

V, LABELS = 12, [[4, EOS], [5, 6, EOS], [5, 7, EOS]]


def labelled(n: int = 60, seed: int = 0) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Texts with their labels as a batch, their counts [n v], and the labels [n]."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(3, size=n)
    texts = [rng.choice(np.arange(4, V), size=rng.integers(1, 7), p=np.roll(WEIGHTS, g)).tolist() for g in gold]
    counts = np.array([np.bincount(text, minlength=V) for text in texts])
    batch = pad([LABELS[g] for g in gold])
    return Batch(batch.tokens, batch.mask, pad([[*text, EOS] for text in texts]).tokens), counts, gold


WEIGHTS = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


def fitted(model, batch):
    model.prepare([batch], rng=torch.Generator())
    model.accumulate(batch)
    model.maximize()
    return model.eval()


def test_naive_bayes_is_scikit_learn_s():
    batch, counts, gold = labelled()
    model = fitted(NaiveBayes(V, labels=3, max_len=3, alpha=0.5), batch)
    wanted = MultinomialNB(alpha=0.5).fit(counts, gold).predict_log_proba(counts)
    assert np.allclose(model.scores(batch.prompt.where(batch.prompt != EOS, PAD)).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("kept", [2, 3])
def test_logistic_regression_is_scikit_learn_s(kept):
    batch, counts, gold = labelled()
    rows = torch.from_numpy(np.flatnonzero(gold < kept))
    batch, counts, gold = batch.rows(rows), counts[rows], gold[rows]
    model = fitted(Logistic(V, labels=kept, max_len=3, strength=2.0), batch)
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    wanted = LogisticRegression(C=2.0, max_iter=1000).fit(weights, gold).predict_log_proba(weights)
    assert np.allclose(model.scores(batch.prompt.where(batch.prompt != EOS, PAD)).numpy(), wanted, atol=1e-4)


def test_labels_of_several_tokens_are_written_token_by_token():
    batch, _, _ = labelled()
    model = fitted(NaiveBayes(V, labels=3, max_len=3), batch)
    prompt = batch.prompt[:1]
    p = model.scores(prompt.where(prompt != EOS, PAD)).exp()[0]
    first = model.prime(prompt)
    assert torch.allclose(first.logits.softmax(-1)[0, [4, 5]], torch.stack([p[0], p[1] + p[2]]), atol=1e-6)
    second = model.step(first.state, torch.tensor([5])).logits.softmax(-1)[0]
    assert torch.allclose(second[[6, 7]], p[1:] / p[1:].sum(), atol=1e-6)
    rows = pad(LABELS)
    each = model.log_prob(Batch(rows.tokens, rows.mask, prompt.expand(3, -1)))
    assert torch.allclose(each.exp(), p, atol=1e-6)


def test_a_label_that_is_far_behind_keeps_its_probability():
    model = fitted(NaiveBayes(V, labels=3, max_len=3), labelled()[0])
    text = torch.tensor([[4] * 900])  # of which the words multiply to odds that no float holds
    log_p = model.scores(text)
    rows = pad(LABELS)
    each = model.log_prob(Batch(rows.tokens, rows.mask, text.expand(3, -1)))
    assert log_p.min() < -150
    assert torch.allclose(each, log_p[0], rtol=1e-4)


def test_a_text_that_is_no_label_has_no_probability_and_ends():
    model = fitted(NaiveBayes(V, labels=3, max_len=3), labelled()[0])
    at = model.step(model.start(1).state, torch.tensor([9]))
    assert at.logits.softmax(-1)[0, EOS] == 1
    assert model.log_prob(pad([[9, EOS]])) == -torch.inf


def test_bayes_rule_over_a_model_for_each_label():
    batch, _, gold = labelled(200)
    make = partial(NGram, V, order=2)
    model = fitted(ClassConditional(V, make, labels=3, max_len=3), batch)
    joint = []
    for label in range(3):
        alone = make()
        texts = [row[row != PAD].tolist() for row in batch.prompt[torch.from_numpy(gold == label)]]
        alone.accumulate(pad(texts))
        alone.maximize()
        every = pad([row[row != PAD].tolist() for row in batch.prompt])
        joint.append(alone.log_prob(every) + np.log((gold == label).mean()))
    wanted = torch.stack(joint, 1).log_softmax(1)
    found = model.scores(batch.prompt.where(batch.prompt != EOS, PAD))
    assert torch.allclose(found.double(), wanted.double(), atol=1e-5)


def test_convolutions_ignore_padding_and_take_the_shortest_text():
    torch.manual_seed(0)
    encoder = Convolutions(V, embedding=8, filters={2: 3, 5: 4}).eval()
    rows = [[4], [5, 6, 7], [4, 5, 6, 7, 8, 9, 10]]
    together = encoder(pad(rows, width=11))
    alone = torch.cat([encoder(pad([row])) for row in rows])
    assert torch.allclose(together, alone, atol=1e-6)


def test_the_brier_term_is_the_squared_distance():
    torch.manual_seed(0)
    batch, _, gold = labelled(20)
    model = NeuralClassifier(V, Convolutions(V, embedding=8, filters={2: 3}), labels=3, max_len=3).eval()
    model.prepare([batch], rng=torch.Generator())
    p = model.scores(batch.prompt.where(batch.prompt != EOS, PAD)).exp()
    wanted = (p - torch.eye(3)[gold]).square().sum(1)
    assert torch.allclose(model(batch).terms["brier"], wanted, atol=1e-6)
    assert model(batch).log_prob.sum(1).exp().allclose(p[torch.arange(20), gold], atol=1e-6)


def test_the_panels_are_scikit_learn_s_confusion_matrix_and_calibration_curve():
    rng = np.random.default_rng(1)
    log_p = torch.from_numpy(rng.normal(size=(500, 2))).log_softmax(1)
    gold = torch.from_numpy(rng.integers(2, size=500))
    matrix, curve = panels.panels(log_p, gold, ["no", "yes"], "test")
    found = log_p.argmax(1)
    assert np.allclose(matrix.values, confusion_matrix(gold, found, normalize="true"))
    right, said = calibration_curve(found == gold, log_p.exp().amax(1), n_bins=10)
    assert np.allclose(curve.lines["classifier"], np.stack([said, right], 1))


def test_of_many_labels_the_pairs_that_are_confused_most_are_listed():
    names = [f"l{i}" for i in range(30)]
    gold, found = torch.tensor([3] * 5 + [7] * 2 + [1] * 9), torch.tensor([4] * 5 + [8] * 2 + [1] * 9)
    assert panels.confusion(found, gold, names, "test").rows == [["l3", "l4", 5], ["l7", "l8", 2]]
