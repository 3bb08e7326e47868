"""What identifies a row of a board, and how it is called beside the other rows: by what differs between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gentext.results.record import Record

# What a run may differ in and still be one row: where it lies, how it is logged, its seed, and what its record names.
NOT_IDENTITY = (
    *("seed", "out", "resume", "tracker", "device", "processes", "title", "show_samples", "decode", "name"),
    *("experiment", "published"),
)
FOUND = ("vocab_size", "context", "labels")  # what a run finds in its text, wherever its classes are told
WORDS = {"temperature": "T", "top_p": "top-p", "top_k": "top-k", "min_p": "min-p", "typical": "typical"}


def identity(record: Record) -> tuple[str, str, str]:
    """What two records must share to be seeds of one row: family, changes, decode setting and all other configuration.

    Data settings, split and eval belong to it: 2,000 and 200 training lines are two rows, not two seeds.
    """
    return record.name, record.decode, json.dumps(_decided(record), sort_keys=True, default=str)


def corpora(records: Iterable[Record]) -> dict[str, str]:
    """A name for each `corpus_key`: the corpus, and where several texts share it how many, or their sha256.

    Example:
        >>> from dataclasses import replace
        >>> def test(sha256, lines):
        ...     return {"splits": {"test": {"sha256": sha256, "lines": lines}}}
        >>> of = Record("captions", "unconditional", "lstm", "", "ancestral", 0, {}, {}, "exact")
        >>> one, two = (replace(of, fingerprints=test(*each)) for each in (("0a1b", 100), ("2c3d", 500)))
        >>> corpora([one]), corpora([one, two])
        ({'captions:0a1b': 'captions'}, {'captions:0a1b': 'captions-100', 'captions:2c3d': 'captions-500'})
    """
    first = {record.corpus_key: record for record in records}
    found = {key: record.corpus for key, record in first.items()}
    judged = {key: record.fingerprints.get("splits", {}).get(record.split, {}) for key, record in first.items()}
    for name in {name for name in found.values() if sum(other == name for other in found.values()) > 1}:
        members = [key for key, other in found.items() if other == name]
        lines = [judged[key].get("lines") for key in members]
        counted = None not in lines and len(set(lines)) == len(lines)
        for key, count in zip(members, lines, strict=True):
            found[key] = f"{name}-{count if counted else judged[key].get('sha256', 'unknown')[:8]}"
    return found


def names(records: Sequence[Record]) -> list[str]:
    """A name for each record of a board: `name=` where it was given, else its family and what sets it apart there.

    Example:
        >>> from dataclasses import replace
        >>> of = Record("captions", "unconditional", "lstm", "width=64 epochs=9", "ancestral", 0, {}, {}, "exact")
        >>> names([of, replace(of, variant="width=32 epochs=9")])
        ['lstm width=64', 'lstm width=32']
        >>> called = replace(of, config={"name": "mine"})
        >>> names([called, replace(called, variant=called.variant + " weights=warmup")])
        ['mine', 'mine weights=warmup']
    """
    tokens = [record.variant.split() for record in records]
    shared = {}  # by family: what all its rows say
    for record, mine in zip(records, tokens, strict=True):
        shared[record.family] = shared.get(record.family, set(mine)).intersection(mine)
    found = []
    for record, mine in zip(records, tokens, strict=True):
        own = [token for token in mine if token not in shared[record.family]]
        given = record.config.get("name")
        weights = [token for token in mine if token.startswith("weights=")]  # of one run, whose name they share
        found.append(" ".join([str(given), *weights] if given else [record.family, *own]))
    return _apart(records, found)


def _apart(records: Sequence[Record], found: list[str]) -> list[str]:
    """The names, with what differs in the configurations added where two different rows would share one."""
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(found):
        groups.setdefault(name, []).append(i)
    made = list(found)
    for members in (members for members in groups.values() if len(members) > 1):
        flat = {i: _settings(records[i]) for i in members}
        keys = [key for key in flat[members[0]] if len({flat[i].get(key) for i in members}) > 1]
        keys += sorted({key for i in members for key in flat[i]} - set(flat[members[0]]))
        rest = [key for key in keys if key != "max_len"]  # which most often follows from how many texts there are
        told, tell = ({tuple(flat[i].get(key) for key in some) for i in members} for some in (keys, rest))
        keys = rest if len(tell) == len(told) else keys
        for i in members:
            made[i] = " ".join([found[i], *(f"{key}={flat[i].get(key) or '-'}" for key in keys)])
    return made


def _settings(record: Record) -> dict[str, str]:
    return dict(flatten(_decided(record)))


def _decided(record: Record) -> dict[str, Any]:
    """The part of a record's configuration that sets rows apart; a tokenizer's own vocab_size is a setting."""
    kept = {key: value for key, value in record.config.items() if key not in NOT_IDENTITY and key not in FOUND}
    if "row" in record.begun_with:  # seeds begin with seeds of one row, which lie in folders of their own
        kept["init"] = record.begun_with["row"]
    return {key: value if key == "tokenizer" else _without_found(value) for key, value in kept.items()}


def _without_found(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return {key: _without_found(value) for key, value in node.items() if key not in FOUND}


def shared(records: Sequence[Record]) -> list[str]:
    """The changes to the defaults that all rows share, human text and rows from elsewhere aside."""
    changed = [record.variant.split() for record in records if record.family != "human" and record.config]
    return [token for token in changed[0] if all(token in other for other in changed)] if changed else []


def flatten(node: Any, prefix: str = "") -> list[tuple[str, str]]:
    """The leaves of a configuration as (dotted key, value in words)."""
    if isinstance(node, Mapping):
        return [pair for key, value in node.items() for pair in flatten(value, f"{prefix}{key}.")]
    return [(prefix.rstrip("."), str(node))]


def is_setting(wanted: str, decode: str) -> bool:
    """Whether a decode setting is meant: as a record or a board writes it, or by the option's or a parameter's name.

    Example:
        >>> [is_setting(word, "ancestral top_p=0.95") for word in ("ancestral top_p=0.95", "top-p 0.95", "top_p", "p")]
        [True, True, True, False]
    """
    return wanted in (decode, setting(decode), *(word.partition("=")[0] for word in decode.split()[1:]))


def setting(decode: str) -> str:
    """A decode setting in a few words.

    Example:
        >>> setting("ancestral temperature=0.8"), setting("ancestral top_p=0.95"), setting("beam width=10")
        ('T 0.8', 'top-p 0.95', 'beam width 10')
    """
    kind, _, rest = decode.partition(" ")
    if "=" in kind:  # a decoder without a name of its own
        kind, rest = "ancestral", decode
    if not rest or any("=" not in token for token in rest.split()):
        return decode
    if kind == "ancestral" and rest == "top_k=1":
        return "greedy"
    pairs = [token.partition("=")[::2] for token in rest.split()]
    words = [f"{WORDS.get(key, key.replace('_', ' '))} {value}" for key, value in pairs]
    return " ".join(words if kind == "ancestral" else [kind, *words])
