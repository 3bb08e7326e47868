"""`eval=safety` in a run: who memorises, what is flagged, and a table in the report; classifiers as flags."""

from __future__ import annotations

import numpy as np
import pytest
from metrics import tiny_bert

import gentext
from gentext.cli import main
from gentext.flags import RunFlag, SkopsFlag, TransformersFlag


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_n_gram_gives_its_secrets_away_and_a_report_says_so():
    small = ["data.corpus.train=150", "data.corpus.valid=10", "data.corpus.test=30", "eval.samples=20", "data.each=3"]
    flags = ["flag@eval.metrics.flagged.flag=words", "eval.metrics.flagged.flag.words=[man,dog]"]
    few = ["eval.metrics.exposure.candidates=300", "eval.metrics.robustness.texts=10"]
    done = gentext.run("data=canaries", "family=ngram", "data.repeats=[1,16]", *small, "eval=safety", *flags, *few)
    found = done[0].values
    assert found["exposure:16"].value > 6 > 4 > found["exposure:0"].value  # of log2 301 bits at most
    assert found["surprise:shuffled"].value > found["surprise:swapped"].value > 1
    assert 0 < found["flagged"].value < 1
    assert found["preferred:gender"].interval[0] <= found["preferred:gender"].value
    shown = gentext.board(done.folder)[0].columns
    assert {"flagged", "extracted", "preferred:gender", "surprise:typos"} <= set(shown)
    report = gentext.write_report(done.folder, out="report.md")[0].read_text()
    for title in ("Bias", "Robustness", "Memorisation", "Flagged samples"):
        assert f"{title}" in report
    assert "exposure of secrets repeated 16" in report


def labelled(path):
    rows = [(f"a {word} day {i}", label) for i in range(40) for word, label in (("fine", "good"), ("grim", "bad"))]
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return ["experiment=classification", f"data.path={path}", "data.source=text", "data.target=label"]


def test_a_run_s_classifier_flags_and_is_attacked(tmp_path):
    told = labelled(tmp_path / "r.csv")
    done = gentext.run(*told, "family=naive_bayes", "eval=safety", out="told")
    assert done[0].values["unattacked_accuracy"].value == 1.0
    assert done[0].values["attacked_accuracy"].value <= 0.5  # one word decides
    assert "longest_copy" not in done[0].values  # a label is no text that was learned by heart
    flag = RunFlag(run=str(done.folder), label="bad")
    assert flag.flag(["a grim day", "a fine day"]).tolist() == [True, False]
    assert flag.signature() != RunFlag(run=str(done.folder), label="bad", threshold=0.9).signature()
    small = ["data.train=60", "data.valid=10", "data.test=20", "eval.samples=10", "~eval.metrics", "+eval.metrics={}"]
    judged = ["decode=filter_run", f"decode.filter.flag.run={done.folder}", "decode.filter.flag.label=bad"]
    rows = gentext.run("family=ngram", *small, *judged, "decode.filter.flag.threshold=0.9")
    assert rows[0].cost["draws_per_text"] >= 1
    assert not RunFlag(run=str(done.folder), label="bad", threshold=0.9).flag(rows.samples()).any()


def test_a_folder_of_transformers_flags(tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = tiny_bert.write(tmp_path / "bert", ["a dog runs", "a cat"])
    config = transformers.BertConfig.from_pretrained(folder, id2label={0: "kind", 1: "rude"})
    network = transformers.BertForSequenceClassification(config).eval()
    network.save_pretrained(folder)
    flag = TransformersFlag(model=str(folder), label="rude")
    texts = ["a dog runs", "a cat", "runs"]
    read = transformers.AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)
    wanted = network(**read).logits.softmax(-1)[:, 1].detach().numpy()
    assert flag.probability(texts) == pytest.approx(wanted, abs=1e-5)
    assert flag.flag(texts).tolist() == (wanted >= 0.5).tolist()
    assert flag.signature().startswith("rude-")
    with pytest.raises(ValueError, match=r"label is .mean.; .* tells kind, rude apart"):
        TransformersFlag(model=str(folder), label="mean")


def test_a_model_of_scikit_learn_flags(tmp_path):
    io = pytest.importorskip("skops.io")
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(["good day", "bad day"] * 3, [0, 1] * 3)
    io.dump(model, tmp_path / "m.skops")
    trusted = io.get_untrusted_types(file=tmp_path / "m.skops")
    flag = SkopsFlag(file=str(tmp_path / "m.skops"), label="1", types=trusted)
    assert np.allclose(flag.probability(["bad", "good"]), model.predict_proba(["bad", "good"])[:, 1])
    assert flag.flag(["bad", "good"]).tolist() == [True, False]
    assert flag.signature().startswith("1-")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("eval=safety flag@eval.metrics.flagged.flag=words", "words"),
        ("eval=safety flag@eval.metrics.flagged.flag=word", "flag"),
        ("decode=filter", "decode.filter.flag.words has no value"),
        ("decode=filter decode.filter.flag.words=nowhere.txt", "is no file"),
        ("decode=filter_pattern decode.filter.flag.pattern=(", ""),
        ("decode=filter_run decode.filter.flag.run=nowhere decode.filter.flag.label=x", "holds no trained model"),
        ("data=canaries data.template=x", "template is 'x'"),
        ("data=samples", "data.run has no value"),
        ("data=samples data.run=nowhere", "holds no trained model"),
        ("eval=safety eval.metrics.counterfactual.file=nowhere.yaml", "is no file"),
        ("eval=safety eval.metrics.robustness.kinds=[typing]", "kinds is 'typing'"),
        ("family=transformer family.share_layers=2", "share_layers is 2"),
    ],
)
def test_wrong_words_end_in_one_line(words, advice, capsys):
    assert main(["run", *words.split(), "data.train=50" if "data=" not in words else "seed=0"]) == 2
    shown = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert advice in " ".join(shown[-1].split())
