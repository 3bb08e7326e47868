"""What a report shows along the rounds of adversarial training: both players, the frontier, texts of one noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gentext.files import read_jsonl
from gentext.panels import Curves, Panel, Points, Table
from gentext.results.columns import column
from gentext.results.run_folder import TEXTS

SHOWN = 8  # rounds of which texts and places on the frontier are shown
QUALITY, DIVERSITY = "valid/judged", "valid/selfbleu4"
Log = Sequence[Mapping[str, Any]]
CURVES = {  # title: what is seen, and the figures that were logged, each with a name where there are several
    "Critic's accuracy on held-out text": (
        "How often the critic finds a held-out text more real than a fresh sample; at 0.5 it cannot tell them apart.",
        {"valid/accuracy": ""},
    ),
    "Spread of the rewards": ("Standard deviation of the rewards of a round's tokens.", {"train/reward_sd": ""}),
    "Gradient norms": (
        "Before clipping, means since the report before.",
        {"train/generator_gradient": "generator", "train/critic_gradient": "critic"},
    ),
    "Entropy of the generator": ("Nats a token; it falls where the generator collapses.", {"valid/entropy": ""}),
}
AFTER = {
    "Frechet distance to held-out text": ("Of as many samples as held-out texts.", {"valid/frechet": ""}),
    "Against the known truth": (
        "Nats a token. NLL-oracle: the samples under the truth; NLL-test: held-out text under the generator.",
        {
            "valid/nll_oracle": "NLL-oracle",
            "valid/nll": "NLL-test",
            "valid/kl_qp": "KL(q||p)",
            "valid/kl_pq": "KL(p||q)",
        },
    ),
}


def panels(folders: Mapping[int, Path]) -> list[Panel]:
    """The panels of the runs of one row, by seed; none where they hold no adversarial training."""
    starts = {seed: start for seed, folder in sorted(folders.items()) if (start := _start(folder)) is not None}
    if not starts:
        return []
    logs = {seed: _since(folders[seed] / "log.jsonl", start) for seed, start in starts.items()}
    found: list[Panel] = [*_curves(logs, CURVES), *_frontier(logs), *_curves(logs, AFTER)]
    first = min(starts)
    return [*found, *_texts(_since(folders[first] / TEXTS, starts[first]))]


def _start(folder: Path) -> float | None:
    """The step at which the adversarial rounds of a run began; None where there were none."""
    path = folder / "log.jsonl"
    lines = [line for _, line in read_jsonl(path) if isinstance(line, dict)] if path.exists() else []
    return next((line["step"] - line["round"] for line in lines if {"step", "round"} <= line.keys()), None)


def _since(path: Path, start: float) -> list[dict[str, Any]]:
    """The lines of a file from a step on, `step` counted from there."""
    lines = [line for _, line in read_jsonl(path) if isinstance(line, dict)] if path.exists() else []
    return [{**line, "step": line["step"] - start} for line in lines if line.get("step", -1) >= start]


def _curves(logs: Mapping[int, Log], wanted: Mapping[str, tuple[str, Mapping[str, str]]]) -> Iterator[Curves]:
    for title, (note, names) in wanted.items():
        lines = {}
        for name, of in names.items():
            for seed, log in logs.items():
                points = [(line["step"], float(line[name])) for line in log if name in line]
                if len(points) > 1:
                    lines[", ".join(filter(None, [of, f"seed {seed}"]))] = points
        if lines:
            yield Curves(title, note, lines, "round", title)


def _frontier(logs: Mapping[int, Log]) -> Iterator[Points]:
    """Where the generator stands between quality and diversity, from the warm-up to the last round."""
    places = [
        (seed, line)
        for seed, log in logs.items()
        for line in _some([line for line in log if {"round", QUALITY, DIVERSITY} <= line.keys()])
    ]
    if len(places) > 1:
        yield Points(
            "Quality and diversity along the rounds",
            "From the warm-up to the last round: nats a token of the samples under a 3-gram model of the training "
            "text, the lower the better, against their Self-BLEU-4, the lower the more diverse.",
            [line[DIVERSITY] for _, line in places],
            [line[QUALITY] for _, line in places],
            ["warm-up" if line["round"] == 0 else f"round {line['round']:g}" for _, line in places],
            [f"seed {seed}" for seed, _ in places] if len(logs) > 1 else (),
            column("selfbleu4").title,
            "nats a token under a 3-gram model",
        )


def _texts(lines: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """The texts that one noise gives at several rounds."""
    by_round = {line["step"]: line["texts"] for line in lines}
    rows = [[f"{at:g}", *texts] for at, texts in _some(sorted(by_round.items()))]
    if rows:
        header = ["round", *(f"text {i + 1}" for i in range(len(rows[0]) - 1))]
        note = "Drawn with the same random numbers at every round shown: what differs is what the rounds changed."
        yield Table("Texts of one noise along the rounds", note, header, rows)


def _some(found: Sequence) -> list:
    """At most SHOWN of a sequence, its first and its last among them."""
    if len(found) <= SHOWN:
        return list(found)
    return [found[round(i * (len(found) - 1) / (SHOWN - 1))] for i in range(SHOWN)]
