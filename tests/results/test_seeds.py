import logging

import pytest
from scipy import stats

from gentext.results import record, seeds
from gentext.results.record import Record
from gentext.results.run_folder import locked
from gentext.types import Value


def put(folder, seed, bleu, signature="bleu4|refs:9|v:1", twin=""):
    """A run's folder beside others, with one record."""
    values = {
        "bleu4": Value(bleu, signature, higher_is_better=True, n=9),
        "ppl": Value(2.0, "ppl", higher_is_better=False, n=9),
    }
    made = Record("coco", "unconditional", "ngram", "", "ancestral", seed, values, {}, "exact")
    run = folder / f"ngram-s{seed}{twin}"
    run.mkdir()
    return record.write(made, run)


def test_three_seeds_write_their_interval_into_every_record(tmp_path):
    paths = [put(tmp_path, seed, bleu) for seed, bleu in enumerate([0.5, 0.6, 0.55])]
    seeds.write_seed_summaries([tmp_path])
    low, high = stats.t.interval(0.95, 2, loc=0.55, scale=0.05 / 3**0.5)
    for path in paths:
        told = record.read(path).over_seeds["bleu4"]
        assert told["mean"] == pytest.approx(0.55)
        assert told["interval"] == pytest.approx([low, high])
        assert told["seeds"] == [0, 1, 2]
        assert record.read(path).values["bleu4"].value in (0.5, 0.6, 0.55)  # its own figure stays its own
    kept = [path.stat().st_mtime_ns for path in paths]
    seeds.write_seed_summaries([tmp_path])
    assert [path.stat().st_mtime_ns for path in paths] == kept


def test_two_seeds_tell_nothing_and_a_seed_that_leaves_takes_the_interval_along(tmp_path):
    paths = [put(tmp_path, seed, 0.5) for seed in range(3)]
    seeds.write_seed_summaries([tmp_path])
    paths.pop().unlink()
    seeds.write_seed_summaries([tmp_path])
    assert all(record.read(path).over_seeds == {} for path in paths)


def test_a_metric_of_mixed_signatures_and_a_doubled_seed_tell_nothing(tmp_path):
    paths = [put(tmp_path, seed, 0.5, f"bleu4|refs:{9 - seed // 2}|v:1") for seed in range(3)]
    seeds.write_seed_summaries([tmp_path])
    assert record.read(paths[0]).over_seeds.keys() == {"ppl"}
    put(tmp_path, 0, 0.7, twin="-again")
    seeds.write_seed_summaries([tmp_path])
    assert record.read(paths[0]).over_seeds == {}


def test_a_broken_record_and_a_run_at_work_do_not_stop_the_others(tmp_path, caplog):
    paths = [put(tmp_path, seed, 0.5) for seed in range(3)]
    (tmp_path / "hmm-s0").mkdir()
    (tmp_path / "hmm-s0" / "record.ancestral.json").write_text("{")
    with locked(paths[0].parent), caplog.at_level(logging.WARNING, "gentext"):
        seeds.write_seed_summaries([tmp_path])
    assert [bool(record.read(path).over_seeds) for path in paths] == [False, True, True]
    assert "is not a record" in caplog.text
    assert "another process" in caplog.text
