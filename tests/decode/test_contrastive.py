"""Contrastive search: greedy without its penalty, the naive loop's choice with it."""

import pytest
import torch

from gentext.adversarial.critics import TextCNN
from gentext.adversarial.model import TextGAN
from gentext.decode import Ancestral, Contrastive
from gentext.language_model import LanguageModel
from gentext.models.lstm import LSTM
from gentext.models.transformer.model import Transformer
from gentext.types import BOS, EOS


def test_alpha_0_is_greedy(make_chain, rng):
    chain = make_chain(12, seed=1)
    ours = Contrastive(alpha=0.0)(chain, 3, 8, rng=rng)
    assert torch.equal(ours.tokens, Ancestral(top_k=1)(chain, 3, 8, rng=rng).tokens)


def test_it_makes_the_naive_loops_choices(make_chain, rng):
    chain = make_chain(15, seed=3, scale=0.5)
    unit = torch.nn.functional.normalize(chain.table.clamp_min(-3), dim=-1)
    row = [BOS]
    while len(row) < 9 and row[-1] != EOS:
        p = chain.table[row[-1]].softmax(0)
        merit = {int(t): 0.4 * p[t] - 0.6 * max(unit[t] @ unit[s] for s in row) for t in p.topk(5).indices}
        row.append(max(merit, key=merit.get))
    batch = Contrastive(top_k=5, alpha=0.6)(chain, 2, 8, rng=rng)
    assert [r[m].tolist() for r, m in zip(batch.tokens, batch.mask, strict=True)] == [row[1:]] * 2


def test_a_family_without_hidden_states_is_advised(chain, rng):
    class Blind(LanguageModel):
        vocab_size = 7

    with pytest.raises(ValueError, match="no hidden states"):
        Contrastive()(Blind(), 1, 4, rng=rng)


@pytest.mark.parametrize("wrong", [{"alpha": 1.5}, {"top_k": 0}, {"batch_size": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Contrastive(**wrong)


def test_it_fills_a_model_of_learned_positions_to_its_end(rng):
    torch.manual_seed(0)
    family = Transformer(9, layers=1, heads=2, width=16, positions="learned", context=6).eval()
    for prompt in (None, torch.tensor([[4, 5]] * 3)):
        draw = family.sample(3, 50, decoder=Contrastive(min_len=3), rng=rng, prompt=prompt)
        assert draw.tokens.shape[1] <= 6 - (0 if prompt is None else 2)
    full = family.sample(3, 6, decoder=Contrastive(min_len=6), rng=rng)
    assert full.lengths.tolist() == [6, 6, 6]


def test_it_searches_through_a_gans_generator(rng):
    torch.manual_seed(0)
    family = TextGAN(LSTM(9, layers=1, width=8), TextCNN(9, embedding=4, filters={2: 3})).eval()
    ours = family.sample(3, 6, decoder=Contrastive(), rng=rng)
    assert torch.equal(ours.tokens, family.generator.sample(3, 6, decoder=Contrastive(), rng=rng).tokens)
