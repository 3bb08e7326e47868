"""95 % intervals for the figures of one run: resampled sentences, subsamples, shares, standard errors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray
from threadpoolctl import threadpool_limits

LEVEL = 0.95
Z = 1.959963984540054  # the normal distribution's 97.5 % point
CELLS = 1 << 17  # weights held at once by one thread: 1 MB, which stays in its cache
LARGE = 50_000  # rows, from which on a mean is normal to three digits, and 10,000 resamples of it take minutes


FEW = 16  # rows, of fewer than which a quarter is no sample of anything


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


def bootstrap(
    per_sequence: Float[ndarray, " n"] | Float[ndarray, "n k"], *, resamples: int = 10_000, seed: int = 0
) -> Interval | list[Interval]:
    """The percentile interval of the mean; of every column's mean where there are columns.

    None where there are fewer than two rows or a row is infinite; normal from 50,000 rows on.
    """
    columns = np.asarray(per_sequence, dtype=np.float64)
    if columns.ndim == 1:
        return bootstrap(columns[:, None], resamples=resamples, seed=seed)[0]
    n, k = columns.shape
    if n < 2 or not resamples:
        return [NO_INTERVAL] * k
    if n >= LARGE:
        return [mean_normal(column) for column in columns.T]
    finite = np.isfinite(columns).all(0)
    means = resample(np.where(finite, columns, 0.0), resamples, seed).T
    return [percentiles(mean) if there else NO_INTERVAL for mean, there in zip(means, finite, strict=True)]


def bootstrap_ratio(
    numerator: Float[ndarray, " n"] | Float[ndarray, "n k"],
    denominator: Shaped[ndarray, " n"] | Shaped[ndarray, "n k"],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval | list[Interval]:
    """The percentile interval of sum(numerator) / sum(denominator), sentences resampled: bits per character, say.

    Of every column's ratio where there are columns.
    """
    if numerator.ndim == 1:
        one = bootstrap_ratio(numerator[:, None], denominator[:, None], resamples=resamples, seed=seed)
        return one[0]
    n, k = numerator.shape
    if n < 2 or not resamples:
        return [NO_INTERVAL] * k
    if n >= LARGE:
        return [_delta(above, below) for above, below in zip(numerator.T, denominator.T, strict=True)]
    finite = np.isfinite(numerator).all(0)
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


def percentiles(draws: Float[ndarray, " p"]) -> Interval:
    """The central 95 % of bootstrap draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval((float(low), float(high)), f"bootstrap:{len(draws)}")


def subsample(
    statistic: Callable[[Int[ndarray, " p"]], Float[ndarray, " k"]],
    value: Float[ndarray, " k"],
    n: int,
    *,
    resamples: int = 100,
    seed: int = 0,
) -> list[Interval]:
    """The intervals of k figures of a set of `n` sentences, from those of random halves and quarters of it.

    For figures that a plain bootstrap falsifies by its duplicates (Self-BLEU, distinct): subsets hold none. They differ
    from the whole in level, since such figures depend on size, so only their spread is used. For b of n rows without
    replacement it is that of fresh samples of b rows times sqrt(1 - b / n); from halves to the whole it goes on falling
    as it fell from quarters to halves. From 50,000 rows on there are a fifth of the subsets.
    Source: Politis, Romano and Wolf 1999, chapters 2 and 8 (subsampling, an unknown rate of convergence).
    """
    if n < FEW or not resamples:
        return [NO_INTERVAL] * len(value)
    rng = np.random.default_rng(seed)
    count = resamples if n < LARGE else max(2, resamples // 5)

    def spread(size: int) -> Float[ndarray, " k"]:
        figures = [statistic(np.sort(rng.permutation(n)[:size])) for _ in range(count)]
        return np.std(figures, axis=0, ddof=1) / np.sqrt(1 - size / n)

    halves, quarters = spread(n // 2), spread(n // 4)
    fall = np.divide(halves, quarters, out=np.full_like(halves, np.sqrt(0.5)), where=quarters > 0)
    errors = halves * np.minimum(fall, 1.0)
    kind = f"subsample:{count}x0.5,0.25"
    return [normal(float(at), float(error), kind) for at, error in zip(value, errors, strict=True)]


def wilson(successes: int, n: int) -> Interval:
    """The interval of a share: Wilson's score interval, sound at 0 and 1 too."""
    if not n:
        return NO_INTERVAL
    share, z2 = successes / n, Z * Z / n
    middle = (share + z2 / 2) / (1 + z2)
    reach = Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2)
    low, high = float(middle - reach), float(middle + reach)
    return Interval((low if successes else 0.0, high if successes < n else 1.0), "wilson")  # exact ends: no rounding


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
