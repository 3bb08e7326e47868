"""95 % intervals for the figures of one run: resampled sentences, half samples, shares, standard errors."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from threadpoolctl import threadpool_limits

LEVEL = 0.95
Z = 1.959963984540054  # the normal distribution's 97.5 % point
CELLS = 1 << 19  # weights held at once by one thread: 4 MB, so that they stay in its cache
LARGE = 50_000  # from here on the mean of so many is normal to three digits, and 10,000 resamples take minutes


class Interval(NamedTuple):
    """Two ends and how they were found, named as Value names them: `Value(..., **interval._asdict())`."""

    interval: tuple[float, float] | None
    interval_kind: str = ""


NO_INTERVAL = Interval(None)


def resample(columns: Float[ndarray, "n k"], resamples: int, seed: int) -> Float[ndarray, "p k"]:
    """The columns' means under `resamples` draws of n rows with replacement; all columns see the same draws."""
    n, k = columns.shape
    rows = max(1, CELLS // n)
    counts = [min(rows, resamples - done) for done in range(0, resamples, rows)]
    seeds = np.random.SeedSequence(seed).spawn(len(counts))  # a chunk's draws do not depend on the threads

    def means(chunk: tuple[int, np.random.SeedSequence]) -> ndarray:
        count, own = chunk
        drawn = np.random.Generator(np.random.SFC64(own)).integers(0, n, (count, n), dtype=np.int32)
        cells = (drawn + (np.arange(count) * n)[:, None]).ravel()
        return np.bincount(cells, minlength=count * n).reshape(count, n) @ columns / n

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
    if n < 2 or not resamples or not np.isfinite(columns).all():
        return [NO_INTERVAL] * k
    if n >= LARGE:
        return [mean_normal(column) for column in columns.T]
    return [percentiles(means) for means in resample(columns, resamples, seed).T]


def bootstrap_ratio(
    numerator: Float[ndarray, " n"],
    denominator: Float[ndarray, " n"] | Int[ndarray, " n"],
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """The percentile interval of sum(numerator) / sum(denominator), sentences resampled: bits per character, say."""
    columns = np.stack([numerator, denominator], 1).astype(np.float64)
    n = len(columns)
    if n < 2 or not resamples or not np.isfinite(columns).all() or not columns[:, 1].sum():
        return NO_INTERVAL
    if n >= LARGE:
        ratio = columns[:, 0].sum() / columns[:, 1].sum()
        residual = (columns[:, 0] - ratio * columns[:, 1]) / columns[:, 1].mean()
        return normal(ratio, standard_error(residual))
    above, below = resample(columns, resamples, seed).T
    return percentiles(above[below > 0] / below[below > 0])


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
    """The intervals of k figures of a set of `n` sentences, from the figures of random halves without replacement.

    For figures that a plain bootstrap falsifies by its duplicates (Self-BLEU, distinct). The figures of a half differ
    from the whole's in level, since they depend on size, so only their spread is used: for b of n rows without
    replacement it estimates the whole's after a factor sqrt(b / (n - b)).
    Source: Shao and Wu 1989, the delete-d jackknife with d = n / 2.
    """
    if n < 4 or not resamples:
        return [NO_INTERVAL] * len(value)
    rng = np.random.default_rng(seed)
    half = n // 2
    figures = np.stack([statistic(np.sort(rng.permutation(n)[:half])) for _ in range(resamples)])
    errors = figures.std(0, ddof=1) * np.sqrt(half / (n - half))
    kind = f"subsample:{resamples}x0.5"
    return [normal(float(at), float(error), kind) for at, error in zip(value, errors, strict=True)]


def wilson(successes: int, n: int) -> Interval:
    """The interval of a share: Wilson's score interval, sound at 0 and 1 too."""
    if not n:
        return NO_INTERVAL
    share, z2 = successes / n, Z * Z / n
    middle = (share + z2 / 2) / (1 + z2)
    reach = Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2)
    return Interval((max(0.0, float(middle - reach)), min(1.0, float(middle + reach))), "wilson")


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
