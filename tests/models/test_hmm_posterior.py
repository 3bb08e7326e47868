"""Filtering, smoothing and the likeliest path, against the enumeration of every path."""

from __future__ import annotations

import math

import pytest
import torch
from models.paths import enumerate_paths

from gentext.models.hmm.model import HMM
from gentext.types import EOS, pad

SHAPES = {
    "plain": {"states": 3},
    "blocked": {"states": 6, "blocks": 3},
    "low rank": {"states": 4, "rank": 2},
    "both": {"states": 6, "blocks": 3, "rank": 2},
}
ROWS = [[4, 5, 5, 6, EOS], [6, EOS], [5, 4, EOS]]


@pytest.fixture(params=SHAPES)
def family(request) -> HMM:
    torch.manual_seed(5)
    return HMM(8, **SHAPES[request.param], grow_from=None).eval()


def paths(family: HMM, row: list[int]) -> list:
    with torch.no_grad():
        return list(enumerate_paths(family.tables()[0].map(torch.Tensor.double), row))


@pytest.mark.parametrize("whole", [False, True], ids=["filtered", "smoothed"])
def test_posteriors_are_shares_of_paths(family, whole):
    ours = (family.smoothed if whole else family.filtered)(pad(ROWS))
    for i, row in enumerate(ROWS):
        for t in range(len(row)):
            share = torch.zeros(family.states, dtype=torch.float64)
            for path, p in paths(family, row if whole else row[: t + 1]):
                share[path[t]] += p
            assert torch.allclose(ours[i, t], share / share.sum(), atol=1e-6)
        assert (ours[i, len(row) :] == 0).all()


def test_the_likeliest_path_is_the_greatest_of_all(family):
    ours, log_prob = family.viterbi(pad(ROWS))
    for i, row in enumerate(ROWS):
        path, p = max(paths(family, row), key=lambda found: found[1])
        assert ours[i].tolist() == [*path] + [-1] * (ours.shape[1] - len(row))
        assert float(log_prob[i]) == pytest.approx(math.log(p), abs=1e-5)


def test_smoothing_and_filtering_agree_on_the_last_token(family):
    batch = pad(ROWS)
    ends = torch.arange(len(ROWS)), batch.lengths - 1
    assert torch.allclose(family.filtered(batch)[ends], family.smoothed(batch)[ends])


def test_an_impossible_text_has_no_states(family):
    with torch.no_grad():
        family.emission[5] = -math.inf
    for act in (family.filtered, family.smoothed, family.viterbi):
        with pytest.raises(ValueError, match="impossible under this HMM"):
            act(pad(ROWS))
