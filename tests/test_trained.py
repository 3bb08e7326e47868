"""A trained run read back: what a prompt means to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from gentext import trained
from gentext.data.tokenizer import Word
from gentext.decode import Ancestral
from gentext.latent_space import LatentSpace
from gentext.models.lstm import LSTM
from gentext.models.ngram.model import NGram
from gentext.models.seq2seq import Seq2Seq
from gentext.models.vae.encoders import LSTMEncoder
from gentext.models.vae.model import VAE
from gentext.trained import TrainedModel
from gentext.types import EOS, UNK, pad

TEXTS = ["a man rides a horse", "ein mann reitet"]


def model(family=LSTM, **data) -> TrainedModel:
    torch.manual_seed(0)
    tokenizer = Word().fit(TEXTS)
    made = family(tokenizer.vocab_size, width=16, layers=1).eval()
    return TrainedModel(made, tokenizer, OmegaConf.create({"data": data, "max_len": 6}), Path())


def seen(made: TrainedModel, monkeypatch, **asked) -> tuple[list[list[int]], list[str]]:
    """The prompts that the family was given, and what came of it."""
    given, prime = [], type(made.family).prime

    def spy(self, prompt, **options):
        given.extend(prompt.tolist())
        return prime(self, prompt, **options)

    monkeypatch.setattr(type(made.family), "prime", spy)
    return given, made.sample(decoder="greedy", **asked)


def test_a_run_on_pairs_translates_its_prompt_and_tells_the_translation_alone(monkeypatch):
    made = model(Seq2Seq, source="de", target="en")
    ids = made.tokenizer.encode(["ein mann"])[0]
    given, (text,) = seen(made, monkeypatch, prompt="ein mann", stop=["ein nie"])
    assert given == [[*ids, EOS]]
    draw = made.family.prime(torch.tensor([[*ids, EOS]])).logits.argmax(1)
    assert text.split()[:1] == made.tokenizer.decode([draw.tolist()])[0].split()[:1]
    assert not text.startswith("ein mann")


def test_elsewhere_a_prompt_is_the_beginning_of_the_text(monkeypatch):
    made = model(source=None)
    given, (text,) = seen(made, monkeypatch, prompt="a man")
    assert given == made.tokenizer.encode(["a man"])
    assert text.startswith("a man")


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_prompt_is_lower_cased_where_the_corpus_was_and_unknown_words_are_named(monkeypatch, caplog, lowercase):
    made = model(lowercase=lowercase)
    given, _ = seen(made, monkeypatch, prompt="A man frobs a quux")
    lower = made.tokenizer.encode(["a man frobs a quux"])[0]
    assert (given[0] == lower) == lowercase
    assert "'frobs', 'quux'" in caplog.text
    assert ("'A'" in caplog.text) != lowercase


def test_a_text_for_the_latent_space_is_read_likewise(caplog):
    torch.manual_seed(0)
    tokenizer = Word().fit(TEXTS)
    vae = VAE(LSTMEncoder(tokenizer.vocab_size, width=8), LSTM(tokenizer.vocab_size, width=8), latent=2)
    space = LatentSpace(vae.eval(), tokenizer, 6, lowercase=True)
    assert torch.equal(space.encode(["A man rides frobs"]), space.encode(["a man rides frobs"]))
    assert "'frobs'" in caplog.text
    assert "'A'" not in caplog.text
    caplog.clear()
    space.neighbours("a man", ["a man frobs"])
    assert not caplog.records


def test_of_a_beam_the_best_are_told_once_each():
    made = model()
    texts = made.sample(4, decoder="beam", width=4, prompt="a man")
    assert len(set(texts)) == 4
    assert texts[0] == made.sample(decoder="beam", width=4, prompt="a man")[0]
    assert len(set(made.sample(2, decoder="diverse_beam"))) == 2
    with pytest.raises(ValueError, match="width=6 or more"):
        made.sample(6, decoder="beam")


def test_settings_beside_a_decoder_that_is_made_are_refused():
    with pytest.raises(ValueError, match=r"temprature: given beside.*make the Ancestral"):
        model().sample(decoder=Ancestral(), temprature=0.5)


def test_a_device_that_is_not_there_is_refused_in_one_line():
    for name in ("tpu9", "cuda:77"):
        with pytest.raises(ValueError, match=f"device is '{name}'.*give cpu") as refused:
            trained.on_device(LSTM(9, layers=1, width=4), name)
        assert "\n" not in str(refused.value)
    assert next(trained.on_device(LSTM(9, layers=1, width=4), "cpu").parameters()).device.type == "cpu"


@pytest.mark.parametrize("family", [LSTM, NGram])
@pytest.mark.parametrize("prompt", [None, "a man"])
def test_the_first_texts_of_a_seed_are_the_same_for_every_n(family, prompt):
    made = model(family) if family is LSTM else ngram()
    most = made.sample(13, prompt=prompt, seed=3)
    assert len(set(most)) > 1
    for n in (1, 2, 3, 6, 12):
        assert made.sample(n, prompt=prompt, seed=3) == most[:n]


@pytest.mark.parametrize("decoder", ["ancestral", "greedy", "beam", "top_p"])
def test_the_unknown_word_is_written_where_it_is_asked_for_alone(decoder):
    made = model()
    with torch.no_grad():
        made.family.output.bias[UNK] += 3
    shown, asked = (" ".join(made.sample(4, decoder=decoder, **how)) for how in ({}, {"ban_unk": False}))
    assert "⁇" in asked
    assert "⁇" not in shown
    assert "⁇" in " ".join(made.sample(20, decoder=Ancestral()))


def ngram() -> TrainedModel:
    tokenizer = Word().fit(TEXTS)
    made = NGram(tokenizer.vocab_size, order=2)
    made.accumulate(pad([[*ids, EOS] for ids in tokenizer.encode(TEXTS)]))
    made.maximize()
    return TrainedModel(made, tokenizer, OmegaConf.create({"data": {}, "max_len": 6}), Path())
