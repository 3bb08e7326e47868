"""The options of `pytest --pyargs gentext.contract`."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --family and --config-dir."""
    group = parser.getgroup("gentext")
    group.addoption(
        "--family", action="append", default=[], help="a family that gentext.contract judges (all built-in)"
    )
    group.addoption("--config-dir", default=None, help="a folder of your own options and modules, as gentext takes it")


def pytest_configure() -> None:
    """Let a failed assertion of the contract show its values."""
    pytest.register_assert_rewrite("gentext.contract")
