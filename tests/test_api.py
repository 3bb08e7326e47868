"""The functions that the package exports do what the commands do, again and again in one process."""

from __future__ import annotations

import pkgutil
import shlex
import sys

import pytest

import gentext
from gentext.cli import main

SMALL = ["data.train=200", "data.valid=20", "data.test=60", "eval.samples=30"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_no_function_of_the_package_has_a_module_s_name():
    """Importing a module sets the package's attribute of its name, so that a function of that name would be lost."""
    modules = {module.name for module in pkgutil.iter_modules(gentext.__path__)}
    assert not modules & set(gentext.__all__)


def test_a_run_from_python_is_the_command_s():
    done = gentext.run("family=ngram", *SMALL, seed=1)
    again = gentext.run("family=ngram", *SMALL, seed=1)
    assert done[0].created == again[0].created  # what the folder holds is not done twice
    assert done.folder == again.folder
    assert main(["run", "family=ngram", *SMALL, "seed=1"]) == 0  # nor by the command
    assert [record.created for record in gentext.run("family=ngram", *SMALL, seed=1)] == [done[0].created]
    assert len(done.samples()) == 30
    assert done[0].command == f"gentext run family=ngram {' '.join(SMALL)} seed=1"


def test_a_job_s_command_and_label_are_of_the_keys_that_it_has():
    board = gentext.sweep("family=human,ngram", "++family.order=2", *SMALL)
    said = {record.family: (record.command, record.variant) for record in board}
    for family, key in {"human": "", "ngram": " ++family.order=2"}.items():
        assert said[family] == (f"gentext run family={family}{key} {' '.join(SMALL)}", key.removeprefix(" ++family."))
        assert main(shlex.split(said[family][0])[1:]) == 0  # which is no sweep


def test_what_is_returned_prints_and_is_a_table_in_a_notebook():
    one, two = (gentext.run(*SMALL, seed=seed, **{"family.order": order}) for seed, order in ((0, 2), (0, 3)))
    board = gentext.board("runs", columns=["bits_per_char", "bleu4"])
    assert gentext.board("runs", columns="bleu4")[0].columns == ("bleu4",)
    assert len(board) == 1
    for shown in (repr(one), repr(board), str(board), board.text("markdown"), board._repr_html_()):
        assert "ngram" in shown
    assert board._repr_html_().startswith("<table>")
    table = gentext.compare(one.folder, two.folder)
    assert "bleu4" in repr(table)
    assert "<td>bleu4</td>" in table._repr_html_()
    made = gentext.score(one.samples(), references=["data=captions", *SMALL[:3]], name="<b>mine</b>")
    assert made.figures()["bleu4"] == pytest.approx(one.figures()["bleu4"])
    assert "<b>" not in made._repr_html_()
    assert gentext.rescore(one.folder).figures()["bleu4"] == pytest.approx(one.figures()["bleu4"])
    assert gentext.write_report("runs", out="report.md")[0].name == "report.md"


def test_what_lists_and_explains_prints_as_the_commands_do(capsys):
    for shown, command in (
        (gentext.explain("bleu4"), ["explain", "bleu4"]),
        (gentext.describe_data("captions", *SMALL[:3]).table.rows[0][1], ["data", "show", "captions", *SMALL[:3]]),
        (gentext.options("loss").table.rows[0][2], ["list", "loss"]),
    ):
        assert main(command) == 0
        assert shown in capsys.readouterr().out
    assert repr(gentext.explain("bleu4")) == gentext.explain("bleu4")
    with pytest.raises(ValueError, match="Did you mean loss"):
        gentext.options("los")
    with pytest.raises(ValueError, match="holds no panels"):
        gentext.inspect(".")


def test_a_wrong_word_ends_a_sweep_before_any_job():
    with pytest.raises(ValueError, match="Did you mean lstm"):
        gentext.sweep("family=ngram,lstmm")


def test_a_frame_needs_pandas_and_says_so(monkeypatch):
    made = gentext.score(["a man sits ."], references=["data=captions", *SMALL[:3]])
    monkeypatch.setitem(sys.modules, "pandas", None)
    for shown in (made, made.board()):
        with pytest.raises(ImportError, match="pip install pandas"):
            shown.frame()


def test_a_frame_holds_every_figure():
    pytest.importorskip("pandas")
    made = gentext.score(["a man sits ."], references=["data=captions", *SMALL[:3]])
    frame = made.frame()
    assert dict(zip(frame.figure, frame.value, strict=True)) == pytest.approx(made.figures(), nan_ok=True)
    assert len(made.board().frame()) == 1


def test_wrong_words_are_refused_with_advice():
    with pytest.raises(ValueError, match="Did you mean lstm"):
        gentext.run("family=lstmm")
    with pytest.raises(ValueError, match="temperature"):
        gentext.run("decode.sample.temprature=1")
    with pytest.raises(ValueError, match=r"experiment=demo is a sweep; gentext.sweep\(...\) runs it"):
        gentext.run("experiment=demo")
    with pytest.raises(ValueError, match="does not exist"):
        gentext.board("nowhere")
    with pytest.raises(ValueError, match="no folder"):
        gentext.run(config_dir="nowhere")
    with pytest.raises(ValueError, match="give each by itself"):
        gentext.board(["runs", "more"])


def test_one_thing_where_a_list_belongs_is_answered(tmp_path):
    done = gentext.run(*SMALL)
    model = done.load()
    with pytest.raises(ValueError, match=r"stop is the text 'END'; give a list: stop=\['END'\]"):
        model.sample(stop="END")
    with pytest.raises(ValueError, match=r"contains is the text 'dog'; give a list"):
        model.sample(contains="dog")
    with pytest.raises(ValueError, match=r"texts is the text 'a dog'; give a list"):
        model.tokenizer.encode("a dog")
    with pytest.raises(ValueError, match=r"\['family=ngram'\] is no override; give each as a text of its own"):
        gentext.run(["family=ngram"])
