"""The table against a known truth: what one cross-entropy flatters, the other and an entropy tell."""

from __future__ import annotations

from gentext.panels import Table
from gentext.results import board as boards
from gentext.results.board import Board

COLUMNS = ("h_pq", "h_qp", "nll_oracle", "nll_div", "kl_pq", "kl_qp", "js", "tv")


def tables(board: Board) -> list[Table]:
    """Every row that a known truth has judged, best at covering it first; nothing where no truth is known."""
    # a model none of whose samples the truth accepts has H(p, q) alone, and a baseline H(q, p)
    records = [record for row in board.rows for record in row.records if {"h_pq", "h_qp"} & {*record.values}]
    if not records:
        return []
    known = [name for name in COLUMNS if any(name in record.values for record in records)]
    (ranked,) = boards.rank(records, columns=known, sort="h_pq" if "h_pq" in known else "h_qp")
    header, *body = boards.table(ranked)
    note = (
        "Nats a text, at each row's own decode setting: H(p, q), whether it covers the truth; H(q, p), whether the "
        "truth would write what it writes, over the samples that the truth accepts; NLL of own samples, its own "
        "entropy, which falls where it collapses."
    )
    if "nll_oracle" in known:
        note += (
            " NLL-oracle is H(q, p) for each token, as SeqGAN's oracle is reported; H(p, q) for each token is the "
            "NLL-test that belongs beside it."
        )
    return [Table("Cross-entropies, divergences and entropy", " ".join([note, *ranked.notes]), header, body)]
