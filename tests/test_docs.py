"""The commands of the site and of the README are commands, and the references hold all that the code has."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

import gentext
from gentext import config
from gentext.cli.commands import HANDLERS
from gentext.cli.parser import parser
from gentext.cli.run import check
from gentext.config.schema import located
from gentext.results import columns

DOCS = Path(__file__).parents[1] / "docs"
ROOT = [DOCS.parent / name for name in ("README.md", "CONTRIBUTING.md")]
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in (*DOCS.glob("*.md"), *ROOT)}


def blocks(page: str, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    pairs = re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)
    return [text for language, text in pairs if language in languages]


def commands_of(page: str) -> list[str]:
    text = "\n".join(blocks(page, "bash", "")).replace("\\\n", "")
    return [line for line in text.splitlines() if "gentext" in shlex.split(line, comments=True)]


def commands_in_sentences(page: str) -> list[str]:
    """Commands between back-ticks in a sentence, without those that leave something out and those of one word."""
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    return [line for line in re.findall(r"`(gentext \w[^`\n]* [^`\n]*)`", prose) if "..." not in line]


COMMANDS = [(page, line) for page in sorted(PAGES) for line in commands_of(page) + commands_in_sentences(page)]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}:{i}" for i, (page, _) in enumerate(COMMANDS)])
def test_every_command_is_one(page, line, tmp_path, monkeypatch):
    for file in blocks(page, "python", "yaml"):  # a block that begins with a file's name is that file
        name = re.match(r"# (\S+\.(?:py|yaml))\n", file)
        if name:
            path = tmp_path / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file[name.end() :], encoding="utf-8")
    (tmp_path / "examples").symlink_to(DOCS.parent / "examples")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.replace("device=cuda", "device=cpu"), comments=True)  # a GPU is not all machines'
    words = words[words.index("gentext") + 1 :]
    if words[0] != "run":
        parser(HANDLERS).parse_known_args(words)
        return
    if "--from" in words:  # its file is not here
        assert words[1] == "--from"
        return
    if re.search("submitit|slurm", line) and importlib.util.find_spec("submitit") is None:
        pytest.skip("the extra sweep is not installed")
    folder = words[words.index("--config-dir") + 1] if "--config-dir" in words else None
    overrides = [word for word in words[1:] if word not in ("-m", "--config-dir", folder)]
    with suppress(ImportError):  # an extra; what is on the hub is not fetched by a test
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    try:
        with config.searching(folder):
            check(config.completed(overrides), sweep="-m" in words or config.is_sweep(overrides))
    except ValueError as error:  # every key is known by now: the checkpoint, run or extra is not here
        if not re.search("cannot be loaded|holds no trained model|is not installed", str(error)):
            raise


BARE = {  # public, and without an example of their own: they want
    "a checkpoint of transformers": (
        "gentext.data.PretrainedTokenizer gentext.metrics.BERTScore gentext.metrics.GenerativePerplexity "
        "gentext.metrics.PretrainedEncoder gentext.models.Pretrained"
    ),
    "a trained run of a kind": (
        "gentext.detection.DetectionCorpus gentext.distillation.SampledCorpus gentext.flags.RunFlag "
        "gentext.run_judge.RunGuide gentext.run_judge.RunJudge gentext.trained.Teacher"
    ),
    "processes of their own, one for each form of a run": "gentext.bench",
    "an extra": (
        "gentext.flags.SkopsFlag gentext.flags.TransformersFlag gentext.trackers.TensorBoard gentext.trackers.Trackio"
    ),
    "to be called by Hydra": "gentext.cli.run.SweepSummary",
}


def public() -> dict[str, object]:
    """What packages export, and what options name; a protocol is described where it is met."""
    root = Path(gentext.__file__).parent
    packages = [".".join(path.parent.relative_to(root.parent).parts) for path in root.rglob("__init__.pyi")]
    names = {f"{package}.{name}" for package in packages for name in importlib.import_module(package).__all__}
    for option in (DOCS.parent / "conf").rglob("*.yaml"):
        names |= set(re.findall(r"_target_: ?(gentext[\w.]+)", option.read_text(encoding="utf-8")))
    found = {name: located(name) for name in sorted(names) if name.startswith("gentext.")}
    return {
        name: each
        for name, each in found.items()
        if (inspect.isclass(each) or inspect.isfunction(each)) and not getattr(each, "_is_protocol", False)
    }


def test_every_public_name_has_an_example():
    """A doctest, which the suite runs."""
    bare = [name for name, each in public().items() if ">>>" not in (each.__doc__ or "")]
    assert sorted(bare) == sorted(" ".join(BARE.values()).split())


@pytest.mark.slow
def test_the_page_on_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python", "python"):
        exec(block, names)
    assert len(names["swept"]) == 4
    assert len(names["found"]) >= 8


def test_each_thing_that_a_command_does_takes_three_lines_of_python():
    lines = {block: len(block.splitlines()) for block in blocks("python", "python")}
    assert [block for block, n in lines.items() if n > 3] == []
    shown = "\n".join([*lines, PAGES["python"]])
    assert [name for name in gentext.__all__ if f"gentext.{name}" not in shown and name != "TrainedModel"] == []


def test_the_references_hold_every_option_and_every_figure(tmp_path):
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    reference.write(tmp_path)
    options, figures = ((tmp_path / name).read_text(encoding="utf-8") for name in ("options.md", "figures.md"))
    named = [f"### {group}={name}\n" for group, names in config.groups().items() for name in names if group != "hydra"]
    assert [heading for heading in named if heading not in options and "hydra" not in heading] == []
    assert [figure.name for figure in columns.FIGURES if f"`{figure.name}`, " not in figures] == []


def test_pages_link_to_what_is_there():
    links = [(page, link) for page, text in PAGES.items() for link in re.findall(r"\]\((?!http)([^)#]+)", text)]
    roots = dict.fromkeys((page.stem for page in ROOT), DOCS.parent)
    made = ("docs/reference/", "reference/")  # when the site is built
    gone = [(page, to) for page, to in links if not to.startswith(made) and not (roots.get(page, DOCS) / to).exists()]
    assert gone == []
