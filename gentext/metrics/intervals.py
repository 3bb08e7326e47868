"""95 % intervals for the figures of one run: resampled sentences, groups left out, shares, standard errors.

Each holds the randomness of all texts that the figure is computed from but the training text, which all runs of a
corpus share: of the samples, and of the held-out text. tests/benchmarks/bench_coverage.py lists how often they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray
from scipy import special
from threadpoolctl import threadpool_limits

LEVEL = 0.95
Z = 1.959963984540054  # the normal distribution's 97.5 % point
CELLS = 1 << 17  # weights held at once by one thread: 1 MB, which stays in its cache
LARGE = 2_000  # rows, from which on a mean is normal to three digits, and resamples of it only take time
FEW = 16  # texts, of fewer than which a group is no sample of anything
GROUPS = 20  # that a jackknife leaves out, one at a time
DRAWS = "normal+draws"  # the kind that holds an error which all texts share, and which their own figures do not show
ROUNDING = 1e-9  # errors as small are of the arithmetic, such as a jackknife's over texts that are all the same


class Interval(NamedTuple):
    """Two ends and how they were found, named as Value names them: `Value(..., **interval._asdict())`."""

    interval: tuple[float, float] | None
    interval_kind: str = ""


NO_INTERVAL = Interval(None)


def resample(columns: Float[ndarray, "n k"], resamples: int, seed: int) -> Float[ndarray, "p k"]:
    """The columns' means under `resamples` draws of n rows with replacement; all columns see the same draws."""
    n, k = columns.shape
    batch = max(1, CELLS // n)
    counts = [min(batch, resamples - done) for done in range(0, resamples, batch)]
    seeds = np.random.SeedSequence(seed).spawn(len(counts))  # a chunk's draws do not depend on the threads

    def means(chunk: tuple[int, np.random.SeedSequence]) -> ndarray:
        count, own = chunk
        bits = np.random.Generator(np.random.SFC64(own)).integers(0, 1 << 32, (count, n), dtype=np.uint32)
        rows = (bits * np.uint64(n)) >> np.uint64(32)  # twice as fast as integers(0, n); off by n / 2^32 at most
        rows += (np.arange(count, dtype=np.uint64) * np.uint64(n))[:, None]
        return np.bincount(rows.ravel().view(np.int64), minlength=count * n).reshape(count, n) @ columns / n

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(2) as pool:  # BLAS threads under threads only wait
        return np.concatenate([np.zeros((0, k)), *pool.map(means, zip(counts, seeds, strict=True))])


def bootstrap(per_sequence: Shaped[ndarray, " n"], *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """The percentile interval of the mean.

    None where there are fewer than two rows or a row is infinite; normal from 2,000 rows on.
    """
    return bootstraps(np.asarray(per_sequence, dtype=np.float64)[:, None], resamples=resamples, seed=seed)[0]


def bootstraps(columns: Float[ndarray, "n k"], *, resamples: int = 10_000, seed: int = 0) -> list[Interval]:
    """That of every column's mean, from the same draws of rows."""
    n, k = columns.shape
    if n < 2 or not resamples:
        return [NO_INTERVAL] * k
    if n >= LARGE:
        return [mean_normal(column) for column in columns.T]
    finite = [bool(np.isfinite(column).all()) for column in columns.T]
    means = resample(np.where(finite, columns, 0.0), resamples, seed).T
    return [percentiles(mean) if there else NO_INTERVAL for mean, there in zip(means, finite, strict=True)]


def bootstrap_ratio(
    numerator: Float[ndarray, " n"], denominator: Shaped[ndarray, " n"], *, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """The percentile interval of sum(numerator) / sum(denominator), sentences resampled: bits per character, say."""
    return bootstrap_ratios(numerator[:, None], denominator[:, None], resamples=resamples, seed=seed)[0]


def bootstrap_ratios(
    numerator: Float[ndarray, "n k"], denominator: Shaped[ndarray, "n k"], *, resamples: int = 10_000, seed: int = 0
) -> list[Interval]:
    """That of every column's ratio, from the same draws of rows."""
    n, k = numerator.shape
    if n < 2 or not resamples:
        return [NO_INTERVAL] * k
    if n >= LARGE:
        return [_delta(above, below) for above, below in zip(numerator.T, denominator.T, strict=True)]
    finite = [bool(np.isfinite(column).all()) for column in numerator.T]
    means = resample(np.concatenate([np.where(finite, numerator, 0.0), denominator], 1), resamples, seed).T
    return [
        percentiles(above[below > 0] / below[below > 0]) if there and below.any() else NO_INTERVAL
        for above, below, there in zip(means[:k], means[k:], finite, strict=True)
    ]


def _delta(above: Shaped[ndarray, " n"], below: Shaped[ndarray, " n"]) -> Interval:
    if not below.sum() or not np.isfinite(above).all():
        return NO_INTERVAL
    ratio = float(above.sum() / below.sum())
    return normal(ratio, standard_error((above - ratio * below) / below.mean()))


def linearised(numerator: Shaped[ndarray, " n"], denominator: Shaped[ndarray, " n"]) -> Float[ndarray, " n"]:
    """For each text what it adds to sum(numerator) / sum(denominator): its influence on that ratio, plus the ratio.

    Their mean is the ratio, and the standard error of that mean the ratio's by the delta method: texts that are longer
    than others and have the same rate make no error. Infinite where the ratio is: then of each text its own part.

    Source: Cochran 1977, section 6.3.

    Example:
        >>> linearised(np.array([1.0, 3.0]), np.array([2, 6])).tolist()  # both at a rate of 0.5
        [0.5, 0.5]
    """
    size = denominator.mean()
    ratio = numerator.sum() / denominator.sum()
    return numerator / size + ratio * (1 - denominator / size) if np.isfinite(ratio) else numerator / size


def percentiles(draws: Float[ndarray, " p"]) -> Interval:
    """The central 95 % of bootstrap draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval((float(low), float(high)), f"bootstrap:{len(draws)}")


def jackknife(
    statistic: Callable[..., Float[ndarray, " k"]],
    *sizes: int,
    groups: int = GROUPS,
    seed: int = 0,
) -> Float[ndarray, " k"]:
    """The standard errors of k figures of one or more collections of texts, from leaving out one group at a time.

    Each collection is cut at random into `groups` groups of equal size, and the first group of all of them is left out
    together, then the second, ...: the errors hold the randomness of every collection. For any statistic that does not
    ask in which order its texts stand, duplicates, counts of pairs and nearest neighbours included, the variance is
    not smaller in expectation than the true one of a collection of as many texts as are left (Efron and Stein 1981);
    a bootstrap, whose draws hold a text twice, has no such bound. NaN where a collection has fewer than 16 texts.

    Args:
        statistic: takes for each collection which of its texts are kept, bool [n], and gives k figures.
        sizes: the texts of each collection.
        groups: 0: no errors.
        seed: of the cut into groups.

    Source: Shao and Tu 1995, section 2.3 (delete-d jackknife, groups); Efron and Stein 1981 (its bias is upward).

    Example:
        >>> x = np.random.default_rng(0).normal(size=400)  # a mean's error is 1 / sqrt(400)
        >>> jackknife(lambda kept: np.array([x[kept].mean()]), 400).round(2)
        array([0.05])
    """
    if not groups or min(sizes) < FEW:
        return np.full(len(statistic(*(np.ones(size, dtype=bool) for size in sizes))), np.nan)
    members = [group_of(size, groups, seed + i) for i, size in enumerate(sizes)]
    figures = np.array([statistic(*(member != group for member in members)) for group in range(groups)])
    return group_errors(figures)


def group_of(size: int, groups: int, seed: int) -> Int[ndarray, " n"]:
    """The group 0 .. groups - 1 of each of `size` texts, all of one size but for one text, dealt at random."""
    return np.random.default_rng(seed).permutation(np.arange(size) % groups)


def group_errors(figures: Float[ndarray, "g k"]) -> Float[ndarray, " k"]:
    """The jackknife's standard errors of k figures, from those without each of g groups."""
    groups = len(figures)
    with np.errstate(invalid="ignore"):  # infinite figures have no error
        return np.sqrt((groups - 1) / groups * np.square(figures - figures.mean(0)).sum(0))


def student(value: float, error: float, groups: int, kind: str = "") -> Interval:
    """The interval of a figure whose standard error comes from so many groups; none where it is not known.

    `kind` says it where the groups were not a jackknife's.
    """
    if not np.isfinite(value) or not np.isfinite(error):
        return NO_INTERVAL
    reach = t_quantile((1 + LEVEL) / 2, groups - 1) * float(error)
    return Interval((value - reach, value + reach), kind or f"jackknife:{groups}")


def clopper_pearson(value: float, n: int, error: float | None = None, df: float = np.inf, kind: str = "") -> Interval:
    """The interval of a share that has this standard error: that of as many independent trials as would have it.

    Clopper and Pearson's interval of `value` in value (1 - value) / error^2 trials: it holds near 0 and 1, where the
    figure's distribution is skewed and an error of 0 says only that nothing was seen in n trials.

    Args:
        value: between 0 and 1.
        n: the trials, where no error is given or it is 0.
        error: None: the texts are independent trials.
        df: the degrees of freedom of `error`.
        kind: how `error` came about, as the interval's kind says it.

    Source: Clopper and Pearson 1934; Korn and Graubard 1998 (the effective number of trials).

    Example:
        >>> low, high = clopper_pearson(0.0, 100).interval
        >>> low, round(high, 4)
        (0.0, 0.0362)
    """
    name = f"{kind}+clopper-pearson" if kind else "clopper-pearson"
    if not n or not np.isfinite(value) or (error is not None and not np.isfinite(error)):
        return NO_INTERVAL
    trials = float(n)
    if error is not None and error > ROUNDING and 0 < value < 1:
        trials = value * (1 - value) / error**2
    if np.isfinite(df):
        trials *= (Z / t_quantile((1 + LEVEL) / 2, df)) ** 2
    successes = value * trials
    tail = (1 - LEVEL) / 2
    low = float(special.betaincinv(successes, trials - successes + 1, tail)) if value > 0 else 0.0
    high = float(special.betaincinv(successes + 1, trials - successes, 1 - tail)) if value < 1 else 1.0
    return Interval((min(low, value), max(high, value)), name)


def share_of_ratio(numerator: Shaped[ndarray, " n"], denominator: Shaped[ndarray, " n"]) -> Interval:
    """The interval of the share sum(numerator) / sum(denominator), sentences being what varies: of novel n-grams, say.

    Its error is that of the ratio, linearised.
    """
    if not denominator.sum():
        return NO_INTERVAL
    value = float(numerator.sum() / denominator.sum())
    return clopper_pearson(
        value, len(numerator), standard_error((numerator - value * denominator) / denominator.mean()), kind="delta"
    )


def t_quantile(p: float, df: float) -> float:
    """The quantile of Student's t; of the normal distribution where `df` is infinite.

    By scipy.special: importing scipy.stats takes longer than most boards.
    """
    return float(special.stdtrit(df, p) if math.isfinite(df) else special.ndtri(p))


def standard_error(per_sequence: Float[ndarray, " n"]) -> float:
    """The standard error of a mean."""
    return float(per_sequence.std(ddof=1) / np.sqrt(len(per_sequence))) if len(per_sequence) > 1 else float("nan")


def normal(value: float, error: float, kind: str = "normal") -> Interval:
    """The value and 1.96 standard errors to both sides; none where the error is not known."""
    if not np.isfinite(value) or not np.isfinite(error):
        return NO_INTERVAL
    return Interval((value - Z * error, value + Z * error), kind)


def mean_normal(per_sequence: Float[ndarray, " n"]) -> Interval:
    """The normal interval of a mean."""
    if len(per_sequence) < 2 or not np.isfinite(per_sequence).all():
        return NO_INTERVAL
    return normal(float(per_sequence.mean()), standard_error(per_sequence))
