"""A search finds what is best on valid, shares its trials among processes and outlives them."""

from __future__ import annotations

import json
import multiprocessing
import time

import pytest
from omegaconf import OmegaConf

from gentext import tuning
from gentext.cli import main
from gentext.results.record import Record
from gentext.trackers import Pruned

SPACE = ["x=interval(-4,4)", "kind=a,b,c"]
HEIGHT = {"a": 3.0, "b": 0.0, "c": 5.0}  # of the valley that each kind is
SMALL = ["data.train=100", "data.valid=20", "data.test=20", "eval.samples=20", "tracker=jsonl"]


def judged(trial: tuning.Trial, **figures: float) -> Record:
    """The record of a trial whose figures are known in closed form; the optimum is x = 1, kind = b."""
    drawn = dict(override.split("=") for override in trial.overrides)
    cost = {"parameters": (float(drawn["x"]) - 1) ** 2 + HEIGHT[drawn["kind"]], **figures} if "x" in drawn else figures
    return Record("d", "unconditional", "f", "", "ancestral", 0, {}, {}, "exact", cost=cost, folder="run")


def opened(folder, words=SPACE, **options) -> tuning.Search:
    shared, space = tuning.plan(words)
    return tuning.Search(folder, shared, space, options.pop("figures", ["parameters"]), **{"trials": 40, **options})


def told(search: tuning.Search) -> list[tuning.Trial]:
    done = []
    while asked := search.ask(1):
        search.tell(asked[0], judged(asked[0]))
        done += asked
    return done


def work(folder, numbers, hang: bool) -> None:
    search = opened(folder, trials=12)
    while asked := search.ask(1):
        numbers.put(asked[0].number)
        if hang:
            time.sleep(60)
        search.tell(asked[0], judged(asked[0]))


def worker(folder, *, hang: bool = False):
    """A process that runs trials, forked, so that it need not import anything, and the numbers that it asked for."""
    forked = multiprocessing.get_context("fork")
    numbers = forked.SimpleQueue()
    process = forked.Process(target=work, args=(folder, numbers, hang))
    process.start()
    return process, numbers


def test_a_search_finds_the_known_optimum(tmp_path):
    search = opened(tmp_path)
    assert len(told(search)) == 40
    best = dict(override.split("=") for override in search.winners[0].overrides)
    assert best["kind"] == "b"
    assert float(best["x"]) == pytest.approx(1, abs=0.3)
    search.write()
    assert (tmp_path / "trials.csv").read_text().splitlines()[0] == "trial,parameters,x,kind,ended"
    assert json.loads((tmp_path / "search.json").read_text())["winners"][0]["overrides"] == [
        *search.winners[0].overrides
    ]


def test_a_search_that_was_killed_goes_on_to_the_same_trials(tmp_path):
    whole = [trial.overrides for trial in told(opened(tmp_path / "whole", trials=12))]
    begun = opened(tmp_path / "killed", trials=12)
    first = begun.ask(1)[0]
    begun.tell(first, judged(first))
    dying, numbers = worker(tmp_path / "killed", hang=True)
    assert numbers.get() == 1
    assert opened(tmp_path / "killed", trials=2).ask(1) == []  # a trial that is at work is nobody else's
    dying.kill()
    dying.join()
    rest = told(opened(tmp_path / "killed", trials=12))
    assert rest[0].number == 1
    assert [trial.overrides for trial in rest] == whole[1:]


def test_processes_share_the_trials_of_a_search(tmp_path):
    workers = [worker(tmp_path) for _ in range(2)]
    for process, _ in workers:
        process.join(100)
    assert [process.exitcode for process, _ in workers] == [0, 0]
    numbers = []
    for _, asked in workers:
        while not asked.empty():
            numbers.append(asked.get())
    assert sorted(numbers) == list(range(12))
    assert opened(tmp_path, trials=12).ask(1) == []


def test_values_are_tried_once_and_all_of_them_where_there_are_few(tmp_path):
    search = opened(tmp_path, ["x=1", "kind=a,b,c"])
    asked = search.ask(2)
    while asked:
        for trial in asked:
            search.tell(trial, judged(trial, parameters=HEIGHT[trial.overrides[0][-1]]))
        asked = search.ask(2)
    assert sorted(row[2] for row in search.table().rows) == ["a", "b", "c"]
    assert search.winners[0].overrides == ("kind=b",)


def test_a_trial_that_another_process_ends_meanwhile_is_not_run_again(tmp_path, monkeypatch):
    one, other = opened(tmp_path, trials=2), opened(tmp_path, trials=2)
    (first,) = one.ask(1)
    hold = other._hold

    def ended(number):
        if number == first.number and number in one._held:  # it was running when the other looked
            one.tell(first, judged(first))
        return hold(number)

    monkeypatch.setattr(other, "_hold", ended)
    assert [trial.number for trial in other.ask(1)] == [first.number + 1]


def test_the_last_of_few_values_is_tried_too(tmp_path):
    search = opened(tmp_path, ["n=1,2,3,4"], trials=4)
    search.tell(search.ask(1)[0], None, "it went wrong")
    while asked := search.ask(1):
        search.tell(asked[0], judged(asked[0], parameters=1.0))  # level, so that no proposal is better than another
    assert {row[2] for row in search.table().rows} == {"1", "2", "3", "4"}


def test_a_line_that_a_killed_process_did_not_finish_is_cut_off(tmp_path):
    told(opened(tmp_path, trials=2))
    journal = tmp_path / tuning.JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "worker')
    again = opened(tmp_path, trials=3)
    assert len(told(again)) == 1
    assert journal.read_bytes().startswith(whole)


def test_a_trial_whose_process_was_killed_before_it_had_values_is_passed_over(tmp_path):
    search = opened(tmp_path, trials=3)
    told(search)
    search._study.ask()  # and no values
    again = opened(tmp_path, trials=5)
    assert len(told(again)) == 2
    assert len(again.table().rows) == 5


@pytest.mark.parametrize(
    ("words", "figure", "pruned"),
    [
        (["family.width=1,2"], "bits_per_char", True),
        (["family.width=1,2"], "bleu4:max", False),  # a curve of likelihood says little of it
        (["tokenizer.vocab_size=100,200"], "bits_per_char", False),  # a token is another
        (["tokenizer=word,bpe"], "bits_per_char", False),
        (["+tokenizer@tokenizer=word,bpe"], "bits_per_char", False),
    ],
)
def test_a_trial_is_pruned_by_curves_that_compare(tmp_path, words, figure, pruned):
    search = opened(tmp_path, words, figures=[figure])
    assert bool(search.environment(search.ask(1)[0])) == pruned


def test_several_figures_make_a_front(tmp_path):
    search = opened(tmp_path, ["n=1,2,3,4"], figures=["parameters", "sample_tokens:max", "peak_bytes:3"])
    while asked := search.ask(1):
        n = float(asked[0].overrides[0][-1])
        figures = {"parameters": abs(n - 2), "sample_tokens": min(n, 3), "peak_bytes": 3.0}
        search.tell(asked[0], judged(asked[0], **figures))
    assert sorted(trial.overrides for trial in search.winners) == [("n=2",), ("n=3",)]


def test_a_failed_trial_wins_nothing(tmp_path):
    search = opened(tmp_path, ["n=1,2"])
    search.tell(search.ask(1)[0], None, "it went wrong")
    assert search.winners == []
    search.tell(search.ask(1)[0], None, "as well", pruned=True)
    assert search.ask(1) == []
    assert {row[-1] for row in search.table().rows} == {"it went wrong", "as well"}


def test_the_values_of_a_pruned_trial_are_not_tried_again(tmp_path):
    search = opened(tmp_path, ["n=1,2,3"], figures=["parameters:max"])
    first = search.ask(1)[0]
    curve = tuning.Pruner(str(tmp_path), first.number)
    curve.open(tmp_path, {})
    curve.log(10, {"valid/nll": 2.0})
    search.tell(first, None, "pruned", pruned=True)
    tried = [first.overrides]
    while asked := search.ask(1):
        search.tell(asked[0], judged(asked[0], parameters=1.0))
        tried += [asked[0].overrides]
    assert sorted(tried) == [("n=1",), ("n=2",), ("n=3",)]
    assert search.table().rows[-1][-1] == "pruned"


def test_a_curve_above_the_median_is_pruned(tmp_path):
    search = opened(tmp_path)
    for level in range(5):
        trial = search.ask(1)[0]
        curve = tuning.Pruner(str(tmp_path), trial.number)
        curve.open(tmp_path, {})
        curve.log(0, {"valid/nll": 9.0, "spent": 0.0})
        curve.log(10 + level, {"valid/nll": float(level % 3), "spent": 0.52, "valid/entropy": 0.0})
        search.tell(trial, judged(trial))
    for level, ends in ((0.5, False), (2.5, True)):
        curve = tuning.Pruner(str(tmp_path), search.ask(1)[0].number)
        curve.open(tmp_path, {})
        curve.log(0, {"valid/nll": 99.0, "spent": 0.0})
        curve.log(50, {"train/nll": 99.0})
        curve.log(60, {"valid/nll": 99.0})  # of a stage, whose share of the run is not known
        if ends:
            with pytest.raises(Pruned, match="step 100"):
                curve.log(100, {"valid/nll": level, "spent": 0.58})  # as much of its budget, and not as many steps
        else:
            curve.log(100, {"valid/nll": level, "spent": 0.58})
            curve.log(200, {"valid/nll": 99.0, "spent": 1.0})  # there is nothing left to spare


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x=1"], "nothing is searched"),
        (["x=1,2", "eval.split=test"], "test stays unseen"),
        (["x=1,2", "eval.split=valid,test"], "test stays unseen"),
        (["x=1,2", "++eval.split=test"], "test stays unseen"),
        (["x=tag(log, interval(-1, 1))"], "cannot be searched"),
        (["x=interval(2"], "cannot be read"),
    ],
)
def test_what_cannot_be_searched_is_refused(words, said):
    with pytest.raises(ValueError, match=said):
        tuning.plan(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("bleu4", "bleu4:max"),
        ("bleu4:most", "neither min nor max"),
        ("bleu4:nan", "nor a finite number"),
        ("bitsperchar", "bitsperchar:min"),
    ],
)
def test_a_figure_needs_an_end_that_is_best(words, said):
    with pytest.raises(ValueError, match=said):
        tuning.Objective.parse(words)


def test_a_metric_of_ones_own_may_give_any_figure():
    nodes = {"mine": {"_target_": "my_metric.MyMetric"}}
    tuning.check_figures(["my_figure:max"], OmegaConf.create({"eval": {"metrics": nodes}}))
    with pytest.raises(ValueError, match="gentext defines no figure my_figure"):
        tuning.check_figures(["my_figure:max"], OmegaConf.create({"eval": {"metrics": {}}}))


def test_a_figure_that_no_record_holds_ends_the_search(tmp_path):
    search = opened(tmp_path, figures=["param:min"])
    trial = search.ask(1)[0]
    with pytest.raises(ValueError, match="Did you mean parameters"):
        search.tell(trial, judged(trial))


def test_the_last_value_of_a_key_counts_and_a_whole_interval_has_whole_values():
    shared, space = tuning.plan(["x=int(interval(2, 6))", "y=1,2", "y=3", "eval.split=valid"])
    assert shared == ["y=3", "eval.split=valid"]
    assert space[0].override(3) == "x=3"


def test_every_nested_option_of_a_group_is_kept():
    nested = ["model@family.generator=transformer", "model@family.critic=gru"]
    assert tuning.plan([*nested, "x=1,2"])[0] == [*nested, "eval.split=valid"]


def test_tune_runs_its_trials_and_goes_on_when_asked_for_more(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["tune", "search=ngram", "family.order=1,3", *SMALL, "--figure", "bits_per_char"]
    assert main([*words, "--trials", "1"]) == 0
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.*.json")}
    assert len(first) == 1
    assert main([*words, "--trials", "5"]) == 0  # there are two values
    records = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.*.json")}
    assert len(records) == 2
    assert records.items() >= first.items()
    assert "Best: family.order=3" in capsys.readouterr().out
    configs = [json.loads(path.read_text())["config"] for path in records]
    assert {config["eval"]["split"] for config in configs} == {"valid"}
    assert {config["name"] for config in configs} <= {f"trial {n}" for n in range(20)}  # short, on a board of many


def test_a_search_that_cannot_begin_says_so_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "family=lstm", "family.width=interval(8, 16)"]) == 2
    assert "family.width" in capsys.readouterr().err
    assert main(["tune", "family=ngram", "family.order=1,2", "--figure", "bleu4"]) == 2
    assert "bleu4:max" in capsys.readouterr().err
    assert main(["tune", "family=ngram"]) == 2
    assert "nothing is searched" in capsys.readouterr().err
    for flag in ("--trials", "--jobs"):
        assert main(["tune", "family=ngram", "family.order=1,2", flag, "0"]) == 2
        assert capsys.readouterr().err == f"gentext: {flag} is 0; it must be 1 or more\n"
    assert main(["run", "-m", "hydra/sweeper=search", "hydra.sweeper.jobs=0", "family=ngram", "family.order=1,2"]) == 2
    assert "hydra.sweeper.jobs is 0" in capsys.readouterr().err
    assert main(["tune", "family=ngram", "family.order=1,2", "--figure", "bleuu4:max"]) == 2
    assert "gentext defines no figure bleuu4. Did you mean" in capsys.readouterr().err
    assert [*tmp_path.rglob("record.*")] == []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib", "slurm_local", "ray"])
def test_trials_are_pruned_under_every_launcher(tmp_path, monkeypatch, launcher):
    if launcher in ("slurm_local", "ray"):
        pytest.importorskip(f"hydra_plugins.hydra_{'ray' if launcher == 'ray' else 'submitit'}_launcher")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # at 15, as it is, jobs starve on a crowded machine
    words = ["family=lstm", "family.width=16", "family.layers=1", "train.steps=40", "train.valid_every=10"]
    rates = "train.lr=0.01,0.011,0.012,0.013,0.014,0.015,1e-7,2e-7,3e-7,4e-7,5e-7"
    assert main(["tune", *words, rates, *SMALL, "--trials", "11", "--jobs", "2", f"hydra/launcher={launcher}"]) == 0
    found = json.loads(next(tmp_path.rglob("search.json")).read_text())
    assert float(found["winners"][0]["overrides"][0].partition("=")[2]) > 0.001
    assert any(str(trial["ended"]).startswith("pruned at step") for trial in found["trials"])
