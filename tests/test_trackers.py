"""What a tracker is given can be read back, and one that fails ends no run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gentext import config
from gentext.cli import main
from gentext.results.record import Record
from gentext.trackers import Pruned, RunMonitor, TensorBoard, Wandb, sweep
from gentext.value import Value

CONFIG = {"family": {"width": 8}, "seed": 3}
TEXTS = ["a man sits .", "a dog runs ."]
SMALL = ["data.train=100", "data.valid=20", "data.test=20", "eval.samples=20"]


def judged(folder) -> Record:
    values = {"bleu4": Value(0.25, "bleu4|v:1", True, 2)}
    return Record("captions", "unconditional", "lstm", "", "ancestral", 3, values, {}, "exact", folder=str(folder))


def tracked(folder, **trackers) -> None:
    """A run of two validations and a record, mirrored to these trackers."""
    folder.mkdir(exist_ok=True)
    with RunMonitor(folder, trackers, resume=False, config=CONFIG) as monitor:
        monitor.log(10, {"valid/nll": 2.5})
        monitor.log(20, {"valid/nll": 1.5})
        monitor.record(judged(folder), TEXTS)


def inspected(folder) -> list[dict]:
    """The records of every offline run of W&B below a folder, by W&B's own reader."""
    found = []
    for path in sorted(folder.rglob("*.wandb")):
        words = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        found.append([json.loads(line) for line in lines])
    return found


def test_an_offline_run_of_wandb_can_be_read_back(tmp_path, monkeypatch):
    monkeypatch.setenv("GENTEXT_SWEEP", "/anywhere/.jobs-sweep-0a1b2c3d-99.jsonl")
    folder = tmp_path / "lstm-s3"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    tracked(folder, wandb=Wandb(artifacts=True))
    (records,) = inspected(folder)
    kinds = {kind: [record[kind] for record in records if record["type"] == kind] for kind in ("history", "run")}
    assert kinds["run"][0]["run_group"] == "sweep-0a1b2c3d"
    assert kinds["run"][0]["display_name"] == "lstm-s3"
    assert kinds["run"][0]["config"]["update"]["family"] == {"width": 8}
    curve = [record["item"] for record in kinds["history"] if "valid/nll" in record["item"]]
    assert [(item["step"], item["valid/nll"]) for item in curve] == [(10, 2.5), (20, 1.5)]
    summary = {
        k: v for record in records if record["type"] == "summary" for k, v in record["summary"]["update"].items()
    }
    assert summary["ancestral/bleu4"] == 0.25
    (table,) = [json.loads(path.read_text()) for path in folder.rglob("*.table.json") if "media" in path.parts]
    assert table["data"] == [[text] for text in TEXTS]
    models = [record["artifact"] for record in records if record["type"] == "artifact"]
    assert "model" in [artifact["type"] for artifact in models]
    assert (records[-1]["type"], records[-1]["exit"]["exit_code"]) == ("exit", 0)


def test_a_missing_login_keeps_the_run_offline(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    tracked(tmp_path / "run", wandb=Wandb(mode="online"))
    assert "kept offline" in caplog.text
    (records,) = inspected(tmp_path / "run")
    assert records[-1]["type"] == "exit"


def test_an_event_file_of_tensorboard_can_be_read_back(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracked(tmp_path / "run", tensorboard=TensorBoard())
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("valid/nll")] == [(10, 2.5), (20, 1.5)]
    assert events.Scalars("ancestral/bleu4")[0].value == 0.25
    texts = events.Tensors("samples/ancestral/text_summary")[0].tensor_proto.string_val[0].decode()
    assert all(text in texts for text in TEXTS)


@pytest.mark.slow
def test_trackio_s_store_can_be_read_back(tmp_path):
    pytest.importorskip("trackio")
    script = f"""
import sys; sys.path.insert(0, {str(__file__).rpartition("/")[0]!r})
from pathlib import Path
from test_trackers import tracked
from gentext.trackers import Trackio
from trackio.sqlite_storage import SQLiteStorage
tracked(Path("run"), trackio=Trackio(project="p"))
logs = SQLiteStorage.get_logs("p", "run")
assert [(row["step"], row["valid/nll"]) for row in logs if "valid/nll" in row] == [(10, 2.5), (20, 1.5)], logs
(end,) = [row for row in logs if "ancestral/bleu4" in row]
assert end["ancestral/bleu4"] == 0.25
assert "a dog runs ." in str(end["samples/ancestral"])
assert SQLiteStorage.get_run_config("p", "run")["seed"] == 3
"""
    env = {"TRACKIO_DIR": str(tmp_path / "store"), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Failing:
    """A tracker that fails at one of its steps."""

    def __init__(self, at: str, error: type[Exception] = ConnectionError) -> None:
        self.at, self.error, self.done = at, error, []

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what == self.at:
            raise self.error("the service is down")

    def open(self, folder, config):
        self._do("open")

    def log(self, step, values):
        self._do("log")

    def close(self):
        self._do("close")


@pytest.mark.parametrize(
    ("at", "done"),
    [("open", ["open", "close"]), ("log", ["open", "log", "close"]), ("close", ["open", "log", "log", "log", "close"])],
)
def test_a_tracker_that_fails_ends_no_run(tmp_path, caplog, at, done):
    failing, other = Failing(at), Failing("never")
    tracked(tmp_path / "run", failing=failing, other=other)
    assert failing.done[: len(done)] == done
    assert other.done == ["open", "log", "log", "log", "close"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 0]
    assert caplog.text.count("the service is down") == 1


def test_a_tracker_may_end_its_run(tmp_path):
    other = Failing("never")
    with pytest.raises(Pruned):
        tracked(tmp_path / "run", other=other, pruner=Failing("log", Pruned))
    assert other.done == ["open", "log", "close"]


def test_several_trackers_are_composed_at_once():
    assert list(config.compose(["tracker=[wandb,tensorboard]", "tracker.wandb.mode=disabled"]).tracker) == [
        "wandb",
        "tensorboard",
    ]
    assert list(config.compose(["tracker=console"]).tracker) == ["console"]
    assert list(config.compose([]).tracker) == []


def test_one_run_is_of_no_sweep(monkeypatch):
    monkeypatch.setenv("GENTEXT_SWEEP", "/anywhere/.jobs-99.jsonl")
    assert sweep() is None
    monkeypatch.delenv("GENTEXT_SWEEP")
    assert sweep() is None


@pytest.mark.slow
def test_every_job_of_a_sweep_is_a_finished_run_of_one_group(tmp_path):
    pytest.importorskip("tensorboard")
    out = tmp_path / "runs"
    assert (
        main(["run", "-m", "family=ngram", "family.order=1,2", "tracker=[wandb,tensorboard]", *SMALL, f"out={out}"])
        == 0
    )
    runs = inspected(out)
    assert len(runs) == 2
    groups = [record["run"]["run_group"] for records in runs for record in records if record["type"] == "run"]
    assert len(set(groups)) == 1
    assert groups[0].startswith("sweep-")
    assert [records[-1]["type"] for records in runs] == ["exit", "exit"]
    assert len(list(out.rglob("tensorboard/events*"))) == 2
