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
from gentext.report.page import Page, ReportBlock, Section
from gentext.report.samples import Sample
from gentext.report.style import Chart
from gentext.results import board as boards
from gentext.results import render_board, render_table
from gentext.results.columns import TARGETS

# one name for the embedding function, all of Vega inlined: the page needs no network
MARK, END = "<!-- gentext: {} -->", "<!-- end -->"
ALL, ENVIRONMENT = "*", "environment"  # the part that is of all corpora
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
        head=boards.head,
        legend=render_board.LEGEND,
        about=lambda board, name: f"{board.about[name].meaning} {TARGETS[board.about[name].target]}.",
        words=words,
        charts=Markup(json.dumps(charts).replace("<", "\\u003c")),
        library=Markup(_library().replace("</script", "<\\/script")),
    )
    return [put(path, text)]


def _charts(section: Section) -> list[Chart]:
    inside = [picture.chart for family in section.families for picture in (*family.inside, *family.training)]
    return [*(chart for block in section.blocks for chart in block.charts), *(chart for chart in inside if chart)]


def _markdown(page: Page, path: Path) -> list[Path]:
    written, lines = [], [f"# {page.question}", "", page.runs, ""]
    for section in page.sections:
        corpus = section.board.corpus
        parts = provable(section, path.stem)
        lines += [
            f"## {corpus}",
            "",
            *marked(corpus, "findings", parts["findings"]),
            *marked(corpus, "board", parts["board"]),
        ]
        for block in section.blocks:
            lines += [f"### {block.title}", ""]
            lines += (
                marked(corpus, block.title, parts[block.title])
                if block.of_records
                else _block(block, path.stem, corpus)
            )
            written += [_picture(chart, path, section) for chart in block.charts]
        lines += ["### Samples side by side", ""] if section.samples else []
        for column in section.samples:
            lines += [f"**{column.row.family} · {column.row.setting}**", "", *map(_listed, column.samples), ""]
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
    lines += ["## Environment", "", *marked(ALL, ENVIRONMENT, environment(page))]
    return [put(path, "\n".join(lines)), *written]


def environment(page: Page) -> list[str]:
    """The lines of Markdown that say what a page's records were made with."""
    return [", ".join(f"{name} {version}" for name, version in page.versions.items()), ""]


def provable(section: Section, stem: str) -> dict[str, list[str]]:
    """The lines of Markdown that records alone make: findings, board, and the blocks of tables and charts by title."""
    parts = {
        "findings": [*(f"- {sentence}" for sentence in section.findings), ""],
        "board": [*render_board.markdown(section.board).split("\n"), "", f"*{render_board.LEGEND}*", ""],
    }
    return parts | {b.title: _block(b, stem, section.board.corpus) for b in section.blocks if b.of_records}


def marked(corpus: str, part: str, lines: list[str]) -> list[str]:
    """Lines between the marks by which `gentext report --check` finds them again."""
    return [MARK.format(f"{corpus} | {part}"), "", *lines, END, ""]


def _block(block: ReportBlock, stem: str, corpus: str) -> list[str]:
    lines = []
    for chart in block.charts:
        lines += [f"![{chart.alternative}]({stem}-{corpus}-{chart.name}.svg)", "", f"*{chart.caption}*", ""]
    return lines + [line for table in block.tables for line in (*render_table.markdown(table).split("\n"), "")]


def _listed(sample: Sample) -> str:
    return "- " + " ".join(piece for piece, _ in sample.pieces)


def _picture(chart: Chart, path: Path, section: Section) -> Path:
    return picture(chart, path.with_name(f"{path.stem}-{section.board.corpus}-{chart.name}.svg"))


def picture(chart: Chart, path: Path) -> Path:
    """A chart as an SVG file."""
    return put(path, svg(chart))


def svg(chart: Chart) -> str:
    """A chart as an SVG picture."""
    return vl_convert.vegalite_to_svg({**chart.spec, "width": 640, "background": "white"})


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
