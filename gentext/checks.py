"""Checks of what a user gives: one place, one wording. None, of an argument that may be null, passes all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from numbers import Real


class ArgumentError(ValueError):
    """An argument has a value that it cannot have.

    Its text begins with the argument's name; `gentext.config` completes that to the key, such as `train.warmup.lr`.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name, self.problem = name, problem

    def __reduce__(self) -> tuple[type, tuple[str, str]]:  # two arguments, which a worker's error brings back
        return type(self), (self.name, self.problem)


def one_of(name: str, given: object, known: Collection[object]) -> None:
    """Refuse what is none of the values that `name` may have.

    >>> one_of("attention", "luong", ("luong", "bahdanau"))
    >>> one_of("attention", "dot", ("luong", "bahdanau"))
    Traceback (most recent call last):
    gentext.checks.ArgumentError: attention is 'dot'; it must be one of luong, bahdanau
    """
    if given not in known:
        raise ArgumentError(name, f"is {given!r}; it must be one of {', '.join(map(str, known))}")


def at_least(low: float, **given: float | None) -> None:
    """Refuse what is below `low`, NaN or infinite.

    >>> at_least(1, layers=2, steps=None)
    >>> at_least(1, layers=0)
    Traceback (most recent call last):
    gentext.checks.ArgumentError: layers is 0; it must be 1 or more
    """
    _refuse(given, lambda value: value >= low, f"{low:g} or more")


def depth(**given: int | None) -> None:
    """Refuse no layer, and more than 1,000 of them: each is a module of its own to build.

    >>> depth(layers=10**9)
    Traceback (most recent call last):
    gentext.checks.ArgumentError: layers is 1000000000; it must be from 1 to 1000
    """
    between(1, 1000, **given)


def positive(**given: float | None) -> None:
    """Refuse what is 0 or less, NaN or infinite.

    >>> positive(lr=0.0)
    Traceback (most recent call last):
    gentext.checks.ArgumentError: lr is 0.0; it must be above 0
    """
    _refuse(given, lambda value: value > 0, "above 0")


def finite(**given: float | None) -> None:
    """Refuse NaN and the infinities.

    >>> finite(start=float("nan"))
    Traceback (most recent call last):
    gentext.checks.ArgumentError: start is nan; it must be a finite number
    """
    _refuse(given, lambda value: True, "a finite number")


def share(**given: float | None) -> None:
    """Refuse what is not in [0, 1): a dropout, a decay, the share of label smoothing.

    >>> share(dropout=1.0)
    Traceback (most recent call last):
    gentext.checks.ArgumentError: dropout is 1.0; it must be a share in [0, 1)
    """
    _refuse(given, lambda value: 0 <= value < 1, "a share in [0, 1)")


def between(low: float, high: float, **given: float | None) -> None:
    """Refuse what is not in [low, high], both ends included.

    >>> between(0, 1, top_p=1.5)
    Traceback (most recent call last):
    gentext.checks.ArgumentError: top_p is 1.5; it must be from 0 to 1
    """
    _refuse(given, lambda value: low <= value <= high, f"from {low:g} to {high:g}")


def device(name: str, given: str) -> None:
    """Refuse what is no device that torch can use here.

    >>> device("device", "cpu")
    >>> device("device", "tpu9")
    Traceback (most recent call last):
    gentext.checks.ArgumentError: device is 'tpu9'; it must be cpu, cuda, cuda:1 and so on, or mps
    """
    import torch

    try:
        kind, index = (found := torch.device(given)).type, found.index or 0
    except RuntimeError:
        kind, index = "", 0
    if kind not in ("cpu", "cuda", "mps"):
        raise ArgumentError(name, f"is {given!r}; it must be cpu, cuda, cuda:1 and so on, or mps")
    held = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if index >= held:
        raise ArgumentError(name, f"is {given!r}, and torch finds {held} {kind} devices here; give {name}=cpu")


def a_list(**given: object) -> None:
    """Refuse one text where several are asked for: it would be read as the list of its characters.

    >>> a_list(stop=["END"])
    >>> a_list(stop="END")
    Traceback (most recent call last):
    gentext.checks.ArgumentError: stop is the text 'END'; give a list: stop=['END']
    """
    for name, value in given.items():
        if isinstance(value, str):
            raise ArgumentError(name, f"is the text {value!r}; give a list: {name}=[{value!r}]")


def class_name(value: object) -> str:
    """The class of a value, after its article as it is spoken.

    >>> from gentext.models import LSTM, Transformer
    >>> class_name(LSTM(9, layers=1, width=8)), class_name(Transformer(9, layers=1, heads=1, width=8))
    ('an LSTM', 'a Transformer')
    """
    name = type(value).__name__
    spelled = name[:2].isupper()  # letter by letter, as LSTM and NGram are
    return f"{'an' if name[0] in ('AEFHILMNORSX' if spelled else 'AEIO') else 'a'} {name}"


def missing(what: str, package: str, extra: str) -> str:
    """What to say where a package of an extra is not installed.

    >>> missing("a search", "Optuna", "tune")
    "a search needs Optuna, which is not installed; pip install 'gentext[tune]'"
    """
    return f"{what} needs {package}, which is not installed; pip install 'gentext[{extra}]'"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough: Python's own, or torch's, which is a RuntimeError.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."))
    True
    """
    words = ("can't allocate memory", "out of memory", "Unable to allocate")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in words)
    )


def _refuse(given: dict[str, float | None], fits: Callable[[float], bool], needed: str) -> None:
    for name, value in given.items():
        if value is not None and not (isinstance(value, Real) and math.isfinite(value) and fits(value)):
            raise ArgumentError(name, f"is {value}; it must be {needed}")
