import json
from dataclasses import replace
from pathlib import Path

import pytest

from gentext.cli import main
from gentext.results import explain, record
from gentext.results.columns import COLUMNS, SHOWN, TARGETS, column
from gentext.results.naming import identity, names, setting, shared
from gentext.results.record import Record
from gentext.types import Value

ROOT = Path(__file__).parents[2]


def made(family="lstm", variant="", decode="ancestral", seed=0, data=None, split="test", name=""):
    config = {"data": data or {}, "eval": {"split": split}, "seed": seed, **({"name": name} if name else {})}
    values = {"bleu4": Value(0.5, "bleu4|refs:9|hyps:8|v:1", True, 8, interval=(0.4, 0.6), interval_kind="wilson")}
    absent = {"mauve": "too few texts"}
    return Record(
        "captions", "unconditional", family, variant, decode, seed, values, absent, "exact",
        config=config, command="gentext run",
    )  # fmt: skip


def test_every_figure_is_defined_once_and_in_full():
    assert all(figure.title and figure.meaning.endswith(".") and figure.source for figure in COLUMNS.values())
    assert all(figure.target in TARGETS for figure in COLUMNS.values())
    assert all(column(name).source for names in SHOWN.values() for name in names)
    assert len({figure.title for figure in COLUMNS.values()}) == len(COLUMNS)


@pytest.mark.skipif(not (ROOT / "experiments").exists(), reason="not a checkout")
def test_every_figure_that_a_committed_record_holds_is_defined():
    lines = [line for path in ROOT.glob("experiments/*/records.jsonl") for line in path.read_text().splitlines()]
    held = {name for line in lines for name in (*json.loads(line)["values"], *json.loads(line)["cost"])}
    assert [name for name in held if not column(name).source] == []


def test_a_peers_own_bleu_says_whose_it_is_and_what_differs():
    found = column("relgan_bleu4")
    assert (found.title, found.target) == ("BLEU-4, RelGAN's way", column("bleu4").target)
    assert "of 100 samples" in found.meaning
    assert column("mine_bleu4").title == "mine bleu4"


def test_a_users_own_figure_is_described_by_its_value():
    own = column("charm", Value(1.0, "charm|v:1", True, 3, "stars"))
    assert (own.title, own.target, own.axis, own.unit) == ("charm", "higher", "higher", "stars")


def test_rows_are_named_by_what_differs():
    both = [made(variant="width=64 epochs=9"), made(variant="width=32 epochs=9"), made("hmm", "epochs=9")]
    assert names(both) == ["lstm width=64", "lstm width=32", "hmm"]
    assert shared(both) == ["epochs=9"]
    assert names([made(name="mine"), made()]) == ["mine", "lstm"]


def test_a_run_may_be_given_its_name():
    from gentext import config

    assert config.compose(["family=ngram", "name=mine"]).name == "mine"


def test_data_settings_and_split_are_part_of_a_row():
    """Seeds with data.train=2000, 1100 and 200 were once "3 seeds", and valid was averaged with test."""
    rows = [made(data={"train": n}, seed=i) for i, n in enumerate((2000, 1100, 200))]
    assert len({identity(one) for one in rows}) == 3
    assert names(rows) == [f"lstm data.train={n}" for n in (2000, 1100, 200)]
    assert identity(made(split="valid")) != identity(made())
    assert identity(made(seed=1)) == identity(made())


def test_a_length_that_follows_from_the_text_names_no_row():
    def read(max_len, **data):
        one = made(data=data)
        return replace(one, config={**one.config, "max_len": max_len})

    assert names([read(46, train=2000), read(45, train=200)]) == ["lstm data.train=2000", "lstm data.train=200"]
    assert names([read(46), read(45)]) == ["lstm max_len=46", "lstm max_len=45"]


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        ("ancestral", "ancestral"),
        ("ancestral temperature=0.8", "T 0.8"),
        ("temperature=0.8", "T 0.8"),
        ("ancestral top_p=0.95 temperature=0.7", "top-p 0.95 T 0.7"),
        ("ancestral top_k=1", "greedy"),
        ("beam width=10", "beam width 10"),
        ("as given", "as given"),
    ],
)
def test_decode_settings_in_a_few_words(decode, said):
    assert setting(decode) == said


def test_a_figure_is_explained_with_and_without_a_run(tmp_path, capsys):
    record.write(made(), tmp_path)
    assert main(["explain", "bleu4"]) == 0
    assert "nearest to held-out human text" in capsys.readouterr().out
    assert main(["explain", "bleu4", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "0.4 .. 0.6, 95 %, by wilson (Wilson's score interval of a share)" in said
    assert "refs:9                   reference texts that it was held against" in said
    assert f"once more    gentext score {tmp_path}" in said
    for words, why in [
        (["blue4"], "defines no figure blue4"),
        (["mauve", str(tmp_path)], "it is absent: too few texts"),
        (["bleu3", str(tmp_path)], "Did you mean bleu4"),
        (["bleu4", str(tmp_path), "--decode", "T 0.3"], "Known: ancestral"),
        ([str(tmp_path), "bleu4"], f"gentext explain bleu4 {tmp_path}"),
    ]:
        assert main(["explain", *words]) == 2
        assert why in capsys.readouterr().err


def test_every_part_of_a_committed_signature_has_words():
    assert explain._part("refs:10000").startswith("reference texts")
    assert explain._part("nonsense:1") == "a setting of the metric"
