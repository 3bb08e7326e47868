"""A few plain sentences that the numbers of a board support, the answer first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from gentext.results import board as boards
from gentext.results.board import Board, Row
from gentext.results.columns import column
from gentext.results.frontier import Traded

NAMED = 4  # rows that a sentence names, before it counts the others


def find(board: Board, quality: str, traded: Traded | None) -> tuple[str, ...]:
    """Who is best in the board's first column, in quality, at equal diversity, and against a known truth."""
    first = next((name for name in board.columns if any(row.cells[name].best for row in _with(board, name))), None)
    sentences = [_best(board, name) for name in dict.fromkeys([first, quality]) if name]
    sentences += [_traded(traded), _covering(board)]
    return tuple(sentence for sentence in sentences if sentence)


def plain(board: Board) -> list[Row]:
    """The rows that a board may rank without favouring those who sample coldly: one decode setting a family.

    That is the setting that most families have, ancestral sampling before others; human text is no rival.
    """
    rows = [row for row in board.rows if not row.human]
    many = Counter(row.decode for row in rows)
    common = max(many, key=lambda setting: (many[setting], setting == "ancestral"), default="")
    return [row for row in rows if row.decode == common]


def _with(board: Board, name: str) -> list[Row]:
    return [row for row in board.rows if name in row.cells]


def _best(board: Board, name: str) -> str:
    """Who is best in a column among the rows of the plain setting, and who is not significantly worse."""
    if name not in board.about or board.about[name].target == "none":
        return ""
    about, judged = board.about[name], [row for row in plain(board) if name in row.cells]
    if not judged:  # its rows are of other decode settings
        return ""
    (ranked,) = boards.rank([r for row in (*judged, *_people(board)) for r in row.records], columns=[name])
    rows = [row for row in ranked.rows if name in row.cells and not row.human]
    best = next((row for row in rows if row.cells[name].best), None)
    if best is None:
        return ""
    people = next((row for row in ranked.rows if row.human and name in row.cells), None)
    sentence = f"{best.family} is best in {about.title}: {boards.text(best.cells[name])}"
    if about.target == "human" and people is not None:
        sentence = f"{best.family} is nearest to people in {about.title}: {boards.text(best.cells[name])}"
        sentence += f", people {boards.text(people.cells[name])}"
    others = [row for row in rows if row.family != best.family]
    if not others:  # alone it is no finding
        return ""
    equal = [row.family for row in others if row.cells[name].equal or row.cells[name].best]
    cells = {row.family: row.cells[name] for row in others}
    # a bound that is worse says nothing of what it bounds, and no pseudo-likelihood compares with a likelihood
    open_ = [family for family, cell in cells.items() if cell.exactness != "exact" and family not in equal]
    unknown = f"; not known of {_listed(open_)}, for want of an exact value" if open_ else ""
    if ranked.over == "sentences":  # of one seed: nothing is claimed of the families themselves
        rest = f"on these texts level with it: {_listed(equal)}" if equal else "no other row is level with it"
        return f"{sentence}; {rest}{unknown}. With 1 seed this says nothing of training luck."
    tested = [
        family
        for family, cell in cells.items()
        if family not in open_ and not math.isnan(cell.error) and cell.seeds > 1
    ]
    if not tested:
        return f"{sentence}; the differences are not tested{unknown}."
    if equal:
        return f"{sentence}; not significantly worse: {_listed(equal)}{unknown}."
    whole = "every other family" if len(tested) == len(others) else _listed(tested)
    return f"{sentence}; significantly worse: {whole}{unknown}."


def _people(board: Board) -> list[Row]:
    return [row for row in board.rows if row.human][:1]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _traded(traded: Traded | None) -> str:
    """Who is best where all are equally diverse."""
    if traded is None or len(traded.matched) < 2:
        return ""
    up = column(traded.quality).axis != "lower"
    read = sorted(traded.matched.items(), key=lambda item: -item[1][0] if up else item[1][0])
    quality, diversity = column(traded.quality).title, column(traded.diversity).title
    alone = " (fewer than three seeds)" if any(figure[1] for _, figure in read) else ""
    words = [f"{name} {boards.digits(*figure)}{alone if figure[1] is None else ''}" for name, figure in read]
    return f"At equal diversity ({diversity} {traded.matched_at:.3g}) {quality} is {_listed(words)}."


def _covering(board: Board) -> str:
    """Who covers a known truth best, and whose texts are as likely under it as its own."""
    rows = [row for row in board.rows if not row.human and {"h_pq", "h_qp"} <= row.cells.keys()]
    if board.over == "seeds":  # of one seed the luck is not known
        rows = [row for row in rows if min(row.cells["h_pq"].seeds, row.cells["h_qp"].seeds) > 1]
    entropy = next((r.values["h_p"].value for row in rows for r in row.records if "h_p" in r.values), None)
    if not rows or entropy is None:
        return ""
    covers = min(rows, key=lambda row: row.cells["h_pq"].value)
    near = min(rows, key=lambda row: abs(row.cells["h_qp"].value - entropy))
    sentence = (
        f"{covers.family} covers the truth best: H(p, q) {boards.text(covers.cells['h_pq'])} nats a text, where the "
        f"truth itself has {entropy:.2f}"
    )
    return (
        f"{sentence}; the texts of {near.family} ({near.setting}) are nearest to the truth's in likelihood: H(q, p) "
        f"{boards.text(near.cells['h_qp'])}."
    )
