"""The examples in docstrings run in an empty folder, and what one example draws moves no other."""

import shutil

import pytest
import torch

SMALL = ("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
CALL = "gentext.run({})".format(", ".join(f'"{word}"' for word in SMALL))


@pytest.fixture(scope="session")
def _finished_run(tmp_path_factory):
    """A folder with the run that many examples begin with, so that it is trained once and found finished by them."""
    import gentext

    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        gentext.run(*SMALL)
    return folder


@pytest.fixture(autouse=True)
def _doctest_folder(request):
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    folder = request.getfixturevalue("tmp_path")
    if any(CALL in example.source for example in request.node.dtest.examples):
        shutil.copytree(request.getfixturevalue("_finished_run"), folder, dirs_exist_ok=True)
    request.getfixturevalue("monkeypatch").chdir(folder)
    with torch.random.fork_rng(devices=()):
        yield
