"""What the game changed, run by run, and what is watched along its rounds."""

import json

import pytest

from gentext.report import adversarial_panels, adversarial_table
from gentext.results import board, frontier
from gentext.results.record import Record
from gentext.value import Value


def made(weights, seed, nll, *, bleu=0.3, selfbleu=0.4, decode="ancestral", round_=9, collapsed=0.0):
    values = {
        "nll_test": Value(nll, "nll_test|line|v:1", False, 9),
        "bleu4": Value(bleu, "bleu4|v:1", True, 9),
        "selfbleu4": Value(selfbleu, "selfbleu4|v:1", False, 9),
    }
    variant = f"weights={weights}" if weights else ""
    cost = {"kept_round": float(round_), "collapsed": collapsed}
    return Record("captions", "unconditional", "seqgan", variant, decode, seed, values, {}, "exact", cost=cost)


def table(records, traded=False):
    (ranked,) = board.rank(records)
    trade = frontier.trade(ranked, "bleu4", "selfbleu4") if traded else None
    found = adversarial_table.tables(ranked, trade)
    assert len(found) <= 1
    return found[0] if found else None


def cells(found, row, name):
    (at,) = [i for i, column in enumerate(found.columns) if column.startswith(name)]
    return found.rows[row][at]


def test_the_difference_is_of_the_same_seed():
    runs = [(0, 30.0, 30.5), (1, 40.0, 40.7), (2, 50.0, 50.6)]
    records = [made("warmup", seed, before, round_=0) for seed, before, _ in runs]
    records += [made("", seed, after) for seed, _, after in runs]
    found = table(records)
    assert [row[:4] for row in found.rows] == [["seqgan", "ancestral", "last", "3"]]
    assert cells(found, 0, "NLL a text") == "+0.6±0.2"  # and not the spread of 10 between the seeds
    assert cells(found, 0, "round") == "9"


def test_how_often_the_warm_up_was_kept_and_how_many_collapsed():
    records = [made("warmup", seed, 30.0, round_=0) for seed in range(3)]
    records += [made("", seed, 31.0, collapsed=float(seed == 1)) for seed in range(3)]
    records += [made("best", seed, 30.0, round_=4 * (seed == 2)) for seed in range(3)]
    found = table(records)
    by = {row[2]: i for i, row in enumerate(found.rows)}
    assert cells(found, by["best"], "kept the warm-up") == "2 of 3"
    assert cells(found, by["best"], "round") == "0-4"
    assert cells(found, by["last"], "kept the warm-up") == "0 of 3"
    assert cells(found, by["last"], "collapsed") == "1 of 3"


def test_quality_is_compared_at_one_diversity():
    records = []
    for weights, lift in (("warmup", 0.0), ("", 0.05)):
        for decode, quality, diversity in (("temperature=0.5", 0.5, 0.6), ("temperature=1.0", 0.3, 0.4)):
            records.append(made(weights, 0, 30.0, decode=decode, bleu=quality + lift, selfbleu=diversity))
    found = table(records, traded=True)
    assert cells(found, 0, "BLEU-4 at Self-BLEU-4 0.5") == "+0.0500"


def test_without_a_warm_up_there_is_no_table():
    assert table([made("", 0, 30.0)]) is None


@pytest.fixture
def folder(tmp_path):
    lines = [{"step": 5, "valid/nll": 9.0}]  # the warm-up
    for at in (0, 10, 20):
        lines.append({"step": 5 + at, "round": at, "valid/accuracy": 0.5, "valid/entropy": 3 - at / 10,
                      "valid/judged": 4 - at / 20, "valid/selfbleu4": 0.2 + at / 99, "valid/frechet": 0.1})  # fmt: skip
        lines.append(
            {"step": 6 + at, "train/reward_sd": 0.1, "train/generator_gradient": 1.0, "train/critic_gradient": 2.0}
        )
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    texts = [{"step": 5 + at, "texts": [f"text {at}", "the same"]} for at in (0, 10, 10, 20)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    return tmp_path


def test_both_players_and_the_frontier_are_shown_along_the_rounds(folder):
    found = {panel.title: panel for panel in adversarial_panels.panels({0: folder})}
    assert list(found) == [
        *("Critic's accuracy on held-out text", "Spread of the rewards", "Gradient norms", "Entropy of the generator"),
        *("Quality and diversity along the rounds", "Frechet distance to held-out text"),
        "Texts of one noise along the rounds",
    ]  # fmt: skip
    assert found["Entropy of the generator"].lines == {
        "seed 0": [(0, 3.0), (10, 2.0), (20, 1.0)]
    }  # the warm-up is left out
    assert list(found["Gradient norms"].lines) == ["generator, seed 0", "critic, seed 0"]
    film = found["Quality and diversity along the rounds"]
    assert list(film.labels) == ["warm-up", "round 10", "round 20"]
    assert list(film.y) == [4.0, 3.5, 3.0]
    assert found["Texts of one noise along the rounds"].rows == [
        ["0", "text 0", "the same"], ["10", "text 10", "the same"], ["20", "text 20", "the same"]
    ]  # fmt: skip


def test_a_run_without_a_game_has_no_such_panels(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "valid/nll": 3.0}')
    assert adversarial_panels.panels({0: tmp_path}) == []
