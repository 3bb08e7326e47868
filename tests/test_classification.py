"""Labelled text from file to board, and what is refused on the way."""

from __future__ import annotations

import random

import pytest

from gentext.cli import main
from gentext.results import record as records

WORDS = {"good": ["fine", "great", "lovely"], "bad": ["poor", "dull", "weak"]}
OTHERS = ["film", "plot", "and", "of", "a", "long", "in", "scene"]  # many combinations: equal texts share a split


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path: str, rows: list[tuple[str, str]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("text,label\n")
        file.writelines(f"{text},{label}\n" for text, label in rows)


def reviews(n: int = 200) -> list[tuple[str, str]]:
    rng = random.Random(0)
    labels = [rng.choice(list(WORDS)) for _ in range(n)]
    return [(f"the {' '.join(rng.choices(OTHERS, k=4))} is {rng.choice(WORDS[label])}", label) for label in labels]


def run(*words: str) -> int:
    return main(["run", "experiment=classification", "data.path=r.csv", *words])


@pytest.mark.parametrize(
    "family", ["naive_bayes", "logistic", "class_ngram", pytest.param("mlp", marks=pytest.mark.slow)]
)
def test_labels_that_words_tell_are_told(family):
    write("r.csv", reviews())
    epochs = ["train.epochs=60"] if family == "mlp" else []
    assert run(f"family={family}", "data.test=.2", *epochs) == 0
    (record,) = records.find(["runs"])
    assert record.track == "classification"
    assert record.values["accuracy"].value > 0.95
    assert record.values["log_loss"].value < 0.5
    assert main(["score", record.folder]) == 0
    assert records.find(["runs"])[0].values["accuracy"].value == record.values["accuracy"].value


def test_a_generator_is_asked_for_labels_alone():
    write("r.csv", reviews())
    assert run("family=ngram", "data.test=.2") == 0
    (record,) = records.find(["runs"])
    assert 0 <= record.values["accuracy"].value <= 1


def test_one_label_is_refused(capsys):
    write("r.csv", [(text, "good") for text, _ in reviews()])
    assert run("family=naive_bayes") == 2
    assert "has one label, 'good': there is nothing to tell apart" in capsys.readouterr().err


def test_a_label_that_train_lacks_is_refused(capsys, tmp_path):
    (tmp_path / "d").mkdir()
    write("d/train.csv", reviews())
    write("d/test.csv", [*reviews(20), ("the film is odd", "strange")])
    assert main(["run", "experiment=classification", "data.path=d", "family=naive_bayes"]) == 2
    assert "test has the label 'strange', of which train has no example" in capsys.readouterr().err


def test_a_label_of_one_example_is_warned_of(capsys, tmp_path):
    (tmp_path / "d").mkdir()
    write("d/train.csv", [*reviews(), ("the film is odd", "strange")])
    write("d/test.csv", reviews(20))
    write("d/valid.csv", reviews(20))
    assert main(["run", "experiment=classification", "data.path=d", "family=naive_bayes"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "one example of the label 'strange' alone" in said


def test_a_classifier_of_text_without_labels_is_refused(capsys):
    assert main(["run", "family=naive_bayes", "data.train=50"]) == 2
    assert "family.labels is null" in capsys.readouterr().err


def test_too_many_labels_are_taken_for_texts(capsys):
    write("r.csv", [(f"text {i}", f"label{i}") for i in range(3000)])
    assert run("family=naive_bayes") == 2
    assert "does data.target name the column of labels" in " ".join(capsys.readouterr().err.split())


def test_a_discriminator_judges_its_generator_s_candidates(monkeypatch, capsys):
    monkeypatch.setattr("gentext.decode.reweighted.BANK", 512)
    few = ["data.train=400", "data.valid=20", "data.test=60", "eval.samples=40"]
    assert main(["run", "family=ngram", "family.order=1", *few, "out=made"]) == 0
    (plain,) = records.find(["made"])
    told = ["data=detection", f"data.run={plain.folder}", "data.train=400", "data.valid=20", "data.test=60"]
    assert main(["run", "experiment=classification", *told, "family=naive_bayes", "out=told"]) == 0
    (judge,) = records.find(["told"])
    assert judge.fingerprints["splits"]["test"]["lines"] == 120
    assert 0.5 <= judge.values["accuracy"].value <= 1
    assert main(["score", str(judge.folder), "--eval", "classification"]) == 0  # its corpus, a run's, is built again
    for name in ("residual_ebm", "rerank"):
        settings = [f"decode={name}", f"decode.{name}.candidates=4", f"decode.{name}.judge.run={judge.folder}"]
        assert main(["run", "family=ngram", "family.order=1", *few, "out=made", *settings]) == 0
    rows = {record.decode.split()[0]: record for record in records.find(["made"])}
    assert rows["resample"].cost["draws_per_text"] == rows["rerank"].cost["draws_per_text"] == 4
    for name in ("ancestral", "resample", "rerank"):
        assert {rows[name].values[figure].exactness for figure in ("h_pq", "kl_pq", "js")} == {"exact"}


def test_a_judge_that_is_none_is_refused_before_any_work(capsys):
    assert main(["run", "family=ngram", "data.train=50", "decode=rerank", "decode.rerank.judge.run=nowhere"]) == 2
    assert "nowhere holds no trained model" in " ".join(capsys.readouterr().err.split())


def test_a_judge_of_other_text_is_refused_before_any_work(capsys, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(f"ein kleines haus steht {i} mal im wald" for i in range(60)))
    assert main(["run", "family=ngram", "data=text", f"data.path={lines}", "eval.samples=5", "out=other"]) == 0
    (other,) = records.find(["other"])
    capsys.readouterr()
    few = ["data.train=50", "data.valid=5", "data.test=10", "out=mine"]
    assert main(["run", "family=ngram", *few, "decode=rerank", f"decode.rerank.judge.run={other.folder}"]) == 2
    assert "knows 0% of this corpus's words" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("mine/**/model.safetensors"))
