"""What every module that computes may count on."""

from concurrent.futures import ThreadPoolExecutor

import torch

import gentext.types  # noqa: F401


def test_numbers_too_small_to_be_normal_are_zero_in_every_thread():
    tiny = torch.full((1 << 20,), 1e-39)  # many: the threads of an operation share them
    halved = tiny * 0.5
    assert not halved.any()
    assert not (tiny.double() * 1e-290).any()
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(lambda: (tiny[:8] * 0.5).any()).result()
