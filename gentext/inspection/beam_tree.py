"""What a beam search kept, cut and finished, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gentext.data.tokenizer import Tokenizer
from gentext.decode import Beam
from gentext.language_model import LanguageModel
from gentext.panels import END, Table, spelling
from gentext.types import EOS, Batch


@dataclass
class _Node:
    """A hypothesis that the beam held."""

    token: int
    log_prob: float
    children: list[_Node] = field(default_factory=list)


@dataclass(frozen=True)
class _Traced(Beam):
    """A beam search of one group over one row that writes down what it keeps."""

    levels: list[list[_Node]] = field(default_factory=lambda: [[_Node(-1, 0.0)]], compare=False)

    def _extend(self, logits: Tensor, tokens: Tensor, scores: Tensor, i: int, pool, line: Tensor):
        parents, chosen, kept = super()._extend(logits, tokens, scores, i, pool, line)
        above, level = self.levels[-1], []
        ends = logits.log_softmax(-1)[:, EOS] + scores.flatten()
        for k, node in enumerate(above):
            if scores.flatten()[k] > -torch.inf and ends[k] > -torch.inf:
                node.children.append(_Node(EOS, float(ends[k])))
        for parent, token, score in zip(*(part.flatten().tolist() for part in (parents, chosen, kept)), strict=True):
            level.append(_Node(token, score))
            if score > -torch.inf:
                above[parent].children.append(level[-1])
        self.levels.append(level)
        return parents, chosen, kept


@torch.no_grad()
def beam_tree(
    family: LanguageModel, tokenizer: Tokenizer, width: int, max_len: int, *, prompt: Tensor | None = None
) -> Table:
    """Every hypothesis that a beam of this width held, under the one that it extends.

    A row's log-probability is that of the whole hypothesis; what the search gives back is marked with its place.

    Example:
        >>> from gentext.data import Word
        >>> from gentext.models import NGram
        >>> from gentext.types import pad
        >>> model, words = NGram(6, order=2), Word().fit(["a b"])
        >>> _ = model.accumulate(pad([[4, 5, 2]] * 9)); model.maximize()
        >>> [row[0] for row in beam_tree(model, words, 1, 3).rows][:2]
        ['a', '└ b']
    """
    search = _Traced(width=width)
    rng = torch.Generator().manual_seed(0)
    best = search.best(family, 1, family.room(max_len, prompt), rng=rng, prompt=prompt)
    places = {_key(best.batch, k): k + 1 for k in range(len(best.batch)) if best.scores[0, k] > -torch.inf}
    rows: list[list[str | float]] = []

    def walk(node: _Node, prefix: tuple[int, ...], before: str) -> None:
        shown = [child for child in node.children if child.token != EOS or (*prefix, EOS) in places]
        for i, child in enumerate(shown):
            last = i + 1 == len(shown)
            mark = "" if not prefix else "└ " if last else "├ "
            word = END if child.token == EOS else spelling(tokenizer, [child.token])[0]
            whole = (*prefix, child.token)
            place = places.get(whole)
            score = "" if place is None else float(best.scores[0, place - 1])
            rows.append([before + mark + word, child.log_prob - node.log_prob, child.log_prob, place or "", score])
            walk(child, whole, before + ("" if not prefix else "  " if last else "│ "))

    walk(search.levels[0][0], (), "")
    return Table(
        "Beam tree",
        f"What a beam of width {width} held. log p of the token, of the text so far; the place of what it gives back, "
        "and its score: log p over its length.",
        ["text", "log p of the token", "log p so far", "place", "score"],
        rows,
    )


def _key(batch: Batch, row: int) -> tuple[int, ...]:
    return tuple(batch.tokens[row][batch.mask[row]].tolist())
