"""A monitor that remembers what it was told, and may kill the run that tells it."""

from dataclasses import dataclass, field

import pytest
import torch
from train import tiny

from gentext.train.loop import Quiet


@dataclass
class Notes(Quiet):
    log_: list = field(default_factory=list)
    die_at: int | None = None

    def log(self, step, values):
        self.log_.append((step, dict(values)))
        if step == self.die_at:
            raise tiny.Killed

    def curve(self, name):
        return [values[name] for _, values in self.log_ if name in values]


@pytest.fixture
def notes(tmp_path):
    return lambda name="run", **options: Notes(_made(tmp_path / name), **options)


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    """A second thread costs more than it gives where a step takes a millisecond."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
