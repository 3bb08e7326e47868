"""Three sentences that the numbers of a board support."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gentext.results import board as boards
from gentext.results.board import Board, Row
from gentext.results.frontier import Traded


def find(board: Board, quality: str, tests: Sequence[Mapping[str, Any]], traded: Traded | None) -> tuple[str, ...]:
    """Who is best at the plain setting, who over all settings, and who is nearest to the known truth; what is known."""
    said = [_best(board, quality, tests), _traded(traded), _covering(board)]
    return tuple(sentence for sentence in said if sentence)


def plain(board: Board) -> list[Row]:
    """The rows that a board may rank without favouring those who sample coldly: one decode setting a family.

    That is the setting that most families have, ancestral sampling before others; human text is no rival.
    """
    rows = [row for row in board.rows if row.family != "human"]
    settings = [row.decode for row in rows]
    common = max(settings, key=lambda setting: (settings.count(setting), setting == "ancestral"), default="")
    return [row for row in rows if row.decode == common]


def _best(board: Board, quality: str, tests: Sequence[Mapping[str, Any]]) -> str:
    rows = [row for row in plain(board) if quality in row.cells]
    if not rows:
        return ""
    best = max(rows, key=lambda row: row.cells[quality].value)
    equals = [test["second"] for test in tests if test["first"] == best.family and test["p"] >= 0.05]
    said = f"By {quality} of {best.decode} samples, {best.family} is best with {boards.text(best.cells[quality])}"
    if len(rows) < 2 or not tests:
        return f"{said}."
    if not equals:
        return f"{said}, significantly ahead of every other family."
    return f"{said}; not significantly worse: {', '.join(equals[:4])}{' and others' if len(equals) > 4 else ''}."


def _traded(traded: Traded | None) -> str:
    if traded is None or not any(len(settings) > 1 for settings in traded.best.values()):
        return ""
    area = sorted(traded.area.items(), key=lambda item: -item[1][0])
    said = f"Over all decode settings {area[0][0]} dominates the largest area (hypervolume {area[0][1][0]:.3f})"
    read = sorted(traded.matched.items(), key=lambda item: -item[1][0])
    if len(read) < 2:
        return f"{said}."
    told = ", ".join(f"{name} {figure[0]:.3f}" for name, figure in read[:4])
    return f"{said}; at matched {traded.diversity} {traded.matched_at:.3g}, {traded.quality} is {told}."


def _covering(board: Board) -> str:
    rows = [row for row in board.rows if row.family != "human" and {"h_pq", "h_qp"} <= row.cells.keys()]
    if not rows:
        return ""
    covers = min(rows, key=lambda row: row.cells["h_pq"].value)
    likely = min(rows, key=lambda row: row.cells["h_qp"].value)
    entropy = next((r.values["h_p"].value for row in rows for r in row.records if "h_p" in r.values), math.nan)
    said = (
        f"Against the known truth, whose entropy is {entropy:.2f} nats a sentence, {covers.family} covers it best "
        f"(H(p, q) {boards.text(covers.cells['h_pq'])})"
    )
    if likely.family == covers.family:
        return f"{said} and also writes what is likeliest under it (H(q, p) {boards.text(likely.cells['h_qp'])})."
    most = f"{likely.family} ({likely.decode}) writes what is likeliest (H(q, p) {boards.text(likely.cells['h_qp'])})"
    return f"{said}, while {most}."
