import json
from pathlib import Path

import pytest

from gentext.cli import main
from gentext.report.check import check
from gentext.results import board, record, render_board
from gentext.results.record import Record
from gentext.types import Value

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """Records, and a Markdown that shows them."""
    values = {"lstm": Value(0.5, "bleu4|v:1", True, 3), "hmm": Value(0.25, "bleu4|v:1", True, 3)}
    made = [
        Record("captions", "unconditional", family, "", "ancestral", 0, {"bleu4": value}, {}, "exact")
        for family, value in values.items()
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record.plain(one)) + "\n" for one in made))
    (tmp_path / "README.md").write_text(
        "# What is best?\n\n" + render_board.markdown(board.rank(made)[0]) + "\n\nWords.\n"
    )
    return tmp_path


def test_tables_that_the_records_make_are_proven(folder, capsys):
    assert check([folder]) == check([folder / "README.md"]) == [folder / "README.md"]
    assert main(["report", "--check", str(folder)]) == 0
    assert "its tables are what the records say" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.2500", "0.2900", r"0.2900 \|\nwhere the records say\n.*0.2500"),
        ("bleu4", "bleu5", "no records make a table"),
        ("| family", "| who", "without a table"),
    ],
)
def test_a_figure_that_no_record_holds_is_found(folder, old, new, said):
    file = folder / "README.md"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ValueError, match=said):
        check([folder])


def test_what_cannot_be_proven_is_told(folder):
    (folder / "records.jsonl").unlink()
    with pytest.raises(ValueError, match="no Markdown beside"):
        check([folder])
    with pytest.raises(ValueError, match=r"without a records\.jsonl"):
        check([folder / "README.md"])


@pytest.mark.skipif(not (ROOT / "experiments").exists(), reason="not a checkout")
def test_what_this_project_commits_is_proven():
    assert ROOT / "README.md" in check([ROOT / "experiments", ROOT / "README.md"])
