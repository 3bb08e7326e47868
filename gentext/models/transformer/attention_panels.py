"""What a Transformer reads when it writes: the attention of every layer over one text, and the habits of every head."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Tokenizer
from gentext.panels import START, Heatmap, Panel, Table, numbered, spelling
from gentext.types import BOS

TEXTS = 64  # that the heads' habits are averaged over
LONGEST = 24  # tokens of a map that can still be read


def panels(attention: Callable[[Tensor], list[Tensor]], corpus: Corpus, rng: torch.Generator) -> list[Panel]:
    """A table of the heads' habits on test texts drawn by `rng`, and a map a layer for the first that fits a page.

    `attention` gives each layer's weights [n, h, t, t] over tokens [n, t].
    """
    lines = corpus.lines("test")
    chosen = torch.randperm(len(lines), generator=rng, device=rng.device)[:TEXTS].tolist()
    texts = [lines[int(i)] for i in chosen]
    batch = corpus.batch(texts).to(rng.device)
    layers = attention(torch.cat([torch.full_like(batch.tokens[:, :1], BOS), batch.tokens[:, :-1]], 1))
    lengths = batch.lengths.tolist()
    shown = next((i for i, length in enumerate(lengths) if LONGEST // 2 <= length <= LONGEST), 0)
    t = min(lengths[shown], LONGEST)
    read = [START, *spelling(corpus.tokenizer, batch.tokens[shown, : t - 1].tolist())]
    maps = [
        Heatmap(
            f"Attention of layer {number}",
            "Rows: the newest word read. Columns: the words that its output is drawn from, averaged over heads.",
            numbered(read),
            numbered(read),
            weights[shown, :, :t, :t].mean(0).tolist(),
            "share",
        )
        for number, weights in enumerate(layers, 1)
    ]
    return [_habits(layers, batch.mask), *maps]


def _habits(layers: list[Float[Tensor, "n h t t"]], mask: Bool[Tensor, "n t"]) -> Table:
    place = torch.arange(mask.shape[1], device=mask.device)
    distance = (place[:, None] - place).clamp_min(0)
    real = mask & (place > 0)  # the first query can only read itself
    rows = []
    for layer, weights in enumerate(layers, 1):
        for head, own in enumerate(weights.unbind(1), 1):
            entropy = -torch.special.xlogy(own, own).sum(-1) / torch.log(torch.tensor(2.0))
            figures = (
                own.diagonal(dim1=1, dim2=2),
                (own * (distance == 1)).sum(-1),
                own[:, :, 0],
                (own * distance).sum(-1),
                entropy,
            )
            rows.append([layer, head, *(float(figure[real].mean()) for figure in figures)])
    return Table(
        "What the attention heads read",
        f"Means over the tokens of {len(mask)} test texts: the share of a head's reading that goes to the newest token "
        "itself, to the one before it and to the start, how far back it reads, and how widely it spreads.",
        ["layer", "head", "itself", "the one before", "the start", "tokens back", "bits of entropy"],
        rows,
    )


def of_text(layers: list[Float[Tensor, "1 h t t"]], tokens: Int[Tensor, " t"], tokenizer: Tokenizer) -> list[Panel]:
    """Attention over one text: the rollout of all layers, then a map of each layer, then one of each head.

    Source: Abnar and Zuidema 2020, section 3 (rollout: the product of (A + I) / 2, A the mean over heads).
    """
    read = numbered([START if i == BOS else spelling(tokenizer, [i])[0] for i in tokens.tolist()])
    rolled = rollout(layers)[0]
    found: list[Panel] = [
        Heatmap(
            "Attention rollout",
            f"Rows: the newest token read. Columns: where its vector comes from through all {len(layers)} layers.",
            read,
            read,
            rolled.tolist(),
            "share",
        )
    ]
    note = "Rows: the newest token read. Columns: the tokens that its output is drawn from"
    for number, weights in enumerate(layers, 1):
        mean = weights[0].mean(0).tolist()
        found.append(
            Heatmap(f"Attention of layer {number}", f"{note}, averaged over heads.", read, read, mean, "share")
        )
    for number, weights in enumerate(layers, 1):
        for head, own in enumerate(weights[0], 1):
            title = f"Attention of layer {number}, head {head}"
            found.append(Heatmap(title, f"{note}.", read, read, own.tolist(), "share", detail=True))
    return found


def rollout(layers: list[Float[Tensor, "n h t t"]]) -> Float[Tensor, "n t t"]:
    """The share of each token's last vector that comes from each token that was read."""
    mean = [weights.mean(1) for weights in layers]
    through = [(own + torch.eye(own.shape[-1], device=own.device)) / 2 for own in mean]
    whole = through[0]
    for own in through[1:]:
        whole = own @ whole
    return whole
