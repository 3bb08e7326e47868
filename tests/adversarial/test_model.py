"""A SeqGAN writes as its generator does, whichever that is; its critic is no part of the text."""

import pytest
import torch

from gentext.adversarial.critics import TextCNN
from gentext.adversarial.model import TextGAN
from gentext.language_model import SupportsAdversarial
from gentext.models.lstm import LSTM
from gentext.models.transformer.model import Transformer
from gentext.types import pad


@pytest.mark.parametrize(
    "generator", [lambda: LSTM(7, layers=1, width=8), lambda: Transformer(7, layers=1, heads=2, width=8)]
)
def test_it_writes_as_its_generator_does(generator):
    torch.manual_seed(0)
    family = TextGAN(generator(), TextCNN(7, embedding=4, filters={2: 3})).eval()
    assert isinstance(family, SupportsAdversarial)
    batch = pad([[4, 5, 2], [6, 2]])
    assert torch.equal(family(batch).log_prob, family.generator(batch).log_prob)
    prompt = torch.tensor([[4, 5]])
    assert torch.equal(family.prime(prompt).logits, family.generator.prime(prompt).logits)
    assert family.size() == family.generator.size() < sum(p.numel() for p in family.parameters())
    assert family.flops(10) == family.generator.flops(10)
