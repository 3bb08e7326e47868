"""Processes that train together find what one alone finds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model
from train import tiny

from gentext.models.hmm.model import HMM
from gentext.models.seq2seq import Seq2Seq
from gentext.models.transformer.model import Transformer
from gentext.models.vae.encoders import LSTMEncoder
from gentext.models.vae.model import VAE
from gentext.seeding import Streams
from gentext.train.base import TrainingError
from gentext.train.distributed import ProcessGroup
from gentext.types import pad


def _run(folder, monitor, *, unit="line", family=None, **options):
    corpus = tiny.corpus(folder, unit=unit)
    family = family or tiny.family(corpus)
    loop = tiny.loop(**{"batch_size": 7, "accumulate": 2, "ema": 0.9, "steps": 10, **options})
    loop.run(family, corpus, streams=Streams(3), monitor=monitor)
    return family


@pytest.mark.parametrize(
    ("unit", "sharded"),
    [
        ("stream", False),
        pytest.param("line", False, marks=pytest.mark.slow),
        pytest.param("stream", True, marks=pytest.mark.slow),
    ],
)
def test_two_processes_give_the_loss_curve_of_one(tmp_path, notes, unit, sharded):
    alone, together = notes("alone"), notes("together")
    one = _run(tmp_path, alone, unit=unit)
    two = _run(tmp_path, together, unit=unit, processes=2, sharded=sharded)
    for name in ("train/nll", "valid/nll", "tokens", "train/gradient"):
        assert len(alone.curve(name)) >= 2
        assert together.curve(name) == pytest.approx(alone.curve(name), abs=1e-5)
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_bound_is_descended_by_several_processes(tmp_path, notes):
    corpus, monitor = tiny.corpus(tmp_path), notes()
    v = corpus.tokenizer.vocab_size
    family = VAE(LSTMEncoder(v, width=8), Seq2Seq(v, width=8, dropout=0.0), latent=3)
    loop = tiny.bound(steps=3, batch_size=7, accumulate=2, processes=2, valid_every=3)
    loop.run(family, corpus, streams=Streams(3), monitor=monitor)
    assert len(monitor.curve("train/kl")) == 3


@pytest.mark.slow
def test_cells_are_trained_in_parts(tmp_path, notes):
    curves = []
    for options in ({}, {"processes": 2, "sharded": True}):
        corpus, monitor = tiny.corpus(tmp_path), notes(f"{len(options)}")
        torch.manual_seed(0)
        family = Seq2Seq(corpus.tokenizer.vocab_size, layers=2, width=8, dropout=0.0)
        tiny.loop(steps=4, **options).run(family, corpus, streams=Streams(3), monitor=monitor)
        curves.append(monitor.curve("train/nll"))
    assert curves[1] == pytest.approx(curves[0], abs=1e-5)


@pytest.mark.slow
def test_a_failing_process_says_why(tmp_path, notes):
    family = tiny.family(tiny.corpus(tmp_path))
    family.gru.weight_hh_l0.data[0, 0] = torch.nan
    with pytest.raises(TrainingError, match=r"step 1 .*is not finite"):
        _run(tmp_path, notes(), family=family, processes=2)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_processes_that_are_killed_are_gone_on_from(tmp_path, notes, sharded):
    options = {"processes": 2, "sharded": sharded, "save_every": 0.0}
    whole = _run(tmp_path, notes("whole"), **options)
    killed = notes("killed", resume=True)

    def kill(step, values):
        if step == 6:
            found = subprocess.run(
                ["pgrep", "-P", str(os.getpid()), "-f", "spawn_main"], capture_output=True, text=True
            )
            os.kill(int(found.stdout.split()[0]), signal.SIGKILL)

    log, killed.log = killed.log, kill
    with pytest.raises(TrainingError, match="resume=true"):
        _run(tmp_path, killed, **options)
    killed.log = log
    again = _run(tmp_path, killed, **options)
    assert killed.log_[0][0] >= 6
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


MACHINE = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_model
from train import tiny
from gentext.seeding import Streams
from gentext.train.base import NullMonitor
corpus = tiny.corpus(Path(sys.argv[1]))
family = tiny.family(corpus)
out = Path(sys.argv[2])
out.mkdir()
loop = tiny.loop(nodes=2, rendezvous="localhost:29431")
loop.run(family, corpus, streams=Streams(3), monitor=NullMonitor(out))
save_model(family, str(out / "done.safetensors"))
"""


@pytest.mark.slow
def test_two_machines_find_what_one_finds(tmp_path, notes):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here.parents[1])])
    tiny.corpus(tmp_path)
    machines = [
        subprocess.Popen(
            [sys.executable, "-c", MACHINE, str(tmp_path), str(tmp_path / f"m{i}")],
            env={**os.environ, "PYTHONPATH": path},
        )
        for i in range(2)
    ]
    assert [machine.wait() for machine in machines] == [0, 0]
    corpus = tiny.corpus(tmp_path)
    one = tiny.family(corpus)
    tiny.loop().run(one, corpus, streams=Streams(3), monitor=notes())
    for i in range(2):
        two = tiny.family(corpus)
        load_model(two, tmp_path / f"m{i}" / "done.safetensors")
        for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_shares_are_a_partition_of_the_tokens(rows):
    batch = pad([[4 + i, 5, 2] for i in range(rows)])
    shares = [ProcessGroup(rank, 3).local_rows(batch) for rank in range(3)]
    assert all(len(share) for share in shares)
    assert torch.cat([share.tokens[share.mask] for share in shares]).tolist() == batch.tokens[batch.mask].tolist()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) for name in ("transformer", "bag", "seq2seq", "hmm")]
)
def test_unequal_widths_and_unused_parameters_change_no_number(tmp_path, notes, name):
    """A cache that grows with what a process has read, and parameters that a step leaves out."""
    lines = [f"the cat sees {n} dogs" + " and one more" * (n % 7) for n in range(60)]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    corpus = tiny.corpus(tmp_path, unit="stream" if name in ("seq2seq", "hmm") else "line")
    v, curves = corpus.tokenizer.vocab_size, []
    make = {
        "transformer": lambda: Transformer(v, layers=1, heads=2, width=8),
        "bag": lambda: tiny.vae(corpus, bag=True),
        "seq2seq": lambda: Seq2Seq(v, width=8, dropout=0.0),
        "hmm": lambda: HMM(v, states=4, grow_from=None),
    }[name]
    for processes in (1, 2):
        torch.manual_seed(0)
        monitor, trainer = notes(f"{processes}"), tiny.bound if name == "bag" else tiny.loop
        loop = trainer(steps=4, batch_size=6, valid_every=4, processes=processes)
        loop.run(make(), corpus, streams=Streams(3), monitor=monitor)
        curves.append(monitor.curve("train/nll"))
    assert len(curves[0]) == 4
    if name == "bag":  # z is drawn by each process for itself
        return
    assert curves[1] == pytest.approx(curves[0], abs=1e-5)
