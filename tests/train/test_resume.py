"""A run that was stopped goes on to the very numbers of one that was not."""

import multiprocessing
import random
import shutil
import signal
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model
from train import tiny

from gentext.models.hmm.model import HMM
from gentext.seeding import Streams
from gentext.train.base import NullMonitor, TrainingError
from gentext.train.em import EMTrainer

OPTIONS = {"ema": 0.9, "accumulate": 2, "save_every": 0.0, "steps": 17}


def _run(folder, monitor, *, unit="line", **options):
    corpus = tiny.corpus(folder, unit=unit)
    family = tiny.family(corpus, dropout=0.3)
    tiny.loop(**{**OPTIONS, **options}).run(family, corpus, streams=Streams(3), monitor=monitor)
    return family


@pytest.mark.parametrize(("unit", "optimizer"), [("line", "adamw"), ("stream", "muon")])
def test_a_run_stopped_twice_ends_in_the_same_numbers(tmp_path, notes, unit, optimizer):
    options = {"unit": unit, "optimizer": optimizer}
    whole = _run(tmp_path, notes("whole"), **options)
    for die_at in (6, 13):
        with pytest.raises(tiny.Killed):
            _run(tmp_path, notes("parts", resume=True, die_at=die_at), **options)
    last = notes("parts", resume=True)
    assert tiny.same(_run(tmp_path, last, **options), whole)
    assert 13 <= last.log_[0][0] < 17  # it did go on, and not begin again


def test_a_finished_run_is_not_trained_again(tmp_path, notes):
    first = _run(tmp_path, notes())
    again = notes(resume=True)
    assert tiny.same(_run(tmp_path, again), first)
    assert again.log_ == []


def test_without_resume_it_starts_anew(tmp_path, notes):
    whole = _run(tmp_path, notes("whole"))
    with pytest.raises(tiny.Killed):
        _run(tmp_path, notes("parts", die_at=6))
    anew = notes("parts")
    assert tiny.same(_run(tmp_path, anew), whole)
    assert anew.log_[0][0] == 1


def test_a_checkpoint_of_another_model_is_refused(tmp_path, notes):
    _run(tmp_path, notes())
    corpus = tiny.corpus(tmp_path)
    with pytest.raises(TrainingError, match="resume=false"):
        tiny.loop().run(tiny.family(corpus, width=7), corpus, streams=Streams(3), monitor=notes(resume=True))


def _train(folder: Path, out: Path, ready: Event) -> None:
    """A whole run in a process of its own, forked, so that it need not import torch."""
    torch.set_num_threads(1)  # others do not survive a fork
    out.mkdir(exist_ok=True)
    corpus = tiny.corpus(folder)
    family = tiny.family(corpus, dropout=0.3)
    ready.set()
    loop = tiny.loop(steps=120, valid_every=40, ema=0.9, save_every=0.02)
    loop.run(family, corpus, streams=Streams(3), monitor=NullMonitor(out, resume=True))
    save_model(family, str(out / "done.safetensors"))


@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.slow)])
def test_sigkill_at_random_instants_changes_nothing(tmp_path, notes, kills):
    whole = _run(tmp_path, notes("whole"), steps=120, valid_every=40, accumulate=1, save_every=60.0)
    rng, hits, forked = random.Random(0), 0, multiprocessing.get_context("fork")
    for left in range(kills, -1, -1):
        ready = forked.Event()
        process = forked.Process(target=_train, args=(tmp_path, tmp_path / "killed", ready))
        process.start()
        assert ready.wait(60)
        if left:
            time.sleep(rng.uniform(0.1, 0.5))
            process.kill()
        process.join()
        hits += process.exitcode == -signal.SIGKILL
    assert process.exitcode == 0
    assert hits >= 1
    killed = tiny.family(tiny.corpus(tmp_path))
    load_model(killed, tmp_path / "killed" / "done.safetensors")
    assert tiny.same(killed, whole)


@pytest.mark.parametrize("trainer", ["gradient", "em"])
def test_a_checkpoint_of_the_first_format_is_resumed(tmp_path, notes, trainer):
    """Interrupted runs of before the checkpoint's parts were renamed; an unbroken run of today gives the same."""
    corpus = tiny.corpus(tmp_path)

    def run(monitor):
        if trainer == "gradient":
            family = tiny.family(corpus, width=4, dropout=0.3)
            tiny.loop(steps=12, ema=0.9, save_every=0.0).run(family, corpus, streams=Streams(3), monitor=monitor)
            return family
        torch.manual_seed(1)
        family = HMM(corpus.tokenizer.vocab_size, states=4, grow_from=None, stepwise=0.7)
        trained = EMTrainer(iterations=6, batch_size=16, every=2, patience=7)
        trained.run(family, corpus, streams=Streams(0), monitor=monitor)
        return family

    whole, resumed = notes("whole"), notes("resumed", resume=True)
    shutil.copytree(Path(__file__).parent / "format1" / trainer, resumed.folder, dirs_exist_ok=True)
    one, other = run(whole), run(resumed)
    assert resumed.log_[0][0] == {"gradient": 8, "em": 4}[trainer]
    assert resumed.curve("valid/nll")[-1] == pytest.approx(whole.curve("valid/nll")[-1], abs=1e-6)
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
