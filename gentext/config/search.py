"""Where options are found: in conf/, and in folders of the user's own (`--config-dir`)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

PROVIDER = "--config-dir"  # as Hydra names the source of what is found there
PACKAGE = Path(__file__).resolve().parents[1]
_added: ContextVar[tuple[Path, ...]] = ContextVar("folders of the user's own", default=())


def folder() -> Path:
    """Where conf/ lies: inside an installed package, or beside it in a checkout."""
    return next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())


def folders() -> list[Path]:
    """Where options are looked for, in order: in conf/, then in what `searching` adds."""
    return [folder(), *_added.get()]


def config_dir(sources: Iterable[Any]) -> str | None:
    """The folder that --config-dir named, of Hydra's `config_sources`; relative where it is below the current one."""
    for source in sources:
        if source.provider == PROVIDER:
            path = Path(source.path)
            return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return None


@contextmanager
def searching(config_dir: str | Path | None = None) -> Iterator[None]:
    """Within it options are also found in `config_dir`, and Python modules also in it and in the current folder.

    Raises: ValueError where `config_dir` is no folder.
    """
    added = [] if config_dir is None else [Path(config_dir).resolve()]
    for path in added:
        if not path.is_dir():
            raise ValueError(f"--config-dir {config_dir} is no folder; give one that holds family/, data/, ... of YAML")
    modules = [str(path) for path in (*added, Path.cwd()) if str(path) not in sys.path]
    sys.path += modules  # last, so that a user's file never stands in for an installed package
    token = _added.set((*_added.get(), *(path for path in added if path not in folders())))
    try:
        yield
    finally:
        _added.reset(token)
        sys.path[:] = [path for path in sys.path if path not in modules]


class UserOptions(FileConfigSource):
    """A folder of the user's own. A corpus that names no class is a text in files (conf/data/text.yaml)."""

    @staticmethod
    def scheme() -> str:
        return "gentext"

    def load_config(self, config_path: str) -> ConfigResult:
        found = super().load_config(config_path)
        plain = isinstance(found.config, DictConfig) and not found.config.keys() & {"_target_", "defaults"}
        if config_path.startswith("data/") and plain:
            found.config = OmegaConf.merge({"defaults": ["text", "_self_"]}, found.config)
        return found


class UserFolders(SearchPathPlugin):
    """Tells Hydra of the folders that `searching` adds, in `gentext run` as everywhere."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for path in _added.get():
            search_path.append(PROVIDER, f"{UserOptions.scheme()}://{path}")


def register() -> None:
    """Make both known to Hydra."""
    plugins = Plugins.instance()  # whose first instance registers Hydra's own sources
    SourcesRegistry.instance().register(UserOptions)
    if UserFolders not in plugins.discover(SearchPathPlugin):
        plugins.register(UserFolders)
