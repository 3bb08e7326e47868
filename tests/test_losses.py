"""Objectives: sums over sequences of named terms under weights."""

import pytest
import torch

from gentext.losses import NLL, Given, Objective
from gentext.schedules import Linear
from gentext.types import Outputs, pad


@pytest.fixture
def case():
    torch.manual_seed(0)
    batch = pad([[4, 5, 2], [6, 2]])
    logits = torch.randn(2, 3, 7)
    log_prob = logits.log_softmax(-1)
    picked = torch.where(batch.mask, log_prob.gather(2, batch.tokens[..., None])[..., 0], 0.0)
    uniform = torch.where(batch.mask, log_prob.mean(-1), 0.0)
    return batch, logits, Outputs(picked, terms={"uniform": uniform, "kl": torch.tensor([1.0, 3.0])})


def test_smoothed_nll_equals_torchs_cross_entropy(case):
    batch, logits, outputs = case
    for smoothing in (0.0, 0.1, 0.4):
        loss = Objective(nll=NLL(smoothing=smoothing))(outputs, batch, step=0, total=1).total
        expected = torch.nn.functional.cross_entropy(
            logits[batch.mask], batch.tokens[batch.mask], label_smoothing=smoothing, reduction="sum"
        )
        torch.testing.assert_close(loss, expected)


def test_terms_are_weighted_by_the_step_and_logged_bare(case):
    batch, _, outputs = case
    objective = Objective(nll=NLL(weight=2.0), kl=Given("kl", weight=Linear(start=0.0, end=1.0)))
    for step, weight in ((0, 0.0), (5, 0.5), (10, 1.0)):
        total, terms = objective(outputs, batch, step=step, total=10)
        assert terms["kl"] == 4
        torch.testing.assert_close(total, 2 * terms["nll"] + weight * 4)


def test_terms_that_are_not_given_are_advised(case):
    batch, _, outputs = case
    with pytest.raises(ValueError, match=r"'tar'.*uniform, kl"):
        Objective(tar=Given("tar"))(outputs, batch, step=0, total=1)
    with pytest.raises(ValueError, match="loss=nll"):
        Objective()
    with pytest.raises(ValueError, match="smoothing is 1"):
        NLL(smoothing=1.0)
