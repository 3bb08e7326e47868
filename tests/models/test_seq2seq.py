import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gentext.language_model import LanguageModel
from gentext.models.seq2seq import Bidirectional, Seq2Seq, split
from gentext.types import EOS, PAD, Batch, pad

SOURCES = torch.tensor([[11, 12, 13, EOS], [14, EOS, PAD, PAD], [15, 16, EOS, PAD]])


def make(attention: str = "luong") -> Seq2Seq:
    torch.manual_seed(0)
    family = Seq2Seq(23, width=16, layers=2, attention=attention)
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return family.eval()


def test_a_prompt_is_a_source_up_to_its_eos_and_said_after_it():
    source, said = split(torch.tensor([[5, 6, EOS, 7], [5, 6, PAD, PAD], [PAD] * 4, [EOS, 8, 9, PAD]]))
    assert source.tolist() == [[5, 6, EOS, PAD], [EOS, PAD, PAD, PAD], [EOS, PAD, PAD, PAD], [EOS, PAD, PAD, PAD]]
    assert said.tolist() == [[7, PAD, PAD, PAD], [5, 6, PAD, PAD], [PAD] * 4, [8, 9, PAD, PAD]]
    assert split(SOURCES) == (pytest.approx(SOURCES), None)


@pytest.mark.parametrize("attention", ["luong", "bahdanau"])
def test_forward_equals_step_over_a_source(attention):
    family, batch = make(attention), pad([[5, 6, 7, EOS], [8, EOS], [9, 10, EOS]])
    for prompt in (SOURCES, torch.cat([SOURCES, torch.tensor([[4], [PAD], [20]])], 1)):
        given = Batch(batch.tokens, batch.mask, prompt)
        with torch.no_grad():
            assert torch.allclose(family(given).log_prob, LanguageModel.forward(family, given).log_prob, atol=1e-5)


def test_a_source_is_read_and_its_padding_is_not():
    family, batch = make(), pad([[5, 6, EOS]] * 3)
    with torch.no_grad():
        scores = family(Batch(batch.tokens, batch.mask, SOURCES)).log_prob
        wide = torch.nn.functional.pad(SOURCES, (0, 5))
        assert torch.allclose(family(Batch(batch.tokens, batch.mask, wide)).log_prob, scores, atol=1e-6)
        assert not torch.allclose(scores[0], scores[1], atol=1e-3)
        alone = family(Batch(batch.tokens[:1], batch.mask[:1], SOURCES[1:2, :2])).log_prob
        assert torch.allclose(alone[0], scores[1], atol=1e-6)


def test_no_prompt_is_an_empty_source():
    family, batch = make(), pad([[5, 6, EOS]])
    with torch.no_grad():
        bare = family(batch).log_prob
        assert torch.allclose(family(Batch(batch.tokens, batch.mask, torch.tensor([[EOS]]))).log_prob, bare)
        assert torch.allclose(family(Batch(batch.tokens, batch.mask, torch.tensor([[PAD]]))).log_prob, bare)


def test_both_directions_agree_with_torchs_packed_lstm():
    torch.manual_seed(0)
    ours, theirs = Bidirectional(6, 8), torch.nn.LSTM(6, 4, batch_first=True, bidirectional=True)
    for name, parameter in theirs.named_parameters():
        side = ours.back if name.endswith("_reverse") else ours.onward
        getattr(side, name.removesuffix("_reverse")).data.copy_(parameter)
    x, lengths = torch.randn(3, 5, 6), torch.tensor([5, 1, 3])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, (h, _) = theirs(packed)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    seen, last = ours(x, lengths)
    real = torch.arange(5) < lengths[:, None]
    assert torch.allclose(seen[real], outputs[real], atol=1e-6)
    assert torch.allclose(last, torch.cat([h[0], h[1]], -1), atol=1e-6)


def test_the_uniform_term_comes_while_training_and_adds_up():
    family, batch = make(), pad([[5, 6, 7, EOS], [8, EOS]])
    assert not family(batch).terms
    family.dropout = 0.0
    uniform = family.train()(batch).terms["uniform"]
    at = family.start(2)
    assert torch.allclose(uniform[:, 0], at.logits.log_softmax(-1)[:, EOS:].mean(-1), atol=1e-5)
    assert (uniform[~batch.mask] == 0).all()


@pytest.mark.filterwarnings("ignore:TF32")  # torch's own, on switching oneDNN off
def test_flops_agree_with_torchs_counter():
    family, n, t, width = make(), 3, 6, 16
    batch = Batch(torch.full((n, t), 4), torch.ones(n, t, dtype=torch.bool), torch.full((n, t), EOS))
    with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter, torch.no_grad():
        family(batch)
    products, bridge = 4 * n * t * t * width, 2 * n * width * 4 * width
    assert counter.get_total_flops() == family.flops(n * t) + products + bridge


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even"):
        Seq2Seq(20, width=9)
