"""Options and modules of the user's own, from outside the package: examples/my_family."""

import sys
from pathlib import Path

import pytest

from gentext import config
from gentext.cli import main
from gentext.results import record
from gentext.types import Samples

MINE = str(Path(__file__).parents[2] / "examples" / "my_family")


def test_every_command_finds_the_user_s_own_family_and_corpus(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("".join(f"line {i % 7} of {i % 5} is short .\n" for i in range(200)))
    assert main(["list", "family", "--config-dir", MINE]) == 0
    assert "a GRU of your own" in capsys.readouterr().out
    assert main(["data", "show", "my_text", "data.path=text.txt", "--config-dir", MINE]) == 0
    assert "whitespace" in capsys.readouterr().out
    small = ["data=my_text", "data.path=text.txt", "eval.samples=10", "train.steps=3", "family.width=8"]
    assert main(["run", "--config-dir", MINE, "family=my_gru", "eval=my_metrics", *small]) == 0
    (made,) = record.find(["runs"])
    assert made.family == "my_gru"
    questions = made.values["questions"]
    assert (questions.signature, questions.n, questions.interval_kind) == (
        "questions|hyps:10|v:1",
        10,
        "clopper-pearson",
    )
    assert f"--config-dir {MINE}" in made.command
    capsys.readouterr()
    assert main(["sample", made.folder, "-n", "2", "--config-dir", MINE, "--trust", "my_family"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    words = ["--config-dir", MINE, "--trust", "my_family", "--eval", "my_metrics"]
    assert main(["score", made.folder, *words]) == 0
    assert record.find(["runs"])[0].values["questions"].value == questions.value
    assert main(["board", "runs", "--columns", "questions", "--format", "csv"]) == 0
    assert "questions" in capsys.readouterr().out


def test_a_metric_of_the_user_s_own_counts(monkeypatch):
    monkeypatch.syspath_prepend(MINE)
    from my_metric import Questions

    metric = Questions()
    with pytest.raises(ValueError, match="need samples"):
        metric.values()
    metric.update(Samples(("Who sits ?", "A dog sits .")))
    metric.update(Samples(("Why ? ", "No ! ?!")))
    assert metric.compute() == {"questions": 0.5}


def test_a_swept_family_takes_the_keys_of_its_trainer(tmp_path, monkeypatch, capsys):
    """Hydra composes the default family first, whose trainer has no steps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("".join(f"line {i % 7} of {i % 5} is short .\n" for i in range(200)))
    small = ["data=my_text", "data.path=text.txt", "eval.samples=10", "train.steps=3", "++family.width=8"]
    assert main(["run", "-m", "--config-dir", MINE, "family=glob(my_*)", *small]) == 0, capsys.readouterr().err
    (made,) = record.find(["runs"])
    assert (made.family, made.config["train"]["steps"], made.config["family"]["width"]) == ("my_gru", 3, 8)


def test_an_option_of_the_user_s_own_may_be_a_sweep(tmp_path, capsys):
    option = tmp_path / "mine" / "plan" / "seeds.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n")
    small = ["data.train=60", "data.valid=10", "data.test=10", "eval=latent", "eval.samples=5"]
    given = ["--config-dir", str(tmp_path / "mine"), "+plan=seeds", *small, f"out={tmp_path / 'runs'}"]
    assert main(["run", *given]) == 0, capsys.readouterr().err
    assert sorted(one.seed for one in record.find([tmp_path / "runs"])) == [0, 1]


def test_a_worker_process_imports_the_user_s_module(monkeypatch):
    monkeypatch.delitem(sys.modules, "my_family", raising=False)
    with config.searching(MINE):
        overrides = ["data=my_text", "data.path=text.txt", "family=my_gru", "++family.width=8"]
        cfg = config.compose(overrides, with_hydra=True)
    monkeypatch.delitem(sys.modules, "my_family", raising=False)
    assert config.run_name(cfg).startswith("my_text/my_gru-s0-")
