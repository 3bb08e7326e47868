"""A checkpoint is whole whatever instant the process dies at."""

import os

import pytest

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


def test_clear_forgets(tmp_path):
    held = Checkpoint(tmp_path / "c")
    held.clear()
    _save(held, 1, a="a")
    held.clear()
    assert held.files is None
