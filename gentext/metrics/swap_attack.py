"""How easily a classifier or a critic is misled: words swapped for others until it errs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from gentext import checks
from gentext.metrics.base import Absent, TextMetric
from gentext.metrics.intervals import clopper_pearson
from gentext.types import Samples, Value

TRIES = 16  # swaps that are looked at for each one that is made


LogProb = Callable[[Sequence[str]], Float[ndarray, "n c"]]


@runtime_checkable
class Labeller(Protocol):
    """A trained classifier."""

    labels: Sequence[str]

    def log_prob(self, texts: Sequence[str]) -> Float[ndarray, "n c"]:
        """log p(label | text), nats."""
        ...


class SwapAttack(TextMetric):
    """attacked_accuracy: accuracy on held-out texts in which up to `swaps` words were exchanged to mislead the model.

    Each step looks at 16 random swaps of a word of the text for a word of other texts, and makes the one under which
    the right label is least likely; a text that is misled already stays. unattacked_accuracy is that of the same texts.
    The swaps that are looked at are the same for every model up to where their texts part.
    Source: Alzantot et al. 2018 (word substitution as a black-box attack). Differs: greedy, and words are any, not
    synonyms, so that a swap may change what the right label is: it bounds how local the evidence is.

    Example:
        >>> class Sits:  # a classifier: is there the word?
        ...     labels = ["no", "yes"]
        ...     def log_prob(self, texts):
        ...         return np.log([[0.9, 0.1] if "sits" not in text else [0.1, 0.9] for text in texts])
        >>> metric = SwapAttack(swaps=1)
        >>> metric.update(labeller=Sits(), references=Samples(("yes",) * 2, ("a dog sits", "a cat sits")))
        >>> metric.compute()
        {'unattacked_accuracy': 1.0, 'attacked_accuracy': 0.0}
    """

    higher_is_better: ClassVar[bool | None] = True
    figures: ClassVar[tuple[str, str]] = ("unattacked_accuracy", "attacked_accuracy")
    version: ClassVar[int] = 1

    def __init__(self, swaps: int = 2, texts: int = 200, seed: int = 0) -> None:
        super().__init__()
        checks.at_least(1, swaps=swaps, texts=texts)
        self.swaps, self.texts, self.seed = swaps, texts, seed
        self.add_column("before", torch.uint8)
        self.add_column("after", torch.uint8)

    def update(self, labeller: Labeller, references: Samples) -> None:
        sources = list((references.prompts or ())[: self.texts])
        index = {label: i for i, label in enumerate(labeller.labels)}
        self._attack(labeller.log_prob, sources, np.array([index[label] for label in references.texts[: len(sources)]]))

    def _attack(self, log_prob: LogProb, texts: Sequence[str], gold: Int[ndarray, " n"]) -> None:
        pool = sorted({word for text in texts for word in text.split()})
        changed = attack(log_prob, texts, gold, pool, self.swaps, np.random.default_rng(self.seed))
        for name, each in (("before", texts), ("after", changed)):
            self.append(name, (log_prob(each).argmax(1) == gold).astype(np.uint8))

    def values(self) -> Mapping[str, Value | Absent]:
        found: dict[str, Value | Absent] = {}
        for side, name in zip(("before", "after"), self.figures, strict=True):
            each = self.column(side).astype(np.float64)
            if not len(each):
                raise Absent(f"{type(self).__name__} needs texts of both kinds, and there are none")
            interval = clopper_pearson(float(each.mean()), len(each))._asdict()
            signature = f"{name}|swaps:{self.swaps}|tries:{TRIES}|seqs:{len(each)}|seed:{self.seed}|v:{self.version}"
            found[name] = Value(float(each.mean()), signature, True, len(each), "share", **interval, per_sequence=each)
        return found


@runtime_checkable
class TextCritic(Protocol):
    """A GAN's critic."""

    def odds(self, texts: Sequence[str]) -> Float[ndarray, " n"]:
        """Log-odds that a person wrote each text."""
        ...


class CriticAttack(SwapAttack):
    """attacked_critic: a critic's accuracy at telling people's texts from samples, after swaps that mislead it.

    As many held-out texts as samples, half of `texts` each; words come from both. critic_accuracy is that before. A
    critic is right where its score is on the right side of the middle between the two kinds' means before swaps: in
    most games a number added to all scores changes nothing, and zero is no border.
    Source: as SwapAttack. Differs: as there.

    Example:
        >>> class Sits:
        ...     def odds(self, texts):
        ...         return np.array([1.0 if "sits" in text else -1.0 for text in texts])
        >>> metric = CriticAttack(swaps=1)
        >>> metric.update(critic=Sits(), references=Samples(("a dog sits",)), samples=Samples(("a cat a",)))
        >>> metric.compute()["critic_accuracy"]
        1.0
    """

    figures: ClassVar[tuple[str, str]] = ("critic_accuracy", "attacked_critic")
    version: ClassVar[int] = 2  # 1 took zero for the border

    def update(self, critic: TextCritic, references: Samples, samples: Samples) -> None:  # type: ignore[override]
        half = min(self.texts // 2, len(references.texts), len(samples.texts))
        texts = [*references.texts[:half], *samples.texts[:half]]
        before = critic.odds(texts)
        border = np.mean([before[:half].mean(), before[half:].mean()]) if half else 0.0
        self._attack(lambda each: _two_sided(critic.odds(each) - border), texts, np.repeat([0, 1], half))


def _two_sided(odds: Float[ndarray, " n"]) -> Float[ndarray, "n 2"]:
    """The log-probabilities of both sides."""
    return -np.logaddexp(0.0, np.stack([-odds, odds], 1))


def attack(
    log_prob: LogProb,
    texts: Sequence[str],
    gold: Int[ndarray, " n"],
    pool: Sequence[str],
    swaps: int,
    rng: np.random.Generator,
) -> list[str]:
    """The texts after at most `swaps` swaps each, made where they lower the probability of the right label most."""
    current = list(texts)
    for _ in range(swaps):
        scores = log_prob(current)
        rows = np.flatnonzero(scores.argmax(1) == gold)
        if not len(rows):
            break
        tried = [_swap(current[i], pool, rng) for i in rows for _ in range(TRIES)]
        own = log_prob(tried)[np.arange(len(tried)), np.repeat(gold[rows], TRIES)].reshape(-1, TRIES)
        best = own.argmin(1)
        for place, i in enumerate(rows.tolist()):
            if own[place, best[place]] < scores[i, gold[i]]:
                current[i] = tried[place * TRIES + int(best[place])]
    return current


def _swap(text: str, pool: Sequence[str], rng: np.random.Generator) -> str:
    words = text.split()
    if not words:
        return text
    words[int(rng.integers(len(words)))] = pool[int(rng.integers(len(pool)))]
    return " ".join(words)
