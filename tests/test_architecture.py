"""ARCHITECTURE.md is what the tree, the import contract and the imports are."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import grimp
import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
UNLISTED = ("__init__.py", "__init__.pyi")  # the line of a package stands for them


def block(heading: str) -> list[str]:
    return re.search(rf"## {heading}\n.*?```\n(.*?)```", TEXT, re.DOTALL)[1].splitlines()


def listed() -> list[str]:
    """The paths of the tree, in its order; a folder's ends in /."""
    paths, parents = [], []
    for line in block("The tree"):
        indent, name = re.match(r"( *)(\S+) +\S", line).groups()
        parents[len(indent) // 2 :] = [name]
        paths.append("".join(parents))
    return paths


def on_disk() -> set[str]:
    found = [path for path in (ROOT / "gentext").rglob("*") if "__pycache__" not in path.parts]
    files = {path.relative_to(ROOT).as_posix() for path in found if path.is_file() and path.name not in UNLISTED}
    return files | {f"{folder.as_posix()}/" for file in files for folder in list(Path(file).parents)[:-1]}


def line_of(path: str) -> str:
    """The line that a path needs, with what its docstring says."""
    name = path.rstrip("/").rsplit("/", 1)[-1] + ("/" if path.endswith("/") else "")
    source = ROOT / path / ("__init__.py" if path.endswith("/") else "")
    said = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) if source.suffix == ".py" else None
    indent = "  " * path.rstrip("/").count("/")
    return f"{indent + name:<28}{(said or 'WHAT IT IS').splitlines()[0]}"


def test_the_tree_lists_every_file_once():
    paths = listed()
    twice = sorted({path for path in paths if paths.count(path) > 1})
    assert not twice, f"remove from the tree of ARCHITECTURE.md, since listed twice: {', '.join(twice)}"
    gone = sorted(set(paths) - on_disk())
    assert not gone, f"remove from the tree of ARCHITECTURE.md, since not on disk: {', '.join(gone)}"
    lacking = [f"under {path.rstrip('/').rpartition('/')[0]}/: {line_of(path)}" for path in on_disk() - set(paths)]
    assert not lacking, "add to the tree of ARCHITECTURE.md, each with what it is:\n" + "\n".join(sorted(lacking))


def test_every_line_of_the_tree_is_short():
    assert [line for line in block("The tree") if len(line) > 140] == []


def files_named(text: str) -> list[str]:
    return re.findall(r"`([\w/]+(?:\.pyi?|\.yaml|\.md))`", text)


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_files_named_in_the_text_exist(page):
    """But for those that the reader is to write, which are in capitals."""
    named = [name for name in files_named((ROOT / page).read_text(encoding="utf-8")) if "NAME" not in name]
    gone = [name for name in named if not any((ROOT / base / name).exists() for base in ("", "gentext"))]
    assert not gone, f"{page} names what is not there: {', '.join(gone)}"


WALKS = {  # the files to open at most: half of those before each thing stood in one place
    "Add a family": 7,
    "Add a metric": 3,
    "Follow a line of text": 4,
    "Find why a number is what it is": 3,
    "Add a column to the board": 2,
    "Change how a run resumes": 4,
}


def test_no_walk_is_longer_than_it_was():
    walks = re.findall(r"^- \*\*(.+?)\*\*: (.*?)(?=^- |\Z)", TEXT[TEXT.index("## Walks") :], re.DOTALL | re.MULTILINE)
    found = {name: len({*files_named(text.partition("From outside")[0])}) for name, text in walks}
    assert found.keys() == WALKS.keys()
    assert {name: n for name, n in found.items() if n > WALKS[name]} == {}


def test_the_layers_are_those_of_the_import_contract():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert block("The layers") == [layer.replace("(", "").replace(")", "") for layer in layers]


def test_no_module_is_part_of_an_import_cycle():
    graph = grimp.build_graph("gentext", exclude_type_checking_imports=False, cache_dir=None)
    imports = nx.DiGraph((one, two) for one in graph.modules for two in graph.find_modules_directly_imported_by(one))
    assert [sorted(cycle) for cycle in nx.strongly_connected_components(imports) if len(cycle) > 1] == []
