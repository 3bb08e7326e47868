"""What a trained run shows of its inside, in the terminal."""

from __future__ import annotations

from pathlib import Path

from gentext import panels
from gentext.results import tables


def show(folder: str | Path) -> None:
    """Print the panels of a run's folder, each as a table. Raises ValueError where there are none."""
    folder = Path(folder)
    found = panels.read(folder / "panels.json")
    if not found:
        near = sorted(str(path.parent) for path in folder.rglob("panels.json"))[:3] if folder.is_dir() else []
        hint = f"Below it lie those of {', '.join(near)}" if near else "Its family offers none, or it was never trained"
        raise ValueError(f"{folder} holds no panels. {hint}")
    for panel in found:
        tables.show(panel.table())
        print()
