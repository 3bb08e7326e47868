import contextlib
import json

import numpy as np
import pytest

from gentext.results import board, forms, record
from gentext.results.folder import clear, locked, read_texts, tidy, write_texts
from gentext.results.record import Record
from gentext.types import Value


def made(family="ngram", seed=0, bleu=0.5, signature="bleu4|refs:9|v:1", decode="ancestral", **more) -> Record:
    values = {
        "bleu4": Value(bleu, signature, True, 3, per_sequence=np.full(3, bleu)),
        "bits_per_char": Value(1.5, "bits_per_char|line|v:1", False, 3, interval=(1.4, 1.6), **more),
    }
    return Record(
        "captions", "unconditional", family, "", decode, seed, values, {"kl_qp": "no truth"}, "exact",
        fingerprints={"splits": {"test": {"sha256": "abc"}}}, cost={"train_seconds": 2.0},
    )  # fmt: skip


def test_a_record_comes_back_as_it_was_written(tmp_path):
    one = made(bleu=float("inf"))
    path = record.write(one, tmp_path)
    back = record.read(path)
    assert back.values["bits_per_char"].interval == (1.4, 1.6)
    assert back.values["bleu4"].value == float("inf")
    assert back.absent == {"kl_qp": "no truth"}
    assert record.per_sequence(back)["bleu4"].tolist() == [float("inf")] * 3
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "record.x.json").write_text('{"form')
    with pytest.raises(ValueError, match=r"record\.x\.json is not a record"):
        record.find([tmp_path])
    with pytest.raises(ValueError, match="does not exist"):
        record.find([tmp_path / "nowhere"])


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    record.write_json({"a": 1}, path)
    with contextlib.suppress(RuntimeError), record.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_seeds_are_aggregated_with_a_student_interval():
    (ranked,) = board.rank([made(seed=s, bleu=b) for s, b in enumerate((0.4, 0.5, 0.6))])
    cell = ranked.rows[0].cells["bleu4"]
    assert cell.value == pytest.approx(0.5)
    assert cell.interval[1] - cell.value == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-5)
    assert ranked.rows[0].seeds == (0, 1, 2)


def test_a_column_of_mixed_signatures_is_refused_with_what_to_run():
    (ranked,) = board.rank([made(), made("lstm", signature="bleu4|refs:8|v:1")])
    assert "bleu4" not in ranked.columns
    assert "gentext score" in ranked.notes[0]


def test_best_and_bounds_are_marked(capsys):
    rows = [made(), made("vae", bleu=0.7, exactness="upper"), made("human", bleu=0.9)]
    (ranked,) = board.rank(rows, columns=["bleu4", "bits_per_char"], sort="bleu4")
    assert [row.family for row in ranked.rows] == ["human", "vae", "ngram"]
    assert [row.cells["bleu4"].best for row in ranked.rows] == [False, True, False]
    forms.show([ranked], "markdown")
    shown = capsys.readouterr().out
    assert "**0.7000**" in shown
    assert "≤1.5±0.1" in shown


@pytest.mark.parametrize("format", ["terminal", "markdown", "csv", "json", "latex"])
def test_every_format_holds_every_row(format, capsys):
    forms.show(board.rank([made(), made("lstm")]), format)
    out = capsys.readouterr().out
    assert "ngram" in out
    assert "lstm" in out
    if format == "json":
        assert json.loads(out)[0]["rows"][0]["values"]["bleu4"]["value"] == 0.5


def test_unknown_columns_and_filters_are_answered_with_advice():
    with pytest.raises(ValueError, match="bleu4"):
        board.rank([made()], columns=["bleu"])
    with pytest.raises(ValueError, match="Known: data"):
        board.rank([made()], where={"colour": "red"})
    with pytest.raises(ValueError, match="nothing to rank"):
        board.rank([made()], where={"family": "vae"})


def test_corpora_have_boards_of_their_own():
    other = made()
    other = Record(**{**other.__dict__, "data": "coco"})
    assert [b.data for b in board.rank([made(), other])] == ["captions", "coco"]


def test_texts_with_line_breaks_come_back(tmp_path):
    texts = ["a b", "", "two\nlines", "back\\slash \\n", "carriage\r"]
    write_texts(texts, tmp_path / "s.txt")
    assert read_texts(tmp_path / "s.txt") == texts
    assert len((tmp_path / "s.txt").read_text().splitlines()) == len(texts)


def test_two_processes_cannot_share_a_folder(tmp_path):
    with locked(tmp_path), pytest.raises(ValueError, match="another process"), locked(tmp_path):
        pass
    with locked(tmp_path):  # free again
        pass


def test_clear_and_tidy(tmp_path):
    run = tmp_path / "captions" / "ngram"
    run.mkdir(parents=True)
    (run / ".lock").touch()
    (run / "model").touch()
    tidy(run)
    assert run.exists()
    clear(run)
    assert [p.name for p in run.iterdir()] == [".lock"]
    tidy(run)
    assert not run.parent.exists()


def test_records_kept_as_lines_are_ranked_as_files_are(tmp_path):
    one = made()
    record.write(one, tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "records.jsonl").write_text(json.dumps(record.plain(one)) + "\n")
    files, lines = record.find([tmp_path / "record.ancestral.json"]), record.find([tmp_path / "kept"])
    assert record.plain(files[0]) == record.plain(lines[0])
