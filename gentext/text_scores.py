"""`gentext score RUN --text FILE`: how likely a trained run finds any text, in all and line by line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from omegaconf import DictConfig
from torch import Tensor

from gentext import files
from gentext.checks import class_name
from gentext.data.corpus import LONGEST, Corpus
from gentext.data.readers import TextReader, read_samples
from gentext.display import Tabular
from gentext.evaluation.scoring import score_texts
from gentext.language_model import LanguageModel
from gentext.metrics.likelihood import HeldOutLikelihood
from gentext.panels import Table
from gentext.results.columns import column
from gentext.trained import TrainedModel
from gentext.types import UNK, Batch, Scores, Value, pad

LN2 = 0.6931471805599453
WINDOW = 512  # tokens of a stream that are read at once by a family that carries its state
COLUMNS = ("line", "text", "tokens", "chars", "bytes", "log_prob", "bits_per_char", "bits_per_byte", "token_ppl")


class TextScores(Tabular):
    """How likely a text is under a model: the figures of all of it print, `.frame()` and `.save(path)` have its lines.

    values: every figure by its name, with its interval.
    lines: a table, a row a line.
    """

    def __init__(self, values: dict[str, Value], lines: Table, note: str) -> None:
        rows = [
            [column(name).title, value.value, *(value.interval or ("-", "-")), value.unit or "-", value.signature]
            for name, value in values.items()
        ]
        super().__init__(Table("Likelihood", note, ["figure", "value", "from", "to", "unit", "signature"], rows))
        self.values, self.lines = values, lines

    def frame(self) -> Any:
        """A pandas frame: a row a line."""
        return Tabular(self.lines).frame()

    def save(self, path: str | Path) -> Path:
        """Write the figures of each line, as .jsonl or .csv; the path. Raises: ValueError for another ending."""
        path = Path(path)
        rows = [dict(zip(self.lines.columns, row, strict=True)) for row in self.lines.rows]
        if path.suffix == ".jsonl":
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        elif path.suffix == ".csv":
            out = io.StringIO()
            csv.writer(out, lineterminator="\n").writerows([self.lines.columns, *self.lines.rows])
            text = out.getvalue()
        else:
            raise ValueError(f"{path} is to hold the figures of each line; give it the ending .jsonl or .csv")
        files.write_text(text, path)
        return path


def score_text(model: TrainedModel, corpus: Corpus, file: Path, target: str = "text") -> TextScores:
    """How likely a trained model finds the lines of a file.

    Args:
        model: what `gentext.load` gives.
        corpus: that it was trained on, whose rules say what a word is and what an unknown one costs.
        file: a text a line, or a table (JSONL, CSV, TSV, Parquet); of pairs a table with the run's own columns (text
          and label where it has none), or the texts of which the run is given the beginning.
        target: the column of a table, by its name or number.

    Raises: ValueError for a file without text, or with a line that the family cannot read.
    """
    family = model.family
    if family.likelihood == "none":
        raise ValueError(f"{model.folder} is {class_name(family)}, which gives texts no likelihood")
    texts, prompts = read_texts(model, file, target)
    scores = scores_of(family, corpus, texts, prompts, model.device)
    metric = HeldOutLikelihood()
    metric.update(scores)
    values = {name: value for name, value in metric.values().items() if isinstance(value, Value)}
    how = {"exact": "exact", "bound": "bounds from above", "pseudo": "of a pseudo-likelihood"}[scores.kind]
    note = f"{len(texts)} lines of {file.name} under {model.folder.name}; the figures are {how}."
    if scores.closed:
        note += " Bits a character and byte charge the spelling of words that the model does not know."
    return TextScores(values, _lines(texts, scores), note)


def scores_of(
    family: LanguageModel, corpus: Corpus, texts: Sequence[str], prompts: Sequence[str] | None, device: str = "cpu"
) -> Scores:
    """A family's verdict on any texts, by the rules of a corpus: each by itself, or one after the other as a stream."""
    if corpus.stream:
        return _of_stream(family, corpus, texts, device)
    _check(family, corpus, texts, prompts)
    return score_texts(family, corpus, texts, prompts)


def read_texts(model: TrainedModel, file: Path, target: str = "text") -> tuple[list[str], list[str] | None]:
    """The texts of a file and, where the run is of pairs, their sources. Raises: ValueError where it holds none."""
    data = model.config.data
    tidied: dict[str, Any] = {name: data[name] for name in ("lowercase", "spaces") if name in data}
    if not model.pairs:
        stream = data.get("unit") == "stream"
        reader = TextReader(target=int(target) if target.isdecimal() else target, **tidied)
        texts = read_samples(file, reader, stream=stream)
        return ([f"{text}\n" for text in texts] if stream else [text for text in texts if text.strip()]), None
    reader = _pairs(data, tidied)
    wanted = "a file of texts"
    if reader.source is not None:
        wanted = f"a table with the columns {', '.join(map(str, (*reader.sources, *reader.columns[:1])))}"
    if not file.is_file():
        raise ValueError(f"{file} is no file; give {wanted}")
    rows = list(reader.rows(file))
    if not rows:
        raise ValueError(f"{file} holds no pair; give {wanted}")
    return [row.text for row in rows], [row.prompt or "" for row in rows]


def _pairs(data: DictConfig, tidied: Mapping[str, Any]) -> TextReader:
    """Reads pairs as the run's corpus did; those of a corpus with no columns of its own, whose texts have labels."""
    if "source" not in data and "prompt" not in data:
        return TextReader(source="text", target="label", **tidied)
    parts = {name: data[name] for name in ("join", "prompt", "keep_lines") if name in data}
    characters = data.get("words") == "char"
    return TextReader(source=data.get("source"), target=data.target, characters=characters, **tidied, **parts)


def _check(family: LanguageModel, corpus: Corpus, texts: Sequence[str], prompts: Sequence[str] | None) -> None:
    most = LONGEST if family.limit is None else family.limit
    asked = corpus.tokenizer.encode(list(prompts)) if prompts is not None else [[] for _ in texts]
    for i, (ids, before) in enumerate(zip(corpus.tokenizer.encode(list(texts)), asked, strict=True), 1):
        if len(ids) + 1 + len(before) > most:
            raise ValueError(
                f"line {i} has {len(ids)} tokens, and this {type(family).__name__} reads {most - 1}; cut it, or train "
                "with a longer context or positions=rotary"
            )


def _of_stream(family: LanguageModel, corpus: Corpus, texts: Sequence[str], device: str) -> Scores:
    """Of lines that follow one another as one text, each with its end and given all that stands before it."""
    if family.likelihood != "exact" or not family.sequential:
        raise ValueError(f"{type(family).__name__} gives a stream no exact likelihood; take a run of lines")
    ids = torch.tensor(corpus.tokenizer.encode(["".join(texts)])[0], device=device)
    log_prob = _along(family, ids).double().cpu()
    ends = ["\n" in piece for piece in corpus.tokenizer.decode(ids[:, None].tolist())]
    line = torch.tensor([0, *np.cumsum(ends)[:-1].tolist()]).clamp_max(len(texts) - 1)
    n, words = len(texts), [word for text in texts for word in corpus.tokenizer.unknown(text)]

    def summed(figures: Tensor) -> Tensor:
        return torch.zeros(n, dtype=figures.dtype).index_add_(0, line, figures)

    unknown = ids.cpu() == UNK
    spelling = torch.zeros(len(ids), dtype=torch.float64)
    spelling[unknown] = corpus.spelling_of(words)
    return Scores(
        log_prob=summed(log_prob),
        tokens=summed(torch.ones_like(line)),
        chars=torch.tensor([len(text) for text in texts]),
        bytes=torch.tensor([len(text.encode()) for text in texts]),
        words=torch.tensor([len(corpus.words(text)) + 1 for text in texts]),
        split="text",
        kind="exact",
        convention="stream" if family.context is None else f"stream+back:{family.context}",
        vocabulary=corpus.tokenizer.sha256[:8],
        closed=bool(unknown.any()),
        spelling=summed(spelling),
    )


@torch.inference_mode()
def _along(family: LanguageModel, ids: Int[Tensor, " t"]) -> Float[Tensor, " t"]:
    """log p of each token after all before it, or after as many as the family can read."""
    parts = []
    if family.context is None:
        for at in range(0, len(ids), WINDOW):
            tokens = ids[None, at : at + WINDOW]
            parts.append(family(Batch(tokens, torch.ones_like(tokens, dtype=torch.bool), carry=at > 0)).log_prob[0])
        return torch.cat(parts)
    half = max(1, family.context // 2)
    for at in range(0, len(ids), half):
        batch = pad([ids[at : at + half].tolist()]).to(str(ids.device))
        before = ids[None, max(0, at - half) : at]
        parts.append(family(Batch(batch.tokens, batch.mask, before if at else None)).log_prob[0])
    return torch.cat(parts)


def _lines(texts: Sequence[str], scores: Scores) -> Table:
    """The figures of every line: those for a character and a byte charge the spelling of unknown words."""
    spelled = scores.log_prob if scores.spelling is None else scores.log_prob - scores.spelling
    rows: list[list[str | float]] = []
    for i, text in enumerate(texts):
        nats, tokens = float(scores.log_prob[i]), int(scores.tokens[i])
        chars, size, bits = int(scores.chars[i]), int(scores.bytes[i]), float(-spelled[i]) / LN2
        cost = float(np.exp(min(-nats / tokens, 700.0))) if tokens else float("nan")
        figures = [tokens, chars, size, nats, bits / chars, bits / size, cost]
        rows.append([i + 1, text.removesuffix("\n"), *figures])
    return Table("Lines", "", list(COLUMNS), rows)
