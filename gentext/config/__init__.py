"""Configuration: schema (keys), search (where options lie), compose (overrides), build (objects), advice (errors)."""

from gentext.config.advice import near
from gentext.config.build import build, check, check_known, check_run, decoder, setting, settings
from gentext.config.compose import (
    completed,
    compose,
    decides_its_text,
    discrete,
    expand,
    is_sweep,
    jobs,
    late,
    loader,
    parsed,
)
from gentext.config.schema import (
    NOT_IDENTITY,
    Root,
    always_pairs,
    fingerprint,
    former_names,
    groups,
    identity,
    located,
    register,
    run_name,
    settle,
    taken,
)
from gentext.config.search import config_dir, folder, searching
from gentext.config.size import give_size
from gentext.config.trust import refuse_code

__all__ = [
    "NOT_IDENTITY",
    "Root",
    "always_pairs",
    "build",
    "check",
    "check_known",
    "check_run",
    "completed",
    "compose",
    "config_dir",
    "decides_its_text",
    "decoder",
    "discrete",
    "expand",
    "fingerprint",
    "folder",
    "former_names",
    "give_size",
    "groups",
    "identity",
    "is_sweep",
    "jobs",
    "late",
    "loader",
    "located",
    "near",
    "parsed",
    "refuse_code",
    "register",
    "run_name",
    "searching",
    "setting",
    "settings",
    "settle",
    "taken",
]
