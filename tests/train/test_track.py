"""A track: the same time, work or size for every family."""

import time
from types import SimpleNamespace

import pytest
from train import tiny

from gentext import config
from gentext.config import give_size
from gentext.seeding import Streams
from gentext.train import EMTrainer, ResetPart, Stages, Track
from gentext.train.base import NullMonitor
from gentext.train.distributed import ProcessGroup
from gentext.train.progress import Budget, Progress


@pytest.fixture
def clock(monkeypatch):
    """Clocks that a test sets."""
    clock = SimpleNamespace(wall=0.0, cores=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.wall)
    monkeypatch.setattr(time, "process_time", lambda: clock.cores)
    return clock


def test_core_seconds_end_a_run_whatever_the_clock_on_the_wall_says(clock):
    budget = Budget(10, 5.0, None, 60.0, ProcessGroup(), allowance=Track(core_seconds=8.0))
    while not budget.over:  # a busy machine: a step takes 9 seconds, and 2 of the processor
        budget.progress.step += 1
        clock.wall, clock.cores = clock.wall + 9, clock.cores + 2
        budget.tick()
    assert (budget.progress.step, budget.progress.seconds, budget.progress.core_seconds) == (4, 36.0, 8.0)


def test_a_schedule_knows_how_many_steps_core_seconds_will_be(clock):
    budget = Budget(None, None, None, 60.0, ProcessGroup(), allowance=Track(core_seconds=100.0))
    for _ in range(10):
        budget.progress.step += 1
        clock.cores += 2
        budget.tick()
    assert (budget.spent, budget.total) == (0.2, 50)


def test_a_resumed_run_has_what_is_left_of_its_core_seconds(clock):
    budget = Budget(None, None, None, 60.0, ProcessGroup(), allowance=Track(core_seconds=10.0))
    clock.cores = 5.0  # spent by the process before training began
    budget.restore(Progress(step=3, seconds=20.0, core_seconds=6.0))
    clock.cores = 7.0
    budget.tick()
    assert budget.progress.core_seconds == 8.0
    assert not budget.over
    clock.cores = 9.0
    budget.tick()
    assert budget.over


def test_operations_end_a_run_at_the_step_that_they_allow(tmp_path, notes):
    corpus = tiny.corpus(tmp_path)
    monitors = []
    for name, allowance in (("steps", None), ("flops", True)):
        family, loop, monitor = tiny.family(corpus), tiny.loop(steps=4), notes(name)
        if allowance:
            loop.allowance = Track(flops=3 * family.flops(monitors[0].booked[1]))
        loop.run(family, corpus, streams=Streams(0), monitor=monitor)
        monitors.append(monitor)
    assert monitors[1].booked == monitors[0].booked
    assert monitors[1].booked[0] == 4


def test_each_stage_has_its_share_and_one_without_keeps_its_own_steps(tmp_path, notes):
    corpus, monitor = tiny.corpus(tmp_path), notes()
    family = tiny.family(corpus)
    stages = Stages(
        first=tiny.loop(steps=2), second=ResetPart(tiny.loop(steps=99), "gru"), shares={"first": None, "second": 0.5}
    )
    once = 3 * family.flops(corpus.tokens("train"))
    stages.allowance = Track(flops=2 * once)  # half of it is one pass over train, and the first stage has none of it
    stages.run(family, corpus, streams=Streams(0), monitor=monitor)
    batches = monitor.booked[0] - 2
    assert 1 <= batches < 90
    assert monitor.booked[1] >= corpus.tokens("train")
    assert stages.trainers["first"].allowance is None
    nothing = tiny.loop(steps=0)
    nothing.allowance = stages.allowance
    nothing.run(family, corpus, streams=Streams(0), monitor=(untrained := notes("nothing")))
    assert untrained.booked[0] == 0


def test_em_goes_by_what_a_track_allows(tmp_path, notes):
    corpus, monitor, loop = tiny.corpus(tmp_path), notes(), EMTrainer(iterations=1, patience=50)
    family = config.build(
        config.compose(["family=hmm", "family.states=4", "family.grow_from=null", "vocab_size=99"]).family
    )
    family.prepare(iter(corpus.batches("train", 64)), rng=Streams(0)("prepare"))
    loop.allowance = Track(flops=3 * 3 * family.flops(corpus.tokens("train")))
    loop.run(family, corpus, streams=Streams(0), monitor=monitor)
    assert monitor.booked == (3, 3 * corpus.tokens("train"))


def test_what_a_grown_hmm_had_cost_before_its_training_is_part_of_what_is_allowed(tmp_path):
    corpus = tiny.corpus(tmp_path)
    tokens = corpus.tokens("train")
    options = ["family=hmm", "family.states=8", "family.grow_from=2", "vocab_size=99"]
    family = config.build(config.compose(options).family)
    family.prepare(iter(corpus.batches("train", 64)), rng=Streams(0)("prepare"))
    assert family.prepare_flops == 6 * 3 * tokens * 2 * (2 * 2 + 4 * 4)  # six passes with two states, six with four
    assert Track(flops=1e9).after(1.0, family.prepare_flops) == Track(flops=1e9 - family.prepare_flops)
    assert Track(core_seconds=5.0).after(1.0, 1e9) == Track(core_seconds=4.0)
    assert Track(parameters=10).after(1.0, 1e9) == Track(parameters=10)


@pytest.mark.parametrize(
    ("options", "parameters", "within"),
    [
        (["family=lstm"], 300_000, 0.02),
        (["family=transformer"], 300_000, 0.08),  # its width is a multiple of 8
        (["family=hmm"], 300_000, 0.02),
        (["family=vae"], 300_000, 0.02),
        (["family=seqgan"], 300_000, 0.02),
    ],
)
def test_a_width_follows_from_the_number_of_parameters(options, parameters, within):
    cfg = config.compose([*options, "vocab_size=500", "max_len=30", "context=30"])
    got = give_size(cfg.family, parameters)
    built = config.build(cfg.family)
    assert built.size() == got
    assert abs(got - parameters) <= within * parameters


def test_a_family_without_a_width_stays_as_it_is(caplog):
    cfg = config.compose(["family=ngram", "vocab_size=500"])
    before = cfg.copy()
    with caplog.at_level("INFO", logger="gentext"):
        give_size(cfg.family, 1_000)
    assert cfg == before
    assert "stays as it is" in caplog.text


@pytest.mark.parametrize("given", [{}, {"flops": 1.0, "parameters": 2}, {"core_seconds": 0.0}, {"flops": float("nan")}])
def test_a_track_is_of_one_thing_above_nothing(given):
    with pytest.raises(ValueError, match=r"one of them|above 0"):
        Track(**given)


def test_a_game_is_not_asked_for_operations_that_nobody_has_counted(tmp_path):
    cfg = config.compose(["family=seqgan_gumbel", "vocab_size=50", "max_len=9"])
    loop, corpus = config.build(cfg.train), tiny.corpus(tmp_path)
    loop.allowance = Track(flops=1e9)
    with pytest.raises(ValueError, match="track=time"):
        loop.run(config.build(cfg.family), corpus, streams=Streams(0), monitor=NullMonitor(tmp_path))
