"""Objectives: sums over sequences of named terms under weights."""

import pytest
import torch

from gentext.losses import KL, MMD, NLL, FreeBits, ModelTerm, Objective, TargetRate
from gentext.schedules import Linear
from gentext.types import Batch, Outputs, pad


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
    objective = Objective(nll=NLL(weight=2.0), kl=ModelTerm("kl", weight=Linear(start=0.0, end=1.0)))
    for step, weight in ((0, 0.0), (5, 0.5), (10, 1.0)):
        total, terms = objective(outputs, batch, step=step, total=10)
        assert terms["kl"] == 4
        torch.testing.assert_close(total, 2 * terms["nll"] + weight * 4)


def test_terms_that_are_not_given_are_advised(case):
    batch, _, outputs = case
    with pytest.raises(ValueError, match=r"'tar'.*uniform, kl"):
        Objective(tar=ModelTerm("tar"))(outputs, batch, step=0, total=1)
    with pytest.raises(ValueError, match=r"'uniform'.*label smoothing needs a full softmax, family.cutoffs=null"):
        Objective(nll=NLL(smoothing=0.1))(Outputs(outputs.log_prob), batch, step=0, total=1)
    with pytest.raises(ValueError, match="loss=nll"):
        Objective()
    with pytest.raises(ValueError, match="smoothing is 1"):
        NLL(smoothing=1.0)


def latent(units: torch.Tensor, **terms: torch.Tensor) -> Outputs:
    return Outputs(torch.zeros(len(units), 2), terms={"kl": units.sum(1), "kl_units": units, **terms})


def test_free_bits_clamp_where_they_should():
    batch, units = pad([[2], [2]]), torch.tensor([[0.1, 3.0], [0.3, 5.0]], requires_grad=True)
    for term, expected, slope in (
        (FreeBits(1.0, per="unit"), 1.0 + 4.0, [0.0, 1.0]),
        (FreeBits(0.1, per="unit"), 0.2 + 4.0, [1.0, 1.0]),
        (FreeBits(6.0, per="text"), 6.0, [0.0, 0.0]),
        (FreeBits(3.0, per="text"), 4.2, [1.0, 1.0]),
    ):
        total = Objective(kl=term)(latent(units), batch, step=0, total=1).total
        torch.testing.assert_close(total, torch.tensor(2 * expected))
        (gradient,) = torch.autograd.grad(total, units)
        assert gradient.tolist() == [slope, slope]


def test_a_target_rate_is_missed_on_either_side():
    batch, units = pad([[2], [2]]), torch.tensor([[1.0], [3.0]])
    for nats, missed in ((2.0, 0.0), (5.0, 3.0), (0.5, 1.5)):
        assert float(Objective(kl=TargetRate(nats))(latent(units), batch, step=0, total=1).total) == 2 * missed


def test_discrepancy_is_none_for_draws_of_one_distribution():
    z, prior = torch.randn(2, 2000, 3, generator=torch.Generator().manual_seed(0)).unbind()
    batch, units = pad([[2]] * 2000), torch.zeros(2000, 1)

    def mmd(z):
        return float(MMD()(latent(units, z=z, prior=prior), batch).mean())

    assert abs(mmd(z)) < 2e-3
    assert mmd(z + 1) > 0.1
    assert mmd(0.2 * z) > 0.05
    assert MMD()(latent(units[:1], z=z[:1], prior=prior[:1]), pad([[2]])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: KL(weight=-0.1), "0 or more"),
        (lambda: KL(weight=Linear(-1.0, 1.0)), "0 or more"),
        (lambda: FreeBits(0.0), "above 0"),
        (lambda: TargetRate(-1.0), "0 or more"),
        (lambda: MMD(weight=-1.0), "0 or more"),
    ],
)
def test_weights_that_reward_the_wrong_thing_are_refused(make, advice):
    with pytest.raises(ValueError, match=advice):
        make()


def test_a_row_without_a_token_counts_nothing(case):
    batch, _, outputs = case
    idle = Batch(batch.tokens, torch.stack([batch.mask[0], torch.zeros_like(batch.mask[1])]))
    assert Objective(kl=KL())(outputs, idle, step=0, total=1).total == 1.0
