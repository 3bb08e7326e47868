"""A text cut into its beginning, which is given, and the rest, which is to be written."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

Prompt = float | int | Literal["line"] | None
MARKS = ",，、.。!！?？;；:："
LINE_END = re.compile(rf"(?<=[{MARKS}])(?=[^\s{MARKS}])|(?<=[{MARKS}])\s+|\s+/\s+")


def check_prompt(prompt: Prompt, source: Any, unit: str) -> None:
    """Refuse what says no beginning, and a beginning beside a column of sources. Raises: ValueError."""
    if prompt is None:
        return
    if source is not None:
        raise ValueError(
            f"data.prompt is {prompt} and data.source is {source!r}: a source is the beginning of its text, or a "
            "column; set one of them to null"
        )
    if unit == "stream":
        raise ValueError(f"data.prompt is {prompt} and data.unit is stream, which is one text; give data.unit=line")
    if prompt == "line":
        return
    if isinstance(prompt, str) or not math.isfinite(prompt) or prompt <= 0 or (prompt >= 1 and prompt != int(prompt)):
        raise ValueError(
            f"data.prompt is {prompt!r}; it must be a share of the words below 1, a number of words, or line (the "
            "first one)"
        )


def beginning(text: str, prompt: float | int | str, *, characters: bool = False) -> tuple[str, str] | None:
    """The beginning of a text and the rest; None where nothing would be left to write.

    Args:
        text: to be cut.
        prompt: a share of its words below 1, a number of words, or "line": the first line, or where it has but one its
            first clause.
        characters: every character but white space counts as a word.

    >>> beginning("a man rides a horse", 0.4), beginning("a man rides a horse", 3)
    (('a man', 'rides a horse'), ('a man rides', 'a horse'))
    >>> beginning("秦川雄帝宅，函谷壮皇居。", "line")
    ('秦川雄帝宅，', '函谷壮皇居。')
    """
    if prompt == "line":
        at = text.find("\n")
        found = LINE_END.search(text) if at < 0 else re.compile(r"\n+").search(text)
        return None if found is None else (text[: found.start()], text[found.end() :])
    begins = [found.start() for found in re.finditer(r"\S" if characters else r"\S+", text)]
    words = int(prompt) if prompt >= 1 else max(1, round(prompt * len(begins)))  # type: ignore[operator, arg-type]
    if words >= len(begins):
        return None
    return text[: begins[words]].rstrip(), text[begins[words] :]
