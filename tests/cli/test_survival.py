"""A sweep whose processes are all killed, again and again, ends in the board of one that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gentext.results import record

WORDS = ["data.train=300", "data.valid=40", "data.test=60", "eval.samples=40", "family.width=16", "family.layers=1"]
SWEEP = ["run", "-m", "family=lstm,hmm", "seed=0,1,2", "++train.epochs=12", "++train.save_every=0.5", "out=runs"]


def start(folder: Path, launcher: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    small = [word.replace("family.", "++family.") for word in WORDS]
    words = [sys.executable, "-m", "gentext", *SWEEP, *small, f"hydra/launcher={launcher}"]
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GENTEXT_CACHE": str(folder / "cache"),
        "PYTHONPATH": ":".join(sys.path),
    }
    with (folder / "output.txt").open("a") as out:
        return subprocess.Popen(words, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True)


def figures(folder: Path) -> dict[tuple[str, int], dict[str, float]]:
    found = record.find([folder / "runs"])
    return {(one.family, one.seed): {name: value.value for name, value in one.values.items()} for one in found}


def finished(folder: Path) -> dict[Path, str]:
    """When each finished record was made."""
    paths = (folder / "runs").rglob("record.*.json")
    return {path: json.loads(path.read_text())["created"] for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_that_is_killed_five_times_ends_as_one_that_was_not(tmp_path, launcher):
    begun = time.monotonic()
    assert start(tmp_path / "calm", launcher).wait(timeout=500) == 0
    took = time.monotonic() - begun
    draw, killed, known = random.Random(int(time.time())), tmp_path / "killed", {}
    for _ in range(5):
        process = start(killed, launcher)
        time.sleep(draw.uniform(0.2, 0.7) * took)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = finished(killed)
        assert now.items() >= known.items()  # no finished record is lost, and none is made anew
        known = now
    assert start(killed, launcher).wait(timeout=500) == 0, (killed / "output.txt").read_text()[-3000:]
    assert finished(killed).items() >= known.items()
    assert len(figures(killed)) == 6
    assert figures(killed) == figures(tmp_path / "calm")
