"""A page as one self-contained HTML file, as Markdown with SVG pictures, or as a set of LaTeX tables."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import jinja2
import vl_convert
from markupsafe import Markup

from gentext.files import write_text
from gentext.panels import words
from gentext.report.page import Page, Section
from gentext.report.samples import Sample
from gentext.report.style import Chart
from gentext.results import board as boards
from gentext.results import render_board, render_table

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
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = {f"b{i}-{chart.name}": chart.spec for i, s in enumerate(page.sections, 1) for chart in _charts(s)}
    text = environment.get_template("page.html.j2").render(
        page=page,
        cell_words=boards.text,
        words=words,
        charts=Markup(json.dumps(charts).replace("</", "<\\/")),
        library=Markup(_library().replace("</script", "<\\/script")),
    )
    return [put(path, text)]


def _charts(section: Section) -> list[Chart]:
    inside = [picture.chart for family in section.families for picture in (*family.inside, *family.training)]
    return [*(chart for block in section.blocks for chart in block.charts), *(chart for chart in inside if chart)]


def _markdown(page: Page, path: Path) -> list[Path]:
    written, lines = [], [f"# {page.question}", "", page.runs, ""]
    for section in page.sections:
        lines += [f"## {section.board.data}", "", *(f"- {sentence}" for sentence in section.findings), ""]
        lines += [render_board.markdown(section.board), "", f"*{render_board.LEGEND}*", ""]
        for block in section.blocks:
            lines += [f"### {block.title}", ""]
            for chart in block.charts:
                written.append(_picture(chart, path, section))
                lines += [f"![{chart.alternative}]({written[-1].name})", "", f"*{chart.caption}*", ""]
            lines += [line for table in block.tables for line in (render_table.markdown(table), "")]
        lines += ["### Samples side by side", ""] if section.samples else []
        for column in section.samples:
            lines += [f"**{column.row.family} · {column.row.decode}**", "", *map(_listed, column.samples), ""]
        for family in section.families:
            lines += [f"### Inside {family.name}", ""] if family.inside else []
            for picture in family.inside:
                lines += [f"**{picture.title}**", ""]
                if picture.chart is None:
                    lines += [render_table.markdown(picture.table), ""]
                else:
                    written.append(_picture(picture.chart, path, section))
                    lines += [f"![{picture.chart.alternative}]({written[-1].name})", "", f"*{picture.note}*", ""]
    lines += ["## Commands", "", "```", *page.commands, "```", ""]
    lines += ["## Environment", "", ", ".join(f"{name} {version}" for name, version in page.versions.items()), ""]
    return [put(path, "\n".join(lines)), *written]


def _listed(sample: Sample) -> str:
    return "- " + " ".join(piece for piece, _ in sample.pieces)


def _picture(chart: Chart, path: Path, section: Section) -> Path:
    """A chart as an SVG file beside the Markdown."""
    picture = path.with_name(f"{path.stem}-{section.board.data}-{chart.name}.svg")
    return put(picture, vl_convert.vegalite_to_svg({**chart.spec, "width": 640, "background": "white"}))


def _latex(page: Page, path: Path) -> list[Path]:
    parts = []
    for section in page.sections:
        parts += [
            render_board.latex(section.board),
            *(render_table.latex(t) for block in section.blocks for t in block.tables),
        ]
    return [put(path, "\n\n".join(parts) + "\n")]


def put(path: Path, text: str) -> Path:
    """The path, once the text stands there whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(text, path)
    return path


@cache
def _library() -> str:
    return vl_convert.javascript_bundle(SNIPPET)
