import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gentext.cli import main
from gentext.report import export, page
from gentext.report.check import check, older, update
from gentext.results import record
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
    shown = export.write(page.build(made, {}), tmp_path / "README.md")
    assert {path.suffix for path in shown} <= {".md", ".svg"}
    return tmp_path


def test_tables_that_the_records_make_are_proven(folder, capsys):
    assert check([folder]) == check([folder / "README.md"]) == [folder / "README.md"]
    assert main(["report", "--check", str(folder)]) == 0
    assert "its tables are what the records say" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.2500", "0.2900", r"0.2900 \|\nwhere the records say\n.*0.2500"),
        ("| board", "| boards", "no records make"),
        ("<!-- gentext: captions | board -->", "", "outside the marks"),
        ("<!-- gentext", "<!--", "without a marked part"),
        ("<!-- end -->", "", "has no <!-- end -->"),
    ],
)
def test_a_figure_that_no_record_holds_is_found(folder, old, new, said):
    file = folder / "README.md"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ValueError, match=said):
        check([folder])


def test_the_environment_tells_every_commit_and_processor_of_the_rows(folder):
    file, kept = folder / "README.md", folder / "records.jsonl"
    held = record.find([kept])
    held.append(replace(held[0], seed=1))
    same = {"python": "3.11.7", "cpu": "AMD EPYC"}
    versions = [
        same | {"commit": "aaaaaaa"},
        same | {"commit": "bbbbbbb"},
        same | {"commit": "bbbbbbb", "cuda": "12.8"},
    ]
    made = [replace(one, versions=each) for one, each in zip(held, versions, strict=True)]
    kept.write_text("".join(json.dumps(record.plain(one)) + "\n" for one in made))
    export.write(page.build(made, {}), file)
    line = "python 3.11.7, cpu AMD EPYC, commit bbbbbbb (2 rows) and aaaaaaa (1 row), cuda 12.8 (1 row)"
    assert f"\n<!-- gentext: * | environment -->\n\n{line}\n\n<!-- end -->\n" in file.read_text()
    check([folder])
    file.write_text(file.read_text().replace("aaaaaaa (1 row)", "bbbbbbb"))
    with pytest.raises(ValueError, match=r"where the records say\n.*aaaaaaa"):
        check([folder])


def test_only_a_newline_ends_a_line(folder):
    """str.splitlines would end one at form feeds and at U+2028 too, and so write the file anew without them."""
    file = folder / "README.md"
    text = file.read_text(encoding="utf-8") + "- a sample \u2028 with \x0c separators \x85 inside\n"
    file.write_text(text, encoding="utf-8")
    check([folder])
    assert main(["report", "--update", str(folder)]) == 0
    assert file.read_text(encoding="utf-8") == text


def test_what_cannot_be_proven_is_told(folder):
    (folder / "records.jsonl").unlink()
    with pytest.raises(ValueError, match="no Markdown beside"):
        check([folder])
    with pytest.raises(ValueError, match=r"proven without .*records\.jsonl"):
        check([folder / "README.md"])


def test_what_the_records_no_longer_say_is_written_anew(folder, capsys):
    file = folder / "README.md"
    kept = file.read_text()
    file.write_text(kept.replace("0.2500", "0.2900") + "My own words.\n")
    assert main(["report", "--update", str(folder)]) == 0
    assert str(file) in capsys.readouterr().out
    assert file.read_text() == kept + "My own words.\n"
    columns = "<!-- gentext: captions | board | bleu4 | . -->\n\n<!-- end -->\n"
    file.write_text(columns)
    assert main(["report", "--update", str(file)]) == 0
    assert "| lstm | ancestral | 1 | 0.5000 |" in file.read_text()


def test_records_that_older_code_made_are_told(folder, capsys):
    assert older([folder]) == []  # no checkout

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        command = ["git", *who, "-C", str(folder), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(message, changed="docs/page.md"):
        file = folder / changed
        file.parent.mkdir(exist_ok=True)
        file.write_text(message)
        git("add", changed)
        git("commit", "-q", "-m", message)
        return git("rev-parse", "--short", "HEAD")

    git("init", "-q")
    made = commit("first\n\nNumerics: changed: all")
    assert older([folder])[0].endswith("commit that is not known here (none recorded): lstm (ancestral), ...")
    kept = folder / "records.jsonl"
    rows = [replace(one, versions={"commit": made}) for one in record.find([kept])]
    kept.write_text("".join(json.dumps(record.plain(one)) + "\n" for one in rows))
    update([folder])
    commit("docs: nothing\n\nNumerics: unchanged")
    commit("demo: run it again\n\nNumerics: changed: bleu4 .1 .2")  # of the records alone
    assert older([folder]) == []
    last = commit("bleu: count otherwise\n\nNumerics: changed: bleu4 .1 .2", "gentext/bleu.py")
    assert older([folder]) == [
        f"{kept}: 2 rows of {made}, before 1 change of figures, the last of them {last} bleu: count otherwise"
    ]
    assert main(["report", "--check", str(folder)]) == 0
    assert "older than the code: " in capsys.readouterr().out
    for named, told in [
        ("other", 1),
        (f"other, {folder.name}/ngram*", 1),
        (f"{folder.name}/lstm", 2),
        (folder.name, 3),
    ]:
        commit(f"lstm: {named}\n\nNumerics: changed: bleu4 .1 .2\nOlder: {named}", "gentext/lstm.py")
        assert f"before {told} change" in older([folder])[0]
    commit(f"docs: say what moved\n\nOlder by {last}: other\nNumerics: unchanged")
    assert "before 2 changes" in older([folder])[0]
    commit(f"docs: say it again\n\nOlder by {last}: {folder.name}/lstm\nNumerics: unchanged")
    assert "before 3 changes" in older([folder])[0]


@pytest.mark.slow  # `make check` does the same from the command line
@pytest.mark.skipif(not (ROOT / "experiments").exists(), reason="not a checkout")
def test_what_this_project_commits_is_proven():
    assert ROOT / "README.md" in check([ROOT / "experiments", ROOT / "README.md"])
