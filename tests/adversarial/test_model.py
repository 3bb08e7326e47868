"""A SeqGAN writes as its generator does, whichever that is; its critic is no part of the text."""

import pytest
import torch

from gentext.adversarial.critics import TextCNN
from gentext.adversarial.estimator import drawn
from gentext.adversarial.gumbel import relaxed
from gentext.adversarial.losses import PointwiseLoss
from gentext.adversarial.model import TextGAN, of_length
from gentext.adversarial.reinforce import Reinforce
from gentext.adversarial.rewards import ProbabilityReward
from gentext.language_model import SupportsAdversarial
from gentext.models.lstm import LSTM
from gentext.models.transformer.model import Transformer
from gentext.types import EOS, pad


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


def test_where_all_texts_have_one_length_no_other_is_played():
    torch.manual_seed(0)
    family = TextGAN(LSTM(7, layers=1, width=8), TextCNN(7, embedding=4, filters={2: 3})).eval()
    playing = of_length(family, 3)
    texts = drawn(playing.generator, 50, 6, torch.Generator().manual_seed(0))
    assert (texts.lengths == 4).all()  # EOS included
    assert (texts.tokens[:, 3] == EOS).all()
    assert (texts.tokens[:, :3] != EOS).all()
    every = pad([[a, b, c, EOS] for a in (3, 4, 5, 6) for b in (3, 4, 5, 6) for c in (3, 4, 5, 6)])
    assert playing.generator.log_prob(every).exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert {id(p) for p in playing.parameters()} == {id(p) for p in family.parameters()}
    assert of_length(family, None) is family
    estimator = Reinforce(PointwiseLoss(), ProbabilityReward(), rollouts=2)
    estimator(playing, texts, rng=torch.Generator().manual_seed(0), step=1, total=1).loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in family.generator.parameters())
    relaxed_texts, mask, _ = relaxed(
        playing.generator, 20, 6, temperature=0.5, hard=False, rng=torch.Generator().manual_seed(0)
    )
    assert (mask.sum(1) == 4).all()
    assert bool(relaxed_texts.isfinite().all())
