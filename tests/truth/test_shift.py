"""A test that the training text could not show: rules of the grammar that train and valid do without."""

import numpy as np
import pytest
import torch

from gentext import config
from gentext.cli import main
from gentext.data import Corpus, Word
from gentext.results import record as records
from gentext.truth import GeneratedCorpus, Grammar

TOY = """
S -> N V [0.5] | N V And V [0.5]
N -> 'cats' [0.75] | 'dogs' [0.25]
V -> 'run' [0.5] | 'sit' [0.5]
And -> 'and' [1.0]
"""


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.pcfg"
    path.write_text(TOY)
    return Grammar(path, name="toy")


def test_a_text_requires_a_rule_where_no_derivation_does_without(toy):
    texts = ["cats run", "cats run and sit", "dogs sit"]
    assert toy.requires(texts, ["S -> * And *"]).tolist() == [False, True, False]
    assert toy.requires(texts, ["S -> * And *", "N -> 'dogs'"]).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="matches no rule of toy; one reads 'S -> N V'"):
        toy.requires(texts, ["S -> *Because*"])


def test_train_shows_none_of_the_rules_and_the_shifted_split_nothing_else(toy, tmp_path):
    source = GeneratedCorpus(toy, train=50, valid=10, test=400, shift=["S -> * And *"], shifted=30)
    corpus = Corpus.open(source, Word(), cache=tmp_path / "cache")
    joined = {split: np.mean([" and " in text for text in corpus.lines(split)]) for split in source.split_names}
    assert [corpus.size(split) for split in source.split_names] == [50, 10, 400, 30]
    assert (joined["train"], joined["valid"], joined["shifted"]) == (0, 0, 1)
    assert abs(joined["test"] - 0.5) < 0.1  # of the truth as it is
    assert set(corpus.fingerprint()["splits"]) == {"train", "valid", "test", "shifted"}
    assert corpus.unknown("shifted") == 0  # the words are known, and their combination is not
    plain = Corpus.open(GeneratedCorpus(toy, train=50, valid=10, test=400), Word(), cache=tmp_path / "cache")
    assert list(plain.lines("test")) == list(corpus.lines("test"))
    with pytest.raises(ValueError, match="'shifted' is no split of toy; they are train, valid, test"):
        plain.size("shifted")


def test_rules_that_every_text_or_none_requires_are_refused(toy, tmp_path):
    everything = GeneratedCorpus(toy, train=5, shift=["N -> *"])
    with pytest.raises(ValueError, match=r"none of 10000 draws is for train by data\.shift"):
        list(everything.rows())


@pytest.mark.parametrize("option", ["captions_deeper", "captions_longer", "captions_combined"])
def test_every_shifted_corpus_names_rules_that_there_are(option):
    data = config.build(config.compose([f"data={option}"]).data)
    texts = data.truth.sample(300, torch.Generator().manual_seed(0))
    assert 0 < data.truth.requires(texts, data.shift).mean() < 0.5


def test_a_run_is_judged_on_what_its_training_could_not_show(tmp_path, monkeypatch, toy):
    monkeypatch.chdir(tmp_path)
    run = ["run", "data=captions_combined", "data.train=200", "data.valid=20", "data.test=50", "data.shifted=20"]
    assert main([*run, "family.order=3", "eval.samples=30"]) == 0
    (path,) = tmp_path.rglob("record.ancestral.json")
    before = records.read(path)
    weights = (path.parent / "model.safetensors").stat().st_mtime_ns
    assert main([*run, "family.order=3", "eval.samples=30", "eval.split=shifted"]) == 0
    assert (path.parent / "model.safetensors").stat().st_mtime_ns == weights  # the same model, judged on another text
    after = records.read(path)
    assert (before.split, after.split) == ("test", "shifted")
    assert after.values["kl_pq"].n == 20
    assert after.values["bits_per_char"].value > before.values["bits_per_char"].value
