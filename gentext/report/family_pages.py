"""A page for each family: what it shows of its inside, and its training log."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gentext import panels
from gentext.files import read_jsonl
from gentext.panels import Curves, Panel, Table
from gentext.report import adversarial_panels, panel_charts
from gentext.report.style import Chart
from gentext.results.board import Row
from gentext.results.run_folder import PANELS, lost, stored

logger = logging.getLogger("gentext")

QUIET = {"train/epoch", "train/lr"}  # figures of a log that follow from the configuration


@dataclass(frozen=True)
class Picture:
    """A panel of a family: its chart, or where it is a table that table."""

    title: str
    note: str
    chart: Chart | None
    table: Table


@dataclass(frozen=True)
class FamilyPage:
    """What a report shows of one family's inside and of its training."""

    name: str
    key: str  # of its elements
    inside: tuple[Picture, ...]
    training: tuple[Picture, ...]


def pages(rows: Sequence[Row]) -> tuple[FamilyPage, ...]:
    """A page of every family of the rows that has something to show; its panels are those of its first seed."""
    made = []
    for name in dict.fromkeys(row.family for row in rows):
        key = re.sub(r"\W+", "-", name)
        folders = {r.seed: Path(r.folder) for row in rows if row.family == name for r in row.records}
        inside = [*_inside(folders[min(folders)]), *adversarial_panels.panels(folders)]
        shown = [_picture(panel, f"{key}-{i}") for i, panel in enumerate(inside)]
        logs = [_picture(panel, f"{key}-log-{i}") for i, panel in enumerate(_training(folders))]
        if shown or logs:
            made.append(FamilyPage(name, key, tuple(shown), tuple(logs)))
    return tuple(made)


def _inside(folder: Path) -> list[Panel]:
    """The panels of a run's folder; none, with a warning, where their file is damaged or gone."""
    try:
        if lost(folder, PANELS):
            raise ValueError(f"{folder / PANELS} is missing, though the run wrote it")
        stored(folder, PANELS)
        return panels.read(folder / PANELS)
    except ValueError as error:
        logger.warning("%s: it is not shown", error)
        return []


def log(folder: Path) -> list[dict[str, float]]:
    """A run's log, each line with the seconds and tokens said last; empty where there is none."""
    path = folder / "log.jsonl"
    lines, so_far = [], {}
    for _, line in read_jsonl(path) if path.exists() else ():
        if not isinstance(line, dict) or "step" not in line:
            continue
        so_far |= {key: line[key] for key in ("seconds", "tokens") if key in line}
        lines.append({**so_far, **line})
    return lines


def _training(folders: Mapping[int, Path]) -> list[Panel]:
    """Every figure that was logged while training, a line a seed: losses, gradients, a critic's accuracy."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for seed, folder in sorted(folders.items()):
        for line in log(folder):
            for name, value in line.items():
                if name.startswith(("train/", "valid/")) and name not in QUIET and isinstance(value, int | float):
                    found.setdefault(name, {}).setdefault(f"seed {seed}", []).append((line["step"], float(value)))
    return [
        Curves(name, "As it was logged, a line a seed.", lines, "step", name.partition("/")[2])
        for name, lines in found.items()
        if any(len(points) > 1 for points in lines.values())
    ]


def _picture(panel: Panel, name: str) -> Picture:
    return Picture(panel.title, panel.note, panel_charts.draw(panel, name), panel.table())
