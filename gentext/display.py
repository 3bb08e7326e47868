"""What the functions of gentext return: results that print as tables, in a notebook too, and become pandas frames."""

from __future__ import annotations

import html
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gentext import files
from gentext.panels import HeatLine, Heatmap, Panel, Points, Table, words
from gentext.results import board as boards
from gentext.results import record as records
from gentext.results import render_board, render_table
from gentext.results.board import Board
from gentext.results.record import Record

if TYPE_CHECKING:
    import pandas


class Boards(Sequence[Board]):
    """Leaderboards, one per corpus: `print` shows them, `.text("markdown")` gives another form."""

    def __init__(self, ranked: Sequence[Board]) -> None:
        self.boards = tuple(ranked)

    def __getitem__(self, index: Any) -> Any:
        return self.boards[index]

    def __len__(self) -> int:
        return len(self.boards)

    def text(self, form: str = "terminal") -> str:
        """As text: terminal, markdown, csv, json or latex."""
        with redirect_stdout(io.StringIO()) as out:
            render_board.show(self.boards, form)
        return out.getvalue()

    def frame(self) -> pandas.DataFrame:
        """A pandas frame: a row per row of the boards; a figure, its interval's ends and its kind in columns."""
        return _pandas().read_csv(io.StringIO(self.text("csv")))

    def __repr__(self) -> str:
        return self.text().rstrip()

    def _repr_html_(self) -> str:
        return "".join(_html(board.title, *boards.table(board)) for board in self.boards)


class Results(Sequence[Record]):
    """Records of what was run or judged, one per run and decode setting."""

    def __init__(self, found: Sequence[Record]) -> None:
        self.records = tuple(found)

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def board(self, **options: Any) -> Boards:
        """Their leaderboard; `options` are those of `gentext.board`."""
        for key in ("columns", "group"):
            if isinstance(options.get(key), str):
                options[key] = [options[key]]
        return Boards(boards.rank(self.records, **options))

    def figures(self, decode: str | None = None) -> dict[str, float]:
        """Every figure of the first record, or of the first of a decode setting, by its name."""
        return {name: value.value for name, value in self._first(decode).values.items()}

    def save(self, path: str | Path) -> Path:
        """Write the records, a line each, as `gentext board --format jsonl` prints them; every command reads them."""
        files.write_text(records.to_jsonl(self.records), Path(path))
        return Path(path)

    def publish(self, folder: str | Path, *, trusted: Collection[str] = ()) -> list[Path]:
        """Write their board as static files, ready to be served, as `gentext board --publish` does; the files."""
        from gentext.report import write

        return write.publish(self.records, folder, trusted=trusted)

    def frame(self) -> pandas.DataFrame:
        """A pandas frame: a row per record and figure, with its interval, its kind and how it was computed."""
        return _pandas().DataFrame(list(self._rows()))

    def _first(self, decode: str | None) -> Record:
        """The first record, or the first of a decode setting."""
        for record in self.records:
            if decode in (None, record.decode):
                return record
        raise ValueError(f"no record has decode {decode!r}. Known: {', '.join(r.decode for r in self.records)}")

    def _rows(self) -> Iterator[dict[str, Any]]:
        for record in self.records:
            for name, value in record.values.items():
                low, high = value.interval or (None, None)
                yield {
                    **{key: getattr(record, key) for key in ("data", "family", "variant", "decode", "seed")},
                    **{"figure": name, "value": value.value, "low": low, "high": high},
                    **{"exactness": value.exactness, "n": value.n, "signature": value.signature},
                }

    def __repr__(self) -> str:
        return repr(self.board())

    def _repr_html_(self) -> str:
        return self.board()._repr_html_()


class Run(Results):
    """A finished run: its records, one per decode setting, and its folder."""

    def __init__(self, found: Sequence[Record], folder: Path) -> None:
        super().__init__(found)
        self.folder = folder

    def samples(self, decode: str | None = None) -> list[str] | None:
        """The stored samples of its first decode setting, or of the one named; None where they are not stored."""
        return records.samples(self._first(decode))

    def load(self, **options: Any) -> Any:
        """The trained model; `options` are those of `gentext.load`."""
        from gentext.trained import load

        return load(self.folder, **options)

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n{self.folder}"


class Sweep(Results):
    """The finished jobs of a sweep: their records; `failures` says why the other jobs ended, each with its command."""

    def __init__(self, found: Sequence[Record], failures: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(found)
        self.failures = tuple(failures)

    def __repr__(self) -> str:
        return "\n".join([super().__repr__(), *(f"failed: {job['command']}: {job['reason']}" for job in self.failures)])


class Explanation(str):
    """A text of several lines that a notebook shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self)}</pre>"


class Tabular:
    """A table: `print` shows it, `.text("markdown")` gives another form."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def show(self, form: str = "terminal") -> None:
        """Print it: terminal (as wide as that is), markdown, csv or json."""
        render_table.show(self.table, form)

    def text(self, form: str = "terminal") -> str:
        """As text: terminal, markdown, csv or json."""
        with redirect_stdout(io.StringIO()) as out:
            self.show(form)
        return out.getvalue()

    def frame(self) -> pandas.DataFrame:
        """A pandas frame of its cells."""
        return _pandas().DataFrame(list(self.table.rows), columns=list(self.table.columns))

    def __repr__(self) -> str:
        return self.text().rstrip()

    def _repr_html_(self) -> str:
        return _html(self.table.title, self.table.columns, *self.table.rows)


class Tables(Sequence[Tabular]):
    """Several tables: `print` shows them all."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.tables = tuple(map(Tabular, tables))

    def __getitem__(self, index: Any) -> Any:
        return self.tables[index]

    def __len__(self) -> int:
        return len(self.tables)

    def text(self, form: str = "terminal") -> str:
        """As text: terminal, markdown, csv or json."""
        return "\n".join(table.text(form) for table in self.tables)

    def frame(self) -> pandas.DataFrame:
        """A pandas frame of all cells; its first index level is the table's title."""
        return _pandas().concat({table.table.title: table.frame() for table in self.tables})

    def __repr__(self) -> str:
        return self.text().rstrip()

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)


class Inspection(Tables):
    """How a model read a text: panels that print with their colours, in a terminal and in a notebook.

    A terminal is spared the panels that another one sums up (each head's attention); `.text(whole=True)`, HTML and
    `.frame()` have all.
    """

    def __init__(self, panels: Sequence[Panel]) -> None:
        super().__init__([panel.table() for panel in panels])
        self.panels = tuple(panels)

    def show(self, form: str = "terminal", *, whole: bool = False) -> None:
        """Print it: terminal, markdown, csv or json."""
        for panel in self.panels:
            if whole or not (isinstance(panel, Heatmap) and panel.detail):
                render_table.show_panel(panel, form)
                print()

    def text(self, form: str = "terminal", *, whole: bool = False) -> str:
        """As text: terminal, markdown, csv or json."""
        with redirect_stdout(io.StringIO()) as out:
            self.show(form, whole=whole)
        return out.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write it as a page of its own; the path."""
        return _page("gentext inspect", self._repr_html_(), path)

    def _repr_html_(self) -> str:
        return "".join(map(_panel_html, self.panels))


class Measurements(Tabular):
    """What `gentext bench` measured: a table, and in a notebook a picture of it."""

    def __init__(self, table: Table, picture: Points) -> None:
        super().__init__(table)
        self.picture = picture

    def save(self, path: str | Path) -> Path:
        """Write table and picture as a page; the path."""
        return _page("gentext bench", self._repr_html_(), path)

    def _repr_html_(self) -> str:
        return _panel_html(self.table) + _panel_html(self.picture)


def _page(title: str, body: str, path: str | Path) -> Path:
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    head += '<meta name="viewport" content="width=device-width,initial-scale=1">'
    style = "body{font:16px/1.6 system-ui,sans-serif;margin:min(2rem,4vw)}svg{max-width:100%;height:auto}"
    style += "table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}"
    style += "td,th{padding:.15rem .5rem;text-align:left;white-space:nowrap}caption{text-align:left;font-weight:600}"
    files.write_text(f"{head}<style>{style}</style>{body}</html>", Path(path))
    return Path(path)


def _panel_html(panel: Panel) -> str:
    note = f"<p><small>{html.escape(panel.note)}</small></p>"
    if isinstance(panel, HeatLine):
        table = panel.table()
        cells = [
            f'<span {_coloured(shade)} title="{html.escape(_listed(table.columns[1:], rest))}">'
            f"{html.escape(str(token))}</span>"
            for (token, *rest), shade in zip(table.rows, render_table.colours(panel.values), strict=True)
        ]
        rows = [[words(cell) for cell in row] for row in table.rows]
        line = f"<p>{' '.join(cells)}</p>"
        listed = f"<details><summary>Each token</summary>{_html(panel.title, table.columns, *rows)}</details>"
        return f"<h3>{html.escape(panel.title)}</h3>{line}{note}{listed}"
    if isinstance(panel, Heatmap):
        shades = iter(render_table.colours([value for row in panel.values for value in row]))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *panel.columns))
        body = "".join(
            f"<tr><th>{html.escape(name)}</th>"
            + "".join(f"<td {_coloured(next(shades))}>{value:z.2f}</td>" for value in row)
            + "</tr>"
            for name, row in zip(panel.rows, panel.values, strict=True)
        )
        table = f"<table><tr>{head}</tr>{body}</table>"
        shown = f"<h3>{html.escape(panel.title)}</h3>"
        if panel.detail:
            return f"<details><summary>{html.escape(panel.title)}</summary>{table}{note}</details>"
        return f"{shown}{table}{note}"
    if isinstance(panel, Points):
        from gentext.report import export, panel_charts

        drawn = panel_charts.draw(panel, "picture")
        return f"<h3>{html.escape(panel.title)}</h3>{'' if drawn is None else export.svg(drawn)}{note}"
    table = panel.table()
    return _html(table.title, table.columns, *([words(cell) for cell in row] for row in table.rows)) + note


def _coloured(colour: tuple[int, int, int]) -> str:
    return f'style="background:rgb{colour};color:black"'


def _listed(columns: Sequence[str], cells: Sequence[str | float]) -> str:
    return "; ".join(f"{name} {words(cell)}" for name, cell in zip(columns, cells, strict=True))


def _html(title: str, header: Sequence[Any], *rows: Sequence[Any]) -> str:
    def row(tag: str, cells: Sequence[Any]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = row("th", header) + "".join(row("td", cells) for cells in rows)
    return f"<table><caption>{html.escape(title)}</caption>{body}</table>"


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("a frame needs pandas, which is not installed; pip install pandas") from error
    return pandas
