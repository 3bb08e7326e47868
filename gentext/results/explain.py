"""`gentext explain`: what a figure is, and how one value of a run came about, part by part."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gentext.results.board import SIGNS, digits, values_of
from gentext.results.columns import COLUMNS, TARGETS, Column, column, known
from gentext.results.naming import setting
from gentext.results.record import Record
from gentext.value import Value

OF_MODEL = ("HeldOutLikelihood", "OwnLikelihood", "PaddedLikelihood", "KnownTruth", "LatentUse")  # need the model
BY_DEFAULT = ("BLEU", "SelfBLEU", "Diversity", "Memorisation", "LMScore", "RuleProfile", "Sacrebleu", "Rouge", "Meteor")
# What the parts of a signature say; `key:value` parts by their key.
SIGNATURE = {
    "refs": "reference texts that it was held against",
    "hyps": "samples that were judged",
    "seqs": "texts that it rests on",
    "train": "training texts that it was held against",
    "pairs": "pairs of answer and reference",
    "fit": "texts that the judge was fitted on",
    "smooth": "smoothing of counts of zero",
    "tok": "how texts were cut into words",
    "lm": "the language model that judges",
    "vocab": "words or tokens that are known; the rest counts as unknown",
    "split": "the split that was scored",
    "iw": "draws of z that weigh each text's bound",
    "nelbo": "times and masks of each text that the bound of masked diffusion is a mean over",
    "over": "the samples that it is a mean over",
    "order": "words of the n-grams",
    "encoder": "what turns texts into vectors",
    "seed": "of the metric's own random draws",
    "match": "which words count as the same",
    "version": "of the library that computed it",
    "case": "whether capitals differ",
    "of": "all that there are",
    "above": "the threshold",
    "templates": "the file of templates and pairs of words, by the beginning of its sha256",
    "candidates": "secrets of the same kind, never planted, that each is ranked among",
    "least": "words of a copied span, from which on it counts",
    "swaps": "words of a text that may be exchanged",
    "tries": "swaps that are looked at for each that is made",
    "flag": "what says that a text is flagged",
    "width": "places of a padded row",
    "back": "tokens before a window that the model reads",
    "v": "version of gentext's definition; another number is another figure",
    "line": "every line is a text of its own, its end scored",
    "stream": "the text is one stream, and no line ends are scored",
    "closed-form": "computed exactly, not estimated",
}
KINDS = {
    "bootstrap": "sentences resampled with replacement",
    "jackknife": "so many groups of samples and of held-out text left out one at a time",
    "parts": "the judge fitted on so many parts of the samples",
    "clusterings": "the spread over so many clusterings",
    "delta": "the ratio linearised",
    "clopper-pearson": "the exact interval of a share, of as many trials as its error allows",
    "subsample": "random halves and quarters of the texts",
    "wilson": "Wilson's score interval of a share",
    "normal": "1.96 standard errors to both sides",
    "draws": "the error of the draws that a likelihood rests on",
    "range": "from the lowest to the highest of repeated fits",
}
EXACTNESS = {
    "exact": "",
    "upper": " (a bound from above: the figure is at most this)",
    "lower": " (a bound from below)",
    "pseudo": " (of a pseudo-likelihood: every token given all others; no likelihood compares with it)",
}


def figure(name: str) -> str:
    """What a figure is: meaning, unit, target, metric, source, and the track that shows it by default.

    Raises: ValueError for a name that gentext does not define.

    Example:
        >>> print(figure("bits_per_char").splitlines()[0])
        bits_per_char: bits a character
    """
    about = column(name)
    if not about.source:
        raise ValueError(f"gentext defines no figure {name}. {known(COLUMNS, name)}")
    return "\n".join([f"{about.name}: {about.title}", about.meaning, *_facts(about)])


def _facts(about: Column) -> list[str]:
    by_hand = f"eval.metrics with gentext.metrics.{about.metric}" if not about.cost else "every run, as it goes"
    facts = {
        "unit": about.unit or "none",
        "target": TARGETS[about.target] + (f" ({about.truth})" if about.truth else ""),
        "formula": about.source,
        "computed by": by_hand,
        "on boards": ", ".join(about.tracks) or "on request: gentext board RUNS --columns " + about.name,
    }
    return [f"  {key:12} {fact}" for key, fact in facts.items()]


def value(records: Sequence[Record], name: str, decode: str | None = None) -> str:
    """How the value of a figure came about in the records of one run, a paragraph for each decode setting.

    Raises: ValueError where none of them holds it, with the reason that a record gives.
    """
    chosen = [r for r in records if decode in (None, r.decode, setting(r.decode))]
    if not chosen:
        settings = ", ".join(sorted({record.decode for record in records}))
        raise ValueError(f"no record there has the decode setting {decode}. Known: {settings}")
    held = [(record, found) for record in chosen if (found := values_of(record).get(name)) is not None]
    if not held:
        reasons = {r.absent[name] for r in chosen if name in r.absent}
        metric = column(name).metric.lower()
        reasons |= {why for r in chosen for key, why in r.absent.items() if key.replace("_", "") == metric}
        why = f"it is absent: {'; '.join(sorted(reasons))}" if reasons else known(values_of(chosen[0]), name)
        raise ValueError(f"{chosen[0].name} holds no {name}. {why}")
    return "\n\n".join("\n".join(_value(record, name, found)) for record, found in held)


def _value(record: Record, name: str, found: Value) -> list[str]:
    about = column(name, found)
    ends = found.interval
    interval = "none" if ends is None else f"{ends[0]:.6g} .. {ends[1]:.6g}, 95 %, by {_kind(found.interval_kind)}"
    facts = {
        "value": f"{SIGNS[found.exactness]}{found.value:.6g} {about.unit or found.unit}{EXACTNESS[found.exactness]}",
        "in short": SIGNS[found.exactness] + digits(found.value, ends),
        "interval": interval,
        "rests on": f"{found.n} texts" + (", each with a figure of its own" if found.paired else ""),
    }
    lines = [f"{name} of {record.name}, {setting(record.decode)}, seed {record.seed}, on {record.data}", about.meaning]
    lines += [f"  {key:12} {fact}" for key, fact in facts.items()] + _facts(about)
    lines += [
        f"  signature    {found.signature}",
        *(f"    {part:24} {_part(part)}" for part in found.signature.split("|")),
    ]
    return [*lines, f"  trained by   {record.command or 'not recorded'}", f"  once more    {_again(record, about)}"]


def _again(record: Record, about: Column) -> str:
    """The command that computes the value again: from stored samples, or with the model itself."""
    if about.cost or about.metric in OF_MODEL:
        return f"{record.command} resume=false" if record.command else "not recorded"
    option = "" if about.metric in BY_DEFAULT or not about.metric else " --eval full"
    return f"gentext score {shlex.quote(record.folder)}{option}"


def _kind(kind: str) -> str:
    """The words of an interval's kind, and the kind itself."""
    meaning = "; ".join(KINDS[word] for part in kind.split("+") if (word := part.partition(":")[0]) in KINDS)
    return f"{kind} ({meaning})" if meaning else kind or "means not recorded"


def _part(part: str) -> str:
    """What one part of a signature says."""
    words = [SIGNATURE.get(each.partition(":")[0], "") for each in part.split("+")]
    return next((word for word in words if word), "the figure" if ":" not in part else "a setting of the metric")
