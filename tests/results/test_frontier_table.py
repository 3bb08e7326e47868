import json
from dataclasses import replace

import pytest

from gentext.cli import main
from gentext.results import board, record
from gentext.results.frontier import table, trade
from gentext.results.record import Record
from gentext.types import Value

SETTINGS = {"temperature=0.5": (0.7, 0.40), "ancestral": (0.5, 0.30), "temperature=1.5": (0.3, 0.10)}


def made(family, seed, shift=0.0, settings=SETTINGS):
    return [
        Record(
            "captions", "unconditional", family, "", decode, seed,
            {
                "selfbleu4": Value(x, "selfbleu4|v:1", False, 9),
                "bleu4": Value(y + shift + 0.01 * seed, "bleu4|v:1", True, 9),
            },
            {}, "exact",
        )
        for decode, (x, y) in settings.items()
    ]  # fmt: skip


def test_families_are_ranked_by_area_and_read_at_one_diversity():
    records = [r for seed in range(3) for r in made("lstm", seed) + made("hmm", seed, -0.05)] + made("human", 0, 0.3)
    (ranked,) = board.rank(records)
    found = trade(ranked, "bleu4", "selfbleu4")
    assert found.span == (0.3, 0.7)
    assert found.matched_at == pytest.approx(0.5)
    assert found.matched["lstm"][0] == pytest.approx(0.31)
    assert found.matched["hmm"][0] == pytest.approx(0.26)
    area = (0.2 * (0.11 + 0.31) / 2 + 0.2 * (0.31 + 0.41) / 2) / 0.4
    assert found.area["lstm"][0] == pytest.approx(area)
    assert found.area["lstm"][1][1] - area == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-5)
    told = table(found)
    assert [row[0] for row in told.rows] == ["lstm", "hmm"]
    assert told.rows[0][3] == "T 1.5, ancestral, T 0.5"


def test_nothing_is_read_where_a_family_does_not_reach():
    near = made("gru", 0, settings={"ancestral": (0.9, 0.3), "temperature=0.5": (0.95, 0.5)})
    (ranked,) = board.rank(made("lstm", 0) + near)
    assert trade(ranked, "bleu4", "selfbleu4").matched == {}
    assert trade(ranked, "bleu4", "selfbleu4", x=0.6).matched.keys() == {"lstm"}
    assert trade(ranked, "chrf", "selfbleu4") is None


def test_a_family_whose_seeds_share_no_setting_is_left_out_and_said_to_be():
    first, second = ({name: SETTINGS[name]} for name in list(SETTINGS)[:2])
    (ranked,) = board.rank([*made("hmm", 0, settings=first), *made("hmm", 1, settings=second), *made("lstm", 0)])
    found = trade(ranked, "bleu4", "selfbleu4")
    assert found.apart == ("hmm",)
    assert found.best.keys() == {"lstm"}
    assert table(found).note.endswith("Left out, for no setting is held by all its seeds: hmm.")


def test_copies_of_a_run_make_no_points_of_their_own():
    (once,) = board.rank(made("lstm", 0) + made("hmm", 0, -0.05))
    (twice,) = board.rank(made("lstm", 0) + made("lstm", 0, 0.1) + made("hmm", 0, -0.05))
    assert trade(twice, "bleu4", "selfbleu4") == trade(once, "bleu4", "selfbleu4")


def test_the_command_tells_the_frontier(tmp_path, capsys):
    for one in made("lstm", 0) + made("hmm", 0, -0.05):
        (tmp_path / one.family).mkdir(exist_ok=True)
        record.write(one, tmp_path / one.family)
    assert main(["frontier", str(tmp_path), "--at", "0.58", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[0]["BLEU-4 at Self-BLEU-4 0.58"] == "0.3400"
    for given, said in (
        ("nan", "at is nan; it must be a finite number"),
        ("5", "their settings have selfbleu4 from 0.3 to 0.7"),
    ):
        assert main(["frontier", str(tmp_path), "--at", given]) == 2
        assert said in capsys.readouterr().err
    assert main(["frontier", str(tmp_path), "--quality", "chrf"]) == 2
    assert "no record" in capsys.readouterr().err


def test_what_has_no_direction_or_mixed_signatures_is_not_traded():
    records = made("lstm", 0) + made("hmm", 0)
    lengths = {"novelty4": Value(0.5, "novelty4|v:1", None, 9)}
    (ranked,) = board.rank([replace(r, values={**r.values, **lengths}) for r in records])
    with pytest.raises(ValueError, match="neither end of novelty4 is better"):
        trade(ranked, "novelty4", "selfbleu4")
    other = [
        replace(r, values={**r.values, "bleu4": replace(r.values["bleu4"], signature="bleu4|refs:9|v:1")})
        for r in records[3:]
    ]
    (ranked,) = board.rank(records[:3] + other)
    with pytest.raises(ValueError, match="gentext score RUNS"):
        trade(ranked, "bleu4", "selfbleu4")
