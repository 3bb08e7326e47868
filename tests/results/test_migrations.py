"""Run folders and records that an older version wrote, in tests/results/format1, are read and gone on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

import gentext
from gentext import config
from gentext.cli import main
from gentext.cli.run import check
from gentext.results import migrations, record
from gentext.results.run_folder import adopt, locked

FORMAT1 = Path(__file__).parent / "format1"
NGRAM = FORMAT1 / "captions" / "ngram-s0-d3d3ba6f"
COMMAND = ["family=ngram", "data.train=60", "data.valid=20", "data.test=30", "eval.samples=20", "tokenizer.min_count=1"]
NAMES = json.loads((FORMAT1 / "names.json").read_text())  # what the code of format 1 called the runs of these commands


DEFAULTS = {  # of format 1, where a search has found better ones since
    "family=lstm": ["family.layers=2", "family.width=256", "family.drop_output=0.2", "train=gradient"],
    "family=transformer": ["family.width=128", "family.dropout=0.1", "train=gradient"],
    "family=vae": ["family.decoder.width=256", "family.encoder.width=256", "family.latent=32", "train=gradient"],
    "family=seq2seq": ["family.width=256", "family.dropout=0.3", "train=gradient"],
    "train=muon": ["train=muon", "train.lr=6e-3", "train.ema=0.0"],
}


def former(trainer: DictConfig, key: str) -> list[str]:
    """Format 1's validations: none of its trainers ended early by default but EM, and none knew an epoch."""
    found = [f"{key}.patience=null"] if trainer.get("patience") == 10 else []
    if "valid_every" in trainer and trainer.valid_every is None:
        found.append(f"{key}.valid_every=250")
    parts = [name for name in trainer if OmegaConf.is_dict(trainer[name])]
    return found + [one for name in parts for one in former(trainer[name], f"{key}.{name}")]


def today(command: str) -> list[str]:
    """A command of format 1 as it is given today."""
    words = [word for given, defaults in DEFAULTS.items() if given in command.split() for word in defaults]
    if "train=muon" in words:
        words.remove("train=gradient")
    for word in command.split():
        group, _, option = word.partition("=")
        word = f"{group}={migrations.OPTIONS.get(group, {}).get(option, option)}"
        words.append(word.replace("epochs=", "train.epochs=") if group == "epochs" else word)
    words += former(config.compose(words).train, "train")
    words_known = any(word.startswith("tokenizer=") for word in words)
    return words if words_known else [*words, "tokenizer.min_count=1"]  # its default for words was 1


GAMES = ("seqgan", "maligan", "rankgan", "relgan", "scratchgan")  # whose folders hold the weights that were chosen


@pytest.mark.parametrize("command", [command for command in NAMES if not any(game in command for game in GAMES)])
def test_the_folder_of_a_run_of_format_1_is_found(command):
    cfg = config.compose(today(command), with_hydra=True)
    found = config.former_names(cfg, cfg.hydra.runtime.choices, today(command))
    assert NAMES[command] in found, (
        "a file of conf/ has another key or value than format 1 had: name it in gentext.results.migrations.ADDED"
    )


@pytest.mark.parametrize("command", [command for command in NAMES if any(game in command for game in GAMES)])
def test_a_game_of_format_1_is_not_gone_on_with(command):
    """Its folder holds the weights that keep=both chose, nearly always the warm-up's: a row of today shows the last."""
    cfg = config.compose(today(command), with_hydra=True)
    assert NAMES[command] not in config.former_names(cfg, cfg.hydra.runtime.choices, today(command))


def test_what_a_sweep_gave_to_all_is_found_where_it_is_for_some_now():
    job = ["family=ngram", "++train.epochs=4", "tokenizer.min_count=1"]
    cfg = config.compose(job, with_hydra=True)
    names = config.former_names(cfg, cfg.hydra.runtime.choices, job)
    assert NAMES["family=ngram"] in names  # the root key was left alone
    assert len(names) == 2  # epochs=4 was given, and entered the name of a run that has none


def test_a_model_of_format_1_writes():
    model = gentext.load(NGRAM)
    texts = model.sample(3, seed=1)
    assert len(texts) == 3
    assert all(texts)
    assert "epochs" not in model.config
    assert set(model.config.eval.metrics.bleu) == {"_target_"}


def test_records_of_format_1_are_read_as_todays(capsys):
    (ngram, lstm) = record.find([FORMAT1 / "records.jsonl"])
    for one in (ngram, lstm):
        named = OmegaConf.create(dict(one.config))
        config.check(named)
        assert "epochs" not in named
        assert "lower" not in json.dumps(one.config).replace("lowercase", "")
    assert lstm.config["train"]["epochs"] == 20
    assert config.compose(COMMAND).eval == OmegaConf.create(ngram.config["eval"])
    assert main(["board", str(FORMAT1 / "records.jsonl"), "--format", "csv"]) == 0
    assert "lstm" in capsys.readouterr().out


def older(unknown: int, cut: int = 0) -> dict:
    """What format 2 held before unknown words were spelled, of a test split of 10 texts and 100 tokens."""

    def value(name: str) -> dict:
        return {"value": 1.5, "signature": f"{name}|line|split:test|seqs:10|v:1", "interval": None}

    names = ("bits_per_char", "bits_per_byte", "word_ppl", "nll_test", "token_nll", "kl_pq", "bleu4")
    splits = {"test": {"tokens": 100, "unknown": unknown, "cut": cut, "lines": 10}}
    return {
        "format": 2,
        "values": {name: value(name) for name in names},
        "absent": {},
        "over_seeds": {"bits_per_char": {"mean": 1.5}},
        "fingerprints": {"splits": splits, "tokenizer_sha256": "1f0c92ab5"},
        "config": {"eval": {"split": "test"}},
    }


def test_bits_that_gave_unknown_words_for_nothing_are_called_closed():
    found = migrations.record(older(unknown=4))
    assert "bits_per_char" not in found["values"]
    assert found["values"]["closed_bits_per_char"]["value"] == 1.5
    assert found["over_seeds"] == {"closed_bits_per_char": {"mean": 1.5}}
    assert "run it again" in found["absent"]["bits_per_char"]
    for name in ("closed_bits_per_char", "word_ppl", "nll_test", "token_nll"):
        assert "|line|vocab:1f0c92ab|split:test|" in found["values"][name]["signature"]
    assert found["values"]["bleu4"] == older(4)["values"]["bleu4"]
    assert migrations.record(found) == found


def test_bits_of_known_words_are_what_they_are_today():
    found = migrations.record(older(unknown=0))
    assert found["values"]["bits_per_char"]["signature"] == "bits_per_char|line|split:test|seqs:10|v:2"
    assert found["values"]["word_ppl"] == older(0)["values"]["word_ppl"]
    assert "vocab:1f0c92ab" in found["values"]["token_nll"]["signature"]
    assert migrations.record(found) == found


def test_figures_of_what_max_len_left_are_absent():
    found = migrations.record(older(unknown=0, cut=3))
    assert found["values"].keys() == {"bleu4"}
    assert "max_len cut 3 texts" in found["absent"]["kl_pq"]


@pytest.mark.parametrize("target", sorted(migrations.ADDED))
def test_what_was_run_before_a_key_was_there_is_of_one_row_with_what_was_run_since(target):
    """Three seeds of an HMM before `emission_backoff` and three since were two rows, told apart by nothing."""
    before = {"family": {"_target_": target, "states": 9}, "eval": {"of": [{"_target_": target}]}}
    made = migrations.configuration(before)
    assert made["family"] == {"_target_": target, "states": 9, **migrations.ADDED[target]}
    assert made["eval"]["of"] == [{"_target_": target, **migrations.ADDED[target]}]
    given = dict.fromkeys(migrations.ADDED[target], "given")
    assert migrations.configuration({"family": {"_target_": target, **given}})["family"] == {
        "_target_": target,
        **given,
    }


def test_a_metric_that_was_told_other_words_keeps_them():
    bleu = {"_target_": "gentext.metrics.overlap.BLEU", "words": "char", "lower": False}
    rouge = {"_target_": "gentext.metrics.conditional.Rouge", "words": None}
    encoder = {"_target_": "gentext.metrics.encoders.HashedNgrams", "words": "treebank", "lower": True}
    old = {
        "epochs": 3.0,
        "data": {"words": "treebank", "lowercase": True},
        "eval": {"a": bleu, "b": rouge, "c": encoder},
    }
    assert migrations.configuration(old)["eval"] == {
        "a": {"_target_": "gentext.metrics.BLEU", "words": "char", "lowercase": False},
        "b": {"_target_": "gentext.metrics.Rouge", "words": "rouge"},
        "c": {"_target_": "gentext.metrics.HashedNgrams", "words": "treebank", "lowercase": True},
    }
    again = migrations.configuration(migrations.configuration(old))
    assert again == migrations.configuration(old)


def test_records_of_games_of_format_1_have_todays_names():
    games = [one.config["train"]["game"] for one in record.find([FORMAT1 / "games.jsonl"])]
    assert len(games) == 2
    assert all("watch" not in game and "selfbleu" in game["valid_metrics"] for game in games)


def test_a_run_of_format_1_is_gone_on_with_under_its_new_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(NGRAM, tmp_path / "runs" / "captions" / NGRAM.name)
    figures = record.read(NGRAM / "record.ancestral.json").values
    assert main(["run", *COMMAND]) == 0
    (folder,) = (tmp_path / "runs" / "captions").iterdir()
    assert folder.name != NGRAM.name
    model = (folder / "model.safetensors").read_bytes()
    assert model == (NGRAM / "model.safetensors").read_bytes()
    stood = record.read(folder / "record.ancestral.json")
    assert {name: value.value for name, value in stood.values.items()} == {
        name: value.value for name, value in figures.items()
    }
    assert stood.created == record.read(NGRAM / "record.ancestral.json").created  # nothing was judged anew
    assert main(["run", *COMMAND, "decode=greedy"]) == 0
    assert (folder / "trained.json").read_bytes() == (NGRAM / "trained.json").read_bytes()
    assert len(list(folder.glob("record.*.json"))) == 2
    assert (folder / "model.safetensors").read_bytes() == model


def test_an_interrupted_run_of_format_1_goes_on_to_its_end(tmp_path, monkeypatch):
    """Killed in step 14 of 20 by the code of format 1; what that code made of the whole run stands here as figures."""
    monkeypatch.chdir(tmp_path)
    command = next(command for command, name in NAMES.items() if name == "captions/lstm-s0-f5499140")
    shutil.copytree(FORMAT1 / "captions" / "lstm-s0-f5499140", tmp_path / "runs" / "captions" / "lstm-s0-f5499140")
    assert main(["run", *today(command), "~eval.metrics", "+eval.metrics={}"]) == 0
    (folder,) = (tmp_path / "runs" / "captions").iterdir()
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().split("\n") if "valid/nll" in line]
    assert [line["step"] for line in log] == [5, 10, 15, 20]  # its own two, and ours
    whole = [6.38142121827238, 6.380423866505185, 6.379644535514465, 6.379446770947053]
    assert [line["valid/nll"] for line in log] == pytest.approx(whole, abs=1e-5)
    assert not (folder / "checkpoint").exists()
    assert gentext.load(folder).sample(2, seed=1)


def test_a_folder_is_adopted_whole_and_only_where_nobody_is_at_work(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "checkpoint").mkdir()
    new.mkdir()
    with locked(old), pytest.raises(ValueError, match="another process"):
        adopt(new, [tmp_path / "none", old])
    adopt(new, [tmp_path / "none", old])
    assert (new / "checkpoint").is_dir()
    assert not old.exists()
    old.mkdir()
    adopt(new, [old])
    assert old.exists()


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        *(([f"loss={old}"], f"loss={new}") for old, new in migrations.OPTIONS["loss"].items()),
        *(([f"decode={old}"], f"decode={new}") for old, new in migrations.OPTIONS["decode"].items()),
        (["epochs=3"], r"train\.epochs"),
        (["eval.metrics.bleu.lower=true"], "lowercase"),
        (["+eval.metrics.bleu.lower=true"], "lowercase"),
        (["family=maligan", "loss.share=true"], "self_normalised"),
        (["family=seqgan", "train.game.watch=null"], "valid_metrics"),
        (["family=vae", "train=autoencoded", "train.autoencode.loop.lr=0.1"], "trainer"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(overrides, advice):
    with pytest.raises(ValueError, match=advice):
        check(overrides)


def test_an_old_decoder_is_answered_with_the_new_one():
    with pytest.raises(ValueError, match="decode=top_p"):
        config.decoder("nucleus", {}, max_len=9)
