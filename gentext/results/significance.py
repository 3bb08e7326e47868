"""Whether two runs differ: tests from per-sentence figures, intervals over seeds, and Holm's correction across a table.

A run enters as figures per sentence, `[n]`, or as sufficient statistics per sentence, `[n, k]`, with a `score` that
turns their means into the figure (corpus BLEU from n-gram counts, perplexity from nats and tokens). Paired tests ask
that row i of both runs rests on the same test sentence or prompt; unpaired ones are for texts drawn freely.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import stats

from gentext.metrics.intervals import LEVEL, percentiles, resample

Key = TypeVar("Key", bound=Hashable)
Score = Callable[[np.ndarray], np.ndarray]  # means of statistics [..., k] -> figures [...]
CELLS = 2_000_000  # random numbers held at once: a resample is n of them


@dataclass(frozen=True)
class Comparison:
    """What a test says of two runs."""

    difference: float  # the figure of the first minus that of the second
    p: float  # two-sided, under the hypothesis that they do not differ
    interval: tuple[float, float] | None  # 95 %, of the difference; a randomisation test has none
    test: str  # bootstrap|paired|n:1000|resamples:10000|seed:0
    adjusted: float | None = None  # p after Holm's correction across the table that it stands in


def bootstrap_test(
    first: np.ndarray,
    second: np.ndarray,
    *,
    paired: bool = True,
    score: Score | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Difference, percentile interval and p by resampling sentences with replacement.

    Source: Koehn 2004; p as in Riezler & Maxwell 2005: the resampled differences, centred, stand for the null.
    """
    a, b = _statistics(first, second, paired)
    score = score or _first
    if paired:
        means = resample(np.concatenate([a, b], 1), resamples, seed)
        drawn = score(means[:, : a.shape[1]]) - score(means[:, a.shape[1] :])
    else:
        drawn = score(resample(a, resamples, seed)) - score(resample(b, resamples, seed + 1))
    difference = float(score(a.mean(0)) - score(b.mean(0)))
    p = _share(np.abs(drawn - drawn.mean()), abs(difference))
    return Comparison(difference, p, percentiles(drawn).interval, _name("bootstrap", a, b, paired, resamples, seed))


def randomisation_test(
    first: np.ndarray,
    second: np.ndarray,
    *,
    paired: bool = True,
    score: Score | None = None,
    trials: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Difference and p by exchanging sentences between the runs at random: within pairs, or across the pool.

    Source: Noreen 1989; Riezler & Maxwell 2005, figure 2.
    """
    a, b = _statistics(first, second, paired)
    score = score or _first
    rng = np.random.default_rng(seed)
    moved = (_swaps if paired else _shuffles)(a, b, trials, rng)  # what leaves a, and comes back to it from b
    drawn = score((a.sum(0) - moved) / len(a)) - score((b.sum(0) + moved) / len(b))
    difference = float(score(a.mean(0)) - score(b.mean(0)))
    p = _share(np.abs(drawn), abs(difference))
    return Comparison(difference, p, None, _name("randomisation", a, b, paired, trials, seed))


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """Each p-value adjusted so that all the claims of a table hold together (Holm 1979); the order is the input's."""
    if not all(0 <= value <= 1 for value in p.values()):
        raise ValueError(f"p-values lie in 0 .. 1; got {sorted(p.values())[:1]} .. {sorted(p.values())[-1:]}")
    adjusted, floor = {}, 0.0
    for rank, (key, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        floor = max(floor, min(1.0, value * (len(p) - rank)))
        adjusted[key] = floor
    return {key: adjusted[key] for key in p}


def corrected(table: Mapping[Key, Comparison]) -> dict[Key, Comparison]:
    """The comparisons of one table with their p-values adjusted by Holm."""
    adjusted = holm({key: comparison.p for key, comparison in table.items()})
    return {key: replace(comparison, adjusted=adjusted[key]) for key, comparison in table.items()}


def over_seeds(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean and 95 % interval over independent seeds (Student's t); no interval under three seeds."""
    figures = np.asarray(values, dtype=np.float64)
    if not len(figures):
        raise ValueError("no seed to average over; give at least one figure")
    mean = float(figures.mean())
    if len(figures) < 3:
        return mean, None
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(figures) - 1) * figures.std(ddof=1) / len(figures) ** 0.5)
    return mean, (mean - reach, mean + reach)


def hierarchical_interval(
    seeds: Sequence[np.ndarray], *, crossed: bool, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the mean over seeds and sentences: seeds are resampled, then the sentences within them.

    `crossed`: every seed was judged on the same sentences (a likelihood), which are then resampled together;
    otherwise each seed has sentences of its own (its samples). Source: Davison & Hinkley 1997, section 3.8.
    """
    if len(seeds) < 2:
        raise ValueError(f"an interval over seeds needs two seeds or more; got {len(seeds)}. Add runs with other seeds")
    return percentiles(_drawn([seeds], crossed, resamples, seed)[0]).interval


def hierarchical_test(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    *,
    paired: bool = True,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Difference, interval and p of two rows of several seeds each, by resampling seeds and the sentences within them.

    `paired`: all seeds of both rest on the same sentences, which are then resampled together. Two or three seeds show
    less spread than there is: with so few, a small p says less than its digits.
    """
    a, b = _drawn([first, second], paired, resamples, seed)
    drawn = a - b
    difference = float(np.mean([np.mean(run) for run in first]) - np.mean([np.mean(run) for run in second]))
    p = _share(np.abs(drawn - drawn.mean()), abs(difference))
    kind = f"hierarchical|{'paired' if paired else 'unpaired'}|seeds:{len(first)},{len(second)}"
    return Comparison(difference, p, percentiles(drawn).interval, f"{kind}|draws:{resamples}|seed:{seed}")


def _drawn(groups: Sequence[Sequence[np.ndarray]], crossed: bool, resamples: int, seed: int) -> list[np.ndarray]:
    """Means of each group of runs, its seeds and then their sentences resampled; `crossed`: all share the sentences."""
    runs = [_column(run) for group in groups for run in group]
    if crossed and len({len(run) for run in runs}) > 1:
        raise ValueError(f"crossed seeds share their sentences; got {[len(run) for run in runs]}. Give crossed=False")
    rng = np.random.default_rng(seed)
    if crossed:
        means = resample(np.concatenate(runs, 1), resamples, seed)
    else:
        means = np.concatenate([resample(run, resamples, seed + i) for i, run in enumerate(runs)], 1)
    edges = np.cumsum([len(group) for group in groups])[:-1]
    return [
        np.take_along_axis(part, rng.integers(0, part.shape[1], part.shape), 1).mean(1)
        for part in np.split(means, edges, 1)
    ]


def _swaps(a: np.ndarray, b: np.ndarray, trials: int, rng: np.random.Generator) -> np.ndarray:
    """Sums [trials, k] of a - b over the pairs that a coin picks."""
    gaps, moved = a - b, []
    for start in range(0, trials, max(CELLS // len(a), 1)):
        size = min(max(CELLS // len(a), 1), trials - start)
        bits = np.unpackbits(np.frombuffer(rng.bytes(-(-size * len(a) // 8)), np.uint8), count=size * len(a))
        moved.append(bits.reshape(size, len(a)).astype(np.float64) @ gaps)
    return np.concatenate(moved)


def _shuffles(a: np.ndarray, b: np.ndarray, trials: int, rng: np.random.Generator) -> np.ndarray:
    """Sums [trials, k] that leave a when the pool of both is dealt anew."""
    pool = np.concatenate([a, b])
    dealt = (rng.permutation(len(pool))[: len(a)] for _ in range(trials))
    return np.stack([a.sum(0) - pool[index].sum(0) for index in dealt])


def _share(null: np.ndarray, observed: float) -> float:
    """The share of the null at least as far out as `observed`, which counts as one of it: never zero."""
    return float((np.sum(null >= observed * (1 - 1e-12)) + 1) / (len(null) + 1))


def _first(means: np.ndarray) -> np.ndarray:
    return means[..., 0]


def _statistics(first: np.ndarray, second: np.ndarray, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    a, b = _column(first), _column(second)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the runs have {a.shape[1]} and {b.shape[1]} statistics a sentence; they need the same")
    if paired and len(a) != len(b):
        raise ValueError(f"a paired test needs the same sentences; got {len(a)} and {len(b)}. Give paired=False")
    return a, b


def _column(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"a run needs figures for two sentences or more, [n] or [n, k]; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{int((~np.isfinite(array)).sum())} figures are not finite; a mean over them says nothing")
    return array


def _name(test: str, a: np.ndarray, b: np.ndarray, paired: bool, draws: int, seed: int) -> str:
    size = f"n:{len(a)}" if len(a) == len(b) else f"n:{len(a)},{len(b)}"
    return f"{test}|{'paired' if paired else 'unpaired'}|{size}|draws:{draws}|seed:{seed}"
