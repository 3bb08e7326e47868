"""A checkpoint is whole whatever instant the process dies at."""

import os

import pytest

from gentext.train.base import TrainingError
from gentext.train.checkpoint import Checkpoint


class Killed(BaseException):
    """What a process that dies cannot catch."""


def _save(checkpoint, step, **contents):
    writers = {f"{what}.txt": lambda path, text=text: path.write_text(text) for what, text in contents.items()}
    checkpoint.save(step, writers)


def _read(folder):
    files = Checkpoint(folder).files
    return None if files is None else {what: path.read_text() for what, path in files.items()}


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("instant", range(12))
def test_death_at_any_instant_leaves_the_old_set_or_the_new(tmp_path, monkeypatch, call, instant):
    _save(Checkpoint(tmp_path), 1, a="a1", b="b1", best="x")
    real, left = getattr(os, call), [instant]

    def dying(*args):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return real(*args)

    monkeypatch.setattr(os, call, dying)
    try:
        _save(Checkpoint(tmp_path), 2, a="a2", b="b2")
        killed = False
    except Killed:
        killed = True
    monkeypatch.undo()
    old, new = {"a.txt": "a1", "b.txt": "b1", "best.txt": "x"}, {"a.txt": "a2", "b.txt": "b2", "best.txt": "x"}
    assert _read(tmp_path) in ((old, new) if killed else (new,))
    _save(Checkpoint(tmp_path), 3, a="a3", b="b3")
    assert _read(tmp_path) == {"a.txt": "a3", "b.txt": "b3", "best.txt": "x"}
    assert len(list(tmp_path.iterdir())) == 4  # three files and the pointer: what nobody names is gone


def test_the_instants_of_a_save_are_all_tried(tmp_path, monkeypatch):
    calls = []
    for name in ("replace", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: calls.append(name) or real(*a))
    _save(Checkpoint(tmp_path), 1, a="a", b="b")
    assert calls.count("replace") <= 12
    assert calls.count("fsync") <= 12
    assert calls[-2:] == ["replace", "fsync"]  # the pointer is last


@pytest.mark.parametrize("name", ["1-a.txt", "checkpoint.json"])
@pytest.mark.parametrize("content", [None, b"", b"b1", b"\xff", b"[]", b'{"files": 1}'])
def test_a_file_that_is_not_what_was_written_is_refused_by_its_name(tmp_path, name, content):
    _save(Checkpoint(tmp_path), 1, a="a1", b="b1")
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    if content is None and name == "checkpoint.json":
        assert Checkpoint(tmp_path).files is None
        return
    with pytest.raises(TrainingError, match=rf"{name} is damaged.*resume=false"):
        _ = Checkpoint(tmp_path).files
    Checkpoint(tmp_path).clear()  # as resume=false does
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_an_older_gentext_has_no_sha256(tmp_path):
    _save(Checkpoint(tmp_path), 1, a="a1", b="b1")
    (tmp_path / "checkpoint.json").write_text('{"a.txt": "1-a.txt", "b.txt": "1-b.txt"}')
    assert _read(tmp_path) == {"a.txt": "a1", "b.txt": "b1"}
    _save(Checkpoint(tmp_path), 2, a="a2")
    assert _read(tmp_path) == {"a.txt": "a2", "b.txt": "b1"}


def test_clear_forgets(tmp_path):
    held = Checkpoint(tmp_path / "c")
    held.clear()
    _save(held, 1, a="a")
    held.clear()
    assert held.files is None
