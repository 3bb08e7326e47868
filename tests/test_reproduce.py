"""A record is enough to do its run again, and a figure that does not come out is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gentext.cli import main
from gentext.results import board, record, render_board

SMALL = ["data.train=100", "data.valid=20", "data.test=40", "eval.samples=20"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The file of a record of a small n-gram of order 2."""
    out = tmp_path_factory.mktemp("runs")
    assert main(["run", "family=ngram", "family.order=2", *SMALL, f"out={out}"]) == 0
    return next(out.rglob("record.*.json"))


@pytest.fixture
def again(made, tmp_path):
    """A copy of the run's folder, with changes to its record."""

    def changed(**fields) -> Path:
        folder = tmp_path / made.parent.name
        folder.mkdir()
        for file in made.parent.iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        return record.rewrite(replace(record.read(folder / made.name), **fields), folder)

    return changed


def moved(value, by: float):
    interval = value.interval and tuple(end + by for end in value.interval)
    return replace(value, value=value.value + by, interval=interval)


def test_a_record_that_comes_out_is_marked_on_the_board(again, capsys):
    path = again()
    assert main(["verify", str(path), "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert {row["verdict"] for row in table["rows"]} == {"equal"}
    assert "bits_per_char" in [row["figure"] for row in table["rows"]]
    found = record.read(path)
    assert found.verified["came_out"]
    assert found.verified["same_kind"]
    assert record.whole(found)
    ranked = board.rank([found])
    assert "✓" in render_board.markdown(ranked[0])
    assert found.verified["on"] in "".join(ranked[0].notes)


def test_a_figure_that_differs_is_said_by_the_exit_code(again, made, capsys):
    old = record.read(made)
    values = {**old.values, "bits_per_char": moved(old.values["bits_per_char"], 1e-9)}
    path = again(values=values)
    assert main(["verify", str(path.parent), "--format", "json"]) == 1
    verdicts = {row["figure"]: row["verdict"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert [name for name, verdict in verdicts.items() if verdict != "equal"] == ["bits_per_char"]
    assert not record.read(path).verified["came_out"]
    assert "✓" not in render_board.markdown(board.rank([record.read(path)])[0])


def test_on_a_machine_of_another_kind_a_figure_may_move_within_its_interval(again, made, capsys):
    old = record.read(made)
    low, high = old.values["bits_per_char"].interval
    values = {
        **old.values,
        "bits_per_char": moved(old.values["bits_per_char"], (high - low) / 4),
        "token_nll": moved(old.values["token_nll"], 10),
    }
    path = again(values=values, versions={**old.versions, "cpu": "another"})
    assert main(["verify", str(path), "--format", "json"]) == 1
    table = json.loads(capsys.readouterr().out)
    verdicts = {row["figure"]: row["verdict"] for row in table["rows"]}
    assert (verdicts["bits_per_char"], verdicts["token_nll"]) == ("within its interval", "differs")
    assert "of another kind (cpu another, here " in table["note"]


def test_a_run_is_done_again_from_its_record_alone(made, tmp_path, capsys):
    alone = tmp_path / "mailed.json"
    alone.write_bytes(made.read_bytes())
    assert main(["run", "--from", str(alone), f"out={tmp_path / 'out'}"]) == 0
    (path,) = (tmp_path / "out").rglob("record.*.json")
    one, two = record.read(made), record.read(path)
    assert {name: value.value for name, value in two.values.items()} == {
        name: value.value for name, value in one.values.items()
    }
    assert (two.name, two.decode, two.files["samples"]) == (one.name, one.decode, one.files["samples"])
    before = path.stat().st_mtime_ns
    assert main(["run", "--from", str(path)]) == 0  # its own folder holds it already
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RECORD", "seed=3"], "a run that is repeated is what its record says"),
        ([], "--from takes a record's file"),
        (["RECORD", "-m"], "--from takes a record's file"),
        (["missing.json"], "missing.json does not exist"),
    ],
)
def test_what_is_no_repetition_is_refused(made, words, said, capsys):
    assert main(["run", "--from", *(word.replace("RECORD", str(made)) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_code_that_a_record_names_is_not_run(again, made, capsys):
    config = {**record.read(made).config, "family": {"_target_": "os.system", "command": "true"}}
    assert main(["verify", str(again(config=config))]) == 2
    assert "no public class of gentext" in capsys.readouterr().err


def test_other_data_than_the_record_s_is_refused(again, made, capsys):
    old = record.read(made)
    splits = {**old.fingerprints["splits"]}
    splits["train"] = {**splits["train"], "sha256": "0" * 64}
    assert main(["verify", str(again(fingerprints={**old.fingerprints, "splits": splits}))]) == 2
    assert "the data is not that of the record" in capsys.readouterr().err
