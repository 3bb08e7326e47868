import dataclasses
import json
import math

import numpy as np
import pytest

from gentext.cli import main
from gentext.results import record
from gentext.results.compare import compare, comparison_table
from gentext.results.record import Record
from gentext.types import Value


def normal(n, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1.0, n)


def run(folder, family, seed, decode="ancestral", **arrays):
    """A record as the run wrote it, read back from its folder."""
    values = {
        name: Value(float(each.mean()), f"{name}|v:1", True, len(each), per_sequence=each, paired=name == "recall")
        for name, each in arrays.items()
    }
    where = folder / f"{family}-{seed}"
    where.mkdir(exist_ok=True)
    made = Record("captions", "unconditional", family, "", decode, seed, values, {}, "exact")
    return record.read(record.write(made, where))


def test_two_runs_are_compared_metric_by_metric(tmp_path):
    shared = normal(200, 0) * 10
    bleu = normal(200, 3)
    one = run(tmp_path, "lstm", 0, recall=shared + 0.1, bleu4=bleu, odd=np.where(bleu > 1, np.inf, bleu))
    two = run(tmp_path, "ngram", 0, recall=shared + normal(200, 1) * 0.2, bleu4=bleu[::-1], odd=bleu)
    found = compare([one], [two], draws=500)
    assert {name: said.test.split("|")[1] for name, said in found.items()} == {"recall": "paired", "bleu4": "unpaired"}
    assert found["recall"].adjusted < 0.05 < found["bleu4"].adjusted
    assert compare([one], [two], test="randomisation", draws=500)["recall"].p < 0.05
    with pytest.raises(ValueError, match="share no metric that can be tested"):
        compare([one], [run(tmp_path, "hmm", 0, length=shared)])


def test_a_figure_of_all_texts_is_tested_by_its_interval_and_without_one_not(tmp_path):
    """Two halves of one file differed in recall in half of all pairs: references were resampled, samples were not."""
    one, two, three = (run(tmp_path, name, 0, bleu4=normal(50, 0)) for name in ("a", "b", "c"))

    def recall(record, value, interval):
        figure = Value(value, "recall|v:1", True, 9, "share", interval, "jackknife:20")
        return dataclasses.replace(record, values={**record.values, "recall": figure})

    near = compare([recall(one, 0.50, (0.45, 0.55))], [recall(two, 0.52, (0.47, 0.57))])["recall"]
    far = compare([recall(one, 0.50, (0.45, 0.55))], [recall(two, 0.70, (0.65, 0.75))])["recall"]
    assert far.p < 0.001 < 0.05 < near.p
    assert far.test == "intervals|unpaired"
    assert near.interval == pytest.approx((-0.0907, 0.0507), abs=1e-4)
    assert "recall" not in compare([recall(one, 0.5, None)], [recall(three, 0.9, None)])


def test_the_error_of_a_likelihoods_own_draws_is_in_the_test(monkeypatch):
    """One judged decoder against itself, its density from fresh draws each time: all sentences share their error."""
    read = "gentext.results.compare.per_sequence"  # from a file
    monkeypatch.setattr(read, lambda one: {"kl": one.values["kl"].per_sequence})
    rng, trials = np.random.default_rng(0), 300
    told = {"both": 0, "one": 0, "apart": 0}

    def judged(each, shared, paired):
        moved = each + rng.normal(0, shared)
        error = math.hypot(each.std(ddof=1) / len(each) ** 0.5, shared)
        interval = (moved.mean() - 1.96 * error, moved.mean() + 1.96 * error)
        kind = "normal+draws" if shared else "normal"
        value = Value(float(moved.mean()), "kl|v:1", False, len(each), "nats", interval, kind)
        held = {"kl": dataclasses.replace(value, per_sequence=moved, paired=paired)}
        return Record("captions", "unconditional", "lstm", "", "ancestral", 0, held, {}, "exact")

    for _ in range(trials):
        text, other = rng.normal(20, 4, (2, 200))
        noise = rng.normal(0, 0.5, (2, 200))
        for case, first, second in (
            ("both", judged(text + noise[0], 0.15, True), judged(text + noise[1], 0.15, True)),
            ("one", judged(text + noise[0], 0.15, True), judged(text + noise[1], 0.0, True)),
            ("apart", judged(text, 0.4, False), judged(other, 0.4, False)),
        ):
            found = compare([first], [second])["kl"]
            assert found.test == f"normal|{'unpaired' if case == 'apart' else 'paired'}"
            told[case] += found.p < 0.05
    assert all(0.02 < count / trials < 0.09 for count in told.values()), told


def test_the_table_marks_bounds_and_names_what_differs(tmp_path):
    one, two = (run(tmp_path, "vae", seed, nll=normal(50, seed)) for seed in range(2))
    bound = dataclasses.replace(two.values["nll"], exactness="upper")
    table = comparison_table([one], [dataclasses.replace(two, values={"nll": bound})], draws=100)
    assert table.title == "vae of seed 0 against vae of seed 1, both ancestral"
    assert [str(cell)[0] == "≤" for cell in table.rows[0][1:3]] == [False, True]
    apart = comparison_table([one], [run(tmp_path, "vae", 2, "greedy", nll=normal(50, 2))], draws=100)
    assert apart.columns[1:3] == ["vae · ancestral", "vae · greedy"]


def test_rows_of_several_seeds_are_compared_with_the_seed_as_a_random_effect(tmp_path):
    rows = {
        name: [run(tmp_path, name, seed, bleu4=normal(200, 10 * i + seed, shift)) for seed in range(3)]
        for i, (name, shift) in enumerate([("a", 1.0), ("b", 0.0), ("c", 0.0)])
    }
    apart, alike = compare(rows["a"], rows["b"])["bleu4"], compare(rows["b"], rows["c"])["bleu4"]
    assert apart.test.startswith("seeds|unpaired|seeds:3,3")
    assert apart.adjusted < 0.05 < alike.adjusted
    table = comparison_table(rows["a"], rows["b"])
    assert list(table.columns[-3:]) == ["p over seeds", "can be seen", "sentences"]
    assert table.rows[0][-3].endswith("(paired)")  # seeds 0, 1, 2 of both
    with pytest.raises(ValueError, match="of one"):
        compare(rows["a"], rows["b"][:1])


def test_figures_of_several_signatures_are_not_compared(tmp_path):
    one, two = (run(tmp_path, "lstm", seed, bleu4=normal(50, seed)) for seed in range(2))
    other = dataclasses.replace(two.values["bleu4"], signature="bleu4|refs:9|v:1")
    with pytest.raises(ValueError, match="under one signature"):
        compare([one], [dataclasses.replace(two, values={"bleu4": other})])


def test_one_model_is_compared_under_two_settings(tmp_path, capsys):
    for seed in range(4):
        place = tmp_path / f"lstm-{seed}"
        place.mkdir()
        for decode, shift in (("ancestral", 0.0), ("ancestral top_p=0.9", 2.0)):
            each = normal(100, seed, shift + seed / 50)
            value = Value(float(each.mean()), "bleu4|v:1", True, 100, per_sequence=each)
            values = {"bleu4": value}
            record.write(Record("captions", "unconditional", "lstm", "", decode, seed, values, {}, "exact"), place)
    words = ["compare", "lstm", "lstm", "--among", str(tmp_path), "--format", "json"]
    assert main([*words, "--decode", "top_p", "--decode", "ancestral"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert float(row["p (Holm)"]) < 0.05
    for settings, said in (
        ([], "which may stand twice"),
        (["--decode", "top_k"], "it has top-p 0.9, ancestral"),
        (["--decode", "top_p"] * 3, "given 3 times"),
    ):
        assert main([*words, *settings]) == 2
        assert said in capsys.readouterr().err


def test_the_command_compares_folders_and_named_rows(tmp_path, capsys):
    for seed in range(2):
        run(tmp_path, "lstm", seed, bleu4=normal(100, seed, 1.0))
        run(tmp_path, "hmm", seed, bleu4=normal(100, 50 + seed))
    assert main(["compare", str(tmp_path / "lstm-0"), str(tmp_path / "hmm-0"), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"][0]["metric"] == "bleu4"
    assert float(told["rows"][0]["p (Holm)"]) < 0.05
    assert main(["compare", "lstm", "hmm", "--among", str(tmp_path)]) == 0
    assert "seed as a random effect" in " ".join(capsys.readouterr().out.split())
    wrong = [
        (["lstm", "gru", "--among", str(tmp_path)], "Known: hmm, lstm"),
        ([str(tmp_path), str(tmp_path / "hmm-0")], "is not one row"),
        (["lstm", "hmm", "--among", str(tmp_path), "--test", "randomisation"], "one seed with one"),
        ([str(tmp_path / "lstm-0"), str(tmp_path / "hmm-0"), "--decode", "beam"], "'beam'; it has ancestral"),
    ]
    for words, said in wrong:
        assert main(["compare", *words]) == 2
        assert said in capsys.readouterr().err
