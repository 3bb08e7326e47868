import pytest
import torch

from gentext.decode import Ancestral
from gentext.models.human import Human
from gentext.types import EOS, pad


def test_samples_are_the_training_sequences_without_replacement():
    human = Human(8)
    texts = [[4, 5, EOS], [EOS], [6, 6, 6, EOS], [7, EOS]]
    human.accumulate(pad(texts[:2]))
    human.accumulate(pad(texts[2:]))
    human.maximize()
    draw = human.sample(4, 9, decoder=Ancestral(), rng=torch.Generator().manual_seed(0))
    assert sorted(tokens[mask].tolist() for tokens, mask in zip(draw.tokens, draw.mask, strict=True)) == sorted(texts)
    stepped = Ancestral()(human, 5, 9, rng=torch.Generator().manual_seed(0))
    assert all(tokens[mask].tolist() in texts for tokens, mask in zip(stepped.tokens, stepped.mask, strict=True))


def test_more_samples_than_texts_is_refused():
    human = Human(8)
    human.accumulate(pad([[4, EOS]]))
    human.maximize()
    with pytest.raises(ValueError, match=r"eval\.samples=1 or less"):
        human.sample(2, 9, decoder=Ancestral(), rng=torch.Generator())
