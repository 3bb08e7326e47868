"""Accuracy and log loss of each classifier over the number of labelled texts, from records.jsonl beside this file.

python experiments/crossing/curves.py     prints the tables; writes KIND-accuracy.svg and KIND-log_loss.svg
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt
import vl_convert

from gentext.results.significance import over_seeds

HERE = Path(__file__).parent
FIGURES = {"accuracy": "accuracy", "log_loss": "log loss, nats a text"}
KINDS = {"captions": "captions-labelled", "reuters8": "reuters8"}  # corpora of three seeds
PAIRS = (("logistic", "naive_bayes"), ("mlp", "class_ngram"))  # a discriminative family, a generative one
Curves = Mapping[str, Mapping[int, Sequence[float]]]  # figures by family and number of texts, a seed each


def main() -> None:
    """Prints the tables and draws the pictures."""
    records = [json.loads(line) for line in (HERE / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    records.sort(key=lambda record: record["seed"])
    for kind, name in KINDS.items():
        own = [record for record in records if record["data"] == name]
        for figure, title in FIGURES.items():
            curves: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
            for record in own:
                curves[record["family"]][record["config"]["data"]["train"]].append(record["values"][figure]["value"])
            print(table(f"{kind}: {title}", curves))
            (HERE / f"{kind}-{figure}.svg").write_text(picture(curves, title), encoding="utf-8")


def table(title: str, curves: Curves) -> str:
    """A row a family, and the difference of each pair, seed by seed."""
    sizes = sorted(next(iter(curves.values())))
    rows = {family: [shown(curves[family][n]) for n in sizes] for family in sorted(curves)}
    for one, other in PAIRS:
        apart = [[a - b for a, b in zip(curves[one][n], curves[other][n], strict=True)] for n in sizes]
        rows[f"{one} less {other}"] = [shown(figures, sign="+") for figures in apart]
    lines = [[title, *(f"{n:,}" for n in sizes)], ["---", *("---:" for _ in sizes)]]
    lines += [[name, *cells] for name, cells in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def shown(figures: Sequence[float], sign: str = "") -> str:
    """The mean, and half the 95 % interval over seeds."""
    mean, interval = over_seeds(figures)
    assert interval is not None
    return f"{mean:{sign}.3f}±{(interval[1] - interval[0]) / 2:.3f}"


def picture(curves: Curves, title: str) -> str:
    """A curve a family; bars are 95 % intervals over seeds."""
    points = []
    for family, curve in sorted(curves.items()):
        for n, figures in sorted(curve.items()):
            mean, interval = over_seeds(figures)
            assert interval is not None
            points.append({"family": family, "texts": n, "mean": mean, "low": interval[0], "high": interval[1]})
    x = alt.X("texts:Q", title="labelled texts", scale=alt.Scale(type="log"), axis=alt.Axis(values=sorted(curve)))
    base = alt.Chart(alt.Data(values=points)).encode(x=x, color=alt.Color("family:N", title=None))
    y = alt.Y("mean:Q", title=title, scale=alt.Scale(zero=False))
    bars = base.mark_rule(opacity=0.5).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    drawn = alt.layer(base.mark_line(point=True).encode(y=y), bars).properties(width=640, height=320)
    return vl_convert.vegalite_to_svg({**drawn.to_dict(), "background": "white"})


if __name__ == "__main__":
    main()
