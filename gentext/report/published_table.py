"""Figures that papers publish, beside those of the rows that were run to reproduce them."""

from __future__ import annotations

from gentext.panels import Table
from gentext.results import board as boards
from gentext.results.board import Board
from gentext.results.columns import column


def tables(board: Board) -> list[Table]:
    """The figures that the runs' configurations cite (`published`), and every row's own; none where none cites any."""
    records = [record for row in board.rows for record in row.records]
    cited: dict[str, dict[str, float]] = {}
    for record in records:
        cited |= record.config.get("published") or {}
    names = list(dict.fromkeys(name for figures in cited.values() for name in figures))
    known = [name for name in names if any(name in record.values for record in records)]
    if not known:
        return []
    # a recipe that rests on another inherits what that one cites, of which the corpus may know no figure
    told = {who: figures for who, figures in cited.items() if any(name in figures for name in known)}
    rows = [[who, "published", "-", *_cited(figures, known)] for who, figures in told.items()]
    (ranked,) = boards.rank(records, columns=known, sort=known[0])
    shown = [name for name in known if name in ranked.columns]
    for row in ranked.rows:
        if any(name in row.cells for name in shown):
            rounds = sorted({int(r.cost["kept_round"]) for r in row.records if "kept_round" in r.cost})
            cells = [boards.text(row.cells.get(name)) if name in shown else "-" for name in known]
            rows.append([row.family, row.setting, ", ".join(map(str, rounds)) or "-", *cells])
    note = (
        "Published figures as their papers and logs give them, which no signature holds to ours; then every row here."
    )
    header = ["system", "decode", "round shown", *(column(name).title for name in known)]
    return [Table("Published numbers", note, header, rows)]


def _cited(figures: dict[str, float], known: list[str]) -> list[str]:
    return [f"{figures[name]:g}" if name in figures else "-" for name in known]
