"""Metrics of conditional tracks, each by the library that owns it, with that library's signature."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import ClassVar

import sacrebleu
from torchmetrics.text import ROUGEScore

from gentext.data.words import word_rule
from gentext.metrics.pair_metric import PairMetric
from gentext.types import Value

ROUGE = ("rouge1", "rouge2", "rougeL")


class Sacrebleu(PairMetric):
    """sacrebleu, chrf and ter by sacrebleu, 0 to 100, ter the lower the better; its own signatures and bootstrap.

    `tokenize` is sacrebleu's (13a, intl, zh, char, none, ...) and is BLEU's alone; `chrf_words=2` makes chrF++.
    """

    higher_is_better: ClassVar[bool | None] = None

    def __init__(
        self, tokenize: str = "13a", lowercase: bool = False, chrf_words: int = 0, resamples: int = 1000
    ) -> None:
        super().__init__(resamples)
        if tokenize not in sacrebleu.BLEU.TOKENIZERS:
            known = ", ".join(sacrebleu.BLEU.TOKENIZERS)
            raise ValueError(f"tokenize is {tokenize!r}; it must be one of {known}. Give for example tokenize=13a")
        self.tokenize = tokenize
        self.lowercase = lowercase
        self.chrf_words = chrf_words

    def values(self) -> Mapping[str, Value]:
        samples, references = self.pairs()
        metrics = {
            "sacrebleu": sacrebleu.BLEU(tokenize=self.tokenize, lowercase=self.lowercase),
            "chrf": sacrebleu.CHRF(word_order=self.chrf_words, lowercase=self.lowercase),
            "ter": sacrebleu.TER(case_sensitive=not self.lowercase),
        }
        n, found = len(samples), {}
        for name, metric in metrics.items():
            score = metric.corpus_score(samples, [references], n_bootstrap=self.resamples if n > 1 else 1)
            signature = str(metric.get_signature())
            told = json.loads(score.format(width=9, signature=signature, is_json=True))
            interval, kind = None, ""
            if "confidence_mean" in told:
                middle, reach = told["confidence_mean"], told["confidence_var"]
                interval, kind = (middle - reach, middle + reach), f"bootstrap:{self.resamples}"
            found[name] = Value(score.score, f"{name}|{signature}|pairs:{n}", name != "ter", n, "%", interval, kind)
        return found


class Rouge(PairMetric):
    """rouge1, rouge2, rougeL: the mean F1 over pairs, by torchmetrics, whose words are runs of a-z and 0-9.

    `words` names another rule, which text in other scripts needs (char for Chinese); `stemmer` is Porter's.
    Source: Lin 2004.
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, words: str | None = None, stemmer: bool = False, resamples: int = 1000, seed: int = 0) -> None:
        super().__init__(resamples, seed)
        self.words = words
        self.stemmer = stemmer
        self.split = None if words is None else word_rule(words).split

    def values(self) -> Mapping[str, Value]:
        samples, references = self.pairs()
        keep = None if self.split is None else str.lower
        rouge = ROUGEScore(use_stemmer=self.stemmer, normalizer=keep, tokenizer=self.split, rouge_keys=ROUGE)
        rouge.update(samples, references)
        tok, stem = self.words or "a-z0-9", "porter" if self.stemmer else "none"
        rest = f"tok:{tok}|stem:{stem}|torchmetrics:{version('torchmetrics')}"
        figures = {name: [float(f1) for f1 in getattr(rouge, f"{name}_fmeasure")] for name in ROUGE}
        return self.means({name: (each, f"{name}|{rest}") for name, each in figures.items()}, "share")


class Meteor(PairMetric):
    """meteor: the mean over pairs, by NLTK, from words that are equal or have the same Porter stem.

    Source: Lavie and Agarwal 2007. Differs: no synonyms, since WordNet is a download; scores are a little lower.
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, words: str = "treebank", resamples: int = 1000, seed: int = 0) -> None:
        super().__init__(resamples, seed)
        self.words = words
        self.split = word_rule(words).split

    def values(self) -> Mapping[str, Value]:
        from nltk.translate.meteor_score import single_meteor_score  # takes half a second to import

        samples, references = self.pairs()
        each = [
            single_meteor_score(self.split(reference), self.split(sample), wordnet=NoSynonyms)
            for sample, reference in zip(samples, references, strict=True)
        ]
        signature = f"meteor|match:exact+porter|synonyms:none|tok:{self.words}+lower|nltk:{version('nltk')}"
        return self.means({"meteor": (each, signature)}, "share")


class NoSynonyms:
    """A WordNet without entries."""

    @staticmethod
    def synsets(_word: str) -> Sequence[object]:
        return ()


class Answers(PairMetric):
    """exact_match, the share of samples that are their reference word by word, and token_f1, the mean F1 of words.

    Source: Rajpurkar et al. 2016. Differs: articles and punctuation are words as others are.
    """

    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, words: str = "treebank", lower: bool = True, resamples: int = 1000, seed: int = 0) -> None:
        super().__init__(resamples, seed)
        self.words = words
        self.lower = lower
        self.split = word_rule(words).split

    def values(self) -> Mapping[str, Value]:
        read = [[self.split(text.lower() if self.lower else text) for text in side] for side in self.pairs()]
        both = list(zip(*read, strict=True))
        tok = f"tok:{self.words}{'+lower' * self.lower}"
        return self.means(
            {
                "exact_match": ([sample == reference for sample, reference in both], f"exact_match|{tok}"),
                "token_f1": ([f1(sample, reference) for sample, reference in both], f"token_f1|{tok}"),
            },
            "share",
        )


def f1(sample: Sequence[str], reference: Sequence[str]) -> float:
    """Twice the words that two texts share by all their words; 1 for two texts without words."""
    shared = (Counter(sample) & Counter(reference)).total()
    return 2 * shared / (len(sample) + len(reference)) if len(sample) + len(reference) else 1.0
