"""The leaderboard: a query over records. Seeds are aggregated, bounds marked, a column of mixed signatures refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import zip_longest
from statistics import NormalDist

from gentext.results.record import Record, comparable_signatures
from gentext.results.significance import holm, over_seeds
from gentext.types import Exactness, Value

Z = NormalDist().inv_cdf(0.975)

# What a board shows of a track when nobody asks for more, in this order, where it is known.
DEFAULT = {
    "unconditional": (
        *("bits_per_char", "word_ppl", "bleu4", "selfbleu4", "distinct2", "novelty4", "h_pq", "h_qp", "kl_pq"),
        *("kl_qp", "grammatical", "train_seconds"),
    ),
    "conditional": (
        *("sacrebleu", "chrf", "ter", "rouge1", "rouge2", "rougeL", "meteor", "bertscore_f1", "exact_match"),
        *("token_f1", "bits_per_char", "distinct2", "train_seconds"),
    ),
}
SIGNS = {"exact": "", "upper": "≤", "lower": "≥"}  # before a figure: what a bound says of it
SIZES = ("hyps:", "seqs:", "fit:", "pairs:")  # the parts of a signature that say how many texts were judged
FIELDS = ("data", "track", "family", "variant", "decode", "seed", "name")  # to filter and to group by


@dataclass(frozen=True)
class Cell:
    """One figure of one row: the mean over seeds, and its interval."""

    value: float
    interval: tuple[float, float] | None
    exactness: Exactness
    seeds: int
    best: bool = False
    equal: bool = False  # not significantly worse than the best


@dataclass(frozen=True)
class Row:
    """One family, variant and decode setting on one corpus."""

    data: str
    family: str
    decode: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    adaptive: bool
    records: tuple[Record, ...] = field(repr=False, default=())


@dataclass(frozen=True)
class Board:
    """The rows judged against one corpus, best first, and what could not be shown."""

    data: str
    track: str  # unconditional | conditional
    columns: tuple[str, ...]
    directions: Mapping[str, bool | None]  # higher is better
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    group: str = ""  # what its rows have in common beside the corpus, where they were grouped

    @property
    def title(self) -> str:
        return f"{self.data} · {self.group}" if self.group else self.data


def rank(
    records: Sequence[Record],
    *,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    where: Mapping[str, str] | None = None,
    group: Sequence[str] = (),
) -> list[Board]:
    """A board per corpus, and within it per value of `group`.

    Raises: ValueError for no records, or for columns, filters and groups that nothing has.
    """
    for key in (*(where or ()), *group):
        if key not in FIELDS:
            raise ValueError(f"records know no {key} to filter or group by. Known: {', '.join(FIELDS)}")
    kept = _filter(records, where or {})
    if not kept:
        raise ValueError("there is nothing to rank: no record matches. `gentext run` writes some")
    known = {name for record in kept for name in (*record.values, *record.cost, *record.efficiency)}
    for name in (*(columns or ()), *filter(None, [sort])):
        if name not in known:
            close = get_close_matches(name, known, n=3) or sorted(known)
            raise ValueError(f"no record has {name}. Did you mean {', '.join(close)}?")
    boards: dict[tuple[str, str], list[Record]] = {}
    for record in kept:
        shared = ", ".join(str(getattr(record, key)) for key in group if key not in ("data", "track"))
        boards.setdefault((record.corpus_key, shared), []).append(record)
    return [_board(members, columns, sort, shared) for (_, shared), members in boards.items()]


def _filter(records: Sequence[Record], where: Mapping[str, str]) -> list[Record]:
    return [r for r in records if all(str(getattr(r, key)) in value.split(",") for key, value in where.items())]


def _board(records: Sequence[Record], columns: Sequence[str] | None, sort: str | None, group: str) -> Board:
    notes: list[str] = []
    figures = [_figures(record) for record in records]
    present = {name for values in figures for name in values}
    wanted = [name for name in (columns or DEFAULT[records[0].track]) if name in present]
    shown = [name for name in wanted if _uniform(name, figures, notes)]
    directions = {name: next(values[name].higher_is_better for values in figures if name in values) for name in shown}
    groups: dict[tuple[str, str], list[int]] = {}
    for i, record in enumerate(records):
        groups.setdefault((record.name, record.decode), []).append(i)
    rows = []
    for (name, decode), members in groups.items():
        found = {column: _cell([figures[i][column] for i in members if column in figures[i]]) for column in shown}
        mine = tuple(records[i] for i in members)
        cells = {column: cell for column, cell in found.items() if cell is not None}
        seeds = tuple(sorted(record.seed for record in mine))
        rows.append(Row(mine[0].data, name, decode, seeds, cells, mine[0].adaptive, mine))
    notes += [f"{row.family}, {row.decode} {_doubled(row)}" for row in rows if len(set(row.seeds)) < len(row.seeds)]
    rows = _mark(rows, directions)
    notes += _ties(rows, directions)
    by = sort or next((name for name in shown if directions[name] is not None), None)
    if by in directions:
        sign = -1 if directions[by] else 1
        rows.sort(key=lambda row: sign * row.cells[by].value if by in row.cells else math.inf)
    return Board(records[0].data, records[0].track, tuple(shown), directions, tuple(rows), tuple(notes), group)


def _figures(record: Record) -> dict[str, Value]:
    """A record's values, and its costs as values."""
    costs = {
        name: Value(value, f"{name}|v:1", higher_is_better=False, n=1, unit=name.rsplit("_", 1)[-1])
        for name, value in record.cost.items()
        if math.isfinite(value)
    }
    per = {
        name: Value(value, f"{name}|v:1", higher_is_better=True, n=record.values[name.split("/")[0]].n)
        for name, value in record.efficiency.items()
    }
    return {**costs, **per, **record.values}


def _uniform(name: str, figures: Sequence[Mapping[str, Value]], notes: list[str]) -> bool:
    """Whether a column holds figures of one signature; if not, the notes say where they part and what to run."""
    signatures = comparable_signatures(values[name] for values in figures if name in values)
    parts = zip_longest(*(signature.split("|") for signature in signatures), fillvalue="-")
    apart = [sorted(set(part)) for part in parts if len(set(part)) > 1]
    if apart:
        size = all(part[0].startswith(SIZES) for part in apart)
        advice = "eval.samples=N, or a file of as many lines" if size else "gentext score RUNS computes them one way"
        notes.append(f"{name} is not shown: {'; '.join(map(' or '.join, apart))}. To rank such rows: {advice}")
    return not apart


def _cell(values: Sequence[Value]) -> Cell | None:
    if not values:
        return None
    if len(values) == 1:
        return Cell(values[0].value, values[0].interval, values[0].exactness, 1)
    mean, interval = over_seeds([value.value for value in values])
    return Cell(mean, interval, values[0].exactness, len(values))


def _mark(rows: Sequence[Row], directions: Mapping[str, bool | None]) -> list[Row]:
    """The rows with the best cell of every column marked, and those not significantly worse. Human text is no rival."""
    cells = [dict(row.cells) for row in rows]
    for name, higher in directions.items():
        rivals = [i for i, row in enumerate(rows) if name in row.cells and row.family != "human"]
        if higher is None or not rivals:
            continue
        best = (max if higher else min)(rivals, key=lambda i: rows[i].cells[name].value)
        p = holm({i: _p(rows[i].cells[name], rows[best].cells[name]) for i in rivals if i != best})
        for i in rivals:
            tied = rows[i].cells[name].value == rows[best].cells[name].value
            cells[i][name] = replace(cells[i][name], best=tied, equal=not tied and p[i] >= 0.05)
    return [replace(row, cells=marked) for row, marked in zip(rows, cells, strict=True)]


def _ties(rows: Sequence[Row], directions: Mapping[str, bool | None]) -> list[str]:
    """Which families share a best to the last digit, column by column; settings of one model that do are no tie."""
    told = []
    for name in directions:
        best = list(dict.fromkeys(row.family for row in rows if name in row.cells and row.cells[name].best))
        if len(best) > 1:
            told.append(f"{name}: {', '.join(best)} are exactly equal")
    return told


def _doubled(row: Row) -> str:
    seed = next(seed for seed in row.seeds if row.seeds.count(seed) > 1)
    return (
        f"holds seed {seed} {row.seeds.count(seed)} times, as if it were so many seeds: copies, or runs that differ in "
        "what no name tells (data, eval). Give gentext board one folder of them"
    )


def _p(one: Cell, other: Cell) -> float:
    """Two-sided p that two figures are one, from their intervals alone; 0 where there is no interval to go by.

    Differs from a paired test over sentences in that what both share is not used: it says "worse" less readily.
    """
    if one.interval is None or other.interval is None:
        return float(one.value == other.value)
    error = math.hypot(*((cell.interval[1] - cell.interval[0]) / (2 * Z) for cell in (one, other)))
    if not math.isfinite(error) or error == 0:
        return float(one.value == other.value)
    return 2 * NormalDist().cdf(-abs(one.value - other.value) / error)


def text(cell: Cell | None) -> str:
    """A cell in words: bounds carry their sign, intervals their half-width."""
    if cell is None:
        return "-"
    sign = SIGNS[cell.exactness]
    if not math.isfinite(cell.value):
        return f"{sign}{cell.value}"
    half = (cell.interval[1] - cell.interval[0]) / 2 if cell.interval else None
    if half is not None and half <= 1e-9 * abs(cell.value):  # the same in every seed, but for rounding
        return f"{sign}{cell.value:.{_digits(cell.value, None)}f}±0"
    digits = _digits(cell.value, half)
    return f"{sign}{cell.value:.{digits}f}" + (f"±{half:.{digits}f}" if half is not None else "")


def _digits(value: float, half: float | None) -> int:
    """Decimals worth showing: one significant digit of the half-width, or four of the value."""
    if half and math.isfinite(half):
        return max(0, min(6, -math.floor(math.log10(half))))
    return max(0, min(4, 3 - math.floor(math.log10(abs(value))))) if value else 0


def table(board: Board) -> list[list[str]]:
    """Header and rows as plain strings."""
    arrows = {True: " ↑", False: " ↓", None: ""}
    header = ["family", "decode", "seeds", *(name + arrows[board.directions[name]] for name in board.columns)]
    body = [
        [
            row.family + (" †" if row.adaptive else ""),
            row.decode,
            str(len(row.seeds)),
            *(text(row.cells.get(name)) for name in board.columns),
        ]
        for row in board.rows
    ]
    return [header, *body]
