"""LaTeX: escapes, and the frame of a booktabs table."""

from __future__ import annotations

from collections.abc import Sequence

TEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{"±": r"$\pm$", "≤": r"$\le$", "≥": r"$\ge$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"},
    **{"≈": r"$\approx$", "é": r"\'e", "ä": r"\"a", "ć": r"\'c"},
    **{"†": r"$\dagger$", "·": r"$\cdot$"},
}


def booktabs(caption: str, columns: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table float; the cells of its body are LaTeX already."""
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{tex(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(tex, header)) + r" \\",
        r"\midrule",
        *(" & ".join(cells) + r" \\" for cells in body),
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def tex(word: str) -> str:
    """A word as LaTeX shows it."""
    return "".join(TEX.get(char, char) for char in word)
