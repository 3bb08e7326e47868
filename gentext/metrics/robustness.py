"""How much harder a model finds text that is mistyped, cased otherwise, or in another order."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
import sacrebleu
import torch

from gentext import checks
from gentext.metrics.base import Absent, TextAnswerer, TextMetric, TextScorer, exactness_of
from gentext.metrics.intervals import bootstrap, bootstrap_ratio
from gentext.types import Samples, Value

TYPOS = 0.2  # share of the words of three letters or more that are mistyped


def typos(words: list[str], rng: np.random.Generator) -> list[str]:
    """Two neighbouring letters changed over in a fifth of the longer words, in one at least."""
    long = [i for i, word in enumerate(words) if len(word) > 2 and len(set(word)) > 1]
    chosen = {i for i in long if rng.random() < TYPOS}
    if long and not chosen:
        chosen = {long[int(rng.integers(len(long)))]}
    return [_swapped(word, rng) if i in chosen else word for i, word in enumerate(words)]


def _swapped(word: str, rng: np.random.Generator) -> str:
    places = [i for i in range(len(word) - 1) if word[i] != word[i + 1]]
    at = places[int(rng.integers(len(places)))]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def upper(words: list[str], _: np.random.Generator) -> list[str]:
    """Every letter a capital."""
    return [word.upper() for word in words]


def swapped(words: list[str], rng: np.random.Generator) -> list[str]:
    """Two neighbouring words changed over."""
    if len(words) < 2:
        return words
    at = int(rng.integers(len(words) - 1))
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def shuffled(words: list[str], rng: np.random.Generator) -> list[str]:
    """All words in a random order."""
    return [words[i] for i in rng.permutation(len(words))]


PERTURBATIONS: dict[str, Callable[[list[str], np.random.Generator], list[str]]] = {
    "typos": typos,
    "upper": upper,
    "swapped": swapped,
    "shuffled": shuffled,
}


def perturbed(text: str, kind: str, rng: np.random.Generator) -> str:
    """A text under a named perturbation; what stands between spaces is a word.

    Example:
        >>> perturbed("a man", "upper", np.random.default_rng(0))
        'A MAN'
    """
    return " ".join(PERTURBATIONS[kind](text.split(), rng))


def _changed(texts: Sequence[str], kind: str, seed: int) -> list[str]:
    """Each text perturbed, by a random stream of the text itself, wherever it stands."""
    place = list(PERTURBATIONS).index(kind)
    return [perturbed(text, kind, np.random.default_rng((seed, place, zlib.crc32(text.encode())))) for text in texts]


class _Perturbing(TextMetric):
    """What metrics of perturbed text share: their settings, and a column of figures for the text and for each kind."""

    figure: ClassVar[str]  # what its columns hold

    def __init__(self, kinds: Sequence[str], texts: int, resamples: int, seed: int) -> None:
        super().__init__()
        checks.at_least(1, texts=texts)
        checks.at_least(0, resamples=resamples)
        for kind in kinds:
            checks.one_of("kinds", kind, PERTURBATIONS)
        self.kinds, self.texts, self.resamples, self.seed = tuple(kinds), texts, resamples, seed
        for name in ("plain", *self.kinds):
            self.add_column(f"{self.figure}_{name}", torch.float64)


class Robustness(_Perturbing):
    """surprise:KIND: nats of perturbed held-out text over nats of the text itself, unknown words spelled.

    Above 1 the model finds the perturbed text harder: of typos and case near 1 is robust, of word order far above 1
    says that order is known. Of a corpus of pairs the source is perturbed, and the answer scored given it.
    The perturbations of a seed are the same for every model. Intervals resample texts.

    kinds: of typos, upper, swapped, shuffled. texts: of the split, its first ones.

    Example:
        >>> class Short:  # a scorer: shorter texts are likelier
        ...     exactness = "exact"
        ...     def log_prob(self, texts, prompts=None):
        ...         return -np.array([float(len(text)) for text in texts])
        ...     def known(self, texts):
        ...         return np.full(len(texts), True)
        >>> metric = Robustness(kinds=["upper"])
        >>> metric.update(scorer=Short(), references=Samples(("a dog sits .", "a cat runs .")))
        >>> metric.compute()
        {'surprise:upper': 1.0}
    """

    figure = "nats"
    higher_is_better: ClassVar[bool | None] = None

    def __init__(
        self, kinds: Sequence[str] = tuple(PERTURBATIONS), texts: int = 500, resamples: int = 10_000, seed: int = 0
    ) -> None:
        super().__init__(kinds, texts, resamples, seed)
        self.add_column("inexact", torch.uint8)

    def update(self, scorer: TextScorer, references: Samples) -> None:
        room = max(0, self.texts - len(self.column("nats_plain")))
        texts, prompts = references.texts[:room], references.prompts
        prompts = None if prompts is None else prompts[:room]
        if not texts:
            return
        self.append("nats_plain", -scorer.log_prob(texts, prompts))
        for kind in self.kinds:
            changed = _changed(prompts or texts, kind, self.seed)
            nats = scorer.log_prob(changed) if prompts is None else scorer.log_prob(texts, changed)
            self.append(f"nats_{kind}", -nats)
        self.append("inexact", np.array([scorer.exactness != "exact"], dtype=np.uint8))

    def values(self) -> Mapping[str, Value | Absent]:
        plain = self.column("nats_plain")
        if not len(plain):
            raise Absent("Robustness needs held-out texts, and there are none")
        found: dict[str, Value | Absent] = {}
        for kind in self.kinds:
            other = self.column(f"nats_{kind}")
            interval = bootstrap_ratio(other, plain, resamples=self.resamples, seed=self.seed)
            found[f"surprise:{kind}"] = Value(
                float(other.sum() / plain.sum()),
                f"surprise:{kind}|seqs:{len(plain)}|seed:{self.seed}|v:1",
                None,
                len(plain),
                "",
                **interval._asdict(),
                exactness=exactness_of(self.column("inexact")),
            )
        return found


class AnswerRobustness(_Perturbing):
    """answer_chrf, and answer_change:KIND: points of chrF that greedy answers gain where their sources are perturbed.

    Below 0 the answers are further from their references. The perturbations are those of `Robustness`, whose
    `surprise` says how likely the reference remains; here the answers are drawn anew. Intervals resample pairs.

    kinds: of typos, upper, swapped, shuffled. texts: of the split, its first pairs.

    Example:
        >>> class Echo:  # an answerer: the source itself
        ...     def answer(self, sources):
        ...         return list(sources)
        >>> metric = AnswerRobustness(kinds=["upper"])
        >>> metric.update(answerer=Echo(), references=Samples(("a dog", "a cat"), ("a dog", "a cat")))
        >>> metric.compute()
        {'answer_chrf': 100.0, 'answer_change:upper': -100.0}
    """

    figure = "chrf"
    higher_is_better: ClassVar[bool | None] = True

    def __init__(
        self, kinds: Sequence[str] = tuple(PERTURBATIONS), texts: int = 200, resamples: int = 10_000, seed: int = 0
    ) -> None:
        super().__init__(kinds, texts, resamples, seed)

    def update(self, answerer: TextAnswerer, references: Samples) -> None:
        """Raises: Absent where the references answer no sources."""
        if references.prompts is None:
            raise Absent("the references answer no sources, so that there is nothing to perturb")
        room = max(0, self.texts - len(self.column("chrf_plain")))
        texts, sources = references.texts[:room], references.prompts[:room]
        if not texts:
            return
        chrf = sacrebleu.CHRF()
        for name in ("plain", *self.kinds):
            answers = answerer.answer(sources if name == "plain" else _changed(sources, name, self.seed))
            scores = [
                chrf.sentence_score(*pair).score for pair in zip(answers, ([text] for text in texts), strict=True)
            ]
            self.append(f"chrf_{name}", np.array(scores, dtype=np.float64))

    def values(self) -> Mapping[str, Value | Absent]:
        plain = self.column("chrf_plain")
        if not len(plain):
            raise Absent("AnswerRobustness needs pairs, and there are none")
        figures = {f"answer_change:{kind}": self.column(f"chrf_{kind}") - plain for kind in self.kinds}
        found: dict[str, Value | Absent] = {}
        for name, each in {"answer_chrf": plain, **figures}.items():
            interval = bootstrap(each, resamples=self.resamples, seed=self.seed)
            signature = f"{name}|seqs:{len(plain)}|seed:{self.seed}|v:1"
            found[name] = Value(float(each.mean()), signature, True, len(plain), "%", **interval._asdict())
        return found
