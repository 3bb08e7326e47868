"""What a trained run shows of its inside, in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gentext import panels
from gentext.results.forms import console


def show(folder: str | Path) -> None:
    """Print the panels of a run's folder, each as a table. Raises ValueError where there are none."""
    folder = Path(folder)
    found = panels.read(folder / "panels.json")
    if not found:
        near = sorted(str(path.parent) for path in folder.rglob("panels.json"))[:3] if folder.is_dir() else []
        hint = f"Below it lie those of {', '.join(near)}" if near else "Its family offers none, or it was never trained"
        raise ValueError(f"{folder} holds no panels. {hint}")
    out = console()
    for panel in found:
        _print(panel, out)


def _print(panel: panels.Panel, out: Console) -> None:
    table = panel.table()
    shown = Table(title=escape(panel.title), title_justify="left", caption=escape(panel.note), caption_justify="left")
    for i, name in enumerate(table.columns):
        words = any(isinstance(row[i], str) for row in table.rows)
        shown.add_column(escape(name), justify="left" if words else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*(escape(panels.words(cell)) for cell in row))
    out.print(shown)
    out.print()
