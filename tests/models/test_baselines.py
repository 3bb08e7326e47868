"""Rows that no model writes, of pairs: the source, its first sentences, another person's answer."""

import json
import re

import pytest
import torch

import gentext
from gentext import config
from gentext.cli import main
from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Word
from gentext.data.words import sentences
from gentext.models import Human, Lead
from gentext.results import record as records


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("Mr. Ho met Dr. Li at 3.5 p.m. today. He left.", ["Mr. Ho met Dr. Li at 3.5 p.m. today.", "He left."]),
        ("a line\nanother, longer\n\n", ["a line", "another, longer"]),
        ("床前明月光。疑是地上霜！", ["床前明月光。", "疑是地上霜！"]),
        ("", []),
    ],
)
def test_sentences(text, found):
    assert sentences(text) == found


def test_a_lead_is_the_source_up_to_its_third_sentence():
    source = "A fire broke out.  Nobody was hurt. It rained. It was Monday."
    assert Lead(9).answer(source) == "A fire broke out.  Nobody was hurt. It rained."
    assert Lead(9, sentences=9).answer(source) == source
    assert Lead(9, sentences=None).answer(source) == source
    with pytest.raises(ValueError, match="sentences is 0"):
        Lead(9, sentences=0)


@pytest.fixture(autouse=True)
def _few_metrics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eval").mkdir()
    few = "split: test\nsamples: 9\nmetrics:\n  answers:\n    _target_: gentext.metrics.Answers\n"
    (tmp_path / "eval" / "few.yaml").write_text(few)


def run(family, *words):
    return main(["run", "--config-dir=.", f"family={family}", "eval=few", *words])


@pytest.fixture
def news(tmp_path):
    """The configuration of a corpus whose two rows of test are of one source, which holds a word that train lacks."""
    (tmp_path / "news").mkdir()
    rows = [{"document": f"Unknown{i} is one. Two. Three. Four.", "summary": f"a {i % 7}"} for i in range(20)]
    tests = [{"document": "New is one. Two. Three. Four.", "summary": text} for text in ("New is one. Two.", "x")]
    for split, made in {"train": rows, "valid": rows[:2], "test": tests}.items():
        (tmp_path / "news" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, made)))
    return ["data=summarisation", "data.path=news"]


def test_a_baseline_is_a_row_and_answers_what_is_typed(news, capsys):
    assert run("lead", *news) == 0, capsys.readouterr().err
    (record,) = records.find(["runs"])
    assert records.samples(record) == ["New is one. Two. Three."] * 2
    model = gentext.load(record.folder)
    assert model.sample(2, prompt="Zebra one. Two. Three. Four.") == ["Zebra one. Two. Three."] * 2
    with pytest.raises(ValueError, match="answers a source; give one"):
        model.sample()


def test_the_human_row_of_pairs_is_another_answer_to_the_same_source(news, tmp_path):
    corpus = Corpus.open(config.build(config.compose(news).data), Word(), cache=tmp_path)
    rng = torch.Generator().manual_seed(0)
    assert Human(9).texts(corpus, 2, split="test", rng=rng) == ["x", "New is one. Two."]
    assert Lead(9, sentences=None).texts(corpus, 2, split="test", rng=rng) == ["New is one. Two. Three. Four."] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["copy", "data=captions", "data.train=20", "data.valid=2", "data.test=2"],
            "answers a source, and captions has",
        ),
        (["human", "data=translation"], "of the .* sources of translation's test have one answer alone"),
    ],
)
def test_what_has_no_such_row_says_why(words, message, capsys):
    assert run(*words) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_as_a_state_machine_it_writes_nothing():
    at = Lead(7).start(2)
    assert torch.equal(at.logits.softmax(-1)[:, 2], torch.ones(2))
