"""Every preset that several processes may train: two of them take the steps of one."""

from __future__ import annotations

import json
import math

import pytest
from attacks.kills import write_text
from attacks.values import leaves, small
from omegaconf import OmegaConf

from gentext import config
from gentext.cli import main
from gentext.config.schema import takes

DRAWS = ("vae", "vae_transformer", "masked_lm", "masked_diffusion")  # each process its own z, or its own masks


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, about in config.groups()["family"].items() if "data=labelled" not in about]
)
def test_two_processes_take_the_steps_of_one(name, tmp_path, monkeypatch):
    write_text(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    cfg = config.compose(small(name))
    shared = [key for key in ("train", "train.warmup") if takes(OmegaConf.select(cfg, key), "processes")]
    if not shared or cfg.family._target_ == "gentext.models.Pretrained":
        pytest.skip("one process trains it")
    if "teacher" in cfg.family:
        pytest.skip("it wants a teacher's run")
    noisy = [key for key, value in leaves(cfg.family, "family.") if "drop" in key.rpartition(".")[2] and value]
    still = [f"{key}=0" for key in noisy]
    curves = []
    for processes in (1, 2):
        several = [f"{key}.processes={processes}" for key in shared]
        assert main(["run", *small(name), *still, *several, "eval=latent", f"out=runs/{processes}"]) == 0
        (log,) = (tmp_path / "here").glob(f"runs/{processes}/*/*/log.jsonl")
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        curves.append([line["train/nll"] for line in lines if "train/nll" in line])
    assert curves[0]
    assert all(map(math.isfinite, curves[1]))
    if name not in DRAWS:
        assert curves[1] == pytest.approx(curves[0], abs=1e-3)
