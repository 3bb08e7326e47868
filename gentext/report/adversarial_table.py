"""What adversarial training changed: the weights after it against the warm-up of the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gentext.panels import Table
from gentext.results import board as boards
from gentext.results import frontier
from gentext.results.board import Board
from gentext.results.columns import column
from gentext.results.naming import setting
from gentext.results.record import Record
from gentext.results.significance import over_seeds

START, MARK = "warmup", "weights="
FIGURES = (
    *("bleu4", "selfbleu4", "lm_score", "reverse_lm_score", "frechet", "nll_test"),
    *("h_pq", "h_qp", "nll_oracle", "nll_div", "kl_pq", "kl_qp"),
)

Runs = dict[int, dict[str, Record]]  # by seed and by weights


def tables(board: Board, traded: frontier.Traded | None) -> list[Table]:
    """The paired differences of every run that has a row of its warm-up; nothing where none has."""
    games = _games(board)
    held = [record for runs in games.values() for seeds in runs.values() for record in seeds.values()]
    shown = [name for name in FIGURES if any(name in record.values for record in held) and not boards.mixed(name, held)]
    if not games:
        return []
    matched = _matched(board, traded)
    rows = []
    for (name, decode), runs in games.items():
        for weights in ("", "best"):
            pairs = [(seeds[START], seeds[weights]) for seeds in runs.values() if {START, weights} <= seeds.keys()]
            if pairs:
                cells = [_difference(pairs, figure) for figure in shown]
                if matched:
                    of = [(matched.get((name, START, seed)), matched.get((name, weights, seed))) for seed in runs]
                    cells.insert(0, _change(of))
                rows.append([name, setting(decode), weights or "last", str(len(pairs)), *_rounds(pairs), *cells])
    columns = [boards.head(boards.rank(held, columns=shown)[0], name) for name in shown] if shown else []
    at = []
    if traded is not None and matched:
        at = [f"{column(traded.quality).title} at {column(traded.diversity).title} {traded.matched_at:.3g}"]
    note = (
        "The weights named less those of the warm-up, of the same run and seed, means over seeds; ±: half a 95 % "
        "interval over seeds, of three or more. Weights: last, after the last round; best, those of the validation "
        "with the lowest Frechet distance on valid. Kept the warm-up: runs in which that was before the first round. "
        "Collapsed: runs whose last validation found too few different bigrams."
    )
    header = ["run", "decode", "weights", "seeds", "round", "kept the warm-up", "collapsed", *at, *columns]
    return [Table("What the game changed", note, header, rows)] if rows else []


def _games(board: Board) -> dict[tuple[str, str], Runs]:
    """By name and decode setting the runs that have a warm-up."""
    found: dict[tuple[str, str], Runs] = {}
    for row in board.rows:
        base, weights = _parts(row.family)
        for record in row.records:
            found.setdefault((base, row.decode), {}).setdefault(record.seed, {})[weights] = record
    return {key: runs for key, runs in found.items() if any(START in seeds for seeds in runs.values())}


def _parts(name: str) -> tuple[str, str]:
    """A row's name without its weights, and these; none where they are the last."""
    tokens = name.split(" ")
    weights = next((token.removeprefix(MARK) for token in tokens if token.startswith(MARK)), "")
    return " ".join(token for token in tokens if not token.startswith(MARK)), weights


def _matched(board: Board, traded: frontier.Traded | None) -> dict[tuple[str, str, int], float]:
    """By name, weights and seed the quality at the diversity that the board's frontiers are read at."""
    if traded is None or traded.matched_at is None:
        return {}
    named = {id(record): _parts(row.family) for row in board.rows for record in row.records}
    records = [record for row in board.rows for record in row.records]
    found = {}
    for seed in sorted({record.seed for record in records if record.family != "human"}):
        (one,) = boards.rank([record for record in records if record.seed == seed])
        read = frontier.trade(one, traded.quality, traded.diversity, x=traded.matched_at)
        of = {row.family: named[id(row.records[0])] for row in one.rows}
        found |= {(*of[name], seed): figure for name, (figure, _) in (read.matched if read else {}).items()}
    return found


def _difference(pairs: Sequence[tuple[Record, Record]], name: str) -> str:
    def value(record: Record) -> float | None:
        return record.values[name].value if name in record.values else None

    return _change([(value(before), value(after)) for before, after in pairs])


def _change(pairs: Sequence[tuple[float | None, float | None]]) -> str:
    """The mean change, with its interval over seeds; - where no pair holds both."""
    changes = [after - before for before, after in pairs if before is not None and after is not None]
    if not changes:
        return "-"
    mean, interval = over_seeds(changes)
    return ("+" if mean >= 0 else "") + boards.digits(mean, interval)


def _rounds(pairs: Sequence[tuple[Record, Record]]) -> list[str]:
    """The rounds shown, in how many runs it is the start, and in how many the draw had collapsed."""
    costs: list[Mapping[str, float]] = [after.cost for _, after in pairs]
    rounds = sorted({int(cost["kept_round"]) for cost in costs if "kept_round" in cost})
    shown = str(rounds[0]) if len(rounds) == 1 else f"{rounds[0]}-{rounds[-1]}" if rounds else "-"
    start = sum(cost.get("kept_round") == 0 for cost in costs)
    collapsed = sum(bool(cost.get("collapsed")) for cost in costs)
    return [shown, f"{start} of {len(costs)}", f"{collapsed} of {len(costs)}"]
