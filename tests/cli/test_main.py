"""The command line as a newcomer meets it: quick answers, and one line for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import gentext
from gentext.cli import commands, main

LOADED = """
import sys
from gentext.cli import main
code = main(sys.argv[1:])
slow = ("torch", "wandb", "sklearn", "altair", "scipy.stats")
print([name for name in slow if name in sys.modules], code, file=sys.stderr)
"""


@pytest.mark.parametrize("command", ["list", "data list", "board {}", "run --help", "compare {} {}"])
def test_what_needs_no_model_imports_no_torch(command, tmp_path):
    record = {
        "format": 2, "data": "captions", "track": "unconditional", "family": "ngram", "variant": "", "decode": "a",
        "seed": 0, "absent": {}, "likelihood": "exact",
        "values": {"bleu4": {"value": 0.5, "signature": "bleu4|v:1", "higher_is_better": True, "n": 9, "unit": "",
                             "interval": [0.4, 0.6], "interval_kind": "", "exactness": "exact", "paired": False}},
    }  # fmt: skip
    (tmp_path / "records.jsonl").write_text(json.dumps(record) + "\n")
    words = command.replace("{}", str(tmp_path)).split()
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[] 0", done.stderr


def test_the_package_itself_imports_no_torch():
    code = "import sys, gentext; print(gentext.__version__, 'torch' in sys.modules, 'hydra' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [gentext.__version__, "False", "False"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "missing: COMMAND. See `gentext --help`"),
        ("bord runs", "COMMAND: 'bord' is unknown; it must be one of board"),
        ("board", "missing: runs. See `gentext board --help`"),
        ("board nowhere", "nowhere does not exist"),
        ("board . --format pdf", "--format: 'pdf' is unknown"),
        ("board . --foo", "--foo: there is no such argument"),
        ("sample . -n many", "-n: invalid int value: 'many'"),
        ("sample . --path cube", "--path: 'cube' is unknown; it must be one of line, sphere"),
        ("run --foo", "--foo: there is no such argument. See `gentext run --help`"),
        ("run -m --config-dir", "--config-dir"),
        ("run --config-dir nowhere", "--config-dir nowhere is no folder"),
        ("list --config-dir nowhere", "--config-dir nowhere is no folder"),
        ("list famly", "famly is no group. Did you mean family?"),
        ("data show", "gentext data show needs a name"),
        ("data show coocoo", "data=coocoo is unknown. Did you mean coco"),
        ("run family=lstm +family._target_=7", "_target_"),
        ("export . out.arpa", "holds no trained model"),
        ("score", "either folders of runs, or --samples"),
        ("run family=ngram -sc foo", "-sc is given family=ngram foo; it must be one of install=bash"),
        ("run -cn nosuch", "by --config-dir"),
        ("run --package a.b --cfg job", "--package is a.b"),
        ("run --resolve", "--resolve are of --cfg"),
        ("run --experimental-rerun a.pickle", "give --from"),
        ("run --package family", "add --cfg job"),
        ("run family=nosuch --cfg job", "family=nosuch is unknown"),
        ("run show_samples=-3", "show_samples is -3"),
        ("board runs --samples -3", "--samples is -3"),
        ("chat runs --seed -1", "--seed is -1"),
        ("sample . seed=3", "seed is no setting of a decoder; give --seed in place of seed="),
        ("sample . decoder=top_p", "give --decode in place of decoder="),
        ("sample . n=3", "give -n in place of n="),
        ("sample . --temperature 0.7", "See `gentext sample --help`"),
        ("board . --where family", "--where family is no KEY=VALUE"),
        ("run seed=a", "seed is 'a'; it must be a whole number"),
        ("run resume=maybe", "resume is 'maybe'; it must be true or false"),
        ("run family", "family is no KEY=VALUE; did you mean family=...?"),
        ("run my.txt", "did you mean data.path=my.txt?"),
        ("run track.core_seconds=5", "A track is chosen first: track=time"),
        ("run data.seed=-1", "data.seed is -1; it must lie in 0 .. 2^63 - 1"),
        ("run family=naive_bayes data=captions_labelled data.seed=-1", "data.seed is -1; it must lie in 0 .. 2^63 - 1"),
        ("run family=nope", "family=nope is unknown. Known options: class_lstm"),
    ],
)
def test_wrong_words_are_answered_in_one_line(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert len(shown.err.splitlines()) == 1
    assert not shown.out


def test_a_module_that_cannot_be_imported_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine/family").mkdir(parents=True)
    (tmp_path / "mine/family/lost.yaml").write_text("# lost\n_target_: nowhere_at_all.GRU\n")
    assert main(["run", "--config-dir", "mine", "family=lost", "+train=gradient", "+loss=nll"]) == 2
    shown = capsys.readouterr().err
    assert "family._target_ is 'nowhere_at_all.GRU', which cannot be imported" in shown
    assert "--config-dir" in shown
    assert len(shown.splitlines()) == 1


def test_only_what_goes_on_says_so_when_it_is_interrupted(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.HANDLERS, "list", interrupt)
    monkeypatch.setitem(commands.HANDLERS, "tune", interrupt)
    for command, goes_on in (("list", False), ("tune", True)):
        assert main([command]) == 130
        assert ("goes on" in capsys.readouterr().err) == goes_on


def test_help_shows_no_option_that_only_others_build_on(capsys):
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "family: class_lstm, class_ngram" in shown
    assert "_target_: gentext.models.NGram" in shown
    assert "_game" not in shown
    assert "_policy" not in shown
    assert main(["run", "family=lstm", "family.width=77", "-h"]) == 0
    assert "width: 77" in capsys.readouterr().out


def test_control_characters_are_shown_on_a_terminal_and_kept_in_a_file(monkeypatch):
    text = "red \x1b[31m\nnext"
    assert commands._shown(text) == text
    monkeypatch.setattr(commands.sys.stdout, "isatty", lambda: True, raising=False)
    assert commands._shown(text) == "red \\x1b[31m\nnext"
