"""What the rows of a game show: the weights after it, and in rows of their own the warm-up's and the best."""

import json

import pytest
import torch
from safetensors.torch import load_file

import gentext
from gentext import trained
from gentext.cli import main
from gentext.files import read_jsonl
from gentext.results import board, naming, record
from gentext.run_judge import RunJudge

SMALL = [
    *("family=seqgan", "data.train=60", "data.valid=20", "data.test=20", "eval=truth", "eval.samples=20"),
    *("family.generator.layers=1", "family.generator.width=8", "loss.rollouts=1"),
    *("~family.critic.filters", "+family.critic.filters={2: 4}"),
    *("train.epochs=1", "train.critic.steps=2", "train.game.steps=4", "train.game.valid_every=2", "train.game.draw=20"),
    *("train.game.lr=0.1", "train.game.keep=frechet"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("GENTEXT_CACHE", str(place / "cache"))
        assert main(["run", *SMALL]) == 0
        (found,) = (place / "runs" / "captions").iterdir()
        yield found


def test_a_game_has_a_row_of_its_end_one_of_its_warm_up_and_one_of_its_best(folder):
    found = {one.name.rpartition("weights=")[2]: one for one in record.find([folder])}
    rounds = {name: one.cost["kept_round"] for name, one in found.items()}
    last = next(name for name in found if name not in ("warmup", "best"))
    assert rounds[last] == 4
    assert rounds["warmup"] == 0
    assert len(found) == 3
    assert found["warmup"].cost["train_seconds"] < found[last].cost["train_seconds"]
    log = [line for _, line in read_jsonl(folder / "log.jsonl") if "valid/frechet" in line and "round" in line]
    usable = [line for line in log if not line["valid/collapsed"]]
    assert rounds["best"] == min(usable, key=lambda line: line["valid/frechet"])["round"]
    assert len({naming.identity(one) for one in found.values()}) == 3
    (ranked,) = board.rank(list(found.values()))
    assert sorted(row.family for row in ranked.rows) == ["seqgan", "seqgan weights=best", "seqgan weights=warmup"]


def test_a_row_after_the_game_does_not_show_the_warm_up(folder):
    """With keep=both three families stood on the oracle's board with one warm-up's figures to the last digit."""
    last, warmup = (load_file(path / "model.safetensors") for path in (folder, folder / "weights" / "warmup"))
    assert any(not torch.equal(last[name], warmup[name]) for name in last if name.startswith("generator"))
    both = [one for one in record.find([folder]) if "best" not in one.name]
    assert both[0].values["nll_test"].value != both[1].values["nll_test"].value


def test_each_of_the_weights_writes(folder, capsys):
    texts = {}
    for weights in ("last", "warmup", "best"):
        assert main(["sample", str(folder), "-n", "3", f"weights={weights}"]) == 0
        texts[weights] = capsys.readouterr().out
    assert texts["last"] != texts["warmup"]
    assert texts["last"] == "".join(f"{text}\n" for text in gentext.load(folder).sample(3))
    assert main(["sample", str(folder), "weights=first"]) == 2
    assert "holds last, best, warmup" in capsys.readouterr().err


def test_the_rows_stand_when_the_run_is_asked_for_again(folder, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("record.*.json")}
    assert main(["run", *SMALL]) == 0
    assert {path: path.read_bytes() for path in folder.rglob("record.*.json")} == before
    assert "its records stand" in capsys.readouterr().err


def test_texts_of_one_noise_are_recorded_along_the_rounds(folder):
    lines = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    rounds = [line["step"] for line in lines]
    assert rounds == sorted(rounds)
    assert len(rounds) == 3
    assert {len(line["texts"]) for line in lines} == {5}
    assert lines[0]["texts"] != lines[-1]["texts"]


def test_each_of_the_weights_is_judged_anew_by_score(folder, capsys):
    assert main(["score", str(folder), "--eval", "truth"]) == 0
    assert {one.cost["kept_round"] for one in record.find([folder])} >= {0.0, 4.0}


def test_every_row_of_a_game_counts_its_own_draws(folder, monkeypatch):
    monkeypatch.chdir(folder.parents[2])
    monkeypatch.setattr("gentext.decode.reweighted.BANK", 64)  # a model that has learnt nothing ends no text early
    assert main(["run", *SMALL, "decode=likeliest", "decode.likeliest.candidates=4"]) == 0
    drawn = [one.cost["draws_per_text"] for one in record.find([folder]) if "draws_per_text" in one.cost]
    assert drawn == [4.0, 4.0, 4.0]


@pytest.mark.parametrize(("rule", "odds"), [("non_saturating", True), ("relativistic", True), ("hinge", False)])
def test_a_critic_gives_odds_where_its_game_is_of_logits(folder, monkeypatch, rule, odds):
    stored = trained.stored_config(folder)
    stored.loss.game.rule = rule
    monkeypatch.setattr(trained, "stored_config", lambda _: stored)
    assert RunJudge(str(folder), use="critic").odds == odds
