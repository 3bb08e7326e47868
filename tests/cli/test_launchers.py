"""A sweep ends in the same records, board, failure table and exit code under every launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from gentext.cli import run
from gentext.config.advice import one_line

PLUGINS = {"joblib": "joblib", "slurm_local": "submitit", "ray": "ray"}
TINY = ["data=text", "eval.samples=20", "tracker=jsonl"]
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # at 15, as it is, jobs starve on a crowded machine


def sweep(folder, launcher: str, *more: str, **variables: str) -> subprocess.CompletedProcess:
    for name in ("a", "b"):
        lines = [f"{word} {name} {i % 7} goes on" for i in range(60) for word in ("one", "two")]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    words = [
        "run",
        "-m",
        f"hydra/launcher={launcher}",
        "data.path=a.txt,missing.txt,b.txt",
        f"out={launcher}",
        *TINY,
        *more,
    ]
    return subprocess.run(
        [sys.executable, "-m", "gentext", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **RAY, **variables},
        capture_output=True,
        text=True,
        timeout=500,
    )


def figures(folder) -> dict[str, dict[str, float]]:
    found = {}
    for path in folder.rglob("record.*.json"):
        record = json.loads(path.read_text())
        timed = ("seconds", "second")
        found[record["fingerprints"]["splits"]["train"]["sha256"]] = {
            name: value["value"] for name, value in record["values"].items() if not name.endswith(timed)
        }
    return found


@pytest.mark.slow
@pytest.mark.parametrize("launcher", list(PLUGINS))
def test_a_sweep_ends_alike_under_every_launcher(tmp_path, launcher):
    pytest.importorskip(f"hydra_plugins.hydra_{PLUGINS[launcher]}_launcher")
    plain, other = sweep(tmp_path, "basic"), sweep(tmp_path, launcher)
    assert plain.returncode == other.returncode == 2, other.stderr
    assert "1 of 3 jobs failed" in other.stderr
    assert "missing.txt" in other.stderr
    assert (tmp_path / launcher / "report.html").is_file()
    assert len(figures(tmp_path / "basic")) == 2
    assert figures(tmp_path / launcher) == figures(tmp_path / "basic")


MEETING = """import time
from pathlib import Path

import ray

from gentext.models import NGram


def family(vocab_size, order=3, **rest):
    if ray.is_initialized():  # not where the sweep's options are checked, before any job
        nodes = Path({nodes!r})
        nodes.mkdir(exist_ok=True)
        (nodes / ray.get_runtime_context().get_node_id()).touch()
        ends = time.time() + 300
        while len(list(nodes.iterdir())) < 2 and time.time() < ends:
            time.sleep(0.1)
    return NGram(vocab_size, order=order, **rest)
"""


@pytest.mark.slow
def test_a_sweep_runs_on_two_nodes_of_a_ray_cluster(tmp_path, monkeypatch):
    """Two nodes of one processor each; each job of two waits until the other is at work on the other node."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.chdir(tmp_path)  # jobs find relative paths from where their node was started
    for name, value in RAY.items():
        monkeypatch.setenv(name, value)
    mine = tmp_path / "mine"
    (mine / "family").mkdir(parents=True)
    (mine / "family" / "meeting.yaml").write_text("defaults: [ngram, _self_]\n_target_: meeting.family\norder: 3\n")
    (mine / "meeting.py").write_text(MEETING.format(nodes=str(tmp_path / "nodes")))
    words = ["family=meeting", "--config-dir", str(mine)]
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        ended = sweep(tmp_path, "ray_cluster", *words, RAY_ADDRESS=cluster.address)
        refused = sweep(tmp_path, "ray", *words, RAY_ADDRESS=cluster.address)
    finally:
        cluster.shutdown()
    assert ended.returncode == 2, ended.stderr
    assert "1 of 3 jobs failed" in ended.stderr
    assert len(list((tmp_path / "nodes").iterdir())) == 2
    assert len(figures(tmp_path / "ray_cluster")) == 2
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("gentext: a Ray cluster runs already")


@pytest.mark.slow
def test_a_killed_worker_leaves_the_summary_and_a_line(tmp_path):
    """As the kernel kills what takes too much memory: what is done is shown, what is not is named."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    mine = tmp_path / "mine"
    (mine / "family").mkdir(parents=True)
    (mine / "family" / "doomed.yaml").write_text("defaults: [ngram, _self_]\n_target_: doomed.family\norder: 3\n")
    (mine / "doomed.py").write_text(
        "import os, signal, time\nfrom pathlib import Path\nfrom gentext.models import NGram\n\n\n"
        "def family(vocab_size, order=3, **rest):\n"
        "    if vocab_size < 50:\n"
        "        while not list(Path('joblib').rglob('record.*.json')):\n            time.sleep(0.1)\n"
        "        time.sleep(1)\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return NGram(vocab_size, order=order, **rest)\n"
    )
    ended = sweep(tmp_path, "joblib", "family=ngram,doomed", "--config-dir", str(mine), "hydra.launcher.n_jobs=2")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "the sweep ended before its jobs did (TerminatedWorkerError" in ended.stderr
    assert "was killed" in ended.stderr
    assert "again: gentext run" in ended.stderr
    assert "family=doomed" in ended.stderr
    assert "\nngram " in ended.stdout
    assert (tmp_path / "joblib" / "report.html").is_file()


@pytest.mark.parametrize(("needed", "extra"), [("joblib", "sweep"), ("submitit_slurm", "sweep"), ("ray", "ray")])
def test_a_launcher_that_is_not_installed_names_its_extra(needed, extra):
    error = ConfigCompositionException(f"In 'hydra/config': Could not find 'hydra/launcher/{needed}'\n\nAvailable")
    assert f"pip install 'gentext[{extra}]'" in str(one_line(error, ["hydra/launcher=slurm"]))


def test_a_ray_cluster_that_runs_names_its_launcher(tmp_path, monkeypatch, capsys):
    def start(_):
        raise ValueError("When connecting to an existing cluster, object_store_memory must not be provided.")

    checked = OmegaConf.create({"out": str(tmp_path), "hydra": {"mode": "MULTIRUN"}})
    monkeypatch.setattr(run, "check", lambda *_, **__: checked)
    monkeypatch.setattr(run, "_start_sweep", start)
    assert run.launch(["-m", "hydra/launcher=ray", "seed=0,1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "hydra/launcher=ray_cluster" in line
