"""Shared by every test: two threads at most, and a monitor that keeps what it is given."""

import gc
import os
from dataclasses import dataclass, field

import pytest
import torch
from train import tiny

from gentext.train.base import NullMonitor


def pytest_collection_finish():
    gc.freeze()  # the modules and thousands of tests that each full collection walked through: 7 % of all time


@pytest.fixture(autouse=True, scope="session")
def _threads():
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@dataclass
class Notes(NullMonitor):
    log_: list = field(default_factory=list)
    kept: dict = field(default_factory=dict)  # by name the weights and the step
    die_at: int | None = None
    booked: tuple | None = None

    def log(self, step, values):
        self.log_.append((step, dict(values)))
        if step == self.die_at:
            raise tiny.Killed

    def keep(self, weights, family, step):
        self.kept[weights] = ({name: tensor.clone() for name, tensor in family.state_dict().items()}, step)

    def book(self, steps, seconds, tokens, core_seconds, flops):
        self.booked = (steps, tokens)
        assert seconds >= 0

    def curve(self, name):
        return [values[name] for _, values in self.log_ if name in values]


@pytest.fixture
def notes(tmp_path):
    return lambda name="run", **options: Notes(_made(tmp_path / name), **options)


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder
