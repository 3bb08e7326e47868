"""A file is written whole or not at all."""

from __future__ import annotations

import os

import pytest

from gentext.files import DRAFTS, atomic, read_json, read_texts, replace, write_json, write_text, write_texts


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_appears_when_it_is_whole(tmp_path, durable):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic(path, durable=durable) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
        assert list(tmp_path.glob(DRAFTS)) == [draft]
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic(path) as draft:
        draft.write_text("ha\ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_of_the_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="full") as raised, atomic(tmp_path / "a.txt"):
        raise OSError(28, "full")
    assert raised.value.filename == str(tmp_path / "a.txt")
    with pytest.raises(OSError, match=r"No such file.*gone/a\.txt"):
        write_text("x", tmp_path / "gone" / "a.txt")


def test_rights_follow_the_umask_and_links_are_not_followed(tmp_path):
    old = os.umask(0o027)
    try:
        (tmp_path / "far.txt").write_text("far")
        (tmp_path / "a.txt").symlink_to("far.txt")
        write_text("near", tmp_path / "a.txt")
    finally:
        os.umask(old)
    assert (tmp_path / "far.txt").read_text() == "far"
    assert not (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_a_file_that_was_written_for_its_owner_alone_has_the_rights_of_others(tmp_path):
    def write(path):
        path.write_bytes(b"weights")
        path.chmod(0o600)  # as safetensors leaves it

    old = os.umask(0o027)
    try:
        with atomic(tmp_path / "a.safetensors") as draft:
            write(draft)
        (tmp_path / "draft").mkdir()
        write(tmp_path / "draft" / "b.safetensors")
        replace(tmp_path / "draft", tmp_path / "run")
    finally:
        os.umask(old)
    for name in ("a.safetensors", "run/b.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.safetensors", "b.safetensors", "run"]


def test_a_folder_takes_its_name_in_one_step(tmp_path):
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "x").write_text("1")
    replace(tmp_path / "draft", tmp_path / "done", durable=True)
    assert (tmp_path / "done" / "x").read_text() == "1"


def test_texts_come_back_whatever_they_hold(tmp_path):
    texts = ["a", "", "b\nc", "d\\n", "\r\n", "\u2028日本", " "]
    write_texts(texts, tmp_path / "t.txt")
    assert read_texts(tmp_path / "t.txt") == texts


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole.replace(b"7", b"8"),
        lambda whole: whole[:-9],
        lambda whole: b"",
        lambda whole: b"\xff",
    ],
    ids=["flipped", "cut", "empty", "bytes"],
)
def test_plain_data_with_a_digest_are_what_was_written_or_refused(tmp_path, damage):
    path = tmp_path / "a.json"
    node = {"step": 7, "loss": float("inf"), "name": "日本"}
    write_json(node, path, digest=True)
    assert read_json(path) == node
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with pytest.raises(ValueError, match=r"a\.json is damaged.*resume=false"):
        read_json(path)
