"""Checks of what a user gives: one place, one wording."""

from __future__ import annotations

from collections.abc import Iterable


def one_of(name: str, given: str, known: Iterable[str]) -> None:
    """Raises: ValueError where `given` is none of the names that `name` may have."""
    if given not in known:
        raise ValueError(f"{name} is {given!r}; it must be one of {', '.join(known)}")


def counts(**given: int) -> None:
    """Raises: ValueError where one of them is below 1."""
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; give 1 or more")


def shares(**given: float) -> None:
    """Raises: ValueError where one of them, a dropout, is not in [0, 1)."""
    for name, value in given.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} is {value}; it is a share in [0, 1), and 0 drops nothing")
