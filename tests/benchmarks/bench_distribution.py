"""The metrics between distributions, and the tests between runs, beside what else computes them.

    python tests/benchmarks/bench_distribution.py

Sentences are drawn from a Zipf law, vectors from a mixture of normals. Bars: the times of the libraries that users know
(MS-Jaccard of 5,000 against 10,000 sentences 0.6 s, Frechet distance of 5,000 x 384 vectors 0.12 s, Vendi score
0.016 s, MAUVE of one clustering of 5,000 against 5,000 x 768 vectors 1.04 s), and 10,000 resamples of 10,000 sentences
in 1 s. MAUVE's own package is GPL and is no dependency: its column is filled where it is installed.
"""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors

from gentext.data.ngram_arrays import hashed, orders
from gentext.metrics.distribution import Pair
from gentext.metrics.embedding import frechet_distance, mean_and_covariance, vendi_score
from gentext.metrics.mauve import area, principal, quantise
from gentext.metrics.precision_recall import reach
from gentext.results.significance import bootstrap_test, randomisation_test


def best(act: Callable[[], object], patience: float = 5.0) -> tuple[float, object]:
    """The shortest of as many runs as take `patience` seconds, and what the last gave."""
    seconds = []
    while sum(seconds) < patience:
        begun = time.perf_counter()
        result = act()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), result


def row(name: str, ours: tuple, bar: float | None, peer: str = "", theirs: tuple | None = None) -> None:
    met = "" if bar is None else f"bar {bar:6.3f} s {'met' if ours[0] <= bar else 'MISSED':6}"
    beside = (
        f"{peer} {theirs[0]:7.3f} s ({theirs[0] / ours[0]:6.1f}x)  values {ours[1]:.6g} {theirs[1]:.6g}"
        if theirs
        else ""
    )
    print(f"{name:42} ours {ours[0]:7.3f} s  {met:20}  {beside}", flush=True)


def jaccard() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(8, 15, 15_000)
    words = (rng.zipf(1.2, lengths.sum()) % 5000).astype(str)
    drawn = [part.tolist() for part in np.split(words, lengths.cumsum()[:-1])]
    samples, references = drawn[:5000], drawn[5000:]

    def ours() -> float:
        every = orders(hashed(samples) + hashed(references), 4)
        chosen = np.ones(5000, dtype=bool)
        return float(np.prod([Pair(grams, 5000).figures(chosen, 10_000, 0.5)[0] for grams in every]) ** 0.25)

    def counters() -> float:
        product = 1.0
        for k in range(1, 5):
            one, two = (
                Counter(tuple(s[i : i + k]) for s in side for i in range(len(s) - k + 1))
                for side in (samples, references)
            )
            a, b = (
                {g: c / len(side) for g, c in counts.items()} for counts, side in ((one, samples), (two, references))
            )
            grams = a.keys() | b.keys()
            least = sum(min(a.get(g, 0), b.get(g, 0)) for g in grams)
            product *= least / sum(max(a.get(g, 0), b.get(g, 0)) for g in grams)
        return product**0.25

    row("MS-Jaccard-4, JS, KL: 5,000 and 10,000", best(ours), 0.6, "Counter", best(counters))


def cloud(n: int, d: int, seed: int, centres: torch.Tensor) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    heap = torch.randint(len(centres), (n,), generator=rng)
    points = centres[heap] + 0.5 * torch.randn(n, d, generator=rng) / d**0.5
    return torch.nn.functional.normalize(points)


def spaces() -> None:
    centres = torch.randn(40, 384, generator=torch.Generator().manual_seed(9)) / 384**0.5
    a, b = cloud(5000, 384, 0, centres), cloud(5000, 384, 1, centres[:30])

    def ours() -> float:
        return float(frechet_distance(mean_and_covariance(a.double()), mean_and_covariance(b.double())))

    def scipys() -> float:
        x, y = a.double().numpy(), b.double().numpy()
        one, two = np.cov(x.T), np.cov(y.T)
        gap = x.mean(0) - y.mean(0)
        return float(gap @ gap + np.trace(one) + np.trace(two) - 2 * np.trace(sqrtm(one @ two)).real)

    row("Frechet distance: 5,000 x 384", best(ours), 0.12, "sqrtm", best(scipys))

    def primal() -> float:
        x = a[:1000].double().numpy()
        values = np.linalg.eigvalsh(x @ x.T / len(x))
        values = values[values > 1e-12]
        return float(np.exp(-(values * np.log(values)).sum()))

    dual = best(lambda: float(vendi_score(a)))
    row("Vendi score: 5,000 x 384", dual, 0.016)
    row("Vendi score: 1,000 x 384", best(lambda: float(vendi_score(a[:1000]))), None, "K form", best(primal))

    def neighbours() -> float:
        x, y = a.numpy(), b.numpy()
        radii = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(y).kneighbors(y)[0][:, -1]
        there = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(x).kneighbors(y)[0][:, 0]
        return float((there <= radii + 1e-5).mean())

    alone = best(lambda: float(reach(a, b, 5)["coverage"].mean()))
    row("four k-NN shares: 5,000 x 384 (peer: one)", alone, None, "sklearn", best(neighbours))


def mauve() -> None:
    centres = torch.randn(400, 768, generator=torch.Generator().manual_seed(9)) / 768**0.5
    p, q = cloud(5000, 768, 0, centres), cloud(5000, 768, 1, centres[:300])

    def ours() -> float:
        label = quantise(principal(torch.cat([p, q]), 0.9).numpy(), np.ones(10_000, dtype=int), 500, 0)
        shares = (np.bincount(side, minlength=500) / 5000 for side in (label[:5000], label[5000:]))
        return area(*shares, 5.0)

    theirs = None
    if importlib.util.find_spec("mauve"):
        import mauve as package

        theirs = best(
            lambda: package.compute_mauve(p_features=p.numpy(), q_features=q.numpy(), device_id=-1, verbose=False).mauve
        )
    row("MAUVE, one clustering: 5,000 x 768 twice", best(ours), 1.04, "mauve-text", theirs)


def runs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 10_000), rng.normal(0.01, 1, 10_000)

    def scipys() -> float:
        drawn = stats.bootstrap((a - b,), np.mean, n_resamples=1000, method="percentile", rng=rng, batch=100)
        return float(drawn.confidence_interval.low)

    ours = best(lambda: bootstrap_test(a, b).interval[0])
    row("paired bootstrap, 10,000 x 10,000 (peer: 1,000)", ours, 1.0, "scipy", best(scipys))
    row("paired randomisation, 10,000 x 10,000", best(lambda: randomisation_test(a, b).p), 1.0)


if __name__ == "__main__":
    torch.set_num_threads(2)
    for act in (jaccard, spaces, mauve, runs):
        act()
