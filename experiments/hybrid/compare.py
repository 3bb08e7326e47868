"""Texts that a judge chose, beside the same model's at a temperature of equal diversity, from records.jsonl.

python experiments/hybrid/compare.py     prints the tables; writes frontier.svg
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert

from gentext.results.board import SIGNS
from gentext.results.significance import over_seeds

HERE = Path(__file__).parent
DIVERSITY = "selfbleu4"
COLUMNS = {"bleu4": "BLEU-4", "grammatical": "grammatical", "h_qp": "H(q, p)"}
DIVERGENCES = {"kl_pq": "KL(p, q)", "kl_qp": "KL(q, p)"}
WAYS = {"rerank": "rerank", "reject": "reject", "resample": "residual_ebm", "refine": "refine"}
JUDGES = {"text_cnn": "text_cnn", "class_ngram": "class_ngram", "seqgan_gumbel": "own critic"}
Row = dict[str, float]


def main() -> None:
    """Prints the tables and draws the picture."""
    lines = (HERE / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["data"] == "captions"]
    plain: dict[str, dict[int, dict[float, Row]]] = defaultdict(lambda: defaultdict(dict))  # model, seed, temperature
    judged: dict[tuple[str, str, str], dict[int, Row]] = defaultdict(dict)  # model, way, judge; seed
    signs: dict[tuple[str, str, str], dict[str, str]] = {}  # of bounds
    for record in records:
        model, row = named(record), figures(record)
        way, _, rest = record["decode"].partition(" ")
        if way in WAYS:
            kind = rest.removeprefix("judge=").partition("-s")[0]
            judged[model, WAYS[way], JUDGES[kind]][record["seed"]] = row
            exact = {name: record["values"][name].get("exactness", "exact") for name in DIVERGENCES if name in row}
            signs[model, WAYS[way], JUDGES[kind]] = {name: SIGNS[what] for name, what in exact.items()}
        else:
            plain[model][record["seed"]][float(rest.rpartition("=")[2] or 1)] = row
    human = {seed: curve[1.0] for seed, curve in plain.pop("human").items()}
    print(at_equal_diversity(plain, judged))
    print(divergences(plain, judged, signs))
    (HERE / "frontier.svg").write_text(picture(plain, judged, human), encoding="utf-8")


def named(record: Mapping[str, Any]) -> str:
    """The model of a record."""
    family = {"ngram": "bigram", "lstm": "LSTM of 64", "seqgan_gumbel": "GAN"}.get(record["family"], record["family"])
    return f"{family}, its warm-up" if "weights=warmup" in record["variant"] else family


def figures(record: Mapping[str, Any]) -> Row:
    """What is compared."""
    names = (DIVERSITY, *COLUMNS, *DIVERGENCES)
    found = {name: record["values"][name]["value"] for name in names if name in record["values"]}
    return {**found, "draws": record["cost"].get("draws_per_text", 1.0)}


def at_equal_diversity(plain: Any, judged: Any) -> str:
    """Each judged row, and how far its figures lie from those of the temperature that is as diverse, seed by seed."""
    head = ["model", "way", "judge", "seeds", "draws a text", "Self-BLEU-4"]
    head += [word for title in COLUMNS.values() for word in (title, "less a temperature's")]
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3)]
    for (model, way, judge), rows in judged.items():
        seeds = sorted(rows)
        cells = [model, way, judge, str(len(seeds)), shown([rows[seed]["draws"] for seed in seeds], 1)]
        cells.append(shown([rows[seed][DIVERSITY] for seed in seeds]))
        for name in COLUMNS:
            cells.append(shown([rows[seed][name] for seed in seeds if name in rows[seed]]))
            apart = [less(rows[seed], plain[model][seed], name) for seed in seeds]
            cells.append("-" if None in apart else shown([each for each in apart if each is not None], sign="+"))
        lines.append(cells)
    return written(lines)


def less(row: Row, curve: Mapping[float, Row], name: str) -> float | None:
    """A row's figure less that of plain sampling where that is as diverse; None outside the temperatures run."""
    points = sorted((each[DIVERSITY], each[name]) for each in curve.values() if name in each)
    x, y = zip(*points, strict=True)
    if name not in row or not x[0] <= row[DIVERSITY] <= x[-1]:
        return None
    return row[name] - float(np.interp(row[DIVERSITY], x, y))


def divergences(plain: Any, judged: Any, signs: Any) -> str:
    """The divergences from the truth of what has a likelihood, in both directions, and what the choice changed."""
    head = ["model", "way", "judge", *(word for title in DIVERGENCES.values() for word in (title, "less that at T 1"))]
    lines = [head, ["---"] * 3 + ["---:"] * 4]
    for (model, way, judge), rows in judged.items():
        cells = [model, way, judge]
        for name in DIVERGENCES:
            seeds = sorted(seed for seed in rows if name in rows[seed])
            sign = signs[model, way, judge].get(name, "")
            cells.append(sign + shown([rows[seed][name] for seed in seeds]))
            both = [seed for seed in seeds if name in plain[model].get(seed, {}).get(1.0, {})]
            apart = [rows[seed][name] - plain[model][seed][1.0][name] for seed in both]
            cells.append((sign + shown(apart, sign="+")) if apart else "-")
        if cells[3] != "-":
            lines.append(cells)
    return written(lines)


def shown(values: Sequence[float], digits: int = 3, sign: str = "") -> str:
    """The mean, and half the 95 % interval over seeds where there are three."""
    if not values:
        return "-"
    mean, interval = over_seeds(values)
    reach = "" if interval is None else f"±{(interval[1] - interval[0]) / 2:.{digits}f}"
    return f"{mean:{sign}.{digits}f}{reach}"


def written(lines: Sequence[Sequence[str]]) -> str:
    """The table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def picture(plain: Any, judged: Any, human: Mapping[int, Row]) -> str:
    """Quality over diversity: a curve a model along its temperatures, a point a judged row, means over seeds."""

    def mean(rows: Sequence[Row]) -> dict[str, float]:
        return {
            "x": float(np.mean([row[DIVERSITY] for row in rows])),
            "y": float(np.mean([row["bleu4"] for row in rows])),
        }

    curves = [
        {"model": model, "at": t, **mean([curve[t] for curve in seeds.values()])}
        for model, seeds in plain.items()
        for t in set.intersection(*(set(curve) for curve in seeds.values()))
    ]
    points = [
        {"model": m, "way": way, "judge": judge, **mean(list(rows.values()))}
        for (m, way, judge), rows in judged.items()
    ]
    points.append({"model": "people", "way": "people", "judge": "-", **mean(list(human.values()))})
    x = alt.X("x:Q", title="Self-BLEU-4 (lower is more diverse)", scale=alt.Scale(zero=False))
    y = alt.Y("y:Q", title="BLEU-4", scale=alt.Scale(zero=False))
    color = alt.Color("model:N", title=None)
    line = alt.Chart(alt.Data(values=curves)).mark_line(point=True).encode(x=x, y=y, color=color, order="at:Q")
    marks = (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, size=90)
        .encode(x=x, y=y, color=color, shape=alt.Shape("way:N", title=None), tooltip=["way:N", "judge:N"])
    )
    drawn = alt.layer(line, marks).properties(width=640, height=400)
    return vl_convert.vegalite_to_svg({**drawn.to_dict(), "background": "white"})


if __name__ == "__main__":
    main()
