"""What a classifier confuses, and how far its confidence is right, on the held-out text."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.panels import Curves, Heatmap, Panel, Table

MOST = 20  # labels of a matrix; of more the pairs that are confused most are listed
BINS = 10


def panels(log_p: Float[Tensor, "n c"], gold: Int[Tensor, " n"], labels: list[str], split: str) -> list[Panel]:
    """The confusion matrix and the reliability diagram of some texts.

    Args:
        log_p: of each label, nats.
        gold: the right label of each text.
        labels: their names.
        split: where the texts are from.
    """
    return [confusion(log_p.argmax(1), gold, labels, split), reliability(log_p, gold, split)]


def confusion(found: Int[Tensor, " n"], gold: Int[Tensor, " n"], labels: list[str], split: str) -> Panel:
    """How often each label is taken for each: a matrix, or of many labels the pairs that are confused most."""
    c = len(labels)
    counts = torch.bincount(gold * c + found, minlength=c * c).view(c, c)
    note = f"Of {len(gold):,} texts of {split}: the right label by row, the one that was given by column."
    if c <= MOST:
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        return Heatmap("Confusion matrix", f"{note} Shares of each row.", labels, labels, share.tolist(), "share")
    wrong = counts.masked_fill(torch.eye(c, dtype=torch.bool), 0).flatten()
    top = wrong.topk(MOST).indices.tolist()
    rows = [[labels[i // c], labels[i % c], int(wrong[i])] for i in top if wrong[i]]
    return Table("What is confused most", note, ["right", "given", "texts"], rows)


def reliability(log_p: Float[Tensor, "n c"], gold: Int[Tensor, " n"], split: str) -> Panel:
    """How often the likeliest label is right, over how likely it was said to be (Guo et al. 2017)."""
    top = log_p.exp().max(1)
    bin_of = (top.values * BINS).long().clamp(max=BINS - 1)
    n = torch.bincount(bin_of, minlength=BINS)
    right = torch.bincount(bin_of, (top.indices == gold).double(), BINS) / n.clamp(min=1)
    confidence = torch.bincount(bin_of, top.values.double(), BINS) / n.clamp(min=1)
    line = [[float(confidence[i]), float(right[i])] for i in range(BINS) if n[i]]
    note = f"Of {len(gold):,} texts of {split}, in {BINS} bins of confidence; on the diagonal confidence is right."
    lines = {"classifier": line, "calibrated": [[0.0, 0.0], [1.0, 1.0]]}
    return Curves("Reliability", note, lines, "probability of the label given", "share that is right")
