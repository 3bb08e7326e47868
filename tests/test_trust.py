"""A run's folder and a record are data: whatever they name, no code but gentext's own runs."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import gentext
from gentext import config
from gentext.cli import main
from gentext.data.download import Remote, fetch
from gentext.results import record
from gentext.score_pipeline import stored
from gentext.trained import FittedTruth

NGRAM = Path(__file__).parent / "results" / "format1" / "captions" / "ngram-s0-d3d3ba6f"


def gadgets(marker: str) -> dict[str, dict]:
    """Nodes that would write the file `marker`, or run what they name, if they were built."""
    module = f"import pathlib; pathlib.Path({marker!r}).touch()"
    node = {
        "pathlib.Path.write_text": {"self": {"_target_": "pathlib.Path", "_args_": [marker]}, "data": "x"},
        "pathlib.Path": {"_args_": [marker]},
        "joblib.load": {"filename": marker},
        "numpy.load": {"file": marker, "allow_pickle": True},
        "torch.load": {"f": marker, "weights_only": False},
        "torch.hub.load": {"repo_or_dir": marker, "model": "x", "source": "local"},
        "shutil.copyfile": {"src": __file__, "dst": marker},
        "os.system": {"_args_": [f"touch {marker}"]},
        "builtins.eval": {"_args_": [f"__import__('pathlib').Path({marker!r}).touch()"]},
        "builtins.exec": {"_args_": [module]},
        "subprocess.run": {"_args_": [["touch", marker]]},
        "hydra.utils.get_method": {"path": "os.system"},
        "hydra.utils.instantiate": {"_args_": [{"_target_": "os.system", "_args_": [f"touch {marker}"]}]},
        "gentext.files.write_text": {"text": "x", "path": marker},
        "gentext.trained.load": {"folder": marker},
        "gentext.metrics.base.np.save": {"file": marker, "arr": [1]},
        "gentext.losses.torch.save": {"obj": 1, "f": marker},
        "gentext.models.layers.nn.Linear": {"in_features": 1, "out_features": 1},
        "gentext.data.keep": {},
    }
    return {target: {"_target_": target, **rest} for target, rest in node.items()}


TARGETS = list(gadgets("x"))
PLACES = {
    "itself": lambda gadget: gadget,
    "nested": lambda gadget: {"_target_": "gentext.models.NGram", "vocab_size": 9, "order": gadget},
    "argument": lambda gadget: {"_target_": "gentext.models.NGram", "_args_": [9, {"deep": [gadget]}]},
    "partial": lambda gadget: {**gadget, "_partial_": True},
}


def planted(tmp_path: Path, **groups: dict) -> Path:
    """A copy of a run's folder with other nodes in its configuration and its record."""
    folder = tmp_path / "captions" / "run"
    shutil.copytree(NGRAM, folder)
    cfg = OmegaConf.load(folder / "config.yaml")
    OmegaConf.save(OmegaConf.create({**OmegaConf.to_container(cfg), **groups}), folder / "config.yaml")
    return folder


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("target", TARGETS)
def test_no_gadget_runs_when_a_model_is_loaded(tmp_path, target, place):
    marker = tmp_path / "marker"
    before = set(sys.modules)
    folder = planted(tmp_path, family=PLACES[place](gadgets(str(marker))[target]))
    with pytest.raises(ValueError, match=r"family.*_target_ is .*, which is no public class of gentext.*--trust"):
        gentext.load(folder)
    with pytest.raises(ValueError, match="no public class of gentext"):
        FittedTruth(str(folder))
    assert not marker.exists()
    assert not {"joblib", "torch.hub"} & (set(sys.modules) - before)


@pytest.mark.parametrize("target", ["trained.FittedTruth", "detection.DetectionCorpus", "run_judge.RunJudge"])
def test_a_stored_run_of_another_run_trusts_nothing_itself(tmp_path, target):
    """A folder whose truth, corpus or judge is a second folder, for which the first one vouches."""
    marker = tmp_path / "marker"
    inner = str(planted(tmp_path, family=gadgets(str(marker))["pathlib.Path.write_text"]))
    for i, arguments in enumerate(
        [{"run": inner, "trusted": ["pathlib"]}, {"run": inner, "trusted": "pathlib"}, {"_args_": [inner, ["pathlib"]]}]
    ):
        outer = planted(tmp_path / str(i), family={"_target_": f"gentext.{target}", **arguments})
        with pytest.raises(ValueError, match=r"by --trust pathlib|gives its arguments by name"):
            gentext.load(outer)
        assert not marker.exists()


def test_every_option_of_a_run_may_be_stored():
    """But for code: what skops holds, and what the user's machine alone says."""
    conf = Path(__file__).parents[1] / "conf"
    refused = []
    for path in conf.glob("*/*.yaml"):
        for target in re.findall(r"_target_: ([\w.]+)", path.read_text(encoding="utf-8")):
            try:
                config.refuse_code({"_target_": target})
            except ValueError:
                refused.append(target)
    assert {target for target in refused if ".trackers." not in target} == {"gentext.flags.SkopsFlag"}


@pytest.mark.parametrize("group", ["data", "tokenizer"])
def test_no_gadget_runs_when_a_record_is_judged_anew(tmp_path, group, capsys):
    marker = tmp_path / "marker"
    folder = planted(tmp_path)
    (old,) = record.find([folder])
    gadget = gadgets(str(marker))["os.system"]
    record.write(replace(old, config={**old.config, group: gadget}), folder)
    if group == "data":
        with pytest.raises(ValueError, match=r"data\._target_ is 'os\.system'"):
            stored([str(folder)], ["default"])
    # the run's own tokenizer is read from its folder: what a record says of one is never built
    assert main(["score", str(folder)]) == (2 if group == "data" else 0)
    assert "Traceback" not in capsys.readouterr().err
    assert not marker.exists()


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${oc.create:'{_target_: os.system}'}", "a ${out} b"])
def test_what_is_stored_refers_to_nothing_outside(tmp_path, text):
    node = OmegaConf.create({"family": {"_target_": "gentext.models.NGram", "vocab_size": 9, "order": text}})
    with pytest.raises(ValueError, match="refers to nothing outside"):
        config.build(node.family, trusted=())


def test_what_the_user_trusts_is_built():
    node = OmegaConf.create({"_target_": "pathlib.PurePosixPath", "_args_": ["a"]})
    assert str(config.build(node, trusted=["pathlib"])) == "a"
    assert str(config.build(node)) == "a"  # the user's own configuration
    with pytest.raises(ValueError, match="no public class"):
        config.build(node, trusted=["path"])


@pytest.mark.parametrize("file", ["../x", "/etc/x", "a/../../x"])
def test_no_download_leads_outside_its_folder(file):
    with pytest.raises(ValueError, match="outside the folder of downloads"):
        fetch("folder", file, Remote("0" * 64, "http://localhost:9/x"))


def test_the_command_line_says_whom_it_trusts(tmp_path, capsys):
    folder = planted(tmp_path, family={"_target_": "fractions.Fraction", "_args_": [1, 2]})
    assert main(["sample", str(folder)]) == 2
    assert "--trust fractions" in capsys.readouterr().err
