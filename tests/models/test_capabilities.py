"""Capabilities are declared by inheritance, and so hold on every version of Python."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import typing

import pytest
import torch

import gentext
from gentext import config, language_model

CAPABILITIES = {name: found for name, found in vars(language_model).items() if name.startswith("Supports")}


@functools.cache
def protocols() -> list[type]:
    """Every protocol of gentext that an object may be tested against at run time."""
    found = set()
    for module in pkgutil.walk_packages(gentext.__path__, "gentext."):
        if module.name.endswith(("__main__", "lm_harness")):  # the latter needs lm-evaluation-harness
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(thing) and getattr(thing, "_is_runtime_protocol", False):
                found.add(thing)
    return sorted(found, key=lambda protocol: protocol.__qualname__)


def test_no_capability_is_a_protocol():
    assert len(CAPABILITIES) >= 8
    assert not [name for name, found in CAPABILITIES.items() if getattr(found, "_is_protocol", False)]


@pytest.mark.parametrize("preset", sorted(config.groups()["family"]))
def test_protocols_find_the_same_in_a_preset_when_attributes_are_looked_up_statically(preset):
    """As isinstance does from Python 3.12 on: submodules of an nn.Module, which lie in no __dict__, are then missed."""
    torch.manual_seed(0)
    cfg = config.compose([f"family={preset}", "vocab_size=7", "max_len=5", "context=5", "labels=2"])
    if cfg.family._target_ == "gentext.models.Pretrained":
        pytest.skip("it wants a checkpoint")
    objects = [config.build(cfg.family), *([config.build(cfg.loss)] if cfg.loss is not None else [])]
    for found in objects:
        for protocol in protocols():
            members, missing = typing._get_protocol_attrs(protocol), object()
            static = all(inspect.getattr_static(found, name, missing) is not missing for name in members)
            assert isinstance(found, protocol) == static, f"{type(found).__name__} as {protocol.__name__}"


def test_a_gan_prepares_and_shows_the_hidden_state_of_its_generator():
    torch.manual_seed(0)
    gan = config.build(config.compose(["family=seqgan", "vocab_size=7", "max_len=5", "context=5"]).family)
    assert all(isinstance(gan, CAPABILITIES[name]) for name in ("SupportsAdversarial", "SupportsHidden"))
    state = gan.start(2).state
    assert torch.equal(gan.hidden(state), gan.generator.hidden(state))
