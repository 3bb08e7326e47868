"""The oracle's probabilities against a plain LSTM, and its draws against its probabilities."""

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from gentext.data.source import Truth
from gentext.files import sha256
from gentext.truth.oracle import GATES, Oracle, _inverse_cdf

CANONICAL = "82588a47b8b3328979b959c8a736643cb5598190af2ef08cc988720584769bac"


def plain_log_prob(params, ids, start=0):
    """The same LSTM as torch.nn.LSTMCell computes it, one sequence."""
    d = params["Ui"].shape[0]
    cell = torch.nn.LSTMCell(d, d)
    order = ("i", "f", "c", "og")  # torch's order of gates
    with torch.no_grad():
        cell.weight_ih.copy_(torch.cat([params[f"W{g}"].T for g in order]))
        cell.weight_hh.copy_(torch.cat([params[f"U{g}"].T for g in order]))
        cell.bias_ih.copy_(torch.cat([params[f"b{g}"] for g in order]))
        cell.bias_hh.zero_()
        h, c, total = torch.zeros(1, d), torch.zeros(1, d), 0.0
        for before, token in itertools.pairwise([start, *ids]):
            h, c = cell(params["embedding"][before][None], (h, c))
            total += float((h @ params["Wo"] + params["bo"]).log_softmax(1)[0, token])
    return total


def test_log_prob_is_that_of_a_plain_lstm(tmp_path, monkeypatch):
    rng, d, v = torch.Generator().manual_seed(3), 4, 7
    shapes = {"embedding": (v, d), "Wo": (d, v), "bo": (v,)}
    for gate in GATES:
        shapes |= {f"W{gate}": (d, d), f"U{gate}": (d, d), f"b{gate}": (d,)}
    params = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    folder = tmp_path / "seqgan-oracle"
    folder.mkdir()
    np.savez(folder / "small.npz", **{name: array.numpy() for name, array in params.items()})
    monkeypatch.setenv("GENTEXT_DATA", str(tmp_path))
    oracle = Oracle(3, "small.npz", sha256(folder / "small.npz"), vocab_size=v, width=d, start=2)
    texts = ["0 6 2", "5 5 5", "1 0 3"]
    expected = [plain_log_prob(params, list(map(int, text.split())), start=2) for text in texts]
    np.testing.assert_allclose(oracle.log_prob(texts), expected, rtol=1e-5)


def test_probabilities_sum_to_one_and_draws_follow_them():
    oracle = Oracle(3, seed=1, vocab_size=4, width=3)
    assert isinstance(oracle, Truth)
    every = [" ".join(ids) for ids in itertools.product("0123", repeat=3)]
    p = np.exp(oracle.log_prob(every))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    n = 20_000
    drawn = oracle.sample(n, torch.Generator().manual_seed(0))
    counts = np.array([drawn.count(text) for text in every])
    chi2 = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi2 < 63 + 4 * np.sqrt(2 * 63)  # 63 degrees of freedom, four standard deviations


def test_other_texts_have_no_probability_and_seeds_differ():
    oracle = Oracle(3, seed=1, vocab_size=4, width=3)
    assert np.isneginf(oracle.log_prob(["0 1", "0 1 2 3", "0 1 4", "a b c", ""])).all()
    assert oracle.digest != Oracle(3, seed=2, vocab_size=4, width=3).digest
    assert oracle.log_prob(["0 1 2"]) != Oracle(3, seed=2, vocab_size=4, width=3).log_prob(["0 1 2"])
    with pytest.raises(ValueError, match="length is 0"):
        Oracle(0)


def test_its_texts_are_the_same_on_every_machine():
    """Other processors round products otherwise: torch and MKL are told to use the instructions of an old one."""
    draw = "import torch\nfrom gentext.truth import Oracle\n" + (
        "print(*Oracle(length=20, seed=3).sample(400, torch.Generator().manual_seed(0)), sep='\\n')"
    )
    old = os.environ | {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    done = subprocess.run([sys.executable, "-c", draw], env=old, capture_output=True, text=True)
    here = "\n".join(Oracle(length=20, seed=3).sample(400, torch.Generator().manual_seed(0)))
    assert (here, hashlib.sha256(here.encode()).hexdigest()[:8]) == (done.stdout.strip(), "85296569"), done.stderr


def test_inverse_cdf_takes_the_quantile_at_both_ends():
    logits = torch.full((3, 120), -torch.inf)
    logits[:, 60] = logits[:, 119] = 0.0
    uniform = torch.tensor([[0.0], [0.49], [1 - 1e-7]])
    assert _inverse_cdf(logits, uniform).tolist() == [60, 60, 119]


@pytest.mark.slow
@pytest.mark.skipif("GENTEXT_DATA" not in os.environ, reason="needs the canonical parameters")
def test_canonical_oracle_scores_its_own_text_as_published():
    oracle = Oracle(20, "params.npz", CANONICAL)
    texts = oracle.sample(10_000, torch.Generator().manual_seed(0))
    assert -oracle.log_prob(texts).mean() / 20 == pytest.approx(5.75, abs=0.03)


@pytest.mark.parametrize("options", [{"vocab_size": 0}, {"width": -1}, {"start": 5_000}, {"start": -1}])
def test_sizes_that_make_no_oracle_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} is"):
        Oracle(**options)
