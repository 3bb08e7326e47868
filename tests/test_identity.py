"""What a run has stored is used for the data that it is of, whole as it was written, and by one process at a time."""

from __future__ import annotations

import logging
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import gentext
from gentext import config
from gentext.cli import main
from gentext.report import family_pages, write
from gentext.results import record, render_table, run_folder
from gentext.results.cost import PeakMemory
from gentext.results.run_folder import Manifest, at_work
from gentext.train.em import EMTrainer

FEW = "{bleu: {_target_: gentext.metrics.BLEU}, likelihood: {_target_: gentext.metrics.HeldOutLikelihood}}"
QUICK = ["eval.samples=50", "family.order=2", "~eval.metrics", f"+eval.metrics={FEW}"]
HOLD = """
import sys
from dataclasses import replace
from pathlib import Path
from gentext.results.run_folder import at_work
from gentext.trackers import logging_to, log
with at_work(Path(sys.argv[1]), anew=False), logging_to(Path(sys.argv[1])):
    log.warning("at work")
    print("ready", flush=True)
    input()
    print((Path(sys.argv[1]) / "log.txt").read_text().count("at work"))
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))


def write_text(colours: str = "red green blue") -> None:
    lines = [f"a {colour} {thing} {n}" for n in range(100) for colour in colours.split() for thing in ("cup", "hat")]
    Path("my.txt").write_text("\n".join(lines) + "\n")


def run(*overrides: str) -> int:
    return main(["run", "data=text", "data.path=my.txt", "data.name=mine", *QUICK, *overrides])


def folder(out: str = "runs") -> Path:
    (path,) = {path.parent for path in Path(out).glob("**/record.*.json")}
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder in which one run has been trained."""
    path = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("GENTEXT_CACHE", str(path / "cache"))
        write_text()
        assert run() == 0
    return path


@pytest.fixture
def trained(template, tmp_path):
    """The folder of the run, in a copy of the template."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return folder()


def figures(path: Path) -> dict[str, float]:
    return {name: value.value for name, value in record.find([path])[0].values.items()}


def test_changed_data_is_refused_whatever_is_asked_of_the_run(trained, capsys):
    before = (trained / "record.ancestral.json").read_bytes()
    write_text("red green grey")
    for command in (["decode.sample.temperature=1"], ["decode.sample.temperature=0.5"], ["eval.samples=40"]):
        assert run(*command) == 2
        shown = capsys.readouterr().err
        assert f"{trained} is of other data" in shown.replace("\n", "")
        assert "train was" in shown
        assert "resume=false" in shown
    assert main(["score", str(trained)]) == 2
    assert "is of other data" in capsys.readouterr().err
    assert (trained / "record.ancestral.json").read_bytes() == before
    assert run("out=beside") == 0  # one advice
    assert run("resume=false") == 0  # and the other
    assert figures(trained) == figures(folder("beside"))
    write_text()
    assert run() == 2


def test_data_changed_while_a_run_was_cut_short_is_refused(capsys, monkeypatch):
    write_text()
    with monkeypatch.context() as patch:
        patch.setattr(EMTrainer, "run", killed_with_a_checkpoint)
        assert run() == 2
    write_text("red green grey")
    assert run() == 2
    assert "is of other data" in capsys.readouterr().err


def killed_with_a_checkpoint(trainer, family, corpus, *, streams, monitor):
    assert {"config.yaml", "tokenizer.json", "manifest.json"} <= {path.name for path in monitor.folder.iterdir()}
    (monitor.folder / "checkpoint").mkdir()
    raise OSError(4, "killed")


def test_the_configuration_and_the_tokenizer_are_stored_before_training(monkeypatch):
    write_text()
    monkeypatch.setattr(EMTrainer, "run", killed_with_a_checkpoint)
    assert run() == 2
    (path,) = Path("runs").glob("*/*/config.yaml")
    manifest = Manifest.read(path.parent)
    assert manifest.files.keys() == {"config.yaml", "tokenizer.json", "tokenizer.rules.json"}
    assert manifest.fingerprints["splits"]["train"]["sha256"]


def test_a_run_is_judged_with_its_own_tokenizer(trained, monkeypatch):
    shutil.rmtree("cache")
    monkeypatch.setattr("gentext.data.corpus._fit", lambda *_: pytest.fail("it was fitted anew"))
    assert run("decode.sample.temperature=0.5") == 0
    assert main(["score", str(trained)]) == 0


def test_a_folder_of_an_older_gentext_is_gone_on_with_where_its_records_are_of_this_data(trained, capsys, caplog):
    caplog.set_level(logging.INFO, "gentext")
    (trained / "manifest.json").unlink()
    assert run("decode.sample.temperature=0.5") == 0
    assert "of an older gentext" in caplog.text
    assert (trained / "manifest.json").exists()
    (trained / "manifest.json").unlink()
    write_text("red green grey")
    assert run() == 2
    assert "is of other data" in capsys.readouterr().err
    for path in trained.glob("record.*.json"):
        path.unlink()
    assert run() == 2
    assert "holds no record that says" in " ".join(capsys.readouterr().err.split())
    assert run("resume=false") == 0


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "tokenizer.json", "trained.json"])
def test_a_changed_byte_of_a_stored_file_is_seen(trained, capsys, name):
    content = bytearray((trained / name).read_bytes())
    content[len(content) // 2] ^= 1
    (trained / name).write_bytes(content)
    if name != "trained.json":
        assert main(["sample", str(trained)]) == 2
        assert f"{trained / name} is damaged" in capsys.readouterr().err
    assert run() == 2
    assert f"{trained / name} is damaged" in capsys.readouterr().err
    assert run("resume=false") == 0


@pytest.mark.parametrize("name", ["record.ancestral.json", "samples.ancestral.txt", "values.ancestral.npz"])
@pytest.mark.parametrize("damage", [b"", b"cut"])
def test_a_damaged_record_is_made_anew_by_the_next_run(trained, caplog, name, damage):
    before = figures(trained)
    (trained / name).write_bytes(damage)
    assert run() == 0
    assert name in caplog.text
    assert figures(trained) == before
    caplog.clear()
    assert run() == 0
    assert name not in caplog.text


def test_what_a_killed_process_left_half_written_is_removed(trained):
    for name in (".0123.draft", ".config.yaml.x8", ".values.ancestral.npz.next"):
        (trained / name).write_text("ha")
    assert run("decode.sample.temperature=0.5") == 0
    assert run("eval.samples=40") == 0
    assert [path.name for path in trained.glob(".*")] == [".lock"]


def test_the_loser_of_a_lock_touches_nothing(tmp_path, capsys):
    write_text()
    cfg = config.compose(["data=text", "data.path=my.txt", "data.name=mine", *QUICK], with_hydra=True)
    path = Path(cfg.hydra.run.dir)
    winner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(gentext.__file__).parents[1])},
    )
    assert winner.stdout.readline() == "ready\n"
    for anew in ("true", "false"):
        assert run(f"resume={anew}") == 2
        assert "another process is at work" in " ".join(capsys.readouterr().err.split())
        assert {found.name for found in path.iterdir()} == {".lock", "log.txt"}
    said, _ = winner.communicate("\n", timeout=60)
    assert said == "1\n"
    assert not path.exists()  # nothing came of it, and it removes its own folder
    assert run() == 0


def test_a_lock_that_its_last_holder_removed_is_no_lock(tmp_path):
    with run_folder.locked(tmp_path / "run"):
        (tmp_path / "run" / ".lock").unlink()
        with run_folder.locked(tmp_path / "run"):  # another file: the first holder has given it up
            pass


@pytest.mark.parametrize("name", [".lock", "checkpoint", "log.txt", "config.yaml", "stage/checkpoint"])
def test_links_inside_a_run_are_not_followed(trained, tmp_path, capsys, name):
    far = tmp_path / "far"
    far.mkdir()
    (far / "file").write_text("dear")
    link = trained / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(far if "checkpoint" in name else far / "file")
    for resume in ("true", "false"):
        assert run(f"resume={resume}", "decode.sample.temperature=0.5") == 2
        assert "is a symbolic link" in " ".join(capsys.readouterr().err.split())
    assert (far / "file").read_text() == "dear"
    assert link.is_symlink()


def test_a_defect_leaves_its_traceback_and_a_full_disk_no_second_one(tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError), at_work(tmp_path / "run", anew=False):
        raise ZeroDivisionError
    assert "ZeroDivisionError" in (tmp_path / "run" / "traceback.txt").read_text()
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(ZeroDivisionError), at_work(tmp_path / "other", anew=False):
        raise ZeroDivisionError
    assert not (tmp_path / "other").exists()


GRADIENT = ["family=lstm", "family.width=8", "train.steps=20", "train.valid_every=10", "train.log_every=5"]


def test_a_run_killed_after_its_last_step_books_what_it_has_cost(monkeypatch):
    write_text()
    quick = [*GRADIENT, "eval.samples=20"]
    assert main(["run", "data=text", "data.path=my.txt", "data.name=mine", *quick, "out=whole"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(
            sys.modules["gentext.run_pipeline"], "save_model", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
        )
        assert main(["run", "data=text", "data.path=my.txt", "data.name=mine", *quick]) == 2
    assert main(["run", "data=text", "data.path=my.txt", "data.name=mine", *quick]) == 0
    whole, parts = (record.find([out])[0].cost for out in ("whole", "runs"))
    assert parts["train_tokens"] == whole["train_tokens"]
    assert parts["train_flops"] == whole["train_flops"] > 0
    assert parts["train_seconds"] > 0
    assert not list(Path("runs").glob("**/spent.json"))


def test_the_peak_of_memory_is_of_one_run():
    before = PeakMemory()
    held = bytearray(400 << 20)
    high = before.bytes()
    del held
    low = PeakMemory().bytes()
    assert math.isnan(low) or low < high - (300 << 20)


def test_a_sweep_on_a_full_disk_says_all_the_same_what_failed(capsys, monkeypatch):
    write_text()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gentext.report.write.write", full)
    sweep = ["run", "-m", "data=text", "data.path=my.txt", "data.name=mine", "family.order=2", "eval.samples=20,-1"]
    assert main(sweep) == 2
    shown = capsys.readouterr().err
    assert "the sweep has no report" in shown
    assert "1 of 2 jobs failed" in shown
    assert "Traceback" not in shown


def test_a_report_reads_samples_against_the_text_that_they_are_of(caplog, capsys):
    write_text()
    assert run() == 0
    found = record.find(["runs"])
    assert list(write.material(found)) == [found[0].corpus_key]
    write_text("red green white")
    assert write.material(found) == {}
    assert "mine cannot be opened here (it is other text now, by sha256: train was" in caplog.text
    caplog.clear()
    assert write.material([*found, *found]) == {}
    assert caplog.text.count("cannot be opened here") == 1  # of as many records as there are of one text
    caplog.clear()
    assert write.material([replace(one, folder="elsewhere") for one in found]) == {}
    assert caplog.text == ""  # no samples lie there, and no text is looked for


def test_a_process_killed_after_its_record_leaves_the_rest_to_the_next():
    write_text()
    assert run() == 0
    (samples,) = Path("runs").rglob("samples.*.txt")
    samples.rename(samples.with_name(f".{samples.name}.next"))
    assert run() == 0
    assert samples.exists()
    assert not samples.with_name(f".{samples.name}.next").exists()


def test_panels_that_are_gone_are_named(caplog):
    folder = Path("runs/mine")
    folder.mkdir(parents=True)
    (folder / "panels.json").write_text("[]", encoding="utf-8")
    Manifest(folder, {}).add("panels.json")
    (folder / "panels.json").unlink()
    with pytest.raises(ValueError, match=r"panels.json is missing, though the run wrote it"):
        render_table.panels_of(folder)
    assert family_pages._inside(folder) == []
    assert "panels.json is missing, though the run wrote it: it is not shown" in caplog.text


def test_a_record_says_on_what_its_last_digits_rest(monkeypatch):
    write_text()
    assert run() == 0
    first = record.find(["runs"])[0].versions
    assert {"torch", "threads", "cpu", "device", "python"} <= first.keys()
    assert not any(name.startswith("trained") for name in first)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert run("decode.sample.temperature=0.5") == 0
    later = next(one for one in record.find(["runs"]) if "0.5" in one.decode).versions
    assert (later["threads"], later["trained threads"]) == ("77", first["threads"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 8 bytes\nframe #0"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_too_little_memory_is_a_line(monkeypatch, capsys, error):
    write_text()
    monkeypatch.setattr(sys.modules["gentext.run_pipeline"], "train", lambda *_: (_ for _ in ()).throw(error))
    assert run() == 2
    shown = capsys.readouterr().err
    assert "memory is not enough" in shown
    assert "Traceback" not in shown
    assert not list(Path("runs").glob("**/traceback.txt"))


def test_a_decode_setting_that_no_text_can_meet_is_refused_before_training(monkeypatch, capsys):
    write_text()
    monkeypatch.setattr(EMTrainer, "run", lambda *_, **__: pytest.fail("it trains"))
    assert run("decode.sample.min_len=1000") == 2
    assert "decode.sample.min_len is 1000, above max_len" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["manifest.json", "tokenizer.rules.json"])
def test_a_changed_character_of_what_others_rest_on_is_seen(trained, capsys, name):
    text = (trained / name).read_text()
    at = text.index("6") if name == "manifest.json" else text.index("kind")
    (trained / name).write_text(text[:at] + "x" + text[at + 1 :])
    for command in (["sample", str(trained)], None):
        assert (run() if command is None else main(command)) == 2
        assert f"{trained / name} is damaged" in " ".join(capsys.readouterr().err.split())
    assert run("resume=false") == 0
