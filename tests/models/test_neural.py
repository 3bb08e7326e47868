"""What holds for every neural family alike; the contract suite adds what holds for every family."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_model, save_model

from gentext.language_model import LanguageModel, SupportsHidden
from gentext.models.encoder_decoder import EncoderDecoder
from gentext.models.lstm import LSTM
from gentext.models.seq2seq import Seq2Seq
from gentext.models.transformer.model import Transformer
from gentext.models.vae.encoders import LSTMEncoder, TransformerEncoder
from gentext.types import EOS, PAD, Batch, Step, map_state, pad, select

V = 23
SMALL = {"width": 16, "layers": 2}
GPT2 = {"positions": "learned", "norm": "layer", "activation": "gelu", "qk_norm": False, "bias": True, "tied": True}
MAKERS = {
    "lstm": lambda: LSTM(V, **SMALL),
    "lstm untied": lambda: LSTM(V, **SMALL, embedding=8, tied=False),
    "lstm tied, narrow embedding": lambda: LSTM(V, **SMALL, embedding=8),
    "seq2seq": lambda: Seq2Seq(V, **SMALL, dropout=0.0),
    "seq2seq bahdanau untied": lambda: Seq2Seq(V, **SMALL, embedding=8, attention="bahdanau", tied=False),
    "encoder_decoder": lambda: EncoderDecoder(V, **SMALL, heads=2),
    "encoder_decoder learned": lambda: EncoderDecoder(V, **SMALL, heads=2, positions="learned", context=32, tied=False),
    "encoder_decoder relative post-norm": lambda: EncoderDecoder(
        V, **SMALL, heads=2, positions="relative", post_norm=True, encoder_layers=1
    ),
    "transformer": lambda: Transformer(V, **SMALL, heads=2),
    "transformer post-norm": lambda: Transformer(V, **SMALL, heads=2, norm="layer", post_norm=True),
    "gpt2": lambda: Transformer(V, **SMALL, heads=2, context=32, **GPT2),
    "transformer relative swiglu": lambda: Transformer(V, **SMALL, heads=2, positions="relative", activation="swiglu"),
    "transformer sinusoidal tied": lambda: Transformer(V, **SMALL, heads=2, positions="sinusoidal", tied=True),
    "transformer without positions": lambda: Transformer(V, **SMALL, heads=2, positions="none"),
}
ROWS = [[5, 6, 7, 8, EOS], [9, EOS], [4, 4, 10, EOS]]


@pytest.fixture(params=MAKERS)
def family(request) -> LanguageModel:
    return make(request.param)


def make(name: str) -> LanguageModel:
    torch.manual_seed(0)
    family = MAKERS[name]()
    for parameter in family.parameters():  # far from the zeros that some begin at
        torch.nn.init.normal_(parameter, std=0.3)
    return family.eval()


def with_prompt(rows=ROWS) -> Batch:
    batch = pad(rows)
    return Batch(batch.tokens, batch.mask, torch.tensor([[11, 12, PAD], [PAD] * 3, [13, PAD, PAD]]))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_forward_equals_step(family, mode):
    with mode():
        for batch in (pad(ROWS), with_prompt()):
            assert torch.allclose(family(batch).log_prob, LanguageModel.forward(family, batch).log_prob, atol=1e-5)


def test_priming_equals_forward_over_the_prefix(family):
    prompt = torch.tensor([[11, 12, 13], [14, PAD, PAD], [PAD] * 3])
    with torch.no_grad():
        primed = family.prime(prompt)
        assert torch.allclose(primed.logits, LanguageModel.prime(family, prompt).logits, atol=1e-5)
        for i, row in enumerate(([11, 12, 13], [14], [])):
            at = family.start(1)
            for token in row:
                at = family.step(at.state, torch.tensor([token]))
            assert torch.allclose(primed.logits[i], at.logits[0], atol=1e-5)
        after = family.step(primed.state, torch.tensor([5, 6, 7])).logits
        alone = family.step(family.prime(prompt[1:2, :1]).state, torch.tensor([6])).logits
        assert torch.allclose(after[1], alone[0], atol=1e-5)


def test_what_stands_is_gone_on_from_by_rows_of_several_lengths(family):
    more = torch.tensor([[5, PAD, PAD], [6, 7, 8], [PAD] * 3])
    with torch.no_grad():
        for first in ([[11], [12], [13]], [[11, 12], [PAD, PAD], [13, PAD]]):
            prompt = torch.tensor(first)
            at = family.read(family.read(family.prime(prompt), more), more)
            after = family.step(at.state, torch.tensor([5, 6, 7])).logits
            for i in range(3):
                row = torch.cat([prompt[i], more[i], more[i]])
                alone = family.prime(row[row != PAD][None])
                assert torch.allclose(at.logits[i], alone.logits[0], atol=1e-5)
                alone = family.step(alone.state, torch.tensor([5 + i]))
                assert torch.allclose(after[i], alone.logits[0], atol=1e-5)


def test_a_state_that_counts_for_all_rows_is_not_read_on_for_some():
    class Counting(LanguageModel):
        def start(self, n, *, rng=None):
            return Step(torch.zeros(n, V), (torch.zeros(n), 0))

        def step(self, state, tokens):
            return Step(torch.zeros(len(tokens), V), (state[0], state[1] + 1))

    assert Counting().prime(torch.tensor([[5, 6], [7, 8]])).state[1] == 2
    with pytest.raises(ValueError, match=r"from 1 to 2.*say read\(\)"):
        Counting().prime(torch.tensor([[5, 6], [7, PAD]]))


def test_the_future_does_not_leak(family):
    one, other = pad([[5, 6, 7, 8, 9, EOS]]), pad([[5, 6, 7, 15, 4, EOS]])
    with torch.no_grad():
        one, other = family(one).log_prob[0], family(other).log_prob[0]
    assert torch.equal(one[:3], other[:3])
    assert not torch.equal(one[4:], other[4:])


def test_padding_changes_nothing(family):
    with torch.no_grad():
        wide = family(pad(ROWS, width=11)).log_prob
        assert torch.allclose(family(pad(ROWS)).log_prob, wide[:, :5], atol=1e-6)
        assert (wide[:, 5:] == 0).all()


def test_select_commutes_with_step(family):
    index = torch.tensor([2, 0, 2, 1])
    with torch.no_grad():
        state = family.step(family.start(3).state, torch.tensor([5, 6, 7])).state
        chosen = select(state, index)
        expected = family.step(state, torch.tensor([8, 9, 10])).logits[index]
        assert torch.allclose(family.step(chosen, torch.tensor([10, 8, 10, 9])).logits, expected, atol=1e-5)


def test_states_are_values_however_they_branch(family):
    tokens = torch.tensor([5, 6])
    with torch.no_grad():
        root = family.step(family.start(2).state, tokens).state
        left = family.step(root, torch.tensor([7, 8])).state
        right = family.step(root, torch.tensor([9, 10])).state
        for state, before in ((left, [7, 8]), (right, [9, 10]), (left, [7, 8])):
            batch = torch.stack([tokens, torch.tensor(before), torch.tensor([11, 12])], 1)
            ours = family.step(state, batch[:, 2]).logits
            fresh = family.prime(batch).logits
            assert torch.allclose(ours, fresh, atol=1e-5)


def test_a_state_made_under_inference_goes_on_without(family):
    with torch.inference_mode():
        state = family.start(2).state
    with torch.no_grad():
        after = family.step(state, torch.tensor([5, 6])).logits
        assert torch.allclose(after, family.step(family.start(2).state, torch.tensor([5, 6])).logits, atol=1e-6)


def test_relaxed_tokens_step_as_ids_do_and_carry_a_gradient(family):
    relaxed = F.one_hot(torch.tensor([5, 6]), V).float().requires_grad_()
    one = family.step(family.start(2).state, relaxed)
    two = family.step(one.state, torch.tensor([7, 8]))
    hard = family.step(family.step(family.start(2).state, torch.tensor([5, 6])).state, torch.tensor([7, 8]))
    assert torch.allclose(two.logits, hard.logits, atol=1e-5)
    two.logits[:, EOS].sum().backward()
    assert (relaxed.grad.abs().sum(1) > 0).all()
    assert all(p.grad is not None for name, p in family.named_parameters())


def test_what_it_represents_predicts_the_next_token(family):
    assert isinstance(family, SupportsHidden)
    with torch.no_grad():
        at = family.step(family.start(2).state, torch.tensor([5, 6]))
        assert torch.allclose(family.output(family.hidden(at.state)), at.logits, atol=1e-6)
        batch = pad([[5, 7], [6, 7]])
        assert torch.allclose(family(batch).hidden[:, 1], family.hidden(at.state), atol=1e-5)


def test_checkpoints_round_trip_tied_or_not(tmp_path):
    for i, name in enumerate(MAKERS):
        family, fresh = make(name), MAKERS[name]().eval()
        save_model(family, str(tmp_path / f"{i}.safetensors"))
        load_model(fresh, tmp_path / f"{i}.safetensors")
        assert (fresh.output.weight is fresh.embedding.weight) == (family.output.weight is family.embedding.weight)
        assert torch.equal(family(pad(ROWS)).log_prob, fresh(pad(ROWS)).log_prob)


@pytest.mark.parametrize("name", ["lstm", "seq2seq", "transformer", "gpt2"])
def test_it_learns_a_batch_by_heart(name):
    torch.manual_seed(0)
    family, batch = MAKERS[name]().train(), pad(ROWS)
    optimiser = torch.optim.AdamW(family.parameters(), lr=0.03)
    floor = 3 * math.log(3) / 11  # the first token of three rows is a guess
    for _ in range(300):
        loss = -family(batch).log_prob.sum() / batch.mask.sum()
        if loss.item() < 1.5 * floor:
            return
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    pytest.fail(f"still at {loss.item():.3f} nats a token")


@pytest.mark.parametrize("name", [name for name in MAKERS if "lstm" in name or "seq2seq" in name])
def test_windows_go_on_where_they_stood(name):
    family = make(name)
    whole = torch.randint(4, V, (2, 12), generator=torch.Generator().manual_seed(0))
    full = torch.ones_like(whole, dtype=torch.bool)
    parts = enumerate(whole.split(4, 1))
    windows = [Batch(part, full[:, :4], carry=i > 0) for i, part in parts]
    with torch.no_grad():
        straight = family(Batch(whole, full)).log_prob
        first = family(windows[0]).log_prob
        family.train()(windows[2])  # training windows in between do not disturb it
        rest = [family.eval()(window).log_prob for window in windows[1:]]
        assert torch.allclose(torch.cat([first, *rest], 1), straight, atol=1e-5)
        assert torch.equal(family(windows[0]).log_prob, first)  # begins anew


def test_map_state_reaches_every_tensor_of_a_state(family):
    with torch.no_grad():
        at = family.prime(torch.tensor([[5, 6], [7, PAD]]))
        seen = []
        map_state(at.state, lambda tensor: seen.append(len(tensor)) or tensor)
    assert seen
    assert set(seen) == {2}


@pytest.mark.parametrize(
    ("make", "options", "advice"),
    [
        (Transformer, {"positions": "rotray"}, "rotary, learned, sinusoidal, relative, none"),
        (Transformer, {"norm": "foo"}, "rms, layer"),
        (Transformer, {"activation": "foo"}, "relu2, gelu, swiglu"),
        (Transformer, {"context": 0}, "context is 0; it must be 1 or more"),
        (Transformer, {"heads": 0}, "heads is 0; it must be 1 or more"),
        (Transformer, {"dropout": 1.0}, "dropout is 1.0"),
        (Seq2Seq, {"attention": "bahdanu"}, "luong, bahdanau"),
        (Seq2Seq, {"layers": 0}, "layers is 0"),
        (Seq2Seq, {"dropout": -0.1}, r"\[0, 1\)"),
        (LSTM, {"layers": 0}, "layers is 0"),
        (LSTM, {"drop_weight": 1.5}, "drop_weight is 1.5"),
        (LSTM, {"drop_words": float("nan")}, "drop_words is nan"),
        (LSTMEncoder, {"layers": 0}, "layers is 0"),
        (TransformerEncoder, {"width": 20, "heads": 3}, "20 is odd or not 3 heads; give for example 96"),
        (TransformerEncoder, {"layers": -1}, "layers is -1"),
    ],
)
def test_settings_that_make_no_model_are_refused(make, options, advice):
    with pytest.raises(ValueError, match=advice):
        make(V, **options)


def test_it_gives_label_smoothing_what_that_asks_for(family):
    """The mean log-probability of all tokens that can be emitted, at every token, while it trains."""
    batch, read, log_prob = pad(ROWS), [], family.output.log_prob
    family.output.log_prob = lambda hidden, *rest: read.append(hidden) or log_prob(hidden, *rest)
    found = family.train()(batch).terms["uniform"]
    every = family.output(read[0]).log_softmax(-1)[..., 2:].mean(-1)
    torch.testing.assert_close(found, torch.where(batch.mask, every, 0.0), atol=1e-5, rtol=1e-4)
