"""One text under a trained model, as panels: surprise, attributions, and what the family shows of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from gentext.data.corpus import Corpus
from gentext.data.tokenizer import Tokenizer
from gentext.inspection.attribution import STEPS, attributions
from gentext.inspection.beam_tree import beam_tree
from gentext.inspection.token_scores import TokenScores, has_next_token, token_scores
from gentext.language_model import (
    LanguageModel,
    SupportsAdversarial,
    SupportsFullConditionals,
    SupportsLatent,
    SupportsTextPanels,
    SupportsTexts,
)
from gentext.models.classifier.base import Classifier, texts_of
from gentext.panels import START, HeatLine, Heatmap, Panel, Table, numbered, spelling
from gentext.train.base import device_of
from gentext.trained import TrainedModel
from gentext.types import BOS, EOS, Batch, pad

LN2 = 0.6931471805599453
LONGEST = 48  # tokens of a map that can still be read
LINE = 24  # tokens of an example
FEW = 200  # characters of it
SEARCHED = 200  # texts, for one of that length
NEIGHBOURS = 5


def text_panels(
    model: TrainedModel,
    text: str,
    *,
    prompt: str | None = None,
    training: Sequence[str] | None = None,
) -> list[Panel]:
    """How a trained model read a text: panels of plain data, the most telling first.

    Args:
        model: what `gentext.load` gives.
        text: that it might have written; of a classifier, the text that it labels.
        prompt: what the text goes on from, or the source that it answers; it is read, and not scored.
        training: texts among which a VAE's nearest neighbours are looked for.

    Raises: ValueError for an empty text, and for a family that gives texts no probability.
    """
    batch = batch_of(model, text, prompt)
    family = model.family
    found: list[Panel] = []
    if isinstance(family, Classifier):
        found.append(_labels(family, model.tokenizer, batch))
    else:
        found.append(surprise(family, model.tokenizer, batch))
    found += _maps(family, model.tokenizer, batch)
    writer = family.generator if isinstance(family, SupportsAdversarial) else family
    if isinstance(writer, SupportsTextPanels):
        with torch.no_grad():
            found += writer.text_panels(_until(batch, LONGEST), model.tokenizer)
    if isinstance(family, SupportsLatent) and training:
        with torch.no_grad():
            z = family.encode(batch).mean
        near = [[near, far] for near, far in model.space.nearest(z, training, NEIGHBOURS)]
        note = "The training texts whose z lie nearest to the text's, by Euclidean distance of the posteriors' means."
        found.append(Table("Nearest in latent space", note, ["training text", "distance"], near))
    return found


def beam_panel(model: TrainedModel, width: int, *, prompt: str | None = None) -> Table:
    """What a beam search of this width held, from a prompt or from nothing. Raises: ValueError as `Beam` does."""
    given = None if prompt is None else _prompt(model, prompt)
    return beam_tree(model.family, model.tokenizer, width, int(model.config.max_len), prompt=given)


def batch_of(model: TrainedModel, text: str, prompt: str | None) -> Batch:
    """A text, and its prompt if there is one, as a batch of one row. Raises: ValueError where either is empty."""
    ids = model.tokenizer.typed([text], lowercase=model.lowercase)[0]
    if not ids:
        raise ValueError("the text is empty; give it a word")
    classifies = isinstance(model.family, Classifier)
    if classifies and prompt is not None:
        raise ValueError(f"{model.folder} is a classifier, which reads the text alone; leave the prompt out")
    end = [] if model.config.data.get("unit") == "stream" else [EOS]
    if classifies:  # its text is a prompt, and what it writes is a label
        return replace(pad([[EOS]]), prompt=pad([ids]).tokens).to(model.device)
    batch = pad([[*ids, *end]])
    if prompt is None:
        return batch.to(model.device)
    return replace(batch.to(model.device), prompt=_prompt(model, prompt))


def _prompt(model: TrainedModel, prompt: str) -> Int[Tensor, "1 p"]:
    ids = model.tokenizer.typed([prompt], lowercase=model.lowercase)[0]
    if not ids:
        raise ValueError("the prompt is empty; leave it out, or give it a word")
    return pad([[*ids, EOS] if model.pairs else ids]).tokens.to(model.device)


def surprise(family: LanguageModel, tokenizer: Tokenizer, batch: Batch) -> HeatLine:
    """How surprising each token of one text was, with its rank and what was expected."""
    scores = token_scores(family, batch)
    words = spelling(tokenizer, scores.tokens.tolist())
    total, n = float(scores.log_prob.sum()), len(words)
    how, before = "", "those before it"
    end = ", the end included" if EOS in scores.tokens else ""
    if isinstance(family, SupportsLatent):
        how = " They are under the mean of z given the text; its likelihood of the whole text is a bound."
    elif isinstance(family, SupportsFullConditionals):
        before, how = "all the others", " Its likelihood of the whole text is another figure."
        if family.likelihood == "pseudo":
            how = " Their sum is its pseudo-likelihood, which is no probability of the text."
    elif family.likelihood != "exact":
        how = " They are of writing from left to right, of which its likelihood of the whole text says another figure."
    return HeatLine(
        "Surprise, token by token",
        f"Bits of each token given {before}: {-total / LN2:.1f} bits in all, perplexity "
        f"{torch.exp(-scores.log_prob.mean()).item():.4g} over {n} tokens{end}. "
        f"Rank 1: none was likelier.{how}",
        words,
        (-scores.log_prob / LN2).tolist(),
        "bits",
        ["log p", "rank", "bits expected", "expected"],
        list(map(list, zip(*_cells(scores, tokenizer), strict=True))),
    )


def _cells(scores: TokenScores, tokenizer: Tokenizer) -> tuple[list, list, list, list]:
    expected = [
        ", ".join(
            f"{word} {p:.2f}" for word, p in zip(spelling(tokenizer, ids.tolist()), log_p.exp().tolist(), strict=True)
        )
        for ids, log_p in zip(scores.expected, scores.expected_log_prob, strict=True)
    ]
    return scores.log_prob.tolist(), scores.rank.tolist(), (scores.entropy / LN2).tolist(), expected


def _labels(family: Classifier, tokenizer: Tokenizer, batch: Batch) -> Table:
    with torch.no_grad():
        log_p = family.scores(texts_of(batch))[0]
    rows = [[label, float(p.exp()), float(p)] for label, p in zip(_names(family, tokenizer), log_p, strict=True)]
    rows.sort(key=lambda row: -row[1])
    return Table("Labels", "The probability of each label of the text.", ["label", "p", "log p"], rows)


def _names(family: Classifier, tokenizer: Tokenizer) -> list[str]:
    return tokenizer.decode(family.label_tokens.tolist())


def _maps(family: LanguageModel, tokenizer: Tokenizer, batch: Batch) -> list[Panel]:
    """Which tokens raised the probability of which, by both methods; none where nothing is read by an embedding."""
    short, found = _until(batch, LONGEST), []
    cut = f" The first {LONGEST} tokens." if batch.tokens.shape[1] > LONGEST else ""
    for title, steps, how in (
        ("Gradient times input", None, "the gradient of its log-probability times the vector read"),
        ("Integrated gradients", STEPS, f"integrated gradients from vectors of zeros, {STEPS} steps"),
    ):
        values = attributions(family, short, steps=steps)
        if values is None:
            return []
        if isinstance(family, Classifier):
            written = _names(family, tokenizer)
        else:
            written = numbered(spelling(tokenizer, values.written.tolist()))
        read = [START if i == BOS else spelling(tokenizer, [i])[0] for i in values.read.tolist()]
        note = f"Rows: what was predicted. Columns: what was read. Nats by {how}; below 0 it spoke against.{cut}"
        found.append(Heatmap(title, note, written, numbered(read), values.values.tolist(), "nats"))
    return found


def with_surprise(model: TrainedModel, n: int = 1, **how: Any) -> list[tuple[str, HeatLine]]:
    """`n` samples, each with the log-probability of its tokens under the model, however they were drawn.

    how: as of `TrainedModel.draw`.
    """
    draw = model.draw(n, **how)
    index = torch.arange(len(draw), device=draw.tokens.device).split(1)
    before = [] if draw.prompt is None or model.pairs else draw.prompt[0].tolist()
    texts = model.tokenizer.decode([[*before, *row] for row in draw.tokens.tolist()])
    return [(text, surprise(model.family, model.tokenizer, draw.rows(i))) for text, i in zip(texts, index, strict=True)]


def example(family: LanguageModel, corpus: Corpus) -> list[Panel]:
    """The surprise of one test text that fits a line or two; nothing where the family has no such figure."""
    known = has_next_token(family) or isinstance(family, SupportsFullConditionals)
    if not known or isinstance(family, Classifier | SupportsTexts):
        return []
    texts, sources = corpus.lines("test"), corpus.prompts("test")
    for i, text in enumerate(texts[:SEARCHED]):
        batch = corpus.batch([text[:FEW]], None if sources is None else [sources[i]])
        if corpus.stream or LINE // 3 <= int(batch.lengths[0]) <= LINE:
            return [surprise(family, corpus.tokenizer, _until(batch, LINE).to(device_of(family)))]
    return []


def _until(batch: Batch, most: int) -> Batch:
    return replace(batch, tokens=batch.tokens[:, :most], mask=batch.mask[:, :most])
