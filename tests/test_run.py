"""The whole path, from the command line's words to a leaderboard, in seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import gentext
from gentext.cli import main
from gentext.decode import Beam
from gentext.models.hmm.model import HMM
from gentext.results import record
from gentext.train.em import EMTrainer
from gentext.train.gradient import GradientTrainer

SMALL = ["data.train=300", "data.valid=50", "data.test=200", "eval.samples=100"]
NO_METRICS = ["~eval.metrics", "+eval.metrics={}"]
BLEU_ALONE = ["~eval.metrics", "+eval.metrics={bleu: {_target_: gentext.metrics.BLEU}}"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))


def run(*overrides: str) -> int:
    return main(["run", *SMALL, *overrides])


def folders(tmp_path) -> list:
    return sorted(path.parent for path in tmp_path.glob("runs/**/record.*.json"))


@pytest.fixture(scope="module")
def _finished(tmp_path_factory):
    """The run of no overrides, which many tests begin with."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GENTEXT_CACHE", str(folder / "cache"))
        assert run() == 0
    return folder


@pytest.fixture
def finished(_finished, tmp_path) -> Path:
    """The folder of a copy of that run, below runs."""
    shutil.copytree(_finished, tmp_path, dirs_exist_ok=True)
    (folder,) = folders(tmp_path)
    return folder


def test_a_run_leaves_all_that_its_numbers_rest_on(tmp_path, capsys):
    assert run("family=ngram", "family.order=3") == 0
    (folder,) = folders(tmp_path)
    held = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "tokenizer.json", "model.safetensors", "trained.json", "log.jsonl", "log.txt"} <= held
    assert {"record.ancestral.json", "samples.ancestral.txt", "values.ancestral.npz"} <= held
    made = record.read(folder / "record.ancestral.json")
    assert made.name == "ngram order=3"
    assert all(value.signature for value in made.values.values())
    assert made.values["bits_per_char"].interval is not None
    assert {"bleu4", "selfbleu4", "distinct2", "novelty4", "h_pq", "word_ppl"} <= made.values.keys()
    shown = " ".join(capsys.readouterr().out.split())
    assert "in all: order=3" in shown  # all rows share it
    assert " ngram " in shown
    assert len((folder / "samples.ancestral.txt").read_text().splitlines()) == 100


def test_the_same_command_gives_the_same_numbers_and_is_not_done_twice(tmp_path, caplog):
    assert run("out=runs/a") == run("out=runs/b") == 0
    one, two = (record.find([tmp_path / "runs" / name])[0] for name in "ab")
    assert {k: v.value for k, v in one.values.items()} == {k: v.value for k, v in two.values.items()}
    assert record.find([tmp_path / "runs/a"])[0].created == one.created
    caplog.set_level("INFO", logger="gentext")
    assert run("out=runs/a") == 0
    assert "is finished" in caplog.text
    assert run("out=runs/a", "name=other") == 0
    assert "name=other changes nothing" in caplog.text


def test_a_sweep_ends_with_a_board_and_names_what_failed(tmp_path, capsys):
    code = run("-m", "family=ngram,human", "eval.samples=50,0", *BLEU_ALONE)
    shown = capsys.readouterr()
    assert code == 2
    assert "2 of 4 jobs failed" in shown.err
    assert "eval.samples is 0" in shown.err
    assert "again: gentext run" in shown.err
    first, *_, last = shown.out.split("rows; ")[0].splitlines()[0], shown.out
    assert "1 row; " in first  # the board so far, before the second job ends
    assert "human" in last


def test_an_experiment_that_is_a_sweep_needs_no_flag_where_its_families_are_chosen_again(tmp_path, capsys):
    assert run("experiment=captions_parameters", "family=ngram,human", "seed=0", "out=runs") == 0
    assert sorted(found.family for found in record.find([tmp_path])) == ["human", "ngram"]
    assert "2 rows; " in capsys.readouterr().out


def test_texts_that_no_decoder_draws_are_one_row_of_several_settings(tmp_path, capsys):
    assert run("-m", "family=human,ngram", "decode=temperatures", *BLEU_ALONE) == 0
    rows = Counter((found.family, found.decode) for found in record.find([tmp_path]))
    assert [decode for family, decode in rows if family == "human"] == ["ancestral"]
    assert len([decode for family, decode in rows if family == "ngram"]) == 5
    shown = capsys.readouterr().out
    assert (shown.count(" 1 row; "), shown.count(" 6 rows; ")) == (1, 1)  # so far, and at the end; the last not twice


def test_a_sweep_over_three_seeds_writes_their_interval_into_each_record(tmp_path):
    assert run("-m", "seed=0,1,2", "decode=ancestral", *BLEU_ALONE) == 0
    found = record.find(folders(tmp_path))
    assert sorted(one.seed for one in found) == [0, 1, 2]
    figures = [one.values["bleu4"].value for one in found]
    for one in found:
        low, high = one.over_seeds["bleu4"]["interval"]
        assert low < sum(figures) / 3 < high
        assert one.values["bleu4"].interval != (low, high)  # over its own sentences, beside it


def test_a_new_decode_setting_does_not_train_again(finished):
    folder = finished
    trained = (folder / "trained.json").stat().st_mtime_ns
    assert run("decode.sample.temperature=0.5", "eval.samples=50", *NO_METRICS) == 0
    assert {path.name for path in folder.glob("record.*.json")} == {
        "record.ancestral.json",
        "record.ancestral-temperature-0.5.json",
    }
    assert (folder / "trained.json").stat().st_mtime_ns == trained


def test_what_a_vae_draws_from_at_another_temperature_has_no_likelihood(tmp_path):
    small = ["family.decoder.width=8", "family.encoder.width=8", "train.steps=2", "eval.samples=20"]
    small += ["family.importance=2", "eval.metrics.latent.texts=10", "eval.metrics.latent.importance=5"]
    assert run("family=vae", *small, "decode.sample.temperature=0.5") == 0
    (made,) = record.find(folders(tmp_path))
    assert made.values["nll_test"].exactness == "upper"
    assert not {"nll_div", "h_pq", "kl_pq", "kl_qp"} & made.values.keys()
    assert "likelihood" in made.absent["h_pq"]
    assert any("its own samples is not known" in reason for reason in made.absent.values())


@pytest.mark.parametrize("decode", [["decode.sample.top_k=1"], ["decode.sample.top_p=0.9"], ["decode=beam"]])
def test_a_truncated_decode_shows_no_divergence_of_the_model_that_it_truncates(tmp_path, decode):
    """Greedy rows showed the model's own h_pq, and "tv <= .158" where it is 1."""
    assert run("eval.samples=30", *decode) == 0
    (made,) = record.find([tmp_path])
    assert not {"h_pq", "kl_pq", "kl_qp", "js"} & made.values.keys()
    assert made.values["tv"].exactness == "lower"  # from the share of accepted samples alone
    assert "bits_per_char" in made.values  # of the model, as its column says


def test_scores_of_stored_samples_stay_on_the_split_of_their_run(tmp_path):
    assert run("eval.samples=30", "eval.split=valid") == 0
    assert main(["score", str(tmp_path / "runs")]) == 0
    (made,) = record.find([tmp_path])
    assert made.split == "valid"
    assert "refs:50|" in made.values["bleu4"].signature


def test_samples_that_max_len_ended_are_counted_and_shown(tmp_path, capsys):
    assert run("family=ngram", "max_len=9") == 0
    made = record.read(folders(tmp_path)[0] / "record.ancestral.json")
    texts = (folders(tmp_path)[0] / "samples.ancestral.txt").read_text().splitlines()
    assert made.cost["samples_cut"] == pytest.approx(sum(len(text.split()) == 9 for text in texts) / len(texts))
    assert made.cost["samples_cut"] > 0.3
    assert main(["board", "runs", "--format", "csv"]) == 0
    assert "samples_cut" in capsys.readouterr().out


def test_of_a_stream_as_many_samples_are_judged_as_its_held_out_splits_have_pieces(tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question;\n" * 100)
    data = ["data=text", "data.path=text.txt", "data.unit=stream", "tokenizer=char", "max_len=16", *BLEU_ALONE]
    for family in ("ngram", "human"):  # people's text too: no more is asked of it than there is
        (row,) = gentext.run(f"family={family}", *data).records
        corpus = gentext.training_corpus(gentext.load(row.folder))
        assert row.values["bleu2"].n == min(corpus.size("valid"), corpus.size("test")) < 20


def test_a_trained_run_can_be_drawn_from(finished, tmp_path, capsys):
    folder = finished
    model = gentext.load(folder)
    texts = model.sample(5, prompt="a", temperature=0.7)
    assert len(texts) == 5
    assert all(text.startswith("a") for text in texts)
    capsys.readouterr()
    assert main(["sample", str(folder), "-n", "3", "--prompt", "a", "temperature=0.7", "top_k=5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["sample", str(folder), "--decode", "beam", "width=3", "-n", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == model.sample(decoder=Beam(width=3))[0] != second
    assert main(["sample", str(folder), "--decode", "full_length"]) == 0
    assert len(capsys.readouterr().out.split()) == int(model.config.max_len)
    assert main(["sample", str(folder), "--device", "cpu"]) == 0
    assert main(["sample", str(folder), "--device", "tpu9"]) == 2
    assert "device is 'tpu9'" in capsys.readouterr().err
    assert main(["sample", str(folder), "--decode", "bean"]) == 2
    assert "Did you mean beam" in capsys.readouterr().err
    assert main(["sample", str(folder), "--decode", "temperatures"]) == 2
    assert "5 settings" in capsys.readouterr().err
    assert main(["sample", str(folder), "temperature=0"]) == 2
    assert "temperature is 0" in capsys.readouterr().err
    assert main(["sample", str(folder), "--prompt", ""]) == 2
    capsys.readouterr()
    assert main(["sample", str(folder), "--length", "3"]) == 0
    assert len(capsys.readouterr().out.split()) == 3
    assert main(["sample", str(tmp_path)]) == 2
    assert "name one of them" in capsys.readouterr().err


def test_an_hmm_fills_blanks_and_meets_conditions(tmp_path, capsys):
    assert (
        run(
            "family=hmm",
            "family.states=8",
            "family.grow_from=null",
            "train.iterations=2",
            "eval.samples=20",
            *NO_METRICS,
        )
        == 0
    )
    (folder,) = folders(tmp_path)
    capsys.readouterr()
    assert main(["sample", str(folder), "-n", "3", "--infill", "a ___ in ___* .", "--length", "8"]) == 0
    for words in map(str.split, capsys.readouterr().out.splitlines()):
        assert (len(words), words[0], words[2], words[-1]) == (8, "a", "in", ".")
    texts = gentext.load(folder).sample(5, contains=["man", "on a"], temperature=0.8)
    assert all(" man " in f" {text} " and " on a " in f" {text} " for text in texts)
    assert main(["sample", str(folder), "--contains", "zebrafish"]) == 2
    assert main(["sample", str(folder), "--length", "3", "--prompt", "a"]) == 2
    assert "'a man ___*'" in capsys.readouterr().err


def test_a_draw_ends_before_a_stop_string_that_follows_the_prompt(finished, capsys):
    folder = finished
    model = gentext.load(folder)
    whole = model.sample(20, prompt="a man", seed=5)
    cut = model.sample(20, prompt="a man", seed=5, stop=["an", " ."])
    assert whole != cut
    for text, short in zip(whole, cut, strict=True):
        ends = [at for at in (text.find(stop, len("a man")) for stop in ("an", " .")) if at >= 0]
        assert short == (text[: min(ends)].rstrip() if ends else text)
    capsys.readouterr()
    assert main(["sample", str(folder), "--prompt", "a man", "--seed", "5", "--stop", "an", "--stop", " ."]) == 0
    assert capsys.readouterr().out.splitlines() == model.sample(prompt="a man", seed=5, stop=["an", " ."])
    assert main(["sample", str(folder), "--stop", ""]) == 2


def test_anyones_file_stands_on_the_same_board(finished, tmp_path, capsys):
    folder = finished
    mine = tmp_path / "mine.txt"
    mine.write_text((folder / "samples.ancestral.txt").read_text())
    data = ["data=captions", *SMALL]
    assert main(["score", "--samples", str(mine), "--name", "MyLLM", "--references", *data]) == 0
    old, new = sorted(record.find([tmp_path / "runs"]), key=lambda r: r.family == "MyLLM")
    assert new.values["bleu4"].value == old.values["bleu4"].value
    assert new.values["bleu4"].signature == old.values["bleu4"].signature
    assert "bits_per_char" not in new.values
    assert any("no model" in reason for reason in new.absent.values())


def test_stored_samples_are_judged_anew_without_the_model(finished):
    folder = finished
    before = record.read(folder / "record.ancestral.json")
    (folder / "model.safetensors").unlink()
    assert main(["score", str(folder)]) == 0
    after = record.read(folder / "record.ancestral.json")
    assert {k: v.value for k, v in before.values.items()} == {k: v.value for k, v in after.values.items()}
    assert main(["score", str(folder), "--eval", "default", "eval.metrics.bleu.max_order=3"]) == 0
    assert record.read(folder / "record.ancestral.json").config["eval"]["metrics"]["bleu"]["max_order"] == 3
    assert main(["score", str(folder), "--eval", "default", "eval.metrics.bleu.order=3"]) == 2


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        (["family=ngramm"], "ngram"),
        (["track=null"], "track=null names no option; ~track leaves track out. Known options: flops"),
        (["family=3"], "family=3 names no option"),
        (["family.order=0"], "order is 0"),
        (["family.ordr=3"], "order"),
        (["nonsense=1"], "nonsense"),
        (["seed=-1"], "seed"),
        (["decode.sample.temperature=0"], "top_k=1"),
        (["decode.sample.temperature=-1"], "temperature is -1"),
        (["decode.sample.top_p=1.5"], "top_p is 1.5"),
        (["eval.samples=0"], "samples"),
        (["eval.samples=inf"], "eval.samples is inf; it must be a whole number"),
        (["family=ngram", "train=adversarial"], "train=adversarial needs a family with a generator and a critic"),
        (["max_len=1"], "max_len"),
        (["seed=0,1"], "-m"),
        (["family=human", "loss=nll", "train=gradient"], "human"),
        (["data.valid=0", "eval.split=valid"], "eval.split is valid, and captions"),
        (["out="], "out is empty"),
        (["eval.metrics=null"], "eval.metrics is null"),
        (["eval.metrics={mine: {x: 1}}"], "eval.metrics.mine is no key of this run; +eval.metrics={mine: {x: 1}} adds"),
        (["eval.metrics={}"], "leaves bleu, selfbleu, diversity"),
        (["eval.metrics={}"], "'~eval.metrics' '+eval.metrics={}' replaces it whole"),
        (["family=relgan", "family.critic.filters={3: 10}"], "leaves 2, 4, 5 of family.critic.filters as they are"),
        (["~eval.metrics"], "eval.metrics is left out"),
        (["~eval.samples"], "eval.samples is left out"),
        (["~eval.split"], "eval.split is left out"),
        (["+decode.mine.temperature=0.5"], "decode.mine has no _target_"),
        (["+eval.metrics.mine.x=1"], "eval.metrics.mine has no _target_"),
        (["~decode"], "decode is empty"),
        (["~tokenizer"], "tokenizer is left out"),
    ],
)
def test_bad_input_is_answered_in_a_line_and_leaves_nothing(tmp_path, capsys, overrides, advice):
    assert run(*overrides) == 2
    shown = capsys.readouterr().err.lower()
    assert advice.lower() in shown
    assert "traceback" not in shown
    assert not (tmp_path / "runs").exists()


def test_a_family_that_the_loop_cannot_train_is_refused_before_it_looks_at_the_text(capsys, monkeypatch):
    monkeypatch.setattr(HMM, "prepare", lambda *_, **__: pytest.fail("it looked"))
    assert run("family=hmm", "train=adversarial", "loss=gumbel") == 2
    assert "try family=seqgan" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing", "empty", "blank", "binary", "latin", "one"])
def test_unusable_files_are_refused(tmp_path, capsys, name):
    content = {
        "missing": None,
        "empty": b"",
        "blank": b"\n \n\t\n",
        "binary": bytes(range(256)) * 40,
        "latin": "caf\xe9 au lait\n".encode("latin-1") * 50,
        "one": b"a single line\n",
    }[name]
    path = tmp_path / f"{name}.txt"
    if content is not None:
        path.write_bytes(content)
    assert main(["run", "data=text", f"data.path={path}"]) == 2
    shown = capsys.readouterr().err
    assert name in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        (["decode=contrastive"], "NGram shows no hidden states"),
        (["decode=unmask"], "decode=unmask fills masks, and NGram has none"),
        (["decode=consensus", "decode.consensus.base={_target_: gentext.decode.Contrastive}"], "no hidden states"),
        (
            ["decode=constrained", "decode.constrained.length=5", "decode.constrained.how=exact"],
            "constrained.how is exact",
        ),
    ],
)
def test_a_decoder_that_does_not_fit_the_family_is_refused_before_the_training(capsys, monkeypatch, overrides, advice):
    monkeypatch.setattr(EMTrainer, "run", lambda *_, **__: pytest.fail("it trained"))
    monkeypatch.setattr(GradientTrainer, "run", lambda *_, **__: pytest.fail("it trained"))
    assert run(f"family={'lstm' if 'exact' in advice else 'ngram'}", *overrides) == 2
    assert advice in capsys.readouterr().err


def test_judged_decoders_write_a_corpus_of_one_length(tmp_path):
    small = ["data=oracle", "data.truth.params=null", "data.train=50", "data.valid=20", "data.test=20"]
    for decode in ("consensus", "likeliest"):
        assert main(["run", "family=ngram", *small, "eval.samples=20", f"decode={decode}", *BLEU_ALONE]) == 0
    texts = [path.read_text().splitlines() for path in tmp_path.glob("runs/**/samples.*.txt")]
    assert [{len(text.split()) for text in each} for each in texts] == [{20}, {20}]


def test_a_decoder_that_cannot_write_one_length_is_refused_before_the_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(EMTrainer, "run", lambda *_, **__: pytest.fail("it trained"))
    small = ["data=oracle", "data.truth.params=null", "data.train=50", "data.valid=20", "data.test=20"]
    assert main(["run", "family=ngram", *small, "decode=constrained", "decode.constrained.length=5"]) == 2
    assert "every text of this corpus has 20 tokens" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run("out=file/below") == 2
    assert "file" in capsys.readouterr().err


def test_a_full_disk_ends_in_a_line_and_leaves_no_half_written_file(tmp_path, capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "model.safetensors")

    monkeypatch.setattr(import_module("gentext.run_pipeline"), "save_model", full)
    assert run() == 2
    assert "Free some space" in capsys.readouterr().err
    assert not list(tmp_path.glob("runs/**/*.safetensors*"))


def test_a_killed_run_need_not_prepare_again(tmp_path, monkeypatch):
    growing = ["family=hmm", "family.states=8", "family.grow_from=4", "train.iterations=2"]
    growing += ["~eval.metrics", "+eval.metrics={likelihood: {_target_: gentext.metrics.HeldOutLikelihood}}"]
    assert run(*growing, "out=whole") == 0
    train = EMTrainer.run
    monkeypatch.setattr(EMTrainer, "run", lambda *args, **options: (_ for _ in ()).throw(OSError(4, "killed")))
    assert run(*growing) == 2
    monkeypatch.setattr(EMTrainer, "run", train)
    monkeypatch.setattr(HMM, "prepare", None)
    assert run(*growing) == 0
    whole, parts = (record.find([tmp_path / out])[0] for out in ("whole", "runs"))
    assert whole.values["nll_test"].value == parts.values["nll_test"].value
    assert parts.cost["train_seconds"] > 0
    assert not list(tmp_path.glob("**/prepared.pt"))


def test_a_run_killed_while_it_clears_its_checkpoints_clears_them_when_it_goes_on(finished):
    folder = finished
    whole = {path.relative_to(folder) for path in folder.rglob("*")}
    (folder / "record.ancestral.json").unlink()
    for left in ("checkpoint", "critic/done", "game/checkpoint", "weights/warmup"):
        (folder / left).mkdir(parents=True)
        (folder / left / "0-weights.safetensors").write_bytes(b"old")
    (folder / "warmup").mkdir()
    assert run() == 0
    kept = {Path("weights"), Path("weights/warmup"), Path("weights/warmup/0-weights.safetensors")}
    assert {path.relative_to(folder) for path in folder.rglob("*")} == whole | kept


def test_two_runs_in_one_folder(finished, capsys):
    from gentext.results.run_folder import locked

    with locked(finished):
        assert run() == 2
    assert "another process" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.3, 1.5, 2.5, 3.5])
def test_ctrl_c_in_any_phase_leaves_a_folder_that_can_be_gone_on_with(tmp_path, after):
    command = [sys.executable, "-m", "gentext", "run", *SMALL, "data.train=3000", "eval.samples=3000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ""})
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in said
    assert subprocess.run(command, capture_output=True).returncode == 0
    (folder,) = folders(tmp_path)
    json.loads((folder / "record.ancestral.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seqgan", "seqgan_gumbel", "maligan", "rankgan", "relgan", "scratchgan", "cot"])
def test_every_adversarial_preset_plays_from_the_command_line(tmp_path, name):
    width = "family.generator.head_size=16" if name == "relgan" else "family.generator.width=32"
    rollouts = {"scratchgan": ["loss.rollouts=0"], "seqgan_gumbel": [], "relgan": [], "cot": []}
    rounds = ["train.critic.steps=1", "train.game.steps=2", "train.game.valid_every=1", "train.game.draw=20"]
    assert run(f"family={name}", "train.epochs=1", width, *rollouts.get(name, ["loss.rollouts=1"]), *rounds) == 0
    folder, *warmup = folders(tmp_path)
    assert warmup == ([] if name == "scratchgan" else [folder / "weights" / "warmup"])
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert any("valid/accuracy" in line for line in logged)
