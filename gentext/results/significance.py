"""Whether runs differ: tests over sentences, a model over seeds, comparison with the best, Holm's correction.

A run enters as figures per sentence, `[n]`, or as sufficient statistics per sentence, `[n, k]`, with a `score` that
turns their means into the figure (corpus BLEU from n-gram counts, perplexity from nats and tokens). Paired tests ask
that row i of both runs rests on the same test sentence or prompt; unpaired ones are for texts drawn freely.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import special

from gentext.metrics.intervals import LEVEL, percentiles, resample, t_quantile

Key = TypeVar("Key", bound=Hashable)
Score = Callable[[np.ndarray], np.ndarray]  # means of statistics [..., k] -> figures [...]
CELLS = 2_000_000  # random numbers held at once: a resample is n of them
CACHED = 2**15  # of them worked on at once: so many stay in the processor's cache
MOST = 2 * CELLS  # random numbers of a column's simulation, as long as that leaves 1,000 draws


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
    reach = t_quantile((1 + LEVEL) / 2, len(figures) - 1) * float(figures.std(ddof=1)) / len(figures) ** 0.5
    return mean, (mean - reach, mean + reach)


@dataclass(frozen=True)
class SeedTest:
    """Two rows of several seeds: a model with the seed as a random effect, and plain tests over the seeds' figures."""

    comparison: Comparison  # of the model
    p_seeds: float  # over the seeds' figures alone: paired where both rows have the same seeds, else Welch's
    kind: str  # paired | welch
    detectable: float  # the difference that so many seeds find at 5 % in four of five cases


def seed_test(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    *,
    paired: bool = True,
    same_seeds: bool = False,
) -> SeedTest:
    """Difference, 95 % interval and p of two rows of two seeds or more each, with the seed as a random effect.

    A row's figure varies with its seed, by one variance for both rows, and where all seeds were judged on the same
    sentences (`paired`) also with these: standard error^2 = s^2 (1/k1 + 1/k2) + the variance over sentences of the
    difference of the seeds' means / n, with Satterthwaite's degrees of freedom. Where each seed has sentences of its
    own (samples), s^2 holds their variance already.

    Args:
        first: for each seed its figures sentence by sentence, or the one figure of all its sentences.
        second: those of the other row.
        paired: all seeds of both rows were judged on the same sentences.
        same_seeds: the rows' seeds are the same, in the same order.

    Source: Searle, Casella and McCulloch 1992, chapter 4 (balanced data); Welch 1947.
    Raises: ValueError for a row of one seed, or paired sentences of different number.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = [[rng.normal(shift, 1, 50) for _ in range(3)] for shift in (0, 5)]
        >>> seed_test(*rows, paired=False).comparison.p < 0.001
        True
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"a test over seeds needs two seeds or more of each row; got {len(first)} and {len(second)}. Add seeds"
        )
    runs = [[run if len(run) == 1 else _column(run)[:, 0] for run in row] for row in (first, second)]
    if paired and len({len(run) for row in runs for run in row}) > 1:
        raise ValueError(
            f"paired seeds share their sentences; got {[len(run) for row in runs for run in row]}. Give paired=False"
        )
    means = [np.array([run.mean() for run in row]) for row in runs]
    k, n = [len(row) for row in means], len(runs[0][0])
    free = sum(k) - 2
    spread = sum(((row - row.mean()) ** 2).sum() for row in means) / free * (1 / k[0] + 1 / k[1])
    shared = float((np.mean(runs[0], 0) - np.mean(runs[1], 0)).var(ddof=1)) / n if paired else 0.0
    error = float(np.sqrt(spread + shared))
    df = (spread + shared) ** 2 / (spread**2 / free + shared**2 / max(1, n - 1)) if error > 0 else float(free)
    difference = float(means[0].mean() - means[1].mean())
    name = f"seeds|{'paired' if paired else 'unpaired'}|seeds:{k[0]},{k[1]}|df:{df:.3g}"
    reach = t_quantile((1 + LEVEL) / 2, df) * error
    found = Comparison(difference, two_sided(difference, error, df), (difference - reach, difference + reach), name)
    pairs = same_seeds and k[0] == k[1]
    p = _p_of_seeds(means[0] - means[1]) if pairs else _welch(*means)
    return SeedTest(found, p, "paired" if pairs else "welch", reach + t_quantile(0.8, df) * error)


def _p_of_seeds(gaps: np.ndarray) -> float:
    return two_sided(float(gaps.mean()), float(gaps.std(ddof=1)) / len(gaps) ** 0.5, len(gaps) - 1)


def _welch(a: np.ndarray, b: np.ndarray) -> float:
    errors = [float(row.var(ddof=1)) / len(row) for row in (a, b)]
    total = sum(errors)
    df = total**2 / sum(e**2 / (len(row) - 1) for e, row in zip(errors, (a, b), strict=True)) if total else 1.0
    return two_sided(float(a.mean() - b.mean()), total**0.5, df)


def two_sided(difference: float, error: float, df: float) -> float:
    """p of a difference with this standard error, by Student's t with `df` degrees of freedom (inf: normal)."""
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * special.stdtr(df if np.isfinite(df) else 1e9, -abs(difference) / error))


def pairwise(values: np.ndarray, errors: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p [n, n] of every pair of independent figures, by Welch's test, Holm-corrected over all pairs at once.

    Args:
        values: [n] the figures.
        errors: [n] their standard errors; a figure without one (NaN) is not tested, and its p are NaN.
        df: [n] these errors' degrees of freedom (inf: normal).

    Source: Welch 1947; Holm 1979. No resampling: p has no smallest step that Holm's factor could lift above 5 %.
    """
    v = np.square(errors)
    total = v[:, None] + v[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        each = v**2 / df
        free = np.where(total > 0, total**2 / (each[:, None] + each[None]), np.inf)
        t = np.abs(values[:, None] - values[None]) / np.sqrt(total)
        p = 2 * special.stdtr(np.where(np.isfinite(free), free, 1e9), -np.where(total > 0, t, 0.0))
    p[total == 0] = (values[:, None] == values[None])[total == 0]
    p[np.isnan(total)] = np.nan
    i, j = np.triu_indices(len(values), 1)
    tested = ~np.isnan(p[i, j])
    i, j = i[tested], j[tested]
    order = np.argsort(p[i, j], kind="stable")
    adjusted = np.minimum(1.0, np.maximum.accumulate(p[i, j][order] * np.arange(len(order), 0, -1)))
    p[i[order], j[order]] = p[j[order], i[order]] = adjusted
    np.fill_diagonal(p, np.nan)
    return p


def not_worse(
    scores: np.ndarray, errors: np.ndarray, df: np.ndarray, *, draws: int = 5_000, seed: int = 0
) -> np.ndarray:
    """Bool [n]: rows that are not significantly worse than the one with the highest score, at 5 % for all together.

    Each row's distance to the best, over its standard error, is held against the 95 % quantile of the largest such
    distance among rows that are equal: the best is chosen afterwards there too, so equal rows lose their place in 5 %
    of columns however many there are. Rows that are equal may have one error, of which each has its own estimate, or
    errors as they were estimated: the larger quantile of the two holds.

    Args:
        scores: [n] higher is better.
        errors: [n] their standard errors.
        df: [n] these errors' degrees of freedom (inf: normal).
        draws: simulated columns of equal rows.
        seed: of the simulation.

    Source: Hsu 1996, chapter 4 (multiple comparisons with the best); Westfall and Young 1993 (max-t by simulation).

    Example:
        >>> not_worse(np.array([1.0, 0.9, 0.1]), np.full(3, 0.1), np.full(3, np.inf)).tolist()
        [True, True, False]
    """
    if len(scores) < 2:
        return np.ones(len(scores), dtype=bool)
    rng, draws = np.random.default_rng(seed), min(draws, max(1000, MOST // len(scores)))
    free = np.where(np.isfinite(df), df, 1.0)
    pooled = np.full(len(errors), np.sqrt(np.square(errors).mean()))
    largest: tuple[list[np.ndarray], ...] = ([], [])
    step = max(CACHED // len(scores), 1)
    for start in range(0, draws, max(CELLS // len(scores), 1)):
        size = (min(max(CELLS // len(scores), 1), draws - start), len(scores))
        drawn = rng.standard_normal(size)
        varied = np.where(np.isfinite(df), rng.chisquare(free, size) / free, 1.0)
        for part in (slice(at, at + step) for at in range(0, len(drawn), step)):
            for found, true in zip(largest, (errors, pooled), strict=True):
                found.append(_distances(drawn[part] * true, varied[part] * np.square(true)).max(1))
    limit = max(np.quantile(np.concatenate(found), LEVEL) for found in largest)
    return _distances(scores[None], np.square(errors)[None])[0] <= limit


def _distances(scores: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Of each row [draws, n] its distance to the best one, over the standard error of that difference."""
    best = scores.argmax(1)[:, None]
    gap = np.take_along_axis(scores, best, 1) - scores
    error = np.sqrt(variances + np.take_along_axis(variances, best, 1))
    return np.where(gap > 0, gap / np.maximum(error, 1e-300), 0.0)


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
