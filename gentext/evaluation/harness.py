"""Evidence -> metrics -> values. `gentext run` and `gentext score` both call it, so that all text is judged alike."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from gentext.data.corpus import LONGEST, Corpus
from gentext.data.source import Truth
from gentext.evaluation import parallel
from gentext.evaluation.judges import judges
from gentext.evaluation.scoring import SCORED_AT_ONCE, chunks, log_prob, prove, scores_of_texts
from gentext.evaluation.text_scorer import (
    FamilyAnswerer,
    FamilyCritic,
    FamilyLabeller,
    answerer_of,
    critic_of,
    labeller_of,
    scorer_of,
)
from gentext.language_model import LanguageModel, SupportsCheckpoint, SupportsError
from gentext.metrics.base import Absent, TextMetric, TextScorer
from gentext.metrics.extraction import CanarySet
from gentext.metrics.latent_use import Autoencoder
from gentext.metrics.lm_score import Scorer
from gentext.train.base import Monitor, in_order
from gentext.types import UNK, Batch, LabelScores, Samples, Scores, Value

PIECE = 1024  # tokens of a stream that are one sequence
# Why a piece of evidence may be missing; a metric that needs it is absent for this reason.
MISSING = {
    "samples": "there are no samples",
    "references": "there is no reference text",
    "training": "the training text is not at hand",
    "scores": "there is no model that gives held-out text a likelihood",
    "sample_scores": "the likelihood of its own samples is not known for this family or decode setting",
    "decoded_scores": "this decode setting draws from the family as it is, or from what has no known likelihood",
    "truth": "the distribution behind this corpus is not known",
    "judges": "the judges of language read lines, and this corpus is one stream",
    "autoencoder": "there is no model with a latent space",
    "scorer": "there is no model that gives any text a likelihood, or its corpus is a stream or of labels",
    "answerer": "there is no model that answers sources, or its corpus has none",
    "labeller": "there is no model that gives labels a probability, or the corpus has no labels",
    "critic": "there is no model with a critic that gives odds",
    "canaries": "no secrets were planted in the training text (data=canaries)",
    "label_scores": "there is no model that gives labels a probability, or the corpus has no labels",
}


@dataclass(frozen=True)
class Evidence:
    """All that metrics may ask for; None where there is none, Absent where metrics should say for what reason."""

    samples: Samples | None = None
    references: Samples | None = None
    training: Samples | None = None
    scores: Scores | Absent | None = None
    sample_scores: Scores | None = None
    decoded_scores: Scores | Absent | None = None  # of held-out text, by what a tempered decode setting draws from
    truth: Truth | None = None
    judges: Mapping[str, Scorer] | None = None
    autoencoder: Autoencoder | Absent | None = None
    label_scores: LabelScores | None = None
    scorer: TextScorer | None = None
    answerer: FamilyAnswerer | None = None
    labeller: FamilyLabeller | None = None
    critic: FamilyCritic | None = None
    canaries: CanarySet | None = None


def gather(
    corpus: Corpus,
    split: str,
    scores: Scores | Absent | None = None,
    autoencoder: Autoencoder | Absent | None = None,
    family: LanguageModel | None = None,
) -> Evidence:
    """All that there is besides samples: gathered once, so that what metrics keep of a text serves every judgement."""
    return Evidence(
        references=corpus.samples(corpus.lines(split), corpus.prompts(split)),
        training=corpus.samples(corpus.lines("train")),
        scores=scores,
        truth=corpus.truth,
        judges=judges(corpus),
        autoencoder=autoencoder,
        label_scores=score_labels(family, corpus, split) if family is not None else None,
        scorer=scorer_of(family, corpus) if family is not None else None,
        answerer=answerer_of(family, corpus) if family is not None else None,
        labeller=labeller_of(family, corpus) if family is not None else None,
        critic=critic_of(family, corpus) if family is not None else None,
        canaries=corpus.canaries,
    )


OF_SAMPLES = {"samples", "sample_scores", "decoded_scores"}  # the evidence that another decode setting changes
Kept = dict[str, Mapping[str, Value | Absent] | Absent]


def evaluate(
    metrics: Mapping[str, TextMetric], evidence: Evidence, kept: Kept | None = None
) -> tuple[dict[str, Value], dict[str, str]]:
    """Every value that the evidence allows, and for each metric that it does not allow the reason.

    kept: by metric, what those that ask for nothing of the samples found; they are not asked again under another decode
      setting of the same model. A VAE's use of its latent vector takes longer than all the rest.
    """
    kept = {} if kept is None else kept
    held = {field.name: getattr(evidence, field.name) for field in fields(evidence)}
    given = {key: None if isinstance(found, Absent) else found for key, found in held.items()}
    reasons = {**MISSING, **{key: str(found) for key, found in held.items() if isinstance(found, Absent)}}
    values: dict[str, Value] = {}
    absent: dict[str, str] = {}
    for name, metric in metrics.items():
        needs = inspect.signature(metric.update).parameters
        missing = [key for key, at in needs.items() if at.default is at.empty and given.get(key) is None]
        if missing:
            absent[name] = "; ".join(reasons.get(key, f"{key} is not at hand") for key in missing)
            continue
        if (found := kept.get(name)) is None:
            metric.reset()
            try:
                metric.update(**{key: given[key] for key in needs if given.get(key) is not None})
                found = metric.values()
            except Absent as reason:
                found = reason
            if not OF_SAMPLES & needs.keys():
                kept[name] = found
        if isinstance(found, Absent):
            absent[name] = str(found)
            continue
        doubled = values.keys() & found.keys()
        if doubled:
            raise ValueError(
                f"two metrics report {', '.join(sorted(doubled))}; give eval.metrics.{name} another setting"
            )
        for figure, value in found.items():
            if isinstance(value, Absent):
                absent[figure] = str(value)
            else:
                values[figure] = value
    return values, absent


def score(
    family: LanguageModel, corpus: Corpus, split: str, *, monitor: Monitor, processes: int = 1
) -> Scores | Absent | None:
    """The family's scores of a split, sequence by sequence, each scored whole; None for a family without a likelihood.

    The sequences of a stream are its pieces of PIECE tokens: a family that reads fewer at a time has those of a piece
    added up, so that figures of any two families rest on the same sequences.
    Several processes share out lines whose likelihood is exact; a stream is read in order, and a bound drawn, by one.
    Absent where sequences are cut that the family cannot read whole: a figure of what is left would be another figure.
    Raises: ValueError where its probabilities are none (gentext.evaluation.scoring.prove).
    """
    if family.likelihood == "none":
        return None
    if reason := unread(family, corpus, split):
        return reason
    family.eval()
    counts, unknown, error = [], [], 0.0

    def counted() -> Iterator[Batch]:
        nonlocal error
        for i, batch in enumerate(_batches(family, corpus, split)):
            if i == 0:
                prove(family, batch)
                error = shared_error(family, batch)
            yield batch
            counts.append(batch.lengths)
            unknown.append((batch.tokens == UNK).sum(1))
            bar.update(int(batch.lengths.sum()))

    with monitor.progress(corpus.tokens(split), f"scoring {split}", "tokens") as bar:
        if processes > 1 and family.likelihood == "exact" and not corpus.stream:
            for _ in counted():  # what is to be known of the text besides
                pass
            found = parallel.log_prob(family, corpus, split, processes)
        else:
            found = log_prob(family, counted(), stream=corpus.stream)
    tokens, unknown_tokens = torch.cat(counts), torch.cat(unknown)
    if corpus.stream:
        found, tokens, unknown_tokens = _pieces(tokens, found, tokens, unknown_tokens)
    made = scores_of_texts(family, corpus, found, tokens, corpus.lines(split), split)
    of = np.repeat(np.arange(len(found)), unknown_tokens.numpy())
    spelling = torch.from_numpy(np.bincount(of, corpus.spelled(split), len(found))).double()  # whole numbers of none
    return replace(made, closed=bool(corpus.unknown(split)), spelling=spelling, error=error)


def _pieces(lengths: Tensor, *columns: Tensor) -> Iterator[Tensor]:
    """Columns of a stream's sections, those that begin in one piece added up; a longer one is a piece."""
    piece = (lengths.cumsum(0) - lengths) // PIECE
    of = piece.unique_consecutive(return_inverse=True)[1]
    return (column.new_zeros(int(of[-1]) + 1).index_add(0, of, column) for column in columns)


def shared_error(family: LanguageModel, batch: Batch) -> float:
    """The error of a mean log-probability that all texts share, from the first of them (see Scores)."""
    return family.error(batch.rows(slice(0, SCORED_AT_ONCE))) if isinstance(family, SupportsError) else 0.0


def _batches(family: LanguageModel, corpus: Corpus, split: str) -> Iterator[Batch]:
    """A split in order, nothing of it cut."""
    if corpus.stream:
        return in_order(corpus, split, SCORED_AT_ONCE, window=PIECE, family=family)
    return corpus.whole(split, SCORED_AT_ONCE)


def unread(family: LanguageModel, corpus: Corpus, split: str) -> Absent | None:
    """Why a family cannot read the lines of a split whole; None where it can."""
    cut, longest = corpus.cut(split), corpus.longest(split)
    most = LONGEST if family.limit is None else family.limit
    if not cut or longest <= most:
        return None
    other = "take a checkpoint that reads more" if isinstance(family, SupportsCheckpoint) else "take positions=rotary"
    return Absent(
        f"max_len={corpus.max_len} cuts {cut:.1%} of {split}, and this {type(family).__name__} reads {most} tokens at "
        f"most where the longest line has {longest}: set max_len=null, or {other}"
    )


def score_labels(family: LanguageModel, corpus: Corpus, split: str) -> LabelScores | None:
    """log p(label | text) of every label of labelled text; None where there is none, or no likelihood."""
    if not corpus.labelled or family.likelihood == "none":
        return None
    family.eval()
    labels = corpus.labels
    rows, parts = list(chunks(corpus.batch(labels), 1)), []
    for batch in corpus.batches(split, SCORED_AT_ONCE):
        n = len(batch)
        asked = (Batch(row.tokens.expand(n, -1), row.mask.expand(n, -1), batch.prompt) for row in rows)
        parts.append(log_prob(family, asked).view(len(labels), n).T)
    index = {label: i for i, label in enumerate(labels)}
    gold = torch.tensor([index[label] for label in corpus.lines(split)])
    return LabelScores(torch.cat(parts), labels, gold, split)


def score_draw(family: LanguageModel, corpus: Corpus, draw: Batch, texts: Sequence[str], split: str) -> Scores | None:
    """The family's scores of its own samples, from the tokens as drawn; None for a family without a likelihood.

    split: the one that its rows are judged on.
    """
    if family.likelihood == "none":
        return None
    family.eval()
    prove(family, draw)
    made = scores_of_texts(family, corpus, log_prob(family, chunks(draw)), draw.lengths.cpu(), texts, "samples")
    return replace(made, closed=bool(corpus.unknown(split)), error=shared_error(family, draw))
