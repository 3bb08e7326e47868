"""Attributions against finite differences and completeness; attention and alignment against what they are made of."""

from __future__ import annotations

import pytest
import torch

from gentext.data import Word
from gentext.inspection import text
from gentext.inspection.attribution import STEPS, attributions
from gentext.inspection.token_scores import token_scores
from gentext.models import HMM, LSTM, VAE, EncoderDecoder, MaskedLM, NGram, RelationalMemory, Seq2Seq, Transformer
from gentext.models.transformer.attention_panels import rollout
from gentext.models.vae.encoders import LSTMEncoder
from gentext.types import BOS, EOS, Batch, pad

V = 9
FAMILIES = {
    "lstm": lambda: LSTM(V, layers=2, width=8),
    "transformer": lambda: Transformer(V, layers=2, heads=2, width=8),
    "relational_memory": lambda: RelationalMemory(V, head_size=4),
    "seq2seq": lambda: Seq2Seq(V, width=8),
    "encoder_decoder": lambda: EncoderDecoder(V, layers=1, heads=2, width=8),
    "masked_lm": lambda: MaskedLM(V, layers=2, heads=2, width=8),
    "vae": lambda: VAE(LSTMEncoder(V, width=8), LSTM(V, layers=1, width=8), latent=2),
}


def loud(family):
    """With weights that are not as small as a network's first ones, so that every token moves something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in family.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return family.eval()


def tokenwise(family, batch):
    if isinstance(family, VAE):
        return family.decoder(batch, family.encode(batch).mean).log_prob[0]
    if isinstance(family, MaskedLM):
        return token_scores(family, batch).log_prob
    return family(batch).log_prob[0]


def replaced(family, batch, change, at):
    """log p of each token with the vector number `at` that is read put through `change`."""
    seen = [0]

    def hook(_, __, out):
        flat = out.reshape(-1, out.shape[-1]).clone()
        if isinstance(family, MaskedLM):  # which reads the line in a row for each token
            out[:, at] = change(out[:, at])
            return out
        if seen[0] <= at < seen[0] + len(flat):
            flat[at - seen[0]] = change(flat[at - seen[0]])
        seen[0] += len(flat)
        return flat.view(out.shape)

    handle = (family.decoder if isinstance(family, VAE) else family).embedding.register_forward_hook(hook)
    try:
        with torch.no_grad():
            return tokenwise(family, batch).double()
    finally:
        handle.remove()


@pytest.mark.parametrize("name", FAMILIES)
def test_gradient_times_input_is_what_a_small_change_does(name):
    family = loud(FAMILIES[name]())
    batch = pad([[5, 4, EOS]])
    if name in ("seq2seq", "encoder_decoder"):
        batch = Batch(batch.tokens, batch.mask, torch.tensor([[6, 7, EOS]]))
    found = attributions(family, batch)
    source = [6, 7, EOS] if batch.prompt is not None else []
    assert found.read.tolist() == [*source, BOS, 5, 4] + [EOS] * (name == "masked_lm")
    assert found.written.tolist() == token_scores(family, batch).tokens.tolist()
    for at in range(len(found.read)):
        up, down = (replaced(family, batch, lambda x, h=h: x * (1 + h), at) for h in (0.003, -0.003))
        assert found.values[:, at].tolist() == pytest.approx(((up - down) / 0.006).tolist(), abs=2e-2, rel=2e-2)


@pytest.mark.parametrize("name", ["lstm", "seq2seq"])  # norms make a Transformer leap where the path begins
def test_integrated_gradients_add_up_to_the_gain_over_reading_nothing(name):
    family = loud(FAMILIES[name]())
    batch = Batch(torch.tensor([[5, 4, EOS]]), torch.ones(1, 3, dtype=torch.bool), torch.tensor([[6, 7, EOS]]))
    found = attributions(family, batch, steps=200)
    hook = family.embedding.register_forward_hook(lambda _, __, out: out * 1e-9)
    with torch.no_grad():
        nothing = family(batch).log_prob[0]
    hook.remove()
    gain = family(batch).log_prob[0] - nothing
    assert found.values.sum(1).tolist() == pytest.approx(gain.tolist(), abs=0.03, rel=0.03)


def test_a_panel_asks_what_the_text_says_once_and_no_more(monkeypatch):
    family, asked = loud(FAMILIES["masked_lm"]()), []
    whole = MaskedLM.full_conditionals
    monkeypatch.setattr(MaskedLM, "full_conditionals", lambda *given: asked.append(1) or whole(*given))
    text._maps(family, Word().fit(["a b c d e"]), pad([[5, 4, EOS]]))
    assert len(asked) == (1 + 1) + (1 + STEPS)  # each method once for what stands there, and once a step


def test_what_reads_no_embedding_has_no_attributions():
    model = NGram(V, order=2)
    model.accumulate(pad([[4, 5, EOS]]))
    model.maximize()
    assert attributions(model, pad([[4, EOS]])) is None
    assert attributions(HMM(V, states=2), pad([[4, EOS]])) is None


def test_rollout_follows_every_path_through_the_layers():
    torch.manual_seed(0)
    layers = [torch.rand(1, 2, 4, 4).tril().softmax(-1).tril() for _ in range(3)]
    layers = [own / own.sum(-1, keepdim=True) for own in layers]
    found = rollout(layers)[0]
    mean = [own.mean(1)[0] for own in layers]
    for end in range(4):
        for begin in range(4):
            total = 0.0
            for a in range(4):
                for b in range(4):  # half of each layer's reading is the residual stream itself
                    steps = ((2, end, a), (1, a, b), (0, b, begin))
                    parts = [(float(mean[layer][i, j]) + (i == j)) / 2 for layer, i, j in steps]
                    total += parts[0] * parts[1] * parts[2]
            assert float(found[end, begin]) == pytest.approx(total, abs=1e-6)
    assert found.sum(1).tolist() == pytest.approx([1.0] * 4)


@pytest.mark.parametrize("attention", ["luong", "bahdanau"])
def test_alignment_is_what_the_decoder_mixed_the_source_by(attention):
    family = loud(Seq2Seq(V, width=8, attention=attention))
    source, text = torch.tensor([[6, 7, EOS, 0], [4, 5, 8, EOS]]), torch.tensor([[5, 4], [4, 4]])
    with torch.no_grad():
        shares = family.alignment(source, text)
        at = family.prime(source)
        for i in range(3):
            h = at.state.layers[-1][0]
            mixed = torch.bmm(shares[:, i : i + 1], at.state.memory)[:, 0]
            assert torch.allclose(family.attend(torch.cat([mixed, h], 1)).tanh(), at.state.attended, atol=1e-6)
            at = family.step(at.state, text[:, i]) if i < 2 else at
    assert shares[0, :, 3].abs().max() == 0  # padding is not read


def test_an_n_gram_names_the_longest_one_that_train_has():
    rows = [[4, 5, 6, EOS], [4, 5, 7, EOS], [5, 6, 8, EOS]]
    model = NGram(V, order=3)
    model.accumulate(pad(rows * 2))
    model.maximize()
    text = [BOS, 4, 5, 8, 6, EOS]
    orders, log_p = model.model.found(torch.tensor(text))
    lines = [[BOS, *row] for row in rows]
    for i in range(1, len(text)):
        held = [k for k in (1, 2, 3) if i + 1 - k >= 0 and any(_holds(line, text[i + 1 - k : i + 1]) for line in lines)]
        assert int(orders[i]) == max(held, default=1)
    whole = model.model.score(torch.tensor(text))
    full = orders == torch.tensor([1, 2, 3, 3, 3, 3])  # nothing was backed off
    assert log_p[full].tolist() == pytest.approx(whole[full].tolist())


def _holds(line, part):
    return any(line[i : i + len(part)] == part for i in range(len(line)))
