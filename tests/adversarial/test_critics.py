"""Critics read ids and relaxed one-hots alike, and one fixed length."""

import pytest
import torch
import torch.nn.functional as F

from gentext.adversarial.critics import GRUCritic, TextCNN, _Peaks, critic_scores, odds
from gentext.language_model import Critic
from gentext.types import EOS, pad

V = 9
CRITICS = {
    "text_cnn": lambda **more: TextCNN(V, embedding=8, filters={2: 4, 3: 5}, **more),
    "multi_embedding": lambda **more: TextCNN(V, embedding=8, filters={2: 4}, representations=4, **more),
    "ranker": lambda **more: TextCNN(V, embedding=8, filters={2: 4}, outputs=6, **more),
    "recurrent": lambda **more: GRUCritic(V, embedding=8, width=6, **more),
    "dense": lambda **more: GRUCritic(V, embedding=8, width=6, dense=True, **more),
}


@pytest.fixture(params=CRITICS)
def critic(request):
    torch.manual_seed(0)
    return CRITICS[request.param]().eval()


def test_one_hots_are_judged_as_their_ids_are(critic):
    assert isinstance(critic, Critic)
    tokens = torch.randint(V, (6, 7), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(critic(tokens), critic(F.one_hot(tokens, V).float()), atol=1e-6)
    critic(F.one_hot(tokens, V).float().requires_grad_()).sum().backward()


def test_the_odds_of_a_text_are_its_own_whatever_stands_beside_it(critic):
    rows = [[4, 5, EOS], [6, 7, 8, 4, EOS]]
    if critic.outputs > 1:
        with pytest.raises(ValueError, match="gives no odds of one"):
            odds(critic, pad(rows), 7)
        return
    with torch.no_grad():
        together, alone = odds(critic, pad(rows), 7), odds(critic, pad(rows[:1]), 7)
        wide = critic(F.pad(pad(rows).tokens, (0, 2)))  # PAD as in training
    assert torch.allclose(together[:1], alone, atol=1e-6)
    wanted = wide[0, :3] if critic.dense else wide[0]
    assert torch.allclose(alone[0], wanted.mean(), atol=1e-6)


def test_looked_up_filters_are_convolutions():
    torch.manual_seed(0)
    critic = TextCNN(V, embedding=8, filters={1: 3, 3: 4}).eval()
    tokens = torch.randint(V, (600, 7))
    with torch.no_grad():
        assert torch.allclose(critic(tokens), critic.forward_embedded(critic.embed(tokens)), atol=1e-6)


@pytest.mark.parametrize("width", [1, 3, 7])
def test_peaks_and_both_their_derivatives_are_those_of_a_convolution(width):
    torch.manual_seed(0)
    x = torch.randn(70, 7, 2, dtype=torch.float64, requires_grad=True)  # more texts than are worked on at once
    weight = torch.randn(5, 2, width, dtype=torch.float64, requires_grad=True)
    ours, theirs = _Peaks.apply(x, weight), F.conv1d(x.transpose(1, 2), weight).amax(2)
    assert torch.allclose(ours, theirs)
    by = torch.randn(70, 5, dtype=torch.float64, requires_grad=True)
    for create in (False, True):
        mine, peers = (
            torch.autograd.grad(y, (x, weight), by, create_graph=create, retain_graph=True) for y in (ours, theirs)
        )
        assert all(map(torch.allclose, mine, peers))
    mine, peers = (
        torch.autograd.grad(g[0].square().sum() + g[1].pow(3).sum(), (x, weight, by), retain_graph=True)
        for g in (mine, peers)
    )
    assert all(map(torch.allclose, mine, peers))


def test_a_dense_score_knows_nothing_of_what_follows():
    torch.manual_seed(0)
    critic = CRITICS["dense"]().eval()
    one, other = torch.tensor([[4, 5, 6, 7]]), torch.tensor([[4, 5, 8, 1]])
    with torch.no_grad():
        assert torch.equal(critic(one)[:, :2], critic(other)[:, :2])
    mask = torch.tensor([[True, True, False, False]])
    assert critic_scores(critic, one, mask).shape == (2,)


def test_texts_shorter_than_the_widest_filter_are_judged():
    assert CRITICS["text_cnn"]()(torch.tensor([[4], [2]])).shape == (2, 1)


def test_spectral_norms_are_one():
    critic = CRITICS["text_cnn"](spectral=True)
    for _ in range(50):
        critic(torch.randint(V, (3, 5)))
    assert torch.linalg.matrix_norm(critic.eval().highway.weight, 2).item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("wrong", "advice"), [({"filters": {}}, "filters"), ({"representations": 3}, "3 repr")])
def test_settings_that_make_no_sense_are_refused(wrong, advice):
    with pytest.raises(ValueError, match=advice):
        TextCNN(V, **{"embedding": 8, "filters": {2: 3}, **wrong})
