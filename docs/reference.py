"""The pages of reference/, made from the code: every figure, every option of every group, the Python API."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

import gentext
from gentext import config
from gentext.config.schema import Root
from gentext.results import columns

PACKAGES = {
    "data": "Corpora and tokenizers",
    "truth": "Known distributions",
    "models": "Families",
    "decode": "Decoders",
    "train": "Trainers",
    "adversarial": "Adversarial training",
    "metrics": "Metrics",
}
MODULES = {"losses": "Losses", "schedules": "Schedules", "trackers": "Trackers"}
GROUPS = {
    "data": "The corpus.",
    "tokenizer": "How text becomes token ids.",
    "family": "What is trained: a model, with its trainer and loss.",
    "model": "Models alone, to put into a family: `model@family.generator=transformer`.",
    "train": "How parameters move.",
    "loss": "What gradient training makes small.",
    "decode": "How texts are drawn; an option may be several settings, a row of the board each.",
    "eval": "Which metrics are computed, over how many samples.",
    "encoder": "Text encoders for the metrics over vectors: `eval=full encoder@eval.encoder=pretrained`.",
    "flag": "What says that a text is not wanted: `eval=safety flag@eval.metrics.flagged.flag=words`.",
    "tuned": "Sizes that a family begins with on a corpus, where both are chosen; not with `~tuned`.",
    "track": "What every family has alike: training time, operations or parameters.",
    "tracker": "Where the figures of a run are mirrored.",
    "search": "What `gentext tune` searches.",
    "experiment": "Whole sweeps, as they were run for the reports in `experiments/`.",
}


def write(folder: Path) -> None:
    """Write every page; one that has not changed is left as it is."""
    folder.mkdir(exist_ok=True)
    for name, text in {"figures.md": figures(), "options.md": options(), "python.rst": python()}.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def figures() -> str:
    """Every figure that a board knows."""
    parts = [
        "# Every figure",
        "Read from `gentext/results/columns.py`. A name with an order stands for all its orders: `bleu` for `bleu1` to "
        "`bleu5`. The target says which value is best: " + "; ".join(columns.TARGETS.values()) + ".",
    ]
    for metric in dict.fromkeys(figure.metric for figure in columns.FIGURES):
        parts.append(f"## {metric}" if metric != "cost" else "## What a run cost")
        for figure in columns.FIGURES:
            if figure.metric == metric:
                facts = [f"Best: {figure.target}" if figure.target != "none" else "No target"]
                facts += [f"unit: {figure.unit}"] if figure.unit else []
                facts += [f"computed as: {_plain(figure.source)}"] if figure.source else []
                parts.append(f"`{figure.name}`, {figure.title}\n: {_plain(figure.meaning)}\n\n  {'; '.join(facts)}.")
    return "\n\n".join(parts) + "\n"


def options() -> str:
    """Every option of every group of conf/, with the file itself and the arguments that it leaves at their defaults."""
    parts = [
        "# Every option",
        "An option is a file in `conf/`. `gentext run GROUP=OPTION` chooses it, `gentext run GROUP.KEY=VALUE` changes "
        "a key of it; `gentext list GROUP` prints the same lines in a terminal.",
        "## Keys of every run",
        _code("python", inspect.getsource(Root).split('"""\n', 1)[1]),
    ]
    for group, names in sorted(config.groups().items(), key=lambda found: _place(found[0])):
        if "hydra" in group:
            continue
        parts += [f"## {group}", GROUPS[group]]
        for name, line in names.items():
            path = config.folder() / group / f"{name}.yaml"
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [at for at in lines if at.lstrip("# ") != line]
            parts += [f"### {group}={name}", _plain(line[:1].upper() + line[1:]) + ".", _code("yaml", "\n".join(kept))]
            parts += [_defaults(target, given) for target, given in _targets(OmegaConf.load(path))]
    return "\n\n".join(part for part in parts if part) + "\n"


def python() -> str:
    """The public names of every package, by autodoc."""
    parts = [_title("The Python API", "=")]
    parts.append(_title("gentext", "-"))
    for name in gentext.__all__:
        kind = "autofunction" if inspect.isfunction(getattr(gentext, name)) else "autoclass"
        parts.append(f".. {kind}:: gentext.{name}")
    parts.append(_class("gentext.latent_space", "LatentSpace"))
    parts.append(_title("gentext.language_model", "-"))
    parts += [_class("gentext.language_model", name) for name in _classes("language_model")]
    parts.append(_title("gentext.types", "-"))
    parts += [_class("gentext.types", name) for name in _classes("types")]
    for package, title in PACKAGES.items():
        parts.append(_title(f"{title}: gentext.{package}", "-"))
        stub = Path(gentext.__file__).parent / package / "__init__.pyi"
        names = [alias.asname for node in ast.parse(stub.read_text()).body for alias in node.names]
        parts += [_class(f"gentext.{package}", name) for name in names]
    for module, title in MODULES.items():
        parts.append(_title(f"{title}: gentext.{module}", "-"))
        parts += [_class(f"gentext.{module}", name) for name in _classes(module)]
    return "\n\n".join(parts) + "\n"


ITEM = re.compile(r"([\w.*/`-]+(?:, [\w.*/`-]+){0,6}): (\S.*)")
SECTION = re.compile(r"(Args|Example|Examples|Raises|Returns|Yields|Attributes):$")


def as_markup(_app: Any, _what: str, _name: str, _found: Any, _options: Any, lines: list[str]) -> None:
    """A docstring's lines `name: what it is`, each with what is indented below it, as a list; its bars as no markup."""
    made: list[str] = []
    item = section = False
    for line in lines:
        if section or SECTION.match(line) or line.lstrip().startswith(">>>"):
            section = True  # what Napoleon reads, up to the end
            made.append(line)
        elif match := ITEM.match(line):
            made += ["", f"* **{match[1].strip('`')}**: {_bars(match[2])}"]
            item = True
        elif item and line.startswith(" "):
            made[-1] += f" {_bars(line.strip())}"
        elif item and line and made[-1].startswith(("* **Source**", "* **Differs**", "* **Raises**")):
            made[-1] += f" {_bars(line)}"
        else:
            made += ["", _bars(line)] if item and line else [_bars(line)]
            item = item and not line
    lines[:] = made


def _bars(text: str) -> str:
    return text.replace("|", "\\|")


def _classes(module: str) -> list[str]:
    path = Path(gentext.__file__).parent / f"{module}.py"
    found = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return [node.name for node in found if not node.name.startswith("_") and ast.get_docstring(node)]


def _class(module: str, name: str) -> str:
    return f".. autoclass:: {module}.{name}"


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"


def _place(group: str) -> int:
    return list(GROUPS).index(group) if group in GROUPS else len(GROUPS)


def _targets(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Each class that a file builds at its top, and the keys that the file gives it."""
    if OmegaConf.is_dict(node):
        if node.get("_target_"):
            yield node._target_, {str(key) for key in node}
        else:
            for key in node:
                value = node._get_node(key)
                if OmegaConf.is_dict(value) and value.get("_target_"):
                    yield value._target_, {str(each) for each in value}


def _defaults(target: str, given: set[str]) -> str:
    """The arguments of a class that a file leaves as they are, as one line."""
    parameters = inspect.signature(get_object(target)).parameters.values()
    left = [f"{p.name}={p.default!r}" for p in parameters if p.name not in given and p.default is not p.empty]
    return f"`{target}` also takes {', '.join(f'`{each}`' for each in left)}." if left else ""


def _code(language: str, text: str) -> str:
    return f"```{language}\n{textwrap.dedent(text).strip()}\n```"


def _plain(text: str) -> str:
    """Text whose marks are no markup."""
    for mark in "*_<|":
        text = text.replace(mark, f"\\{mark}")
    return text
