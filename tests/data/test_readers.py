"""Files of every format become the rows that they hold, and files of none say what is wrong with them."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from gentext.data.readers import BLOCK, TextReader, side_by_side
from gentext.data.splits import TextRow
from gentext.data.tables import BadRows

TEXTS = ["First line.", "秦川 雄帝宅", 'a "quoted", one']


def rows(path: Path, content: str | bytes, **options) -> list[TextRow]:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return list(TextReader(**options).rows(path))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.txt", "\n".join(TEXTS), {}),
        ("a.txt", "\ufeff" + "\r\n".join(TEXTS) + "\r\n\r\n", {}),
        ("a.txt", "\n\nFirst\nline.\n \n秦川 雄帝宅\n\n\n" + TEXTS[2] + "\n", {"unit": "paragraph"}),
        ("a.jsonl", "\n".join(json.dumps({"n": 1, "text": t}) for t in TEXTS), {}),
        ("a.jsonl", "\n".join(json.dumps(t) for t in TEXTS) + "\n\n", {}),
        ("a.data", "\n".join(json.dumps({"t": t}) for t in TEXTS), {"format": "jsonl", "target": "t"}),
        ("a.csv", 'id,text\n1,First line.\n2,秦川 雄帝宅\n3,"a ""quoted"", one"\n', {}),
        ("a.tab", "n\ttext\nc\tstring\n\tmeta\n" + "".join(f"1\t{t}\n" for t in TEXTS), {"format": "orange"}),
        ("a.tsv", "First line.\t1\n秦川 雄帝宅\t2\n" + TEXTS[2] + "\t3\n", {"target": 0}),
    ],
)
def test_every_format_gives_its_texts(tmp_path, name, content, options, suffix):
    assert [row.text for row in rows(tmp_path / (name + suffix), content, **options)] == TEXTS


def test_parquet_gives_its_columns(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(arrow.table({"de": ["eins", "zwei"], "en": ["one", "two"], "n": [1, 2]}), path)
    assert list(TextReader(target="en", source="de").rows(path)) == [TextRow("one", "eins"), TextRow("two", "zwei")]
    with pytest.raises(ValueError, match="no column 'fr'; it has 'de', 'en', 'n'"):
        list(TextReader(target="fr").rows(path))
    for column, kind in (("n", "a number"), ("none", "null")):
        parquet.write_table(arrow.table({"n": [1, 2], "none": ["a", None]}), path)
        with pytest.raises(ValueError, match=rf"a\.parquet, row \d: '{column}' is {kind}, not text"):
            list(TextReader(target=column).rows(path))
    bad = BadRows(skip=True)
    assert list(TextReader(target="none", bad=bad).rows(path)) == [TextRow("a")]
    assert bad.total == 1
    path.write_bytes(b"not parquet")
    with pytest.raises(ValueError, match="not a Parquet file"):
        list(TextReader(target="en").rows(path))


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"gentext\[parquet\]"):
        list(TextReader().rows(tmp_path / "a.parquet"))


def test_pairs_case_blanks_and_spaces(tmp_path):
    table = "One.\tUn.\tx\nTwo.\t\tx\nThree.\tTrois.\tx\n"
    found = rows(tmp_path / "a.tsv", table, source=0, target=1, lowercase=True)
    assert found == [TextRow("un.", "one."), TextRow("trois.", "three.")]
    assert [r.text for r in rows(tmp_path / "a.txt", " a \n\n b\n", blank=True)] == ["a", "", "b"]
    assert [r.text for r in rows(tmp_path / "a.txt", "秦 川 \n", spaces=False)] == ["秦川"]


def test_a_record_of_many_lines_is_one_line(tmp_path):
    assert rows(tmp_path / "a.csv", 'text\n"one\ntwo"\n') == [TextRow("one two")]


@pytest.mark.parametrize("text", ["a\n\nb\r\nc", "no line end " * (BLOCK // 6), "x" * (2 * BLOCK + 5), "é\n" * BLOCK])
def test_a_stream_keeps_its_text_in_pieces_of_bounded_size(tmp_path, text):
    pieces = [row.text for row in rows(tmp_path / "a.txt", text, unit="stream")]
    assert "".join(pieces) == text.replace("\r\n", "\n")
    if " " in text or "\n" in text:
        assert max(map(len, pieces)) <= 2 * BLOCK


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"caf\xe9\n", r"not UTF-8 text \(byte 0xe9.*iconv"),
        ("a.txt", b"\x00\x01binary", "binary"),
        ("a.jsonl", b'{"text": 1\n', "line 1: not JSON"),
        ("a.jsonl", b'{"txt": "a"}\n', "no column 'text'; it has 'txt'.*data.target"),
        ("a.jsonl", b"[1]\n", "no column 'text'; it has none"),
        ("a.csv", b"a,b\n1,2\n", "no column 'text'; it has 'a', 'b'"),
        ("a.csv", b"", r"a\.csv is empty; its first line names the columns"),
        ("a.csv", b"a;text\n1;2\n", "line 1: semicolons stand between its columns; save it with commas"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        rows(tmp_path / name, content)


def test_too_few_columns_and_broken_gzip(tmp_path):
    with pytest.raises(ValueError, match="line 2: 1 columns; column 1"):
        rows(tmp_path / "a.tsv", "a\tb\nc\n", target=1)
    assert rows(tmp_path / "a.tsv", "a\tb\nc\n", target=1, bad=BadRows(skip=True)) == [TextRow("b")]
    for content in (b"plain", gzip.compress(b"text\n" * 999)[:-20]):
        path = tmp_path / "a.txt.gz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole gzip file"):
            list(TextReader().rows(path))


@pytest.mark.parametrize("option", ["unit", "format"])
def test_unknown_options_name_the_known(option):
    with pytest.raises(ValueError, match=rf"data\.{option} is 'word'; it must be one of"):
        TextReader(**{option: "word"})


def test_files_side_by_side_must_be_of_one_length(tmp_path):
    for name, text in (("a.de", "eins\n\nZwei\n"), ("a.en", "one\ntwo\ntwo\n"), ("b.en", "one\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    reader = TextReader(target="en", source="de", lowercase=True)
    pairs = [TextRow("one", "eins"), TextRow("two", "zwei")]
    assert list(side_by_side(reader, tmp_path / "a.en", tmp_path / "a.de")) == pairs
    with pytest.raises(ValueError, match=r"b\.en has fewer lines than .*a\.de"):
        list(side_by_side(reader, tmp_path / "b.en", tmp_path / "a.de"))


def test_pairs_want_a_table_and_lines(tmp_path):
    with pytest.raises(ValueError, match=r"plain text, which has no columns.*data\.format"):
        rows(tmp_path / "a.txt", "a\tb", target=1, source=0)
    with pytest.raises(ValueError, match="pairs are read by line"):
        TextReader(unit="stream", source="de")


def test_a_stream_of_records_has_their_line_ends(tmp_path):
    found = rows(tmp_path / "a.jsonl", '"one"\n"two"\n', unit="stream")
    assert "".join(row.text for row in found) == "one\ntwo\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": null}\n', r"a\.jsonl, line 2: 'text' is null, not text.*skip_bad"),
        ("a.jsonl", '{"text": ["a"]}\n', "line 1: 'text' is a list"),
        ("a.jsonl", '{"text": {"a": 1}}\n', "line 1: 'text' is an object"),
        ("a.jsonl", '"a"\n\n1.5\n', "line 3.*no column 'text'"),
        ("a.jsonl", '{"text": 1}\n', "line 1: 'text' is a number"),
        ("a.jsonl", '{"text": true}\n', "line 1: 'text' is true"),
        ("a.jsonl", '{"text": "a"}\n{"text": "\\ud800"}\n', "line 2: 'text' holds half of a surrogate pair"),
        ("a.jsonl", '{"text": "a\\u0000b"}\n', "line 1: 'text' holds a NUL"),
        ("a.jsonl", '{"text": "a", "text": "b"}\n', "line 1: 'text' stands 2 times"),
        ("a.jsonl", '"a"\n' + "[" * 100_000 + "\n", "line 2: .*nested too deeply"),
        ("a.jsonl", '"a"\n' + "1" * 5_000 + "\n", "line 2: not JSON"),
        ("a.csv", 'text\n"a"\nb\rc\n', r"a\.csv, line 3: a carriage return"),
        ("a.csv", 'text\na "b" c\n"a" b\n', r"a\.csv, line 3: not CSV"),
        ("a.tsv", "text\na\nb\rc\n", r"a\.tsv, line 3: a carriage return"),
    ],
)
def test_rows_that_are_not_text_are_refused_by_line_and_left_out_where_asked(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=message):
        rows(tmp_path / name, content)
    bad = BadRows(skip=True)
    found = rows(tmp_path / name, content + ("last\n" if name.endswith("sv") else '"last"\n'), bad=bad)
    assert found[-1] == TextRow("last")
    assert bad.total == 1
    assert str(tmp_path / name) in bad.first


def test_a_header_that_names_a_column_twice_is_refused(tmp_path):
    for skip in (False, True):
        with pytest.raises(ValueError, match="line 1: the column 'text' stands 2 times"):
            rows(tmp_path / "a.csv", "text,n,text\na,1,b\n", bad=BadRows(skip=skip))
    assert rows(tmp_path / "a.csv", "n,text,n\n1,a,2\n") == [TextRow("a")]


@pytest.mark.parametrize("skip", [False, True])
def test_an_unclosed_quote_never_swallows_rows(tmp_path, skip):
    """The rows between the quote and the next one, or the end, are lost to a reader that lets it pass."""
    many = "".join(f"row {i}\n" for i in range(300))
    for content in ('text\nfirst\n"open\n' + many, 'text\nfirst\n"open\n' + many + 'say "yes"\n' + many):
        with pytest.raises(ValueError, match=r"a\.csv, line 3: a quote opens in this row and is not closed"):
            rows(tmp_path / "a.csv", content, bad=BadRows(skip=skip))


@pytest.mark.parametrize(("name", "row"), [("a.csv", "one, two,b\n"), ("a.tsv", "one\ttwo\tb\n")])
def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path, name, row):
    """The comma of an unquoted text moves every cell after it, and the model would learn another column."""
    mark = row[3]
    good = f"a{mark}b\n" + f"c{mark}d{mark}\n"
    message = r"line 3: 3 cells under a header of 2 columns; .* (comma is quoted|tab)"
    with pytest.raises(ValueError, match=message):
        rows(tmp_path / name, good + row, target="b", source="a")
    bad = BadRows(skip=True)
    assert rows(tmp_path / name, good + row, target="b", source="a", bad=bad) == [TextRow("d", "c")]
    assert bad.total == 1


@pytest.mark.parametrize("skip", [False, True])
def test_pairs_without_a_side_are_left_out_and_counted(tmp_path, skip):
    table = "".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in (("x", "y"), ("long source", " "), ("", ["z"])))
    bad = BadRows(skip=skip)
    assert rows(tmp_path / "a.jsonl", table, target="b", source="a", bad=bad) == [TextRow("y", "x")]
    assert bad.total == 2
    assert bad.first.endswith("a.jsonl, 'b' is empty beside 'long source'")
    with pytest.raises(ValueError, match=r"no row of text; the first that is left out: .*'a' is empty beside 'y'"):
        rows(tmp_path / "a.csv", "a,b\n,y\n", target="b", source="a")
    assert rows(tmp_path / "a.csv", "a,b\n,y\nx,z\n", target="b") == [TextRow("y"), TextRow("z")]


def test_a_file_with_no_good_row_is_refused_even_where_bad_ones_are_left_out(tmp_path):
    with pytest.raises(ValueError, match=r"no row of text.*line 1: no column 'text'"):
        rows(tmp_path / "a.jsonl", '{"txt": "a"}\n{"txt": "b"}\n', bad=BadRows(skip=True))


def test_what_is_not_utf8_is_named_by_its_line(tmp_path):
    many = b"line\n" * 99
    for content, message in (
        (many + b"caf\xe9\n", r"a\.txt, line 100: not UTF-8"),
        (many + b"a\0b\n", r"a\.txt, line 100: it is binary"),
        ("a\nb\n".encode("utf-16"), "line 1: UTF-16"),
    ):
        for unit in ("line", "stream"):
            with pytest.raises(ValueError, match=message):
                rows(tmp_path / "a.txt", content, unit=unit)


def test_only_newlines_end_lines(tmp_path):
    text = "one\u2028a\u2029b\x85c\x0cd\x0be\x1cf\ntwo\r\nthree"
    found = [row.text for row in rows(tmp_path / "a.txt", text)]
    assert found == ["one\u2028a\u2029b\x85c\x0cd\x0be\x1cf", "two", "three"]
    assert [r.text for r in rows(tmp_path / "a.jsonl", json.dumps("a\u2028b", ensure_ascii=False))] == ["a\u2028b"]
    assert [r.text for r in rows(tmp_path / "a.tsv", "x\u2028y\t1\n", target=0)] == ["x\u2028y"]


@pytest.mark.parametrize("column", ["", -1])
def test_a_column_is_a_name_or_a_number_from_0(column):
    with pytest.raises(ValueError, match=r"data\.target is"):
        TextReader(target=column)
