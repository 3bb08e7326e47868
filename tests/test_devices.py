"""Every family trains, samples and scores on a device that is not the CPU, without one: no tensor is left behind."""

from __future__ import annotations

import pytest
import torch
from claimed_device import DEVICE, Claimed, claimed_device

from gentext import adversarial, config, contract, data, decode, metrics, models, train, truth
from gentext.data import LocalText, Word
from gentext.data.corpus import Corpus
from gentext.decode import Ancestral, Beam
from gentext.seeding import Streams
from gentext.train.base import NullMonitor
from gentext.types import EOS, pad

SMALL = {
    "epochs": 1, "steps": 2, "iterations": 2, "valid_every": 1, "log_every": 1, "draw": 6, "rollouts": 1,
    "batch_size": 8, "restarts": 1, "hypotheses": 10, "filters": 4, "representations": 2, "width": 8, "embedding": 8,
}  # fmt: skip
PACKAGES = (adversarial, data, decode, metrics, models, train, truth)
LOADED = [getattr(package, name) for package in PACKAGES for name in package.__all__]  # before torch is changed
ABOUT = config.groups()["family"]
FIRST = ("ngram", "hmm")  # of which no weight is a network's; the rest take most of a minute
FAMILIES = [pytest.param(name, marks=[pytest.mark.slow] * (name not in FIRST)) for name in ABOUT]


@pytest.fixture(autouse=True)
def device():
    with claimed_device():
        yield


@pytest.fixture
def corpus(tmp_path):
    texts = [" ".join("abc"[i // 3**k % 3] for k in range(4)) for i in range(81)]
    (tmp_path / "text.txt").write_text("\n".join(texts), encoding="utf-8")
    source = LocalText(str(tmp_path / "text.txt"), valid=10, test=10)
    return Corpus.open(source, Word(min_count=1), cache=tmp_path / "cache")


def test_tensors_of_two_devices_do_not_mix():
    there, here = torch.ones(2, 3, device=DEVICE), torch.arange(2)
    assert isinstance(there[here], Claimed)  # as on a GPU
    assert (there + 1).sum().item() == 12
    assert not isinstance(there.cpu(), Claimed)
    for mixed in (
        lambda: there + torch.ones(3),
        lambda: there.index_select(0, here),
        lambda: torch.nn.Linear(3, 1)(there),
        lambda: torch.cat([there, torch.ones(2, 3)]),
        lambda: there.mul_(torch.ones(2, 3)),
    ):
        with pytest.raises(RuntimeError, match="two devices"):
            mixed()


@pytest.mark.parametrize("name", FAMILIES)
def test_it_samples_and_scores(name):
    family = contract.make(name).to(DEVICE)
    batch = pad([[4, 5, EOS], [6, EOS]]).to(DEVICE)
    rng = torch.Generator().manual_seed(0)
    if family.likelihood != "none":
        assert isinstance(family.log_prob(batch), Claimed)
    for decoder in (Ancestral(), Ancestral(top_p=0.9), Ancestral(typical=0.9, no_repeat_ngram=2), Beam(width=2)):
        drawn = family.sample(3, contract.LONGEST, decoder=decoder, rng=rng)
        assert isinstance(drawn.tokens, Claimed)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_trains(name, corpus, tmp_path):
    if "data=labelled" in ABOUT[name]:
        pytest.skip("it wants labelled text")
    cfg = contract.compose(name)
    if "teacher" in cfg.family:
        pytest.skip("it wants a teacher's run")
    for group in ("train", "loss"):
        if cfg[group] is not None:
            shrink(cfg[group])
    family = contract.make(name).to(DEVICE)
    config.build(cfg.train).run(family, corpus, streams=Streams(0), monitor=NullMonitor(tmp_path))


def shrink(node):
    for key, value in node.items():
        if hasattr(value, "items"):
            shrink(value)
        elif type(value) is int and value > SMALL.get(key, value):
            node[key] = SMALL[key]


def test_what_torch_does_elsewhere_stays_as_it_was():
    assert torch.tensor([torch.tensor(0.5)]).tolist() == [0.5]  # a tensor without dimensions is no sequence
