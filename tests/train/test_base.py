"""What every trainer shares."""

from concurrent.futures import ThreadPoolExecutor

import torch

from gentext.train.base import denormals_as_zero


def test_numbers_too_small_to_be_normal_are_zero_inside_and_only_there():
    tiny = torch.full((8,), 1e-39)
    with denormals_as_zero():
        assert not (tiny * 0.5).any()
        assert not (tiny.double() * 1e-290).any()
        with denormals_as_zero(), ThreadPoolExecutor(1) as pool:
            assert not pool.submit(lambda: (tiny * 0.5).any()).result()
        assert not (tiny * 0.5).any()
    assert (tiny * 0.5).all()
