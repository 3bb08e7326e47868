import contextlib
import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from gentext import files
from gentext.cli import main
from gentext.files import read_texts, write_texts
from gentext.report import charts, export, findings, page, published_table
from gentext.results import board, record, render_board
from gentext.results.merge import merge
from gentext.results.record import Record
from gentext.results.run_folder import clear, locked, tidy
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


def test_a_row_alone_is_best_of_nothing():
    people = replace(made("human", bleu=0.6), values={"bleu4": made(bleu=0.6).values["bleu4"]})
    (alone,) = board.rank([made(), people])
    assert not any(cell.best or cell.equal for row in alone.rows for cell in row.cells.values())
    (two,) = board.rank([made(), made("lstm"), people])
    assert all(row.cells["bits_per_char"].best for row in two.rows if not row.human)


def test_where_best_is_near_a_value_what_has_no_interval_is_no_rival_of_what_has_one():
    def judged(family, value, half, decode="ancestral"):
        h_qp = Value(value, "h_qp|v:1", None, 9, interval=half and (value - half, value + half))
        return replace(made(family, decode=decode), values={"h_qp": h_qp, "h_p": Value(22.1, "h_p|v:1", None, 0)})

    bare = [judged("seqgan", 22.0, None), judged("seqgan", 22.0, None, "beam")]
    (ranked,) = board.rank([*bare, judged("ngram", 16.0, 0.5), judged("lstm", 20.0, 0.5)])
    assert {row.family for row in ranked.rows if row.cells["h_qp"].best} == {"lstm"}  # not what two texts came to
    assert any("not ranked in H(q, p), which have no interval: seqgan" in note for note in ranked.notes)


def test_quality_per_cost_is_in_every_record_and_on_the_board(tmp_path):
    one = made()
    assert json.loads(record.write(one, tmp_path).read_text())["efficiency"] == {"bleu4/train_seconds": 0.25}
    (ranked,) = board.rank([one, made("lstm", bleu=0.4)], columns=["bleu4/train_seconds"])
    assert [row.cells["bleu4/train_seconds"].value for row in ranked.rows] == [0.25, 0.2]


def of_tokens(record: Record, unknown: int, vocabulary: str, cut: int = 0) -> Record:
    """The record with a closed-vocabulary figure, of 10 texts and 100 tokens."""
    known = f"|vocab:{vocabulary}" if unknown else ""
    values = {**record.values, "word_ppl": Value(50.0, f"word_ppl|line{known}|split:test|seqs:10|v:1", False, 10)}
    splits = {"test": {"sha256": "abc", "tokens": 100, "unknown": unknown, "cut": cut, "lines": 10}}
    return replace(record, values=values, fingerprints={"splits": splits})


def test_shares_of_unknown_tokens_and_cut_texts_stand_on_the_board_where_above_0():
    (ranked,) = board.rank([of_tokens(made(), 0, ""), of_tokens(made("lstm"), 0, "")])
    assert not {"unknown_share", "cut_share"} & set(ranked.columns)
    (ranked,) = board.rank([of_tokens(made(), 4, "1f0c92ab"), of_tokens(made("lstm"), 4, "1f0c92ab", cut=3)])
    assert ranked.columns[1:3] == ("unknown_share", "cut_share")
    shares = {row.family: (row.cells["unknown_share"].value, row.cells["cut_share"].value) for row in ranked.rows}
    assert shares == {"ngram": (0.04, 0.0), "lstm": (0.04, 0.3)}
    assert not any(cell.best for row in ranked.rows for name, cell in row.cells.items() if name.endswith("_share"))


def test_closed_figures_of_two_vocabularies_share_no_column():
    one, two = of_tokens(made(), 4, "1f0c92ab"), of_tokens(made("lstm"), 9, "44f0c349")
    (ranked,) = board.rank([one, two])
    assert "word_ppl" not in ranked.columns
    assert "bits_per_char" in ranked.columns
    assert any(
        "word_ppl is not shown: vocab:1f0c92ab or vocab:44f0c349. To rank such rows: bits_per_char" in note
        for note in ranked.notes
    )
    (ranked,) = board.rank([one, of_tokens(made("bpe"), 0, "")])
    assert any("all words known or vocab:1f0c92ab. To rank" in note for note in ranked.notes)


def test_rows_of_older_numerics_are_named():
    old = made()
    bits = replace(old.values["bits_per_char"], signature="closed_bits_per_char|line|vocab:1f0c92ab|split:test|v:1")
    old = replace(
        old, values={"bleu4": old.values["bleu4"], "closed_bits_per_char": bits}, versions={"gentext": "0.1.0"}
    )
    (ranked,) = board.rank([old, made("lstm")])
    assert any("made by gentext 0.1.0 and renamed since" in note and "of ngram" in note for note in ranked.notes)
    (row,) = (row for row in ranked.rows if row.family == "ngram")
    assert "bits_per_char" not in row.cells


def test_rows_of_equal_time_on_unlike_processors_are_told():
    def on(family, cpu, **track):
        return replace(made(family), config={"track": track}, versions={"cpu": cpu, "device": "cpu"})

    one, two = on("lstm", "Intel Xeon", core_seconds=60), on("hmm", "AMD EPYC", core_seconds=60)
    told = [note for note in board.rank([one, two])[0].notes if "unlike processors" in note]
    assert [note.partition(" in it: ")[2] for note in told] == ["Intel Xeon: lstm; AMD EPYC: hmm"]
    alike = [one, replace(two, versions=one.versions)]
    by_steps = [replace(each, config={"track": None}) for each in (one, two)]
    for rows in (alike, by_steps):
        assert not any("unlike processors" in note for note in board.rank(rows)[0].notes)


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "record.x.json").write_text('{"form')
    (tmp_path / "config.yaml").write_text("a: 1")
    with pytest.raises(ValueError, match=r"config\.yaml is not a record of gentext: .*\. Give a folder"):
        record.find([tmp_path / "config.yaml"])
    with pytest.raises(ValueError, match=r"record\.x\.json is not a record"):
        record.find([tmp_path])
    with pytest.raises(ValueError, match="does not exist"):
        record.find([tmp_path / "nowhere"])


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json({"a": 1}, path)
    with contextlib.suppress(RuntimeError), files.atomic(path) as temporary:
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
    assert "refs:8 or refs:9" in ranked.notes[0]
    assert "gentext score" in ranked.notes[0]
    (ranked,) = board.rank([made(signature="bleu4|hyps:9|v:1"), made("lstm", signature="bleu4|hyps:300|v:1")])
    assert "a file of as many lines" in ranked.notes[0]


def test_best_and_bounds_are_marked(capsys):
    rows = [made(), made("vae", bleu=0.7, exactness="upper"), made("human", bleu=0.9)]
    (ranked,) = board.rank(rows, columns=["bleu4", "bits_per_char"], sort="bleu4")
    assert [row.family for row in ranked.rows] == ["human", "vae", "ngram"]
    assert [row.cells["bleu4"].best for row in ranked.rows] == [False, True, False]
    render_board.show([ranked], "markdown")
    shown = capsys.readouterr().out
    assert "**0.7000**" in shown
    assert "≤1.5±0.1" in shown


def test_rows_are_ordered_by_a_figure_that_was_not_asked_for_which_is_then_shown():
    rows = [made("a", bleu=0.1), made("b", bleu=0.9), made("c", bleu=0.5)]
    (ranked,) = board.rank(rows, columns=["bits_per_char"], sort="bleu4")
    assert ranked.columns == ("bits_per_char", "bleu4")
    assert [row.family for row in ranked.rows] == ["b", "c", "a"]
    novel = [
        replace(one, values={**one.values, "zipf_gap": Value(gap, "zipf_gap|v:1", False, 3)})
        for one, gap in zip(rows, (0.3, 0.2, 0.1), strict=True)
    ]
    (ranked,) = board.rank(novel, sort="zipf_gap")  # of no board's own columns
    assert [row.family for row in ranked.rows] == ["c", "b", "a"]
    mixed = replace(made("d", signature="bleu4|refs:8|v:1"), values={"bleu4": Value(1.0, "bleu4|refs:8|v:1", True, 3)})
    (ranked,) = board.rank([*novel, mixed], columns=["zipf_gap"], sort="bleu4")
    assert [row.family for row in ranked.rows] == ["c", "b", "a", "d"]
    assert ranked.columns == ("zipf_gap",)
    assert any("refs:8 or refs:9" in note for note in ranked.notes)
    assert "rows are not ordered by bleu4, which is not shown" in ranked.notes


@pytest.mark.parametrize("format", ["terminal", "markdown", "csv", "json", "latex"])
def test_every_format_holds_every_row(format, capsys):
    render_board.show(board.rank([made(), made("lstm")]), format)
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
        board.rank([])
    with pytest.raises(ValueError, match="no record has family=vae; there are family: lstm, ngram"):
        board.rank([made("lstm"), made("ngram")], where={"family": "vae"})
    with pytest.raises(ValueError, match="there are decode: ancestral"):
        board.rank([made()], where={"decode": "top_p"})


def test_corpora_have_boards_of_their_own():
    other = made()
    other = Record(**{**other.__dict__, "data": "coco"})
    assert [b.data for b in board.rank([made(), other])] == ["captions", "coco"]


def test_a_board_of_another_split_than_test_says_so(capsys, tmp_path):
    fingerprints = {"splits": {"test": {"sha256": "abc"}, "valid": {"sha256": "def"}}}
    on_valid = replace(made(bleu=0.4), config={"eval": {"split": "valid"}}, fingerprints=fingerprints)
    ranked = board.rank([made(), on_valid])
    assert [each.title for each in ranked] == ["captions", "captions-valid"]
    render_board.show(ranked, "json")
    assert [each["split"] for each in json.loads(capsys.readouterr().out)] == ["test", "valid"]
    render_board.show(ranked, "csv")
    assert [line.split(",")[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["captions", "test"],
        ["captions", "valid"],
    ]
    export.write(page.build([made(), on_valid], {}), tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert "\n## captions-valid\n" in text
    assert "<!-- gentext: captions-valid | board -->" in text
    assert "1 corpus" in text
    assert len({path.name for path in tmp_path.glob("*.svg")}) == text.count(".svg)")


@pytest.mark.parametrize(
    ("lines", "names"),
    [((100, 200), ["captions-100", "captions-200"]), ((9, 9), ["captions-0a1b2c3d", "captions-def"])],
)
def test_texts_of_one_name_have_boards_pictures_and_marks_of_their_own(lines, names, tmp_path, capsys):
    """Pictures of the second board lay under the names of the first one's, which showed them."""

    def judged(sha256, count, bleu):
        fingerprints = {"splits": {"test": {"sha256": sha256, "lines": count}}}
        return [replace(made(family, bleu=bleu), fingerprints=fingerprints) for family in ("ngram", "lstm")]

    both = [*judged("0a1b2c3d4e5f", lines[0], 0.25), *judged("def", lines[1], 0.75)]
    ranked = board.rank(both)
    assert [each.title for each in ranked] == names
    assert all("captions is the name of several texts" in each.notes[0] for each in ranked)
    export.write(page.build(both, {}), tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    pictures = {path.name for path in tmp_path.glob("*.svg")}
    assert len(pictures) == text.count(".svg)") > 0
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record.plain(one)) + "\n" for one in both))
    asked = tmp_path / "asked.md"
    asked.write_text("".join(f"<!-- gentext: {name} | board | bleu4 -->\n<!-- end -->\n" for name in names))
    assert main(["report", "--update", str(asked)]) == 0
    assert main(["report", "--check", str(tmp_path)]) == 0
    shown = asked.read_text()
    assert shown.index("0.2500") < shown.index(names[1]) < shown.index("0.7500")


def test_rows_may_be_grouped_and_answers_have_columns_of_their_own():
    rows = [made(decode=d, seed=s) for d in ("ancestral", "temperature=0.5") for s in (0, 1)]
    assert [b.title for b in board.rank(rows, group=["decode"])] == [
        "captions · ancestral",
        "captions · temperature=0.5",
    ]
    with pytest.raises(ValueError, match="records know no colour"):
        board.rank(rows, group=["colour"])
    answers = replace(made(), track="conditional", values={"chrf": Value(50.0, "chrf|v:1", True, 3)})
    assert board.rank([answers])[0].columns[0] == "chrf"


def test_exact_ties_between_families_are_told():
    people = made("human", bleu=0.9)
    (ranked,) = board.rank([made(), made(decode="temperature=0.5"), made("lstm"), made("hmm", bleu=0.4), people])
    assert [row.cells["bleu4"].best for row in ranked.rows if row.family not in ("hmm", "human")] == [True] * 3
    assert "bleu4: ngram, lstm are exactly equal" in ranked.notes
    (alone,) = board.rank([made(), made(decode="temperature=0.5"), people])
    assert alone.notes == ()


def test_a_seed_that_stands_twice_is_told():
    (ranked,) = board.rank([made(), made(bleu=0.6)])
    assert "holds seed 0 2 times" in ranked.notes[0]


def test_records_of_several_machines_are_joined_but_not_twice(tmp_path, capsys):
    def put(folder, one):
        (tmp_path / folder).mkdir(exist_ok=True)
        record.write(one, tmp_path / folder)
        return str(tmp_path / folder)

    a, b = put("a", made()), put("b", made("lstm"))
    assert [r.family for r in merge([a, b])] == ["ngram", "lstm"]
    with pytest.raises(ValueError, match="stands both in"):
        merge([a, put("c", made())])
    other = replace(made("hmm"), fingerprints={"splits": {"test": {"sha256": "other"}}})
    with pytest.raises(ValueError, match="judged against other text"):
        merge([a, put("d", other)])
    assert main(["board", "--merge", a, b, "--format", "jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["board", "--merge", a, a]) == 2
    assert "leave one out" in capsys.readouterr().err


def test_published_figures_that_a_corpus_knows_none_of_are_left_out():
    """A recipe rests on another one, of another corpus, and cites what that one does."""
    cited = {"one (1999)": {"bleu4": 0.5}, "two (2001)": {"nll_oracle": 9.0}}
    (shown,) = published_table.tables(board.rank([replace(made(), config={"published": cited})])[0])
    assert [row[0] for row in shown.rows] == ["one (1999)", "ngram"]
    assert shown.columns[3:] == ["BLEU-4"]


def test_a_published_board_can_be_served_as_it_is(tmp_path, capsys):
    record.write(made(), tmp_path)
    assert main(["board", str(tmp_path), "--publish", str(tmp_path / "site")]) == 0
    held = {path.name: path.read_text() for path in (tmp_path / "site").iterdir()}
    assert held.keys() == {"index.html", "board.csv", "board.json", "board.md", "records.jsonl"}
    assert 'href="records.jsonl"' in held["index.html"]
    assert "http" not in held["index.html"].split("<script>")[0]
    assert main(["board", str(tmp_path / "site"), "--format", "csv"]) == 0
    assert capsys.readouterr().out.endswith(held["board.csv"])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path, capsys):
    one = replace(
        made("odd_name & 50% ~^{}", exactness="upper"), variant="a_b=1 $x$", decode="top_k=5 · temperature=0.7"
    )
    render_board.show(board.rank([one, made("lstm")]), "latex")
    body = capsys.readouterr().out
    page = ["\\documentclass{article}", "\\usepackage{booktabs}", "\\begin{document}", body, "\\end{document}"]
    (tmp_path / "page.tex").write_text("\n".join(page))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 1000


def test_what_a_run_finds_in_its_text_sets_no_rows_apart():
    """Seeds that draw a corpus of their own have other vocabularies, and are seeds of one row."""
    runs = [
        replace(made(seed=i), config={"seed": i, "family": {"vocab_size": 90 + i, "order": 3}, "vocab_size": 90 + i})
        for i in range(3)
    ]
    (one,) = board.rank(runs)
    assert [(row.family, row.seeds) for row in one.rows] == [("ngram", (0, 1, 2))]
    cut = [replace(made(seed=i), config={"tokenizer": {"vocab_size": 90 + i}}) for i in range(2)]
    (one,) = board.rank(cut)
    assert {row.family for row in one.rows} == {f"ngram tokenizer.vocab_size={90 + i}" for i in range(2)}


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


def test_bounds_of_one_number_of_draws_stand_beside_the_exact_and_no_others():
    exact = made("lstm", signature="bleu4|line|split:test|v:1")
    few, many = (made("vae", signature=f"bleu4|line|iw:{k}|split:test|v:1") for k in (1, 200))
    (ranked,) = board.rank([exact, many], columns=["bleu4"])
    assert ranked.columns == ("bleu4",)
    (ranked,) = board.rank([exact, many, few], columns=["bleu4"])
    assert ranked.columns == ()
    assert "iw:1" in ranked.notes[0]
    assert "iw:200" in ranked.notes[0]


def column_of(name, **figures):
    """The board of rows that hold one figure: by family its value and half an interval, or a Value."""
    records = []
    for family, given in figures.items():
        value = given
        if not isinstance(given, Value):
            at, half = given
            ends = None if half is None else (at - half, at + half)
            value = Value(at, f"{name}|v:1", None, 9, interval=ends)
        records.append(replace(made(family), values={name: value}, cost={}))
    (ranked,) = board.rank(records, columns=[name])
    cells = {row.family: row.cells[name] for row in ranked.rows}
    marks = {family: "best" if cell.best else "equal" if cell.equal else "" for family, cell in cells.items()}
    return ranked, marks


def test_best_is_nearest_to_human_text_and_not_the_most_diverse():
    _, marks = column_of("selfbleu4", vae=(0.45, 0.01), lstm=(0.60, 0.01), ngram=(0.7, 0.01), human=(0.62, 0.01))
    assert marks == {"vae": "", "lstm": "best", "ngram": "", "human": ""}
    _, marks = column_of("distinct2", vae=(0.294, 0.005), lstm=(0.22, 0.005), hmm=(0.215, 0.005), human=(0.218, 0.005))
    assert marks == {"vae": "", "lstm": "best", "hmm": "equal", "human": ""}
    ranked, marks = column_of("selfbleu4", vae=(0.45, 0.01), lstm=(0.60, 0.01))
    assert set(marks.values()) == {""}
    assert "no row with family=human" in ranked.notes[0]


def test_training_text_is_no_target_of_novelty():
    rows = [
        replace(made(f), values={"novelty4": Value(x, "novelty4|v:1", None, 9)}) for f, x in [("a", 0.1), ("b", 0.6)]
    ]
    copied = {"novelty4": Value(0.0, "novelty4|v:1", None, 9), "verbatim": Value(1.0, "verbatim|v:1", False, 9)}
    (ranked,) = board.rank([*rows, replace(made("human"), values=copied)], columns=["novelty4"])
    assert not any(row.cells["novelty4"].best for row in ranked.rows)
    assert "training text" in ranked.notes[0]


def test_best_is_nearest_to_the_truths_own_value():
    truth = Value(22.1, "h_p|closed-form|v:1", None, 0)
    rows = [
        replace(made(f), values={"h_p": truth, "h_qp": Value(x, "h_qp|v:1", False, 9, interval=(x - 0.5, x + 0.5))})
        for f, x in [("ngram", 16.5), ("lstm", 21.9), ("hot", 30.0)]
    ]
    (ranked,) = board.rank(rows, columns=["h_qp"])
    assert {row.family: row.cells["h_qp"].best for row in ranked.rows} == {"ngram": False, "lstm": True, "hot": False}
    _, marks = column_of("c2st_bayes", a=(0.44, 0.01), b=(0.51, 0.01))
    assert marks == {"a": "", "b": "best"}


def test_only_a_bound_that_points_the_right_way_wins_or_ties():
    below = Value(43.0, "kl_qp|v:1", False, 9, interval=(42.0, 44.0), exactness="lower")
    assert column_of("kl_qp", vae=below, lstm=(50.0, 1.0))[1] == {"vae": "", "lstm": "best"}
    assert column_of("tv", vae=Value(0.0, "tv|v:1", False, 9, exactness="lower"), lstm=(0.6, 0.1))[1]["lstm"] == "best"
    above = Value(43.0, "kl_qp|v:1", False, 9, interval=(42.0, 44.0), exactness="upper")
    assert column_of("kl_qp", vae=above, lstm=(50.0, 1.0))[1] == {"vae": "best", "lstm": ""}


def test_a_pseudo_likelihood_is_marked_and_never_wins():
    pseudo = Value(0.9, "bits_per_char|line|v:1", False, 9, interval=(0.8, 1.0), exactness="pseudo")
    rows = [made(), replace(made("masked"), values={"bits_per_char": pseudo})]
    (ranked,) = board.rank(rows, columns=["bits_per_char"])
    assert {row.family: row.cells["bits_per_char"].best for row in ranked.rows} == {"ngram": True, "masked": False}
    assert any(note.startswith("~ rests on a pseudo-likelihood") for note in ranked.notes)
    assert board.text(ranked.rows[0].cells["bits_per_char"]) == "~0.9±0.1"


def test_what_has_no_interval_is_not_tested():
    _, marks = column_of("mauve", a=(0.9, None), b=(0.5, None), c=(0.4, 0.1))
    assert marks == {"a": "best", "b": "", "c": ""}
    (ranked,) = board.rank([made(), made("lstm")], columns=["train_seconds"])
    assert not any(row.cells["train_seconds"].best or row.cells["train_seconds"].equal for row in ranked.rows)


def test_the_header_says_what_the_uncertainty_is_of():
    (ranked,) = board.rank([made(), made("lstm")])
    assert "1 seed: says nothing of training luck" in ranked.header
    several = [made(f, seed=s, bleu=0.5 + s / 10 + i / 100) for i, f in enumerate("ab") for s in range(3)]
    (ranked,) = board.rank([*several, made("once")])
    assert "1 to 3 seeds; ± half a 95 % interval over seeds" in ranked.header
    alone = next(row for row in ranked.rows if row.family == "once")
    assert alone.cells["bits_per_char"].interval is None  # its own would be over sentences
    assert not alone.cells["bits_per_char"].best
    assert any("want of a second seed: once" in note for note in ranked.notes)


def test_a_figure_of_one_of_three_seeds_wins_nothing_from_figures_of_three():
    def judged(family, seed, figure):
        values = {} if figure is None else {"mauve": Value(figure, "mauve|v:1", True, 9, interval=(figure, figure))}
        return replace(made(family, seed=seed), values=values)

    three = [judged("a", seed, figure) for seed, figure in enumerate((0.5, 0.6, 0.7))]
    two = [judged("c", seed, figure) for seed, figure in enumerate((0.1, 0.11, None))]
    one = [judged("b", seed, figure) for seed, figure in enumerate((0.9, None, None))]
    (ranked,) = board.rank([*three, *one, *two], columns=["mauve"])
    cells = {row.family: row.cells["mauve"] for row in ranked.rows}
    assert {family: (cell.best, cell.equal) for family, cell in cells.items()} == {
        "a": (True, False), "b": (False, False), "c": (False, False)
    }  # fmt: skip
    assert "not ranked in MAUVE, which one of its seeds alone holds: b" in ranked.notes
    assert "a is best in MAUVE" in findings.find(ranked, "mauve", None)[0]
    assert "significantly worse: c." in findings.find(ranked, "mauve", None)[0]
    chart = json.dumps(charts.significance(ranked, ranked.rows, "mauve").spec)
    assert '"first": "c"' in chart
    assert '"first": "b"' not in chart


@pytest.mark.parametrize(
    ("exactness", "target", "figure"), [("upper", "bits_per_char", 0.7), ("pseudo", "bits_per_char", 0.3)]
)
def test_a_bound_that_is_worse_and_a_pseudo_likelihood_are_not_called_worse(exactness, target, figure):
    def judged(family, seed, x, exactness):
        value = Value(x + seed / 1000, f"{target}|v:1", False, 9, interval=(x, x), exactness=exactness)
        return replace(made(family, seed=seed), values={target: value})

    rows = [judged(*row) for s in range(3) for row in (("a", s, 0.63, "exact"), ("b", s, figure, exactness))]
    said = findings.find(board.rank(rows, columns=[target])[0], target, None)[0]
    assert "a is best in bits a character" in said
    assert said.endswith("the differences are not tested; not known of b, for want of an exact value.")
    rows += [judged("c", s, 0.9, "exact") for s in range(3)]
    said = findings.find(board.rank(rows, columns=[target])[0], target, None)[0]
    assert said.endswith("significantly worse: c; not known of b, for want of an exact value.")


def test_the_truth_is_covered_best_by_a_row_of_several_seeds():
    def judged(family, seed, h_pq):
        figures = {"h_pq": h_pq, "h_qp": 21.0, "h_p": 20.0}
        values = {name: Value(figure, f"{name}|v:1", None, 9) for name, figure in figures.items()}
        return replace(made(family, seed=seed), values=values)

    records = [judged("a", seed, 22.0 + seed) for seed in range(2)]
    assert "a covers the truth best" in findings.find(board.rank([*records, judged("b", 0, 21.0)])[0], "", None)[-1]
    assert "b covers the truth best" in findings.find(board.rank([records[0], judged("b", 0, 21.0)])[0], "", None)[-1]


def test_the_terminals_board_fits_eighty_columns(capsys):
    rows = [made("lstm"), made("seqgan_gumbel_of_a_long_name")]
    more = {name: Value(0.123, f"{name}|v:1", None, 9, interval=(0.1, 0.2)) for name in ("selfbleu4", "h_pq", "h_qp")}
    rows = [replace(one, variant="train.game.keep=last layers=2", values={**one.values, **more}) for one in rows]
    render_board.show(board.rank(rows))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "bits a" in out


def test_a_name_of_several_lines_leaves_every_row_its_own(capsys):
    names = ["e", "b", "a family of a name too long for a line", "c", "漢字" * 7, "d"]
    rows = [replace(made(name), config={"name": name}, cost={}) for name in names]
    rows = [replace(one, values={"bleu4": Value(i / 10, "bleu4|v:1", True, 9)}) for i, one in enumerate(rows)]
    render_board.show(board.rank(rows), brief=True)
    lines = capsys.readouterr().out.splitlines()
    firsts = ["e ", "b ", "a family of a name too", "c ", "漢字" * 6, "d "]
    assert [next(line for line in lines if line.startswith(first)).split()[-1] for first in firsts] == [
        "0", "0.1000", "0.2000", "0.3000", "0.4000", "0.5000"
    ]  # fmt: skip


def test_control_characters_are_shown_and_formulas_are_text(capsys):
    evil = replace(made("=cmd|calc"), decode="\x1b[31mred\u202e")
    for form in ("terminal", "markdown", "csv", "latex"):
        render_board.show(board.rank([evil, made("lstm")]), form)
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert "x1b" in out
        if form == "csv":
            assert "'=cmd|calc" in out


def test_signatures_stand_in_every_form_on_request_and_in_csv_and_json_always(capsys):
    ranked = board.rank([made(), made("lstm")])
    for form in ("terminal", "markdown", "latex", "csv", "json"):
        for asked in (False, True):
            render_board.show(ranked, form, signatures=asked)
            assert ("refs:9" in capsys.readouterr().out) == (asked or form in ("csv", "json"))
