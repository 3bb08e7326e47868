"""A page as one self-contained HTML file, as Markdown with SVG pictures, or as LaTeX tables."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import jinja2
import vl_convert
from markupsafe import Markup

from gentext.results import board as boards
from gentext.results import forms
from gentext.results.record import atomic
from gentext.results.report.page import Page

# one name for the embedding function, all of Vega inlined: the page needs no network
SNIPPET = "window.embed = vegaEmbed;"


def write(page: Page, path: Path) -> list[Path]:
    """The files written: `path` by its ending (.html, .md with pictures beside it, .tex)."""
    writers = {".html": _html, ".md": _markdown, ".tex": _latex}
    if path.suffix not in writers:
        raise ValueError(f"a report ends in {', '.join(writers)}; {path.name} does not")
    path.parent.mkdir(parents=True, exist_ok=True)
    return writers[path.suffix](page, path)


def _html(page: Page, path: Path) -> list[Path]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    charts = {f"b{i}-{c.name}": c.spec for i, section in enumerate(page.sections, 1) for c in section.charts}
    text = environment.get_template("page.html.j2").render(
        page=page,
        words=boards.text,
        charts=Markup(json.dumps(charts).replace("</", "<\\/")),
        library=Markup(_library().replace("</script", "<\\/script")),
    )
    return [put(path, text)]


def _markdown(page: Page, path: Path) -> list[Path]:
    written, lines = [], [f"# {page.question}", "", page.runs, ""]
    for section in page.sections:
        lines += [f"## {section.board.data}", "", *(f"- {sentence}" for sentence in section.findings), ""]
        lines += [forms.markdown(section.board), ""]
        for chart in section.charts:
            picture = path.with_name(f"{path.stem}-{section.board.data}-{chart.name}.svg")
            spec = {**chart.spec, "width": 640, "background": "white"}
            written.append(put(picture, vl_convert.vegalite_to_svg(spec)))
            lines += [f"![{chart.alternative}]({picture.name})", "", f"*{chart.caption}*", ""]
        for name, samples in section.samples.items():
            lines += [f"**{name}**", "", *(f"- {' '.join(word for word, _ in s.words)}" for s in samples), ""]
    lines += ["## Commands", "", "```", *page.commands, "```", ""]
    return [put(path, "\n".join(lines)), *written]


def _latex(page: Page, path: Path) -> list[Path]:
    return [put(path, "\n\n".join(forms.latex(section.board) for section in page.sections) + "\n")]


def put(path: Path, text: str) -> Path:
    """The path, once the text stands there whole."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


@cache
def _library() -> str:
    return vl_convert.javascript_bundle(SNIPPET)
