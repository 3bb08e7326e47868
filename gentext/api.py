"""What the commands of `gentext` do, as functions: `gentext.run`, `score`, `rescore`, `board`, `compare`, `frontier`.

What they return prints as a table in a terminal, is one in a notebook, and becomes a pandas frame by `.frame()`.
"""

from __future__ import annotations

import html
import io
import json
import shlex
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import open_dict

from gentext import config
from gentext.panels import Table
from gentext.results import board as boards
from gentext.results import compare as comparisons
from gentext.results import frontier as frontiers
from gentext.results import record as records
from gentext.results import render_board, render_table, run_folder
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
        return Boards(boards.rank(self.records, **options))

    def figures(self, decode: str | None = None) -> dict[str, float]:
        """Every figure of the first record, or of the first of a decode setting, by its name."""
        return {name: value.value for name, value in self._first(decode).values.items()}

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


class Tabular:
    """A table: `print` shows it, `.text("markdown")` gives another form."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def text(self, form: str = "terminal") -> str:
        """As text: terminal, markdown, csv or json."""
        with redirect_stdout(io.StringIO()) as out:
            render_table.show(self.table, form)
        return out.getvalue()

    def frame(self) -> pandas.DataFrame:
        """A pandas frame of its cells."""
        return _pandas().DataFrame(list(self.table.rows), columns=list(self.table.columns))

    def __repr__(self) -> str:
        return self.text().rstrip()

    def _repr_html_(self) -> str:
        return _html(self.table.title, self.table.columns, *self.table.rows)


def run(*overrides: str, config_dir: str | Path | None = None, **keys: Any) -> Run:
    """Train, sample and judge, as `gentext run` does; what the run's folder already holds is not done again.

    Args:
        *overrides: as on the command line, such as `"family=lstm"`, `"train.lr=0.001"`.
        config_dir: a folder of options of your own.
        **keys: keys of the root, such as `seed=1`, `out="runs"`.

    Raises: ValueError with advice for a wrong key or value, before any work begins.

    Example:
        >>> import gentext
        >>> small = ["data.train=200", "data.valid=20", "data.test=50", "eval.samples=20"]
        >>> done = gentext.run("family=ngram", *small, seed=1)
        >>> done.figures()["bits_per_char"] < 2
        True
        >>> len(done.load().sample(3, prompt="a"))
        3
    """
    from gentext.run_pipeline import Label
    from gentext.run_pipeline import run as pipeline

    with config.searching(config_dir):
        words = config.completed([*overrides, *(f"{key}={_spelled(value)}" for key, value in keys.items())])
        cfg = config.compose(words, with_hydra=True)
        choices, folder = cfg.hydra.runtime.choices, Path(cfg.hydra.run.dir)
        former = [Path(cfg.out) / name for name in config.former_names(cfg, choices, words)]
        family = choices["family"]
        with open_dict(cfg):
            del cfg["hydra"]
        cfg = config.settle(cfg, words)
        config.check_run(cfg)
        folder.parent.mkdir(parents=True, exist_ok=True)
        run_folder.adopt(folder, former)
        where = [] if config_dir is None else ["--config-dir", str(config_dir)]
        command = shlex.join(["gentext", "run", *where, *words])
        return Run(pipeline(cfg, folder, Label(*label(words, family), command)), folder)


IN_LABEL = ("family", "train", "loss", "tokenizer", "max_len", "model")


def label(overrides: Sequence[str], family: str) -> tuple[str, str]:
    """The family's option, and what the overrides changed in it, in the order given."""
    changed = []
    for override in overrides:
        plain = override.lstrip("+~")
        key = plain.partition("=")[0]
        if key != "family" and key.split(".")[0].split("@")[0] in IN_LABEL:
            changed.append(plain.removeprefix("family."))
    return family, " ".join(changed)


def score(
    texts: Sequence[str] | str | Path,
    *,
    references: str | Sequence[str],
    name: str | None = None,
    eval: str | Sequence[str] = "default",
    out: str | Path = "runs",
    config_dir: str | Path | None = None,
) -> Results:
    """Judge anyone's texts, as `gentext score --samples` does; no model is needed.

    Args:
        texts: the texts, or the path of a file with one a line.
        references: what to judge them against, such as `"data=coco"`, or several such words.
        name: how the row is called on the board (texts, or the file's name).
        eval: an option of the eval group, or that and changes in it.
        out: where its record goes.
        config_dir: a folder of options of your own.

    Example:
        >>> import gentext
        >>> small = ["data=captions", "data.train=200", "data.valid=20", "data.test=50"]
        >>> made = gentext.score(["a man rides a horse .", "a dog sits ."], references=small, name="mine")
        >>> made[0].family, 0 <= made.figures()["bleu2"] <= 1
        ('mine', True)
    """
    from gentext.score_pipeline import external

    words = [references] if isinstance(references, str) else list(references)
    judged = [eval] if isinstance(eval, str) else list(eval)
    with config.searching(config_dir), tempfile.TemporaryDirectory() as folder:
        if isinstance(texts, str | Path):
            return Results([external(str(texts), words, name, judged, str(out), config_dir=config_dir)])
        path = Path(folder) / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        made = external(str(path), words, name, judged, str(out), config_dir=config_dir, temporary=True)
        return Results([made])


def rescore(
    *runs: str | Path,
    eval: str | Sequence[str] = "default",
    trusted: Collection[str] = (),
    config_dir: str | Path | None = None,
) -> Results:
    """Recompute the metrics of stored samples, as `gentext score RUNS` does; no model is needed.

    Args:
        *runs: folders of runs.
        eval: an option of the eval group, or that and changes in it.
        trusted: modules of your own that the runs may name.
        config_dir: a folder of options of your own.
    """
    from gentext.score_pipeline import stored

    with config.searching(config_dir):
        return Results(stored(_paths(runs), [eval] if isinstance(eval, str) else list(eval), trusted))


def board(
    *runs: str | Path,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    where: Mapping[str, str] | None = None,
    group: Sequence[str] = (),
) -> Boards:
    """The leaderboards of folders of runs, as `gentext board`.

    Args:
        *runs: folders of runs, or a records.jsonl.
        columns: figures to show, in this order; None: those of the track.
        sort: the figure to rank by.
        where: which records, such as `{"family": "lstm"}`.
        group: a board for each of these, such as `["decode"]`.

    Raises: ValueError where there is nothing to rank.
    """
    return Boards(boards.rank(records.find(_paths(runs)), columns=columns, sort=sort, where=where, group=group))


def compare(
    first: str | Path,
    second: str | Path,
    *,
    among: Sequence[str | Path] | None = None,
    decode: str | None = None,
    test: str = "bootstrap",
) -> Tabular:
    """Two rows tested against each other, metric by metric, as `gentext compare`.

    Args:
        first: a run's folder; with `among`, a family as the board calls it.
        second: likewise.
        among: folders of runs, all seeds of which are compared.
        decode: of several decode settings the one to compare.
        test: bootstrap or randomisation.
    """
    rows = comparisons.find(str(first), str(second), None if among is None else _paths(among), decode)
    return Tabular(comparisons.comparison_table(*rows, test=test))


def frontier(
    *runs: str | Path, quality: str = "bleu4", diversity: str = "selfbleu4", at: float | None = None
) -> list[Tabular]:
    """What each family's decode settings trade, a table per corpus, as `gentext frontier`.

    Args:
        *runs: folders of runs.
        quality: a figure.
        diversity: another.
        at: the diversity to read quality at; None: where all families can be read.

    Raises: ValueError where a corpus holds no family with both figures.
    """
    ranked = boards.rank(records.find(_paths(runs)), columns=[quality, diversity])
    return [Tabular(table) for table in frontiers.tables(ranked, quality, diversity, x=at)]


def write_report(*runs: str | Path, out: str | Path = "report.html", trusted: Collection[str] = ()) -> list[Path]:
    """The files of a report on folders of runs, as `gentext report`.

    Args:
        *runs: folders of runs.
        out: ends in .html, .md or .tex.
        trusted: modules of your own that the runs may name.
    """
    from gentext.report import write

    return write.write(_paths(runs), out, trusted=trusted)


def _paths(runs: Sequence[str | Path]) -> list[str]:
    return [str(path) for path in runs]


def _spelled(value: Any) -> str:
    """A value of Python as an override spells it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


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
