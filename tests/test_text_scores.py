"""Any text under a run: `score --text`, `inspect --text`, `sample --logprobs`, and wrong words to them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import gentext
from gentext import text_scores
from gentext.cli import main
from gentext.types import EOS, pad

SMALL = ["data.train=120", "data.valid=10", "data.test=20", "eval.samples=5", "~eval.metrics", "+eval.metrics={}"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return gentext.run("family=ngram", *SMALL, out=str(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    (folder / "text.txt").write_text("to be or not\nto be\nthat is the question\n" * 40)
    data = ["data=text", f"data.path={folder / 'text.txt'}", "data.unit=stream", "tokenizer=char"]
    return gentext.run("family=ngram", *data, *SMALL[3:], out=str(folder))


def test_lines_add_up_to_the_figures_and_are_the_family_s(run):
    texts = ["a man sits .", "a zebra is on the beach ."]
    found = gentext.score_text(run.folder, texts)
    model = run.load()
    nats = [float(model.family.log_prob(pad([[*ids, EOS]]))) for ids in model.tokenizer.encode(texts)]
    columns = {name: [row[i] for row in found.lines.rows] for i, name in enumerate(found.lines.columns)}
    assert columns["log_prob"] == pytest.approx(nats, abs=1e-4)
    assert columns["tokens"] == [5, 8]
    assert columns["chars"] == [len(text) + 1 for text in texts]  # the line's end counts
    words = gentext.training_corpus(model)
    spelled = [words.spelling_of(model.tokenizer.unknown(text)).sum() for text in texts]
    bits = [(-n + float(s)) / math.log(2) for n, s in zip(nats, spelled, strict=True)]
    assert found.values["bits_per_char"].value == pytest.approx(sum(bits) / sum(columns["chars"]), rel=1e-5)
    assert found.values["token_nll"].value == pytest.approx(-sum(nats) / 13, rel=1e-5)


def test_a_stream_s_lines_add_up_to_the_whole_text(stream):
    found = gentext.score_text(stream.folder, ["to be", "that is not the question"])
    model = stream.load()
    ids = model.tokenizer.encode(["to be\nthat is not the question\n"])
    assert sum(row[5] for row in found.lines.rows) == pytest.approx(float(model.family.log_prob(pad(ids))), abs=1e-3)
    assert [row[2] for row in found.lines.rows] == [6, 25]


def test_the_commands_print_and_write_what_the_functions_give(run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("a man sits .\n\na dog runs .\n")
    assert main(["score", str(run.folder), "--text", "mine.txt", "--lines", "lines.jsonl"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == ["a man sits .", "a dog runs ."]
    assert "bits a byte" in capsys.readouterr().out
    assert main(["inspect", str(run.folder), "--text", "a man sits .", "--beam", "2", "-o", "inside.html"]) == 0
    page = (tmp_path / "inside.html").read_text()
    assert page.count("<span style=") == 5
    assert "What it backed off to" in page
    assert "Beam tree" in page
    capsys.readouterr()
    assert main(["sample", str(run.folder), "-n", "2", "--logprobs"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 4
    tokens, _, total = shown[1].rpartition("  = ")
    parts = [float(part.rpartition(" ")[2]) for part in tokens.strip().split("  ")]
    assert float(total) == pytest.approx(sum(parts), abs=0.01 * len(parts))
    text = gentext.load(run.folder).sample(1)[0]
    assert shown[0] == text


def test_an_inspection_is_a_notebook_s_page(run):
    found = gentext.inspect(run.folder, "a man <b> sits .")
    assert "<b>" not in found._repr_html_()
    assert [table.table.title for table in found] == ["Surprise, token by token", "What it backed off to"]
    report = gentext.write_report(run.folder, out=str(run.folder / "report.html"))
    assert "Surprise, token by token" in report[0].read_text()  # of one test text, in the family's own part


@pytest.mark.parametrize(
    ("data", "row", "pair", "wanted"),
    [
        (
            {"_target_": "gentext.truth.LabelledCorpus"},
            {"text": "a dog", "label": "animal"},
            ("animal", "a dog"),
            "a table with the columns text, label",
        ),
        (
            {"source": None, "target": "text", "prompt": "line", "spaces": False},
            {"text": "春风吹，秋 月明。"},
            ("秋月明。", "春风吹，"),
            "a file of texts",
        ),
        (
            {"source": ["a", "b"], "target": "c", "join": " ## ", "lowercase": True},
            {"a": "X", "b": "y", "c": "Z"},
            ("z", "x ## y"),
            "a table with the columns a, b, c",
        ),
    ],
)
def test_pairs_are_read_as_the_run_s_corpus_was(run, data, row, pair, wanted, tmp_path):
    model = replace(run.load(), config=OmegaConf.create({"data": data}))
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    assert text_scores.read_texts(model, tmp_path / "mine.jsonl") == ([pair[0]], [pair[1]])
    with pytest.raises(ValueError, match=f"nowhere is no file; give {wanted}"):
        text_scores.read_texts(model, Path("nowhere"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("inspect RUN --text ''", "the text is empty"),
        ("inspect RUN --prompt a", "a prompt was given, and nothing to inspect"),
        ("inspect RUN --whole", "--out and --whole are of a text or a beam"),
        ("inspect RUN --beam 0", "width is 0"),
        ("inspect nowhere --text a", "nowhere holds no trained model"),
        ("score RUN --text nowhere.txt", "nowhere.txt is no file"),
        ("score --text FILE", "gentext score RUN --text FILE"),
        ("score RUN --lines x.csv", "gentext score RUN --text FILE"),
        ("score RUN --text FILE --lines x.pdf", "give it the ending .jsonl or .csv"),
        ("sample RUN --logprobs --stop .", "leave out --stop"),
        ("sample RUN --logprobs -n 0", "asked for 0 samples"),
    ],
)
def test_wrong_words_end_in_one_line(run, command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.txt").write_text("a man\n")
    named = {"RUN": str(run.folder), "FILE": "f.txt", "''": ""}
    assert main([named.get(word, word) for word in command.split()]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert words in shown[-1]
    assert len(shown) == 1
