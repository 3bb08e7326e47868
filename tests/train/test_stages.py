"""Stages run in turn, and none twice."""

import pytest
import torch
from train import tiny

from gentext.losses import MMD, NLL, Objective
from gentext.seeding import Streams
from gentext.train.base import NullMonitor, Trainer, TrainingError
from gentext.train.em import EMTrainer
from gentext.train.stages import ResetPart, Stages


def _run(folder, monitor, **trainers):
    corpus = tiny.corpus(folder)
    family = tiny.family(corpus, dropout=0.2)
    stages = Stages(**{"first": tiny.loop(steps=6), "second": tiny.loop(steps=5, lr=3e-3, save_every=0.0), **trainers})
    assert isinstance(stages, Trainer)
    stages.run(family, corpus, streams=Streams(3), monitor=monitor)
    return family


def test_the_second_stage_goes_on_from_the_first(tmp_path, notes):
    monitor = notes()
    _run(tmp_path, monitor)
    steps = [step for step, values in monitor.log_ if "train/nll" in values]
    assert steps == list(range(1, 12))
    assert monitor.curve("tokens") == sorted(monitor.curve("tokens"))
    assert monitor.curve("seconds") == sorted(monitor.curve("seconds"))


@pytest.mark.parametrize("die_at", [4, 9])
def test_a_killed_run_ends_in_the_same_numbers(tmp_path, notes, die_at):
    unbroken = notes("whole")
    whole = _run(tmp_path, unbroken)
    with pytest.raises(tiny.Killed):
        _run(tmp_path, notes("parts", resume=True, die_at=die_at))
    last = notes("parts", resume=True)
    parts = _run(tmp_path, last)
    assert tiny.same(whole, parts)
    assert last.booked == unbroken.booked
    assert last.booked[0] == 11
    assert min(step for step, _ in last.log_) >= (7 if die_at == 9 else 1)


def test_a_stage_that_is_done_keeps_no_checkpoint(tmp_path, notes):
    monitor = notes()
    _run(tmp_path, monitor)
    held = {path.name for name in ("first", "second") for path in (monitor.folder / name / "checkpoint").iterdir()}
    assert held == set()


def test_advice_names_the_key_of_the_stage(tmp_path):
    corpus = tiny.corpus(tmp_path)
    family = tiny.family(corpus)
    family.gru.weight_hh_l0.data[0, 0] = torch.nan
    stages = Stages(warmup=Stages(first=tiny.loop()), second=ResetPart(tiny.loop(accumulate=2), "gru"))
    with pytest.raises(TrainingError, match=r"Lower train\.warmup\.first\.lr"):
        stages.run(family, corpus, streams=Streams(3), monitor=NullMonitor(tmp_path))
    stages.trainers["second"].trainer.loss = Objective(nll=NLL(), mmd=MMD())
    with pytest.raises(ValueError, match=r"train\.second\.trainer\.accumulate=2 .* train\.second\.trainer\.batch_size"):
        stages.check(family, corpus)


def test_stages_need_a_trainer():
    with pytest.raises(ValueError, match="name one"):
        Stages()


def test_shares_above_a_whole_are_refused():
    trainers = {"first": tiny.loop(), "second": tiny.loop(), "third": tiny.loop()}
    Stages(**trainers, shares={"first": 0.7, "second": 0.2, "third": 0.1})
    with pytest.raises(ValueError, match=r"shares sum to 1\.2; .* give 1 or less in all"):
        Stages(**trainers, shares={"first": 0.8, "second": 0.4, "third": None})


def test_a_stage_that_cannot_be_is_told_of_before_the_first_begins(tmp_path, notes):
    monitor = notes()
    with pytest.raises(ValueError, match="train=em needs a family that counts"):
        _run(tmp_path, monitor, second=EMTrainer())
    assert monitor.log_ == []
