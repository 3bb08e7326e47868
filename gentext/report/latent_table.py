"""The table that VAEs are compared by, with the language models among the rows as its zero line."""

from __future__ import annotations

from gentext.panels import Table
from gentext.report import findings
from gentext.results import board as boards
from gentext.results.board import Board

COLUMNS = (
    "nll_test",
    "iw_nll",
    "negative_elbo",
    "reconstruction_nll",
    "posterior_kl",
    "mutual_information",
    "active_units",
)


def tables(board: Board) -> list[Table]:
    """Bounds and the use of z of every row that was scored, lowest bound first; nothing where no row has a z."""
    records = [record for row in findings.plain(board) for record in row.records if "nll_test" in record.values]
    known = [name for name in COLUMNS if any(name in record.values for record in records)]
    if "posterior_kl" not in known:
        return []
    (ranked,) = boards.rank(records, columns=known, sort="nll_test")
    header, *body = boards.table(ranked)
    note = (
        "Nats a text; ≤ bounds from above. A row without a KL is a language model, whose figures are exact, IW-NLL "
        "over the same texts as a VAE's: with its decoder they are what z has to be worth. A KL near 0 with no active "
        "unit is a z that is ignored."
    )
    kept = [i for i, name in enumerate(header) if name != "decode"]  # all are at the plain one
    rows = [[row[i] for i in kept] for row in body]
    return [Table("Use of the latent space", " ".join([note, *ranked.notes]), [header[i] for i in kept], rows)]
