import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gentext.models.lstm import LSTM
from gentext.types import EOS, pad

ROWS = [[5, 6, 7, 8, EOS], [9, EOS], [4, 4, 10, EOS]]


def test_weights_drop_in_training_alone_and_the_raw_ones_learn():
    torch.manual_seed(0)
    dropping, plain = LSTM(20, width=8, drop_weight=0.5), LSTM(20, width=8)
    plain.load_state_dict(dropping.state_dict())
    batch = pad(ROWS)
    assert torch.equal(dropping.eval()(batch).log_prob, plain.eval()(batch).log_prob)
    dropping.train()
    before = dropping.layers[0].weight_hh_l0.detach().clone()
    first, second = dropping(batch).log_prob, dropping(batch).log_prob
    assert not torch.equal(first, second)
    first.sum().backward()
    for layer in dropping.layers:
        gone = (layer.weight_hh_l0.grad == 0).float().mean().item()
        assert gone == pytest.approx(0.5, abs=0.15)
        assert isinstance(layer.weight_hh_l0, torch.nn.Parameter)
    assert torch.equal(before, dropping.layers[0].weight_hh_l0)
    assert torch.equal(dropping.eval()(batch).log_prob, plain(batch).log_prob)
    with torch.no_grad():
        dropping.layers[0].weight_hh_l0.zero_()
    assert not torch.equal(dropping(batch).log_prob, plain(batch).log_prob)


def test_activation_terms_are_per_token_and_only_while_training():
    torch.manual_seed(0)
    family, batch = LSTM(20, width=8, drop_output=0.5), pad(ROWS)
    assert not family.eval()(batch).terms
    outputs = family.train()(batch)
    assert set(outputs.terms) == {"ar", "tar", "uniform"}
    assert (outputs.terms["ar"][~batch.mask] == 0).all()
    moved = (outputs.hidden[0, 3] - outputs.hidden[0, 2]).square().mean()
    assert torch.allclose(outputs.terms["tar"][0, 3], moved)
    assert (outputs.terms["tar"][:, 0] == 0).all()


@pytest.mark.filterwarnings("ignore:TF32")  # torch's own, on switching oneDNN off
def test_flops_agree_with_torchs_counter():
    family, batch = LSTM(50, width=16, layers=3, embedding=8), pad([[4] * 7] * 5)
    with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter, torch.no_grad():
        family(batch)
    assert counter.get_total_flops() == family.flops(35)
