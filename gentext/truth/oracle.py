"""SeqGAN's oracle: an LSTM with random parameters, as a known truth over sequences of ids of a fixed length."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gentext.checks import at_least, between
from gentext.data.download import Remote, fetch
from gentext.data.source import Truth
from gentext.seeding import Streams

FOLDER = "seqgan-oracle"
GATES = ("i", "f", "og", "c")  # SeqGAN's names: input, forget, output gate, candidate
ROWS = 200  # sequences at a time
BLOCK = 50  # of the vocabulary: the first level of an inverse-CDF draw

State = tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]


class Oracle(Truth):
    """The distribution of `length` ids, each text a line of ids set apart by spaces.

    With `params` (an npz of GENTEXT_DATA/seqgan-oracle) it is the oracle of the papers: real data score 5.75 nats a
    token at length 20. With `params=None` its parameters are drawn from N(0, 1) by `seed`, as theirs once were; figures
    under different oracles do not compare.

    Source: Yu et al. 2017, SeqGAN, section 4; the gates as in its target_lstm.py.

    >>> oracle = Oracle(length=3, seed=1, vocab_size=5, width=4)
    >>> (text,) = oracle.sample(1, torch.Generator().manual_seed(0))
    >>> len(text.split()), float(oracle.log_prob(["0 1"])[0])
    (3, -inf)
    """

    def __init__(
        self,
        length: int = 20,
        params: str | None = None,
        sha256: str = "",
        seed: int = 0,
        vocab_size: int = 5_000,
        width: int = 32,
        start: int = 0,
    ) -> None:
        at_least(1, length=length, vocab_size=vocab_size, width=width)
        between(0, vocab_size - 1, start=start)
        self.name = f"oracle{length}" if params is not None else f"oracle{length}-seed{seed}"
        self.length: int | None = length
        self._params, self._sha256, self._seed = params, sha256, seed
        self._vocab_size, self._width, self._start = vocab_size, width, start

    @property
    def words(self) -> tuple[str, ...]:
        """Every word there is."""
        return tuple(map(str, range(self._vocab_size)))

    @property
    def digest(self) -> str:
        """A name for this distribution, and for how it is drawn: equal where its texts are the same."""
        drawn = f"{self._seed}/{self._vocab_size}/{self._width}" if self._params is None else self._sha256
        return hashlib.sha256(f"oracle/float64/{self.length}/{self._start}/{drawn}".encode()).hexdigest()

    def fetch(self) -> list[Path]:
        """Its verified file, where its parameters were not drawn."""
        return [] if self._params is None else [fetch(FOLDER, self._params, Remote(self._sha256))]

    def sample(self, n: int, rng: torch.Generator) -> list[str]:
        """`n` independent texts."""
        rows = [self._draw(min(ROWS, n - start), rng) for start in range(0, n, ROWS)]
        return [" ".join(map(str, row)) for block in rows for row in block.tolist()]

    def log_prob(self, texts: Sequence[str]) -> np.ndarray:
        """log p(text) in nats, float64 [n]; -inf for a text of another length, or with a word that is no id."""
        known = {word: i for i, word in enumerate(self.words)}
        rows = [[known.get(word, -1) for word in text.split()] for text in texts]
        legal = np.array([len(row) == self.length and -1 not in row for row in rows], bool)
        scores = np.full(len(rows), -np.inf)
        ids = torch.tensor([row for row, fits in zip(rows, legal, strict=True) if fits], dtype=torch.long)
        if len(ids):
            scores[legal] = torch.cat([self._score(block) for block in ids.split(ROWS)]).numpy()
        return scores

    @cached_property
    def _weights(self) -> Mapping[str, Tensor]:
        """In float64, to draw by: in float32 each kind of processor rounds to other texts of one seed."""
        if self._params is not None:
            with np.load(self.fetch()[0]) as arrays:
                return _fused({name: torch.from_numpy(arrays[name]) for name in arrays})
        rng, d, v = Streams(self._seed)("oracle"), self._width, self._vocab_size
        shapes: dict[str, tuple[int, ...]] = {"embedding": (v, d), "Wo": (d, v), "bo": (v,)}
        for gate in GATES:
            shapes |= {f"W{gate}": (d, d), f"U{gate}": (d, d), f"b{gate}": (d,)}
        return _fused({name: torch.randn(shape, generator=rng, dtype=torch.float64) for name, shape in shapes.items()})

    @cached_property
    def _rounded(self) -> Mapping[str, Tensor]:
        """In float32, to score by: twice as fast, and seven digits are enough."""
        return {name: weight.float() for name, weight in self._weights.items()}

    def _begin(self, w: Mapping[str, Tensor], n: int) -> tuple[Int[Tensor, " n"], State]:
        zeros = w["U"].new_zeros(n, len(w["U"]))
        return torch.full((n,), self._start), (zeros, zeros)

    def _step(
        self, w: Mapping[str, Tensor], tokens: Int[Tensor, " n"], state: State
    ) -> tuple[Float[Tensor, "n v"], State]:
        """Logits of the next id, and the new state, after `tokens`."""
        h, c = state
        gates = torch.addmm(w["x"][tokens], h, w["U"])  # n x 4d
        i, f, o, new = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * new.tanh()
        h = o.sigmoid() * c.tanh()
        return torch.addmm(w["bo"], h, w["Wo"]), (h, c)

    @torch.no_grad()
    def _draw(self, n: int, rng: torch.Generator) -> Int[Tensor, "n t"]:
        assert self.length is not None
        tokens, state = self._begin(self._weights, n)
        columns = []
        for _ in range(self.length):
            logits, state = self._step(self._weights, tokens, state)
            tokens = _inverse_cdf(logits, torch.rand(n, 1, generator=rng, dtype=torch.float64))
            columns.append(tokens)
        return torch.stack(columns, 1)

    @torch.no_grad()
    def _score(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, " n"]:
        tokens, state = self._begin(self._rounded, len(ids))
        total = torch.zeros(len(ids), dtype=torch.float64)
        for tokens_next in ids.T:
            logits, state = self._step(self._rounded, tokens, state)
            total += logits.gather(1, tokens_next[:, None])[:, 0].double() - logits.logsumexp(1).double()
            tokens = tokens_next
        return total


def _fused(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One matrix of all gates, and their input for every id worked out beforehand, in float64."""
    params = {name: param.double() for name, param in params.items()}
    inputs = torch.cat([params[f"W{gate}"] for gate in GATES], 1)
    biases = torch.cat([params[f"b{gate}"] for gate in GATES])
    return {
        "x": params["embedding"] @ inputs + biases,
        "U": torch.cat([params[f"U{gate}"] for gate in GATES], 1),
        "Wo": params["Wo"],
        "bo": params["bo"],
    }


def _inverse_cdf(logits: Float[Tensor, "n v"], uniform: Float[Tensor, "n 1"]) -> Int[Tensor, " n"]:
    """One id a row, at the `uniform` quantile: found by blocks of the vocabulary, then within one."""
    n, v = logits.shape
    weights = (logits - logits.amax(1, keepdim=True)).exp_()
    if v % BLOCK:
        weights = torch.nn.functional.pad(weights, (0, -v % BLOCK))
    weights = weights.view(n, -1, BLOCK)
    blocks = weights.sum(2).cumsum(1)
    goal = uniform * blocks[:, -1:]
    block = torch.searchsorted(blocks, goal, right=True).clamp(max=blocks.shape[1] - 1)  # n x 1
    before = torch.where(block > 0, blocks.gather(1, (block - 1).clamp(min=0)), 0.0)
    inside = weights[torch.arange(n), block[:, 0]].cumsum(1)
    at = torch.searchsorted(inside, goal - before, right=True).clamp(max=BLOCK - 1)
    return (block * BLOCK + at)[:, 0].clamp(max=v - 1)
