"""A record is replaced with its companions as one, read back as it was written, and never takes others down."""

from __future__ import annotations

import hashlib
import json
import math
import os

import numpy as np
import pytest

from gentext import files
from gentext.results import board, record
from gentext.results.record import Record
from gentext.types import Value


def made(bleu: float = 0.5, **fields) -> Record:
    values = {"bleu4": Value(bleu, "bleu4|v:1", higher_is_better=True, n=2, per_sequence=np.array([bleu, bleu]))}
    given = {"config": {"eval": {"samples": 2}}, "cost": {"flops_per_token": math.nan}} | fields
    return Record("coco", "unconditional", "ngram", "", "ancestral", 0, values, {}, "exact", **given)


def held(folder) -> tuple[float, list[str] | None, list[float]]:
    """The figure of the stored record, its samples, and its figures by sequence."""
    (one,) = record.find([folder])
    return one.values["bleu4"].value, record.samples(one), record.per_sequence(one)["bleu4"].tolist()


OLD, NEW = (0.5, ["a", "b"], [0.5, 0.5]), (0.7, ["c"], [0.7, 0.7])


@pytest.mark.parametrize("after", range(6))
def test_a_record_its_values_and_its_samples_are_replaced_as_one(tmp_path, monkeypatch, after):
    record.write(made(0.5), tmp_path, ["a", "b"])
    assert held(tmp_path) == OLD
    steps, replace = iter(range(10)), os.replace

    def killed(*args):
        if next(steps) == after:
            raise KeyboardInterrupt
        replace(*args)

    monkeypatch.setattr(os, "replace", killed)
    try:
        record.write(made(0.7), tmp_path, ["c"])
    except KeyboardInterrupt:
        assert held(tmp_path) == (OLD if after < 3 else NEW)
    else:
        assert after == 5
        assert held(tmp_path) == NEW
    monkeypatch.undo()
    record.write(made(0.9), tmp_path)  # the samples stand
    assert held(tmp_path) == (0.9, (OLD if after < 3 else NEW)[1], [0.9, 0.9])
    assert {path.name for path in tmp_path.iterdir()} == {
        "record.ancestral.json",
        "samples.ancestral.txt",
        "values.ancestral.npz",
    }


def test_a_family_without_flops_stands_on_the_board(tmp_path):
    record.write(made(over_seeds={"bleu4": {"mean": math.inf}}), tmp_path)
    (one,) = record.find([tmp_path])
    assert math.isnan(one.cost["flops_per_token"])
    assert one.over_seeds["bleu4"]["mean"] == math.inf
    assert board.rank([one])[0].rows[0].cells["bleu4"].value == 0.5
    json.loads(
        (tmp_path / "record.ancestral.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )


def without(key):
    return lambda node: node.pop(key)


BROKEN = {
    "no values": without("values"),
    "no family": without("family"),
    "no decode": without("decode"),
    "null": lambda node: node.update(values=None),
    "null figure": lambda node: node["values"]["bleu4"].update(value=None),
    "text": lambda node: node["values"]["bleu4"].update(value="much"),
    "more": lambda node: node["values"]["bleu4"].update(unheard_of=1),
    "kind": lambda node: node.update(fingerprints="none"),
    "splits": lambda node: node.update(fingerprints={"splits": 3}),
    "cost": lambda node: node.update(cost={"train_seconds": "long"}),
    "seed": lambda node: node.update(seed="zero"),
    "format": lambda node: node.update(format=[]),
    "future": lambda node: node.update(format=99),
    "config": lambda node: node.update(format=1, config=None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_record_that_is_none_is_named_and_left_out(tmp_path, caplog, name):
    node = record.plain(made())
    del node["sha256"]
    BROKEN[name](node)
    (tmp_path / "record.bad.json").write_text(json.dumps(node))
    with pytest.raises(ValueError, match=r"record\.bad\.json"):
        record.find([tmp_path])
    record.write(made(), tmp_path)
    assert len(record.find([tmp_path])) == 1
    assert "left out" in caplog.text
    assert "record.bad.json" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format": 1e999}'])
def test_a_file_that_is_no_record_is_named_and_left_out(tmp_path, caplog, content):
    (tmp_path / "record.bad.json").write_bytes(content)
    record.write(made(), tmp_path)
    assert len(record.find([tmp_path])) == 1
    assert "record.bad.json" in caplog.text


def test_a_changed_byte_of_a_record_is_seen(tmp_path):
    path = record.write(made(0.5), tmp_path)
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 0.9'))
    with pytest.raises(ValueError, match="damaged"):
        record.read(path)


@pytest.mark.parametrize("line", [record.to_jsonl, lambda records: json.dumps(record.plain(records[0]))])
def test_a_changed_byte_of_a_line_is_seen(tmp_path, line):
    path, text = tmp_path / "records.jsonl", line([made(0.5, command="gentext run 'title=Größe'")])
    path.write_text(text)
    assert len(record.find([path])) == 1
    path.write_text(text.replace('"value": 0.5', '"value": 0.9'))
    with pytest.raises(ValueError, match="damaged"):
        record.find([path])


def test_the_digest_of_a_record_of_format_2_is_of_its_sorted_keys(tmp_path):
    node = {**record.plain(made(0.5)), "format": 2}
    del node["sha256"]
    node["sha256"] = hashlib.sha256(json.dumps(node, sort_keys=True).encode()).hexdigest()
    path = tmp_path / "record.ancestral.json"
    path.write_text(json.dumps(node))
    assert record.read(path).values["bleu4"].value == 0.5
    path.write_text(json.dumps(node).replace('"value": 0.5', '"value": 0.9'))
    with pytest.raises(ValueError, match="damaged"):
        record.read(path)


def test_a_figure_that_is_not_a_number_is_absent(tmp_path):
    record.write(made(math.nan), tmp_path)
    (one,) = record.find([tmp_path])
    assert one.values == {}
    assert one.absent["bleu4"] == "its figure is not a number"


def test_lines_of_records_are_read_one_by_one(tmp_path, caplog):
    good = json.dumps(record.plain(made()))
    old = json.dumps({"format": 1, **{k: v for k, v in record.plain(made()).items() if k not in ("format", "sha256")}})
    lines = [good, "", good[:100], "  ", old, "\xff", json.dumps({"format": 2}), good]
    (tmp_path / "records.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    assert len(record.find([tmp_path])) == 3
    for number in (3, 6, 7):
        assert f"line {number} of {tmp_path / 'records.jsonl'}" in caplog.text


def test_records_as_lines_do_not_say_where_their_runs_lay(tmp_path):
    out = "/home/somebody/runs"
    one = made(command=f"gentext run family=lstm out={out} 'title=a b'", config={"out": out, "seed": 0})
    (tmp_path / "records.jsonl").write_text(record.to_jsonl([one]))
    (found,) = record.find([tmp_path])
    assert found.command == "gentext run family=lstm 'title=a b'"
    assert found.config == {"seed": 0}
    assert record.plain(one)["command"] == one.command  # the run's own folder says how it was asked for


def test_old_records_say_what_is_not_finite_in_words(tmp_path):
    node = record.plain(made())
    del node["sha256"]
    node["cost"] = {"flops_per_token": "nan"}
    node["values"]["bleu4"]["value"] = "inf"
    (tmp_path / "record.old.json").write_text(json.dumps(node))
    (one,) = record.find([tmp_path])
    assert math.isnan(one.cost["flops_per_token"])
    assert one.values["bleu4"].value == math.inf


@pytest.mark.parametrize("damage", [b"", b"a\n", b"\xff\n"])
def test_damaged_companions_are_named(tmp_path, damage):
    record.write(made(), tmp_path, ["a", "b"])
    (one,) = record.find([tmp_path])
    for kind, read in {"samples": record.samples, "values": record.per_sequence}.items():
        (path,) = tmp_path.glob(f"{kind}.*")
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=rf"{kind}\.ancestral\.\w+ is damaged"):
            read(one)
        path.unlink()
        assert not read(one)
    unchecked = Record(**{**vars(one), "files": {}})  # of an older gentext
    for kind, read in {"samples": record.samples, "values": record.per_sequence}.items():
        (tmp_path / f"{kind}.ancestral{record.COMPANIONS[kind]}").write_bytes(damage[:0])
        with pytest.raises(ValueError, match="is damaged"):
            read(unchecked)


@pytest.mark.parametrize("name", ["..", ".", "../../x", "a/b", "/etc/passwd", "\0", "a\nb", "x" * 500, "日" * 200])
def test_no_name_leads_outside_its_folder(tmp_path, name):
    stem = record.file_stem(name)
    assert (tmp_path / stem).resolve().parent == tmp_path.resolve()
    assert not stem.startswith(".")
    assert stem.isprintable()
    (tmp_path / f"record.{stem}.json").touch()


@pytest.mark.parametrize("node", [math.nan, [math.inf, {"a": -math.inf}], {"float": "nan"}, "nan", {"x": 1.5}])
def test_json_holds_what_is_not_finite(tmp_path, node):
    files.write_json(node, tmp_path / "a.json")
    back = files.read_json(tmp_path / "a.json")
    assert repr(back) == (repr(node) if node != {"float": "nan"} else "nan")
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)


def test_a_cut_line_of_a_log_is_left_out(tmp_path, caplog):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n\n{"step": 2, "loss": {"float": "inf"}}\n{"ste')
    assert [node for _, node in files.read_jsonl(tmp_path / "log.jsonl")] == [
        {"step": 1},
        {"step": 2, "loss": math.inf},
    ]
    assert "line 4 of" in caplog.text
