"""Every parameter has one optimiser, and the rate and decay that suit its kind."""

import pytest
import torch
from torch import nn

from gentext.language_model import LanguageModel
from gentext.models.transformer.model import Transformer
from gentext.train.muon import STEPS, Muon, orthogonal
from gentext.train.optimizers import OPTIMIZERS, Optimizer, Rate


class Net(LanguageModel):
    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.vocab_size = 11
        self.embedding, self.inner, self.output = nn.Embedding(11, 6), nn.Linear(6, 6), nn.Linear(6, 11, bias=False)
        if tied:
            self.output.weight = self.embedding.weight


def _build(name, net):
    return Optimizer(name, 0.1, 0.7, 0.2, 0.9, 0.99, None).build(net)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_is_in_one_group_of_its_kind(name, tied):
    net = Net(tied)
    found = {}
    for optimizer in _build(name, net):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                assert id(parameter) not in found
                found[id(parameter)] = (type(optimizer).__name__.lower(), group["initial_lr"], group["weight_decay"])
    assert found.keys() == {id(parameter) for parameter in net.parameters()}
    rest = {"muon": "adamw"}.get(name, name)
    assert found[id(net.inner.weight)] == (name, 0.1, 0.2)
    assert found[id(net.inner.bias)] == (rest, 0.1, 0.0)
    assert found[id(net.output.weight)] == (rest, 0.1, 0.2)
    if not tied:
        assert found[id(net.embedding.weight)] == (rest, 0.7, 0.0)


def test_muon_needs_a_hidden_matrix():
    class Bare(LanguageModel):
        vocab_size = 11

        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(11, 11))

    with pytest.raises(ValueError, match="adamw"):
        _build("muon", Bare())


@pytest.mark.parametrize("positions", ["learned", "relative"])
def test_muon_moves_what_is_hidden_whatever_its_size(positions):
    net = Transformer(
        16, layers=1, heads=2, width=16, context=16, positions=positions
    )  # every size is the vocabulary's
    rest, muon = _build("muon", net)
    moved = {id(p) for group in muon.param_groups for p in group["params"]}
    block = net.blocks[0]
    assert moved == {id(layer.weight) for layer in (block.qkv, block.mix, block.up, block.down)}
    plain = {id(p) for group in rest.param_groups for p in group["params"]}
    assert {id(net.embedding.weight), id(net.output.weight), id(net.positions.weight)} <= plain


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.775, 0.55, 0.325, 0.1]),
        ("cosine", [1, 0.8682, 0.55, 0.2318, 0.1]),
        ("wsd", [1, 1, 1, 0.55, 0.1]),
    ],
)
def test_rates_fall_by_the_progress_and_rise_by_the_step(schedule, shares):
    rate = Rate(schedule, warmup=3, cooldown=0.5, floor=0.1)
    assert [rate(100, progress) for progress in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx(shares, abs=1e-4)
    assert [rate(step, 0.0) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_muon_takes_the_steps_of_torchs_own():
    generator = torch.Generator().manual_seed(5)
    shapes = [(8, 24), (8, 24), (24, 8), (8, 8), (1, 8)]
    ours = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    theirs = [nn.Parameter(matrix.detach().clone()) for matrix in ours]
    mine = Muon(ours, lr=0.3, weight_decay=0.1, momentum=0.9)
    options = {"lr": 0.3, "weight_decay": 0.1, "momentum": 0.9, "ns_steps": STEPS}
    peer = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        mine.step()
        peer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=0.01, rtol=0.01)  # torch iterates in bfloat16


@pytest.mark.parametrize("shape", [(16, 64), (16, 20), (16, 16)])
def test_muon_iterates_wide_matrices_and_others_to_the_same(shape):
    generator = torch.Generator().manual_seed(2)
    k, d = shape
    weak = torch.logspace(-4, 0, k)[:, None] * torch.randn(3, k, d, generator=generator)  # a gradient's rows are unlike
    x = weak.double() / weak.double().norm(dim=(1, 2), keepdim=True)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonal(weak), x.float(), atol=1e-5, rtol=1e-4)


def test_muon_steps_with_singular_values_near_one_at_any_scale():
    steps = orthogonal(torch.randn(3, 6, 40, generator=torch.Generator().manual_seed(1)) * 1e3)
    assert ((values := torch.linalg.svdvals(steps)) > 0.6).all()
    assert (values < 1.3).all()
