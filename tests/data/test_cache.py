"""What the cache holds is whole, whoever writes it at the same time and however the disk fails."""

import errno
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from gentext.data.cache import keep
from gentext.data.ragged import Lines, Ragged, RaggedWriter, chunks


def test_rows_come_back(tmp_path):
    parts = [[[1, 2], []], [], [[70_000]]]
    with closing(RaggedWriter(tmp_path / "a.b", "uint32")) as writer:
        for rows in parts:
            writer.append(rows)
    found = Ragged(tmp_path / "a.b", "uint32")
    assert [row.tolist() for row in map(found.__getitem__, range(3))] == [[1, 2], [], [70_000]]
    assert found.lengths.tolist() == [2, 0, 1]
    assert isinstance(found.values, np.memmap)
    assert pickle.loads(pickle.dumps(found)).values.tolist() == [1, 2, 70_000]


def test_lines_are_a_sequence_of_texts(tmp_path):
    texts = ["é", "", "two words"] * 5_000
    with closing(RaggedWriter(tmp_path / "t", "uint8")) as writer:
        for chunk in chunks(texts, size=1_000):
            assert sum(map(len, chunk)) < 2_000
            writer.append([text.encode() for text in chunk])
    lines = Lines(Ragged(tmp_path / "t", "uint8"))
    assert list(lines) == texts
    assert (lines[-1], lines[0], lines[1:3]) == ("two words", "é", texts[1:3])
    with pytest.raises(IndexError):
        lines[15_000]


def test_an_empty_file_of_rows_is_empty(tmp_path):
    RaggedWriter(tmp_path / "t", "uint8").close()
    assert list(Lines(Ragged(tmp_path / "t", "uint8"))) == []


def test_an_entry_is_written_once_and_found_again(tmp_path):
    calls = []
    for _ in range(2):
        folder, meta = keep(tmp_path, "a", lambda folder: calls.append(folder) or {"n": 1})
    assert (folder, meta, len(calls)) == (tmp_path / "a", {"n": 1}, 1)
    assert folder.stat().st_mode == tmp_path.stat().st_mode
    assert keep(tmp_path, None, lambda folder: {"sha256": "b"})[0] == tmp_path / "b"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("damage", ["flipped", "empty", "missing", "folder", "meta"])
@pytest.mark.parametrize("name", ["a", None])
def test_an_entry_that_is_damaged_is_written_anew(tmp_path, caplog, damage, name):
    def write(folder):
        (folder / "x").write_text("whole")
        return {"sha256": "a"}

    folder, _ = keep(tmp_path, name, write)
    path = folder / ("meta.json" if damage == "meta" else "x")
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"flipped": b"whol\xe5", "empty": b"", "meta": b"{"}[damage])
    assert keep(tmp_path, name, write) == (folder, {"sha256": "a"})
    assert (folder / "x").read_text() == "whole"
    assert f"{folder} is damaged" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_writers_at_the_same_time_leave_one_whole_entry(tmp_path):
    def write(folder):
        (folder / "x").write_text("x")
        return {}

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keep(tmp_path, "a", write)[0], range(32)))
    assert set(found) == {tmp_path / "a"}
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


WRITER = """
import sys, time
from pathlib import Path
from gentext.data.cache import keep
folder = Path(sys.argv[1])
def write(draft):
    with (folder / "written").open("a") as file:
        file.write("x")
    time.sleep(0.5)
    return {"n": 1}
print(keep(folder / "cache", "a", write)[1])
"""


def test_of_the_processes_that_want_an_entry_one_writes_it(tmp_path):
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["{'n': 1}\n"] * 3
    assert (tmp_path / "written").read_text() == "x"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "is full.*nothing half-written is left.*GENTEXT_CACHE"),
        (errno.EACCES, "cannot be written.*GENTEXT_CACHE"),
    ],
)
def test_a_failing_disk_leaves_nothing_and_says_what_to_do(tmp_path, code, message):
    def write(folder):
        (folder / "x").write_text("half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(OSError, match=message) as raised:
        keep(tmp_path, "a", write)
    assert raised.value.errno == code
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_device_is_an_oserror(tmp_path):
    def write(folder):
        os.symlink("/dev/full", folder / "t.bin")
        with closing(RaggedWriter(folder / "t", "uint8")) as writer:
            writer.append([b"x" * 1_000_000])
        return {}

    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError, match="is full"):
        keep(tmp_path, "a", write)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OSError, match=r"locked.*GENTEXT_CACHE"):
        keep(tmp_path / "locked" / "cache", "a", lambda folder: {})


def test_a_cache_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"file.*GENTEXT_CACHE"):
        keep(tmp_path / "file" / "cache", "a", lambda folder: {})


def test_a_failure_to_read_is_not_laid_on_the_cache(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"elsewhere\.txt") as raised:
        keep(tmp_path / "cache", "a", lambda folder: {"text": (tmp_path / "elsewhere.txt").read_text()})
    assert "GENTEXT_CACHE" not in str(raised.value)


def test_an_interrupt_leaves_nothing(tmp_path):
    def write(folder):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path, "a", write)
    assert list(tmp_path.iterdir()) == []
