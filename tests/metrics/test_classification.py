"""Classification against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics

from gentext.metrics import Classification
from gentext.types import LabelScores

NAMES = ("a", "b", "c")


def scores(n: int = 300, seed: int = 0) -> LabelScores:
    rng = np.random.default_rng(seed)
    gold = rng.choice(3, size=n, p=[0.6, 0.3, 0.1])
    logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[gold]
    return LabelScores(torch.from_numpy(logits), NAMES, torch.from_numpy(gold), "test")


def test_figures_are_scikit_learn_s():
    given = scores()
    gold, p = given.gold.numpy(), given.log_prob.softmax(1).numpy()
    said = p.argmax(1)
    metric = Classification()
    for rows in (slice(0, 100), slice(100, None)):  # in parts
        metric.update(LabelScores(given.log_prob[rows], NAMES, given.gold[rows], "test"))
    found = {name: value.value for name, value in metric.values().items()}
    wanted = {
        "accuracy": metrics.accuracy_score(gold, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(gold, said),
        "macro_precision": metrics.precision_score(gold, said, average="macro"),
        "macro_f1": metrics.f1_score(gold, said, average="macro"),
        "log_loss": metrics.log_loss(gold, p),
        "brier": np.square(p - np.eye(3)[gold]).sum(1).mean(),
        **{f"f1:{name}": f1 for name, f1 in zip(NAMES, metrics.f1_score(gold, said, average=None), strict=True)},
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-12)


def test_calibration_error_by_hand():
    said = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]).log()
    metric = Classification(bins=10)
    metric.update(LabelScores(said, ("a", "b"), torch.tensor([0, 1, 0, 1]), "test"))
    # bins .9: confidence .9 twice, half right; .6: .6, right; .7: .7, right
    wanted = (2 * abs(0.9 - 0.5) + abs(0.6 - 1) + abs(0.7 - 1)) / 4
    assert metric.values()["calibration_error"].value == pytest.approx(wanted, abs=1e-6)


def test_a_label_that_is_never_said_has_precision_zero():
    metric = Classification()
    metric.update(LabelScores(torch.zeros(4, 2), ("a", "b"), torch.tensor([0, 0, 0, 1]), "test"))
    values = metric.values()
    assert (values["precision:b"].value, values["recall:a"].value) == (0.0, 1.0)


@pytest.mark.slow
def test_intervals_cover():
    """Of 200 draws of 150 texts, 95 % intervals hold the figure of the distribution in 92 to 98 of 100."""
    whole = Classification(resamples=0)
    whole.update(scores(200_000, seed=1))
    truth = {name: value.value for name, value in whole.values().items()}
    names = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
    held = dict.fromkeys(names, 0)
    for seed in range(200):
        metric = Classification(resamples=300)
        metric.update(scores(150, seed=seed + 10))
        values = metric.values()
        for name in names:
            low, high = values[name].interval
            held[name] += low <= truth[name] <= high
    assert all(0.88 <= count / 200 <= 0.99 for count in held.values()), held


def test_without_resamples_no_figure_has_a_bootstraps_interval():
    metric = Classification(resamples=0)
    metric.update(scores())
    assert [name for name, value in metric.values().items() if value.interval] == ["accuracy"]


def test_other_labels_are_refused():
    metric = Classification()
    metric.update(scores(10))
    with pytest.raises(ValueError, match="the labels are x, y, z"):
        metric.update(LabelScores(torch.zeros(1, 3), ("x", "y", "z"), torch.tensor([0]), "test"))
