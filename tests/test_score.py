"""Anyone's text as a row on the board: read as training files are, and each under a name of its own."""

from __future__ import annotations

import gzip
import json
import shlex
from importlib import import_module
from pathlib import Path

import pytest

import gentext
from gentext.cli import main
from gentext.files import read_texts
from gentext.results import record as records
from gentext.score_pipeline import SAMPLES, external

REFERENCES = ["data=captions", "data.train=40", "data.valid=10", "data.test=20"]
FEW = ["default", "eval.samples=10"]


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path_factory.getbasetemp() / "score"))


def judged(path, name=None, **given):
    return external(str(path), REFERENCES, name, FEW, str(path.parent / "runs"), **given)


TEXTS = ["a man sits\u2028on a bench .", "a dog runs .\x85 twice", "", "two\x0cwomen walk ."]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.txt", "\ufeff" + "\r\n".join(TEXTS) + "\r\n"),
        ("a.jsonl", "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in TEXTS)),
        ("a.tsv", "text\tn\n" + "".join(f"{text}\t1\n" for text in TEXTS)),
    ],
)
def test_samples_are_read_as_training_files_are(tmp_path, file, content):
    (tmp_path / file).write_bytes(content.encode())
    (tmp_path / f"{file}.gz").write_bytes(gzip.compress(content.encode()))
    for path in (tmp_path / file, tmp_path / f"{file}.gz"):
        made = judged(path)
        assert (made.family, read_texts(tmp_path / "runs" / "captions" / "a" / SAMPLES)) == ("a", TEXTS)


def test_files_of_one_name_keep_a_record_each(tmp_path):
    for folder, text in (("x", "a man ."), ("y", "a dog .")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "samples.txt").write_text(text, encoding="utf-8")
    first, second, again = (
        external(str(tmp_path / folder / "samples.txt"), REFERENCES, None, FEW, str(tmp_path / "runs"))
        for folder in ("x", "y", "x")
    )
    assert first.folder == again.folder != second.folder
    assert second.family.startswith("samples-")
    assert len(records.find([tmp_path / "runs"])) == 2
    with pytest.raises(ValueError, match="holds the record of another text; give this one another --name"):
        external(str(tmp_path / "y" / "samples.txt"), REFERENCES, "samples", FEW, str(tmp_path / "runs"))


@pytest.mark.parametrize("name", ["..", "../../x", "/etc/x", "a" * 300, "."])
def test_a_name_is_never_a_path(tmp_path, name):
    path = tmp_path / "a.txt"
    path.write_text("a man .", encoding="utf-8")
    made = judged(path, name)
    assert made.family == name
    (found,) = (tmp_path / "runs" / "captions").iterdir()
    assert str(found) == made.folder
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["captions"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.txt", b"a\0b", "line 1: it is binary"),
        ("a.txt", b"\n\n", "holds no text"),
        ("a.txt", b"a\ncaf\xe9", "line 2: not UTF-8"),
        ("a.jsonl", b'{"text": null}', "line 1: 'text' is null"),
        ("a.jsonl", b'{"output": "a"}', "no column 'text'; it has 'output'"),
        ("a.txt", None, "is no file"),
    ],
)
def test_what_is_not_text_is_refused_before_any_work(tmp_path, monkeypatch, file, content, message):
    monkeypatch.setattr(import_module("gentext.score_pipeline"), "open_corpus", lambda *_: pytest.fail("opened"))
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        judged(tmp_path / file)
    assert not (tmp_path / "runs").exists()


def test_the_column_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"output": "a man ."}), encoding="utf-8")
    assert "--column output" in judged(path, column="output").command


def test_the_record_says_how_to_judge_it_again(tmp_path, monkeypatch):
    """From whatever folder the options came, and though the texts were no file."""
    mine = tmp_path / "mine" / "data"
    mine.mkdir(parents=True)
    (mine / "few.yaml").write_text("\n".join(["defaults: [captions, _self_]", "train: 40", "valid: 10", "test: 20"]))
    monkeypatch.chdir(tmp_path)
    texts = ["a man sits on a bench .", "a dog runs .", 'said "so, it is" #1 = 日本']
    made = gentext.score(texts, references="data=few", name="x", eval=FEW, config_dir="mine")[0]
    words = shlex.split(made.command)
    assert words[:4] == ["gentext", "score", "--config-dir", "mine"]
    folder = Path(made.folder)
    before = records.read(records.path_of(folder, made.decode))
    assert main(words[1:]) == 0
    after = records.read(records.path_of(folder, made.decode))
    assert (after.values["bleu2"].value, after.command) == (before.values["bleu2"].value, before.command)


def test_a_record_without_a_folder_is_refused(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a man .", encoding="utf-8")
    assert main(["score", "--samples", str(tmp_path / "a.txt"), "--references", "data=captions", "--out", ""]) == 2
    assert "out is empty" in capsys.readouterr().err


def test_programs_keep_their_lines(tmp_path):
    rows = [{"description": f"add {i}", "code": f"def f(x):\n    return x + {i}"} for i in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "answers.jsonl").write_text("\n".join(json.dumps({"text": row["code"]}) for row in rows[:4]))
    references = ["data=code", f"data.path={tmp_path / 'pairs.jsonl'}"]
    made = external(str(tmp_path / "answers.jsonl"), references, None, ["code"], str(tmp_path / "runs"))
    assert made.values["valid_python"].value == 1
    assert made.track == "code"
