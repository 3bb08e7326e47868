"""Smaller forms of a run are runs, near the whole model, or refused where there is no such form; the bench."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import gentext
from gentext import benchmark, compression
from gentext.benchmark import Measured
from gentext.cli import main
from gentext.compression import Form
from gentext.display import Measurements
from gentext.models import MaskedLM, Transformer
from gentext.panels import Points, Table
from gentext.types import EOS, Batch, pad

SMALL = ["data.train=120", "data.valid=10", "data.test=20", "eval.samples=2", "~eval.metrics", "+eval.metrics={}"]
STEP = ["train.steps=1", "train.epochs=null"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("runs"))
    tied = ["family.width=48", "family.layers=2", "family.heads=2", "family.tied=true", "family.share_layers=true"]
    return {
        "ngram": gentext.run("family=ngram", *SMALL, out=out).folder,
        "transformer": gentext.run("family=transformer", *tied, *SMALL, *STEP, out=out).folder,
    }


def test_a_matrix_in_8_bits_is_within_half_a_step_of_itself():
    value = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    held = compression.packed("w", value, "int8")
    assert held["w"].dtype == torch.int8
    step = value.abs().amax(1, keepdim=True) / 127
    assert bool(((compression.unpacked(held, "w") - value).abs() <= step / 2 + 1e-6).all())
    assert compression.packed("b", value[0], "int8")["b"] is value[0] or torch.equal(
        compression.packed("b", value[0], "int8")["b"], value[0]
    )


@torch.no_grad()
@pytest.mark.parametrize(("form", "share"), [("int8", 0.35), ("bf16", 0.6)])
def test_a_smaller_run_is_a_run(runs, tmp_path, form, share):
    whole = gentext.load(runs["transformer"])
    out = gentext.export_model(runs["transformer"], tmp_path / form, compress=form)
    small = gentext.load(out)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (out, runs["transformer"])]
    assert sizes[0] < share * sizes[1]
    batch = pad([[5, 6, 7, EOS]])
    assert float(small.family.log_prob(batch)) == pytest.approx(float(whole.family.log_prob(batch)), rel=0.02)
    assert small.family.output.weight is small.family.embedding.weight  # what was tied still is
    assert len(small.sample(2)) == 2
    assert gentext.score_text(out, ["a man sits ."]).values["bits_per_char"].value > 0


def test_smaller_n_grams_are_runs(runs, tmp_path):
    whole = gentext.load(runs["ngram"]).family.size()
    for form in ("count=2", "prune=1e-5", "bits=8"):
        small = gentext.load(gentext.export_model(runs["ngram"], tmp_path / form, compress=form))
        assert (small.family.size() < whole) == (form != "bits=8")
        assert small.sample(1)


@torch.no_grad()
def test_layers_that_share_their_weights_are_one_block_applied_again():
    torch.manual_seed(0)
    shared = Transformer(9, layers=3, heads=2, width=8, share_layers=True).eval()
    apart = Transformer(9, layers=3, heads=2, width=8).eval()
    assert shared.size() < apart.size()
    assert shared.flops(10) == apart.flops(10)
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    apart.load_state_dict(shared.state_dict())  # three copies of the one block
    batch = Batch(torch.tensor([[5, 6, EOS]]), torch.ones(1, 3, dtype=torch.bool))
    assert float(shared.log_prob(batch)) == pytest.approx(float(apart.log_prob(batch)), abs=1e-5)


def test_a_student_learns_from_its_teacher_s_texts_and_is_judged_by_people_s(runs, tmp_path):
    data = ["data=samples", f"data.run={runs['ngram']}", "data.train=50"]
    student = gentext.run(*data, "family=ngram", "family.order=2", *SMALL[3:], out=str(tmp_path))
    corpus = gentext.training_corpus(student.load())
    teacher = gentext.training_corpus(gentext.load(runs["ngram"]))
    assert list(corpus.lines("test")) == list(teacher.lines("test"))
    assert len(set(corpus.lines("train")) & set(teacher.lines("train"))) < 10
    assert 40 <= len(corpus.lines("train")) <= 50  # an empty draw is no text


def test_a_form_is_measured_by_what_it_draws_and_scores(runs, monkeypatch):
    monkeypatch.setattr(benchmark, "REPEATS", 1)
    found = benchmark._measure(str(runs["ngram"]), "fp32", str(runs["ngram"]), 20, "cpu", ())
    record = gentext.score_text(runs["ngram"], gentext.training_corpus(gentext.load(runs["ngram"])).lines("test")[:20])
    assert found.bits == pytest.approx(record.values["bits_per_char"].value)
    assert found.disk == (runs["ngram"] / "model.safetensors").stat().st_size
    assert min(found.first, *found.per_second.values()) > 0
    assert (found.change, found.speed) == (None, {})


@pytest.mark.parametrize("name", ["ngram", "transformer"])
def test_texts_that_are_timed_are_all_as_long(runs, name, monkeypatch):
    model, seen = gentext.load(runs[name]), []
    whole = type(model.family).sample

    def sample(*given, **named):
        seen.append(whole(*given, **named))
        return seen[-1]

    monkeypatch.setattr(type(model.family), "sample", sample)
    (times,) = benchmark._seconds([model], 5, 20, None, repeats=2)
    assert len(times) == 2
    assert [draw.lengths.tolist() for draw in seen] == [[20] * 5] * 3  # EOS ends an untrained model's texts at any time
    monkeypatch.setattr(model.family, "limit", 12)  # what a family can read is the longest that there is
    benchmark._seconds([model], 5, 20, None, repeats=1)
    assert seen[-1].lengths.tolist() == [12] * 5


def test_a_masked_language_model_is_timed_by_texts_of_its_own_lengths(runs):
    model = gentext.load(runs["transformer"])
    masked = MaskedLM(model.family.vocab_size, layers=1, heads=2, width=8, context=12).eval()
    (times,) = benchmark._seconds([replace(model, family=masked)], 5, 20, None, repeats=1)
    assert times[0] > 0


def test_bits_that_are_no_likelihood_are_said_to_be_none(runs, monkeypatch):
    model = gentext.load(runs["transformer"])
    masked = MaskedLM(model.family.vocab_size, layers=1, heads=2, width=8, context=12)
    done = Measured("fp32", 1.0, dict.fromkeys(benchmark.BATCHES, 1.0), 0.1, 1, 1, 1)
    monkeypatch.setattr(benchmark, "_in_form", lambda *_: done)
    assert "its bits are" not in benchmark.bench([runs["transformer"]], forms=["fp32"])[0].note
    monkeypatch.setattr(benchmark, "load", lambda *_, **__: replace(model, family=masked))
    assert "its bits are of a pseudo-likelihood" in benchmark.bench([runs["transformer"]], forms=["fp32"])[0].note


def test_a_form_draws_in_turns_with_what_it_is_compared_with(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "REPEATS", 2)
    whole = str(runs["ngram"])
    same = benchmark._measure(whole, "fp32", whole, 20, "cpu", (), whole)
    assert same.change == (1, 1, 1)
    assert same.change.level
    small = gentext.export_model(whole, tmp_path / "small", compress="count=9")
    found = benchmark._measure(str(small), "count=9", whole, 20, "cpu", (), whole)
    assert found.change.value == pytest.approx(found.bits / same.bits)
    assert found.change.low < found.change.value < found.change.high
    row = benchmark._row("a", found)
    assert row[3] == benchmark._marked(benchmark._percent(found.change), found.change)
    assert all(ratio.low <= ratio.value <= ratio.high for ratio in found.speed.values())
    assert benchmark._marked("1.1", benchmark.Ratio(1.1, 0.9, 1.2)) == "1.1 level"
    assert benchmark._percent(benchmark.Ratio(1.02, 1.01, 1.03)) == "+2.00±1.00 %"


def test_bfloat16_that_does_not_pay_is_told_with_the_reason(monkeypatch):
    found = {
        name: Measured(
            *(name, 1.0, dict.fromkeys(benchmark.BATCHES, 1.0), 0.1, 1, 1, 1, None),
            speed=dict.fromkeys(benchmark.BATCHES, benchmark.Ratio(speed, speed, speed)),
        )
        for name, speed in (("fp32", 1.0), ("bf16", 0.5))
    }
    monkeypatch.setattr(benchmark, "cpu_flags", lambda: {"avx2"})
    (said,) = benchmark._slower(found, "cpu")
    assert "2.0 times slower" in said
    assert "none of amx_bf16, avx512_bf16" in said
    monkeypatch.setattr(benchmark, "cpu_flags", lambda: {"amx_bf16"})
    assert "it has amx_bf16" in benchmark._slower(found, "cpu")[0]
    assert benchmark._slower({"fp32": found["bf16"], "bf16": found["fp32"]}, "cpu") == []


def test_a_bench_is_a_page_with_its_picture(tmp_path):
    table = Table("What each form costs", "", ["run", "form"], [["a", "fp32"], ["a", "int8"]])
    picture = Points("Size and quality", "", [4.0, 1.0], [1.5, 1.6], ["fp32", "int8"], ["a", "a"], "MB", "bits")
    page = Measurements(table, picture).save(tmp_path / "bench.html").read_text()
    assert "<svg" in page
    assert "<td>int8</td>" in page
    assert 'name="viewport"' in page  # a phone shows it at its own width, and a wide table scrolls by itself
    assert "overflow-x:auto" in page


@pytest.mark.slow
def test_the_bench_is_one_table_of_all_forms(runs, capsys):
    assert main(["bench", *map(str, runs.values()), "--texts", "5", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    forms = [line.split(",")[1] for line in lines[1:7]]
    assert forms == ["fp32", "count=2", "prune=1e-6", "prune=1e-5", "bits=8", "bits=4"]
    assert any(line.split(",")[1] == "int8" for line in lines[7:])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("export NGRAM out --compress int4", "'int4' is no smaller form of a model; there are bf16, int8"),
        ("export TRANSFORMER out --compress int8_weights", "int8_weights, of torchao, is measured by"),
        ("export NGRAM out --compress prune", "'prune' is no smaller form"),
        ("export NGRAM out --compress prune=0", "the number is to be above 0"),
        ("export NGRAM out --compress int8", "int8 is of neural families"),
        ("export NGRAM out --compress bits=5", "bits is 5; it must be 4 or 8"),
        ("export TRANSFORMER out --compress bits=8", "bits=8 is of n-grams"),
        ("export TRANSFORMER . --compress int8", "is there already"),
        ("bench NGRAM --forms fp16", "'fp16' is no smaller form"),
        ("bench NGRAM --texts 0", "--texts is 0"),
        ("bench nowhere", "holds no trained model"),
    ],
)
def test_wrong_words_end_in_one_line(runs, command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    named = {name.upper(): str(folder) for name, folder in runs.items()}
    assert main([named.get(word, word) for word in command.split()]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert words in shown[-1]
    assert len(shown) == 1


def test_forms_say_what_they_are():
    assert [str(Form.parse(word)) for word in ("bf16", "prune=1e-06", "bits=8")] == ["bf16", "prune=1e-06", "bits=8"]
