"""The examples in docstrings run in an empty folder, and what one example draws moves no other."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _doctest_folder(request):
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("tmp_path"))
    with torch.random.fork_rng(devices=()):
        yield
