"""Metrics of conditional tracks, each by the library that owns it, with that library's signature."""

from __future__ import annotations

import json
import logging
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar, cast

import sacrebleu
from torchmetrics.text import ROUGEScore

from gentext import checks
from gentext.data.words import word_rule
from gentext.metrics.base import Segmentation
from gentext.metrics.pair_metric import PairMetric, WordPairMetric
from gentext.types import Samples, Value

log = logging.getLogger("gentext")
ROUGE = ("rouge1", "rouge2", "rougeL")
OWN = "rouge"  # ROUGE's own words
ARTICLES = re.compile(r"\b(?:a|an|the)\b")


class Sacrebleu(PairMetric):
    """sacrebleu, chrf and ter by sacrebleu, 0 to 100, ter the lower the better; its own signatures and bootstrap.

    `tokenize` is sacrebleu's (13a, intl, zh, char, none, ...) and is BLEU's alone; `chrf_words=2` makes chrF++.

    Example:
        >>> from gentext.types import Samples
        >>> sample, reference = (Samples((text,), ("un chien",)) for text in ("a dog sits", "a dog runs"))
        >>> metric = Sacrebleu()
        >>> metric.update(samples=sample, references=reference)
        >>> round(metric.compute()["ter"], 1)  # one word of three
        33.3
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(
        self, tokenize: str = "13a", lowercase: bool = False, chrf_words: int = 0, resamples: int = 1000
    ) -> None:
        super().__init__(resamples)
        checks.one_of("tokenize", tokenize, sacrebleu.BLEU.TOKENIZERS)
        checks.at_least(0, chrf_words=chrf_words)
        self.tokenize = tokenize
        self.lowercase = lowercase
        self.chrf_words = chrf_words

    def values(self) -> Mapping[str, Value]:
        samples, references = self.pairs()
        apart = sum(text.endswith(" .") for text in references)
        if 2 * apart > len(references):
            log.warning(
                "sacrebleu: %d of %d references end in ' .', as tokenized text does; papers score text as written",
                apart,
                len(references),
            )
        metrics = {  # force: no warning of its own, whose advice is none here
            "sacrebleu": sacrebleu.BLEU(tokenize=self.tokenize, lowercase=self.lowercase, force=True),
            "chrf": sacrebleu.CHRF(word_order=self.chrf_words, lowercase=self.lowercase),
            "ter": sacrebleu.TER(case_sensitive=not self.lowercase),
        }
        n, found = len(samples), {}
        for name, metric in metrics.items():
            plain_floats(metric)
            score = metric.corpus_score(samples, [references], n_bootstrap=self.resamples if n > 1 else 1)
            signature = str(metric.get_signature())
            reported = json.loads(score.format(width=9, signature=signature, is_json=True))
            interval, kind = None, ""
            if "confidence_mean" in reported:
                middle, reach = reported["confidence_mean"], reported["confidence_var"]
                interval, kind = (middle - reach, middle + reach), f"bootstrap:{self.resamples}"
            found[name] = Value(score.score, f"{name}|{signature}|pairs:{n}", name != "ter", n, "%", interval, kind)
        return found


def plain_floats(metric: Any) -> None:
    """Let a metric of sacrebleu score in Python's floats.

    Its resamples are of numpy's single precision but where they are 0, and its mean refuses the mixture.
    """
    compute = metric._compute_score_from_stats

    def plain(stats: Any) -> Any:
        score = compute(stats)
        score.score = float(score.score)
        return score

    metric._compute_score_from_stats = plain


class Rouge(WordPairMetric):
    """rouge1, rouge2, rougeL: the mean F1 over pairs, by torchmetrics.

    Args:
        words: the rule that cuts a text into words; None: the corpus's own; rouge: runs of a-z and 0-9, as ROUGE's own
            code cuts, which holds no word of another script.
        stemmer: compare the words' Porter stems.

    Source: Lin 2004.

    Example:
        >>> from gentext.types import Samples
        >>> sample, reference = (Samples((text,), ("un chien",)) for text in ("a dog sits", "a dog runs"))
        >>> metric = Rouge()
        >>> metric.update(samples=sample, references=reference)
        >>> round(metric.compute()["rouge2"], 3)
        0.5
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, words: str | None = None, stemmer: bool = False, resamples: int = 1000, seed: int = 0) -> None:
        super().__init__(None if words == OWN else words, None, resamples, seed)
        self.words = words
        self.stemmer = stemmer

    def segment(self, texts: Samples) -> Segmentation | None:
        return None if self.words == OWN else super().segment(texts)

    def values(self) -> Mapping[str, Value]:
        samples, references = self.pairs()
        rule = None if self.words == OWN else self.segmentation().words
        rouge = ROUGEScore(
            use_stemmer=self.stemmer,
            normalizer=str.lower if rule else None,
            tokenizer=word_rule(rule).split if rule else None,
            rouge_keys=ROUGE,
        )
        rouge.update(samples, references)
        tok, stem = rule or "a-z0-9", "porter" if self.stemmer else "none"
        rest = f"tok:{tok}|stem:{stem}|torchmetrics:{version('torchmetrics')}"
        figures = {name: [float(f1) for f1 in getattr(rouge, f"{name}_fmeasure")] for name in ROUGE}
        return self.means({name: (each, f"{name}|{rest}") for name, each in figures.items()}, "share")


class Meteor(WordPairMetric):
    """meteor: the mean over pairs, by NLTK, from words that are equal or have the same Porter stem.

    Source: Lavie and Agarwal 2007. Differs: no synonyms, since WordNet is a download; scores are a little lower.

    Example:
        >>> from gentext.types import Samples
        >>> sample, reference = (Samples((text,), ("un chien",)) for text in ("a dog sits", "a dog runs"))
        >>> metric = Meteor(words="whitespace")
        >>> metric.update(samples=sample, references=reference)
        >>> metric.compute()["meteor"]
        0.625
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, words: str | None = None, resamples: int = 1000, seed: int = 0) -> None:
        super().__init__(words, None, resamples, seed)

    def values(self) -> Mapping[str, Value]:
        from nltk.translate.meteor_score import single_meteor_score  # takes half a second to import

        samples, references = self.pairs()
        rule = self.segmentation().words
        split = word_rule(rule).split  # NLTK lower-cases the words itself
        each = [
            single_meteor_score(split(reference), split(sample), wordnet=cast(Any, NoSynonyms))
            for sample, reference in zip(samples, references, strict=True)
        ]
        signature = f"meteor|match:exact+porter|synonyms:none|tok:{rule}+lower|nltk:{version('nltk')}"
        return self.means({"meteor": (each, signature)}, "share")


class NoSynonyms:
    """A WordNet without entries."""

    @staticmethod
    def synsets(_word: str) -> Sequence[object]:
        return ()


class Answers(WordPairMetric):
    """exact_match, the share of samples that are their reference word by word, and token_f1, the mean F1 of words.

    Args:
        squad: words as SQuAD's own code cuts them: in lower case, without punctuation, without a, an and the; else
            they are those of `words`, articles and punctuation among them.

    Source: Rajpurkar et al. 2016. Differs: a row has one reference; of several they take the best.

    Example:
        >>> from gentext.types import Samples
        >>> sample, reference = (Samples((text,), ("un chien",)) for text in ("a dog sits", "the dog runs."))
        >>> metric = Answers(squad=True)
        >>> metric.update(samples=sample, references=reference)
        >>> metric.compute()
        {'exact_match': 0.0, 'token_f1': 0.5}
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(
        self,
        words: str | None = None,
        lowercase: bool | None = None,
        squad: bool = False,
        resamples: int = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__(words, lowercase, resamples, seed)
        if squad and (words, lowercase) != (None, None):
            raise ValueError("squad is true, which says what a word is; leave words and lowercase out")
        self.squad = squad

    def values(self) -> Mapping[str, Value]:
        samples, references = self.pairs()
        split, tok = (squad_words, "squad") if self.squad else (self.segmentation().split, self.segmentation().tok)
        both = [(split(sample), split(reference)) for sample, reference in zip(samples, references, strict=True)]
        return self.means(
            {
                "exact_match": ([sample == reference for sample, reference in both], f"exact_match|tok:{tok}"),
                "token_f1": ([f1(sample, reference) for sample, reference in both], f"token_f1|tok:{tok}"),
            },
            "share",
        )


def squad_words(text: str) -> list[str]:
    """The words that SQuAD's evaluation compares.

    >>> squad_words("The U.S. has an owl!")
    ['us', 'has', 'owl']
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return ARTICLES.sub(" ", text).split()


def f1(sample: Sequence[str], reference: Sequence[str]) -> float:
    """Twice the words that two texts share by all their words; 1 for two texts without words."""
    shared = (Counter(sample) & Counter(reference)).total()
    return 2 * shared / (len(sample) + len(reference)) if len(sample) + len(reference) else 1.0
