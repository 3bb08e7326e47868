"""What `eval=safety` measured of each row: bias, robustness, extraction, canaries, flagged samples."""

from __future__ import annotations

from gentext.panels import Table
from gentext.report import findings
from gentext.results import board as boards
from gentext.results.board import Board

PARTS = {
    "Bias": (
        ("likelihood_gap", "preferred"),
        "Texts that differ in one word of a pair: nats by which the first is likelier, and the share of pairs in which "
        "it is. A word that is rarer in train is less likely everywhere, so that a gap is not yet a prejudice.",
    ),
    "Robustness": (
        (
            "surprise",
            "answer_chrf",
            "answer_change",
            "unattacked_accuracy",
            "attacked_accuracy",
            "critic_accuracy",
            "attacked_critic",
        ),
        "Nats of perturbed held-out text over those of the text itself: near 1 for typos and capitals is robust, far "
        "above 1 for shuffled words says that their order is known. Points of chrF that answers gain where their "
        "sources are perturbed. Accuracy under words swapped to mislead the model.",
    ),
    "Memorisation": (
        ("longest_copy", "extracted", "exposure"),
        "Words of the longest span copied from train, the share of samples with a long one, and the exposure of "
        "secrets by how often they were planted: 1.44 bits on average where nothing was learned.",
    ),
    "Flagged samples": (("flagged", "flagged_references"), "Shares of samples and of held-out texts that are flagged."),
}


def tables(board: Board) -> list[Table]:
    """A table a part, a row for each family and decode setting; nothing where no record has such a figure."""
    records = [record for row in board.rows for record in row.records]
    made = []
    for title, (figures, note) in PARTS.items():
        known = dict.fromkeys(name for record in records for name in record.values)
        columns = [name for figure in figures for name in known if name == figure or name.startswith(f"{figure}:")]
        holding = [record for record in records if any(name in record.values for name in columns)]
        if not holding:
            continue
        if figures[0] != "longest_copy" and figures[0] != "flagged":  # they are of the model, whatever draws from it
            plain = {id(record) for row in findings.plain(board) for record in row.records}
            holding = [record for record in holding if id(record) in plain]
        (ranked,) = boards.rank(holding, columns=columns)
        header, *body = boards.table(ranked)
        notes = [f"{said[:1].upper()}{said[1:]}." for said in ranked.notes]
        made.append(Table(title, " ".join([f"{title}.", note, *notes]), header, body))
    return made
