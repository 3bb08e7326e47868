"""A report's parts: what it says, draws, marks and exports, from records and panels alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import pytest

from gentext import panels
from gentext.files import write_texts
from gentext.panels import Curves, Graph, Heatmap, Points, Table
from gentext.report import export, page, panel_charts
from gentext.report.samples import Material, side_by_side
from gentext.report.style import COLOURS
from gentext.results import record
from gentext.results.record import Record
from gentext.types import Value

PANELS = [
    Table("States", "The words of each.", ["state", "words"], [[0, "a the"]]),
    Graph("Moves", "Likely ones.", ["s0", "s1"], [(0, 1, 0.9), (1, 1, 0.8)], [0.5, 0.5]),
    Points("Map", "One a text.", [0.0, 1.0], [2.0, 3.0], ["a dog", "a cat"], ["short", "long"]),
    Heatmap("Attention", "Rows read columns.", ["a", "b"], ["a", "b"], [[1.0, 0.0], [0.25, 0.75]]),
    Curves("Loss", "By epoch.", {"train": [(1, 3.0), (2, 2.5)], "valid": [(1, 3.5)]}, "epoch", "nats"),
]
MATERIAL = Material(["a man rides a horse ."], ["the old man rides a brown horse .", "a dog runs ."])


@pytest.fixture
def records(tmp_path):
    made = []
    for family, bleu in (("lstm", 0.5), ("hmm", 0.3), ("human", 0.9)):
        for decode, shift in (("ancestral", 0.0), ("ancestral temperature=0.5", 0.2)):
            folder = tmp_path / f"{family}"
            folder.mkdir(exist_ok=True)
            values = {
                "bleu4": Value(bleu + shift, "bleu4|v:1", True, 9, interval=(bleu, bleu + 0.3)),
                "selfbleu4": Value(0.4 + shift, "selfbleu4|v:1", False, 9),
            }
            cost = {"train_seconds": 2.0, "parameters": 10.0}
            one = Record("captions", "unconditional", family, "", decode, 0, values, {}, "exact", cost=cost)
            path = record.write(one, folder)
            write_texts(["the old man rides a cat .", "x"], folder / f"samples.{record.file_stem(decode)}.txt")
            made.append(record.read(path))
        (tmp_path / family / "panels.json").write_text(json.dumps(panels.plain(PANELS)))
        log = [{"step": i, "train/critic_loss": 1.0 / i, "valid/nll": 3.0, "seconds": i} for i in (1, 2)]
        (tmp_path / family / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return made


def test_families_are_ranked_at_one_setting_and_traded_over_all(records):
    (section,) = page.build(records, {"captions:": MATERIAL}).sections
    assert section.findings[0].startswith("lstm is nearest to people in BLEU-4")
    assert "says nothing of training luck" in section.findings[0]
    assert "significant" not in section.findings[0]  # of one seed nothing is claimed of the families
    assert section.findings[1] == "At equal diversity (Self-BLEU-4 0.5) BLEU-4 is lstm 0.6000, hmm 0.4000."
    assert [block.title for block in section.blocks] == [
        "Quality and diversity", "Training", "Cost and quality", "Which families differ", "Beside human text",
    ]  # fmt: skip
    assert {family.name for family in section.families} == {"lstm", "hmm", "human"}
    logged = [picture.title for picture in section.families[0].training]
    assert logged == ["train/critic_loss", "valid/nll"]


def test_a_figure_that_rows_of_other_decode_settings_alone_have_is_no_finding(records):
    plain = [
        replace(each, values={"word_ppl": Value(9.0, "v:1", False, 9)}) for each in records if "=" not in each.decode
    ]
    (section,) = page.build([*plain, records[1]], {"captions:": MATERIAL}).sections  # the colder row alone has BLEU
    assert not any("BLEU" in finding for finding in section.findings)


def test_copied_spans_and_nearest_text_are_shown(records):
    (section,) = page.build(records, {"captions:": MATERIAL}).sections
    sample = section.samples[0].samples[0]
    assert sample.pieces == (("the old man rides a", True), ("cat .", False))
    assert sample.nearest == "the old man rides a brown horse ."
    assert side_by_side([section.board.rows[0]], None)[0].samples[0].pieces == (("the old man rides a cat .", False),)


@pytest.mark.parametrize("panel", PANELS[1:])
def test_every_panel_is_a_picture_with_words_and_a_table(panel):
    chart = panel_charts.draw(panel, "name")
    assert chart.alternative
    assert chart.table.rows
    assert chart.spec["description"] == chart.alternative
    assert panel_charts.draw(PANELS[0], "name") is None


def test_a_long_line_is_thinned_and_keeps_its_end():
    points = [(i, float(i)) for i in range(1000)]
    thin = panel_charts.thinned([*points, (1000, float("nan"))])
    assert len(thin) <= panel_charts.LIMIT
    assert thin[-1] == (999, 999.0)


def test_markdown_has_every_picture_beside_it_and_latex_every_table(records, tmp_path):
    made = page.build(records, {"captions:": MATERIAL})
    files = export.write(made, tmp_path / "out" / "README.md")
    text = files[0].read_text()
    assert all(f"]({file.name})" in text and file.read_text().startswith("<svg") for file in files[1:])
    assert "mean BLEU-4 over Self-BLEU-4" in text
    (tex,) = export.write(made, tmp_path / "out" / "tables.tex")
    assert tex.read_text().count(r"\toprule") == 4  # board, frontier, what time has reached, cost
    if shutil.which("pdflatex"):
        document = [
            "\\documentclass{article}\\usepackage{booktabs}\\begin{document}",
            tex.read_text(),
            "\\end{document}",
        ]
        (tmp_path / "page.tex").write_text("\n".join(document))
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]


def test_the_page_is_one_file_that_names_nothing_outside(records, tmp_path):
    (file,) = export.write(page.build(records, {"captions:": MATERIAL}), tmp_path / "report.html")
    text = file.read_text()
    assert file.stat().st_size < 5_000_000
    assert 'src="' not in text.split("<script>")[0]
    assert "<mark>the old man rides a</mark>" in text
    assert "The same as a table" in text
    with pytest.raises(ValueError, match="ends in"):
        export.write(page.build(records, {}), tmp_path / "report.pdf")


def along(family: str, variant: str, ppl: float, decode: str = "ancestral") -> Record:
    values = {"word_ppl": Value(ppl, "word_ppl|v:1", False, 9, interval=(ppl - 1, ppl + 1))}
    return Record("wikitext2", "unconditional", family, variant, decode, 0, values, {}, "exact")


def test_a_swept_number_is_drawn_as_a_curve_and_other_rows_as_levels():
    swept = [along("hmm", f"states={n} train.every=4", 400 - n) for n in (64, 128, 256)]
    others = [along("hmm", "states=64", 390.0), along("hmm", "states=512", 380.0), along("ngram", "order=5", 220.0)]
    (section,) = page.build([*swept, *others], {}).sections
    (block,) = [block for block in section.blocks if block.title == "Along what was swept"]
    (chart,) = block.charts  # two numbers of `states` alone, and one order, make no curve
    assert chart.title == "word perplexity along states"
    curve, _, _, levels = chart.spec["layer"]
    points = curve["data"]["values"]
    assert [(p["x"], p["y"], p["low"], p["high"]) for p in points if p["curve"]] == [
        (64, 336, 335, 337), (128, 272, 271, 273), (256, 144, 143, 145),
    ]  # fmt: skip
    assert {p["family"] for p in points if p["curve"]} == {"hmm train.every=4"}
    assert [(p["family"], p["x"]) for p in points if not p["curve"]] == [("hmm", 64), ("hmm", 512)]  # two are no curve
    assert {level["family"] for level in levels["data"]["values"]} == {"ngram"}
    assert levels["encoding"]["color"]["scale"]["range"] == COLOURS[:3]  # whatever its place on the board
    assert curve["encoding"]["x"]["scale"]["type"] == "log"


def test_a_swept_number_of_the_corpus_is_a_curve_too():
    rows = [replace(along("lstm", "", 400 - n), config={"data": {"train": n}}) for n in (30, 100, 300)]
    (section,) = page.build(rows, {}).sections
    (block,) = [block for block in section.blocks if block.title == "Along what was swept"]
    (chart,) = block.charts
    assert chart.title == "word perplexity along data.train"
    assert [point["x"] for point in chart.spec["data"]["values"]] == [30, 100, 300]


def test_the_numbers_of_decode_settings_are_drawn_as_curves_beside_plain_sampling():
    def drawn(family, decode, bleu):
        values = {name: Value(bleu, f"{name}|v:1", None, 9) for name in ("bleu4", "selfbleu4")}
        return Record("captions", "unconditional", family, "", decode, 0, values, {}, "exact")

    steps = [drawn("diffusion", f"unmask steps={n}", n / 20) for n in (1, 4, 8)]
    sure = [drawn("diffusion", f"unmask order=confidence steps={n}", n / 10) for n in (1, 4)]
    plain = [drawn(family, "ancestral", 0.7) for family in ("diffusion", "lstm", "human")]
    cold = [drawn("lstm", f"ancestral temperature={t}", t) for t in (0.4, 0.6, 0.8)]  # which the frontier shows
    (section,) = page.build([*steps, *sure, *plain, *cold], {}).sections
    (block,) = [block for block in section.blocks if block.title == "Quality and diversity"]
    frontier, *curves = block.charts
    assert frontier.title.startswith("BLEU-4 against")
    assert [chart.title for chart in curves] == ["BLEU-4 along steps", "Self-BLEU-4 along steps"]
    curve, _, _, levels = curves[0].spec["layer"]
    points = curve["data"]["values"]
    assert [(p["family"], p["x"], p["y"]) for p in points if p["curve"]] == [
        ("diffusion unmask", 1, 0.05), ("diffusion unmask", 4, 0.2), ("diffusion unmask", 8, 0.4),
    ]  # fmt: skip
    assert {p["family"] for p in points if not p["curve"]} == {"diffusion unmask order=confidence"}
    assert {level["family"] for level in levels["data"]["values"]} == {"diffusion", "lstm", "human"}


def test_samples_by_likelihood_are_traded_over_temperatures_too():
    def drawn(family, temperature, lm, reverse):
        figures = {"bleu4": 1 / lm, "selfbleu4": 1 / reverse, "lm_score": lm, "reverse_lm_score": reverse}
        values = {name: Value(figure, f"{name}|v:1", None, 9) for name, figure in figures.items()}
        return Record(
            "coco", "unconditional", family, "", f"ancestral temperature={temperature}", 0, values, {}, "exact"
        )

    likelihood = [
        drawn("lstm", t, lm, reverse) for t, lm, reverse in ((0.5, 2.0, 6.0), (0.7, 3.0, 5.0), (0.9, 4.0, 4.0))
    ]
    game = [drawn("seqgan", t, lm, reverse) for t, lm, reverse in ((0.5, 3.0, 6.0), (0.9, 5.0, 4.0))]
    (section,) = page.build([*likelihood, *game], {}).sections
    (block,) = [block for block in section.blocks if block.title == "Quality and diversity"]
    assert [chart.title for chart in block.charts] == [
        "BLEU-4 against Self-BLEU-4",
        "LM score against reverse LM score",
    ]
    points = {(p["family"], p["x"]): p["y"] for p in block.charts[1].spec["data"]["values"]}
    assert points["lstm", 5.0] == 3.0
    traded = block.tables[-1]
    assert [row[:3] for row in traded.rows] == [["lstm", "3.0000", "3.0000"], ["seqgan", "4.0000", "4.0000"]]
    assert traded.columns[2] == "LM score at reverse LM score 5"
    (one,) = page.build(likelihood[:1] + game[:1], {}).sections  # one setting each is no curve
    shown = [chart.title for block in one.blocks for chart in block.charts]
    assert "LM score against reverse LM score" not in shown


def test_what_was_not_swept_has_no_curve(records):
    (section,) = page.build(records, {}).sections
    assert "Along what was swept" not in [block.title for block in section.blocks]


def test_a_known_truth_has_a_table_that_shows_what_one_cross_entropy_hides():
    def oracle(family, h_pq, h_qp, own):
        figures = {"h_qp": h_qp, "nll_oracle": h_qp / 20} | ({"h_pq": h_pq, "nll_div": own} if own else {})
        values = {name: Value(figure, f"{name}|v:1", False, 9) for name, figure in figures.items()}
        return Record("oracle20", "unconditional", family, "", "ancestral", 0, values, {}, "exact")

    likely = {"h_pq": Value(400.0, "h_pq|v:1", False, 9)}  # the truth accepts none of its samples
    unaccepted = Record("oracle20", "unconditional", "ngram", "", "ancestral", 0, likely, {}, "exact")
    made = [
        oracle("collapsed", 300.0, 100.0, 40.0),
        oracle("lstm", 154.0, 190.0, 170.0),
        oracle("human", 0.0, 115.0, 0),
        unaccepted,
    ]
    (section,) = page.build(made, {}).sections
    (block,) = [block for block in section.blocks if block.title == "Against the known truth"]
    (table,) = block.tables
    assert [row[0] for row in table.rows] == ["lstm", "collapsed", "ngram", "human"]
    heads = [name.strip(" ↑↓≈") for name in table.columns]
    assert dict(zip(heads, table.rows[1], strict=True))["NLL-oracle"].strip("*") == "5.000"
    assert dict(zip(heads, table.rows[2], strict=True))["H(q, p)"] == "-"
    assert dict(zip(heads, table.rows[3], strict=True))["H(p, q)"] == "-"
    assert "SeqGAN's oracle" in table.note


def test_a_record_cannot_close_the_pages_script(records, tmp_path):
    """`<!--<script>` in a name would open a state in which `</script>` ends nothing."""
    evil = "<!--<script></script><img src=x onerror=alert(1)>"
    named = [replace(one, family=evil) if one.family == "lstm" else one for one in records]
    (file,) = export.write(page.build(named, {}), tmp_path / "report.html")
    text = file.read_text()
    assert "<!--<script" not in text
    assert "<img" not in text.split("<script>")[0]
    charts = text.split("const charts = ")[1].split(";\nconst root")[0]
    assert "<" not in charts
    assert any(evil in str(chart) for chart in json.loads(charts).values())


def test_two_hundred_rows_are_reported_and_the_first_are_drawn(tmp_path):
    made = [along("hmm", f"x=a{i}", 400 - i) for i in range(200)]
    (section,) = page.build(made, {}).sections
    assert len(section.board.rows) == 200
