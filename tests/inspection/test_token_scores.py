"""Each token's log-probability and rank, against the whole text's likelihood and a count of likelier tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gentext.data import Word
from gentext.decode import Beam
from gentext.inspection.attribution import attributions
from gentext.inspection.beam_tree import beam_tree
from gentext.inspection.token_scores import token_scores
from gentext.models import HMM, LSTM, VAE, Human, MaskedDiffusion, MaskedLM, NGram, Transformer
from gentext.models.vae.encoders import LSTMEncoder
from gentext.types import BOS, EOS, Batch, pad

V = 9


def fitted(order=3):
    model = NGram(V, order=order)
    model.accumulate(pad([[4, 5, 6, 2], [4, 5, 7, 2], [5, 6, 2], [8, 2]] * 3))
    model.maximize()
    return model


FAMILIES = {
    "lstm": lambda: LSTM(V, layers=1, width=8),
    "transformer": lambda: Transformer(V, layers=1, heads=2, width=8),
    "hmm": lambda: HMM(V, states=4),
    "ngram": fitted,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokens_add_up_to_the_text_and_ranks_count_likelier_tokens(name):
    torch.manual_seed(0)
    family = FAMILIES[name]().eval().requires_grad_(False)
    batch = Batch(torch.tensor([[5, 4, 8, EOS]]), torch.ones(1, 4, dtype=torch.bool), torch.tensor([[4, 6]]))
    found = token_scores(family, batch)
    assert float(found.log_prob.sum()) == pytest.approx(float(family.log_prob(batch)), abs=1e-4)
    for i, token in enumerate(batch.tokens[0].tolist()):
        said = torch.cat([batch.prompt, batch.tokens[:, :i]], 1)
        # log p of every token that could stand here, each as a text of its own
        every = torch.tensor(
            [
                float(family.log_prob(Batch(torch.tensor([[other]]), torch.ones(1, 1, dtype=torch.bool), said)))
                for other in range(EOS, V)
            ]
        )
        assert float(found.log_prob[i]) == pytest.approx(float(every[token - EOS]), abs=1e-4)
        assert int(found.rank[i]) == 1 + int((every > every[token - EOS] + 1e-6).sum())
        assert float(found.entropy[i]) == pytest.approx(float(-(every.exp() * every).sum()), abs=1e-4)
        assert float(found.expected_log_prob[i, 0]) == pytest.approx(float(every.max()), abs=1e-4)


def test_a_vae_s_tokens_are_those_of_its_decoder_under_the_posterior_s_mean():
    torch.manual_seed(0)
    family = VAE(LSTMEncoder(V, width=8), LSTM(V, layers=1, width=8), latent=3).eval().requires_grad_(False)
    batch = pad([[5, 4, 8, EOS]])
    whole = family.decoder(batch, family.encode(batch).mean).log_prob
    assert token_scores(family, batch).log_prob.tolist() == pytest.approx(whole[0].tolist(), abs=1e-4)


def test_masked_diffusion_says_each_word_given_all_the_others():
    torch.manual_seed(0)
    family = MaskedDiffusion(V, layers=1, heads=2, width=8).eval().requires_grad_(False)
    batch = pad([[5, 4, 8, EOS]])
    found = token_scores(family, batch)
    canvas = family.canvas(batch)
    for i, place in enumerate(canvas.text[0].nonzero()[:, 0].tolist()):
        masked = torch.zeros_like(canvas.text)
        masked[0, place] = True
        scores = family.masked_logits(canvas._replace(masked=masked), masked)[0].log_softmax(-1)
        assert float(found.log_prob[i]) == pytest.approx(float(scores[batch.tokens[0, i]]), abs=1e-5)
    assert len(found.log_prob) == 3
    found = attributions(family.requires_grad_(True), batch)
    assert found.values.shape == (3, 5)
    assert found.read.tolist() == [BOS, 5, 4, 8, EOS]


@pytest.mark.parametrize("prompt", [None, torch.tensor([[4, 6]])])
def test_a_masked_language_model_s_tokens_add_up_to_its_pseudo_likelihood(prompt):
    torch.manual_seed(0)
    family = MaskedLM(V, layers=1, heads=2, width=8).eval().requires_grad_(False)
    batch = replace(pad([[5, 4, 8, EOS]]), prompt=prompt)
    found = token_scores(family, batch)
    assert found.tokens.tolist() == [5, 4, 8, EOS]
    assert float(found.log_prob.sum()) == pytest.approx(float(family.log_prob(batch)), abs=1e-5)


def test_a_family_without_a_next_token_is_refused():
    with pytest.raises(ValueError, match="has no probability of the next token"):
        token_scores(Human(V).eval(), pad([[5, EOS]]))


def test_a_beam_s_tree_holds_what_the_search_gives_back():
    family = fitted()
    tree = beam_tree(family, Word().fit(["a b c d e"]), 3, 5)
    best = Beam(width=3).best(family, 1, 5, rng=torch.Generator())
    placed = {row[3]: row for row in tree.rows if row[3] != ""}
    assert sorted(placed) == [1, 2, 3]
    for place, row in placed.items():
        batch = best.batch.rows(torch.tensor([place - 1]))
        assert row[2] == pytest.approx(float(family.log_prob(batch)), abs=1e-4)
        assert row[4] == pytest.approx(float(best.scores[0, place - 1]), abs=1e-5)
        assert row[0].endswith("⟨end⟩") == (int(batch.tokens[0, int(batch.lengths[0]) - 1]) == EOS)
