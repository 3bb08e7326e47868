"""The leaderboard: a query over records. Seeds are aggregated, bounds marked, a column of mixed signatures refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from statistics import NormalDist

import numpy as np

from gentext.metrics.intervals import t_quantile
from gentext.results import columns as figures
from gentext.results import naming
from gentext.results.columns import Column
from gentext.results.record import Record, comparable_signatures
from gentext.results.significance import not_worse
from gentext.value import Exactness, Value

Z = NormalDist().inv_cdf(0.975)
SIGNS = {"exact": "", "upper": "≤", "lower": "≥", "pseudo": "~"}  # before a figure: what it is
ARROWS = {"higher": " ↑", "lower": " ↓", "human": " ≈", "truth": " ≈", "none": ""}
KNOWN = "all words known"  # of a text under a vocabulary, for want of a part that names it
SIZES = ("hyps:", "seqs:", "fit:", "pairs:")  # the parts of a signature that say how many texts were judged
FIELDS = ("data", "track", "family", "variant", "decode", "seed", "name")  # to filter and to group by
SPELT = ("bits_per_char", "bits_per_byte", "word_ppl")  # say nothing of a truth whose words are numbered
LONG = 1e9  # a figure of more than nine digits is read as a power of ten
SHORT = 1e-4  # below it the decimals that are shown hold next to nothing of a figure


@dataclass(frozen=True)
class Cell:
    """One figure of one row: the mean over seeds, and its uncertainty."""

    value: float
    interval: tuple[float, float] | None  # 95 %; None where the column's kind of interval is not known
    exactness: Exactness
    seeds: int
    best: bool = False
    equal: bool = False  # tested, and not significantly worse than the best
    error: float = math.nan  # standard error; NaN: not known, so that the figure is not tested
    df: float = math.inf  # its degrees of freedom
    signature: str = ""  # how the figure was computed, and how its interval was made


@dataclass(frozen=True)
class Row:
    """One family, variant and decode setting on one corpus."""

    data: str
    family: str  # what it is called on its board: the family, and what sets it apart from the other rows
    decode: str
    seeds: tuple[int, ...]
    cells: Mapping[str, Cell]
    adaptive: bool
    records: tuple[Record, ...] = field(repr=False, default=())

    @property
    def human(self) -> bool:
        """Whether its texts were written by people: the target of some columns, and no rival in any."""
        return self.records[0].family == "human" if self.records else self.family == "human"

    @property
    def setting(self) -> str:
        """The decode setting in a few words."""
        return naming.setting(self.decode)

    @property
    def verified(self) -> str:
        """When and on what its runs were done again, where all of them were and every figure came out; else empty."""
        if not self.records or not all(record.verified.get("came_out") for record in self.records):
            return ""
        return "; ".join(dict.fromkeys(f"{r.verified['when'][:10]} on {r.verified['on']}" for r in self.records))


@dataclass(frozen=True)
class Board:
    """The rows judged against one corpus, best first, and what could not be shown."""

    data: str
    corpus: str  # and the split where it is not test; where several texts share that name, which
    track: str  # unconditional | conditional
    columns: tuple[str, ...]
    about: Mapping[str, Column]  # what each column is
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    over: str  # what every interval is over: sentences | seeds
    shared: tuple[str, ...] = ()  # the changes to the defaults that all rows share
    group: str = ""  # what its rows have in common beside the corpus, where they were grouped

    @property
    def corpus_key(self) -> str:
        """What identifies the text that its rows were judged against."""
        return self.rows[0].records[0].corpus_key

    @property
    def split(self) -> str:
        return self.rows[0].records[0].split

    @property
    def title(self) -> str:
        return f"{self.corpus} · {self.group}" if self.group else self.corpus

    @property
    def header(self) -> str:
        """What all rows share, and what their uncertainty is of, in one line."""
        parts = [f"{len(self.rows)} row{'s' * (len(self.rows) != 1)}"]
        settings = {row.setting for row in self.rows}
        parts += [f"all {settings.pop()}"] if len(settings) == 1 else []
        counts = sorted({len(row.seeds) for row in self.rows if not row.human}) or [1]
        if counts[-1] == 1:
            parts += ["1 seed: says nothing of training luck; ± half a 95 % interval over sentences"]
        else:
            each = f"{counts[0]} seeds each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
            parts += [f"{each}; ± half a 95 % interval over seeds" + (", of three or more" if counts[0] < 3 else "")]
        parts += [f"in all: {' '.join(self.shared)}"] if self.shared else []
        return "; ".join(parts)


def rank(
    records: Sequence[Record],
    *,
    columns: Sequence[str] | None = None,
    sort: str | None = None,
    where: Mapping[str, str] | None = None,
    group: Sequence[str] = (),
) -> list[Board]:
    """A board per corpus, and within it per value of `group`.

    Rows are ordered by `sort`, which is a column even where it is not asked for. A board that cannot show it says so,
    and has the order that it has without: by its first column of which one end is better.

    Raises: ValueError for no records, or for columns, filters and groups that nothing has.
    """
    for key in (*(where or ()), *group):
        if key not in FIELDS:
            raise ValueError(f"records know no {key} to filter or group by. Known: {', '.join(FIELDS)}")
    if not records:
        raise ValueError("there is nothing to rank: no record is here. `gentext run` writes some")
    kept = _filter(records, where or {})
    if not kept:
        asked = ", ".join(f"{key}={value}" for key, value in (where or {}).items())
        known = {key: sorted({_field(record, key) for record in records}) for key in where or {}}
        raise ValueError(
            f"no record has {asked}; there are "
            + "; ".join(f"{key}: {', '.join(values)}" for key, values in known.items())
        )
    for name in [*(columns or ()), *filter(None, [sort])]:
        if not any(name in values_of(record, [name]) for record in kept):
            known = {name for record in kept for name in values_of(record)}
            raise ValueError(f"no record has {name}. {figures.known(known, name)}")
    boards: dict[tuple[str, str], list[Record]] = {}
    for record in kept:
        shared = ", ".join(str(getattr(record, key)) for key in group if key not in ("data", "track"))
        boards.setdefault((record.corpus_key, shared), []).append(record)
    called = naming.corpora(kept)
    return [_board(members, called[key], columns, sort, shared) for (key, shared), members in boards.items()]


def _field(record: Record, key: str) -> str:
    return naming.setting(record.decode) if key == "decode" else str(getattr(record, key))


def _filter(records: Sequence[Record], where: Mapping[str, str]) -> list[Record]:
    def held(record: Record, key: str, wanted: Sequence[str]) -> bool:
        if key == "decode":
            return any(naming.is_setting(word, record.decode) for word in wanted)
        return str(getattr(record, key)) in wanted

    return [r for r in records if all(held(r, key, value.split(",")) for key, value in where.items())]


def _board(
    records: Sequence[Record], corpus: str, columns: Sequence[str] | None, sort: str | None, group: str
) -> Board:
    notes: list[str] = []
    asked = [*(columns or figures.SHOWN[records[0].track]), *filter(None, [sort])]
    held = [values_of(record, asked) for record in records]
    present = {name for values in held for name in values}
    wanted = [name for name in (columns or figures.SHOWN[records[0].track]) if name in present]
    if columns is None:
        numbered = any("nll_oracle" in record.values for record in records)
        wanted = [name for name in wanted if _meaningful(name, held, numbered)]
    wanted += [sort] if sort in present and sort not in wanted else []
    refused = {name: mixed(name, records) for name in wanted}
    notes += [note for note in refused.values() if note]
    shown = [name for name in wanted if not refused[name]]
    about = {name: figures.column(name, next(values[name] for values in held if name in values)) for name in shown}
    groups: dict[object, list[int]] = {}
    for i, record in enumerate(records):
        groups.setdefault(naming.identity(record), []).append(i)
    over = "seeds" if any(len(m) > 1 and records[m[0]].family != "human" for m in groups.values()) else "sentences"
    called = naming.names([records[members[0]] for members in groups.values()])
    rows = []
    for name, members in zip(called, groups.values(), strict=True):
        found = {
            column: _cell([held[i][column] for i in members if column in held[i]], "" if about[column].cost else over)
            for column in shown
        }
        mine = tuple(records[i] for i in members)
        cells = {column: cell for column, cell in found.items() if cell is not None}
        seeds = tuple(sorted(record.seed for record in mine))
        rows.append(Row(mine[0].data, name, mine[0].decode, seeds, cells, mine[0].adaptive, mine))
    if corpus != records[0].corpus:
        notes.append(f"{records[0].corpus} is the name of several texts, each with a board: this one is of {corpus}")
    notes += [f"{row.family}, {row.setting} {_doubled(row)}" for row in rows if len(set(row.seeds)) < len(row.seeds)]
    notes += [f"✓ done again, every figure came out: {row.family} ({row.verified})" for row in rows if row.verified]
    rows = _mark(rows, about, over, notes)
    notes += _ties(rows, about)
    notes += _older(rows)
    notes += _processors(rows)
    notes += [f"rows are not ordered by {sort}, which is not shown"] if sort and sort not in about else []
    ordered = (name for name in shown if about[name].axis and not about[name].cost)
    by = sort if sort in about else next(ordered, None)
    if by is not None:
        sign = -1 if about[by].axis == "higher" else 1
        rows.sort(key=lambda row: sign * row.cells[by].value if by in row.cells else math.inf)
    kept = tuple(naming.shared(records))
    return Board(
        records[0].data, corpus, records[0].track, tuple(shown), about, tuple(rows), tuple(notes), over, kept, group
    )


def values_of(record: Record, names: Collection[str] | None = None) -> dict[str, Value]:
    """A record's values, and its costs, efficiencies and shares as values: all, or those of these names."""
    costs = {
        name: Value(value, f"{name}|v:1", higher_is_better=False, n=1, unit=name.rsplit("_", 1)[-1])
        for name, value in record.cost.items()
        if math.isfinite(value) and (names is None or name in names)
    }
    per = {}
    ratios = record.efficiency if names is None or "/" in " ".join(names) else {}
    for name, value in ratios.items():
        of, _, cost = name.partition("/")
        whole = record.values[of]
        per[name] = Value(value, f"{whole.signature}|per:{cost}", higher_is_better=True, n=whole.n)
    made = {**costs, **per, **_shares(record)}
    if names is None:
        return {**made, **record.values}
    found = {name: record.values[name] for name in names if name in record.values}
    return {**{name: value for name, value in made.items() if name in names}, **found}


def _shares(record: Record) -> dict[str, Value]:
    """How much of the judged text's tokens the record's vocabulary lacks, and how many of its texts are cut."""
    facts = record.fingerprints.get("splits", {}).get(record.split, {})
    pairs = (("unknown_share", "unknown", "tokens"), ("cut_share", "cut", "lines"))
    return {
        name: Value(facts[part] / facts[whole], f"{name}|v:1", None, facts[whole], "share")
        for name, part, whole in pairs
        if part in facts and facts.get(whole)
    }


def _meaningful(name: str, held: Sequence[Mapping[str, Value]], numbered: bool) -> bool:
    """Whether a column says something of this corpus; `numbered`: its tokens are numbers, not words.

    No share of accepted texts does where every text is accepted, none of unknown tokens, cut texts or samples where
    there are none, and no characters or words of numbered tokens.
    """
    if name in ("unknown_share", "cut_share", "samples_cut"):
        return any(values[name].value > 0 for values in held if name in values)
    if name == "grammatical":
        return any(values[name].value < 1 for values in held if name in values)
    return not (name in SPELT and numbered)


def mixed(name: str, records: Sequence[Record]) -> str:
    """Why figures of this name cannot be compared between these records: where their signatures part, and what to run.

    Empty where they can. Boards, frontiers and comparisons ask here before they show or rank anything.
    """
    of = name if all(name in record.values for record in records) else name.partition("/")[0]
    signatures = comparable_signatures(record.values[of] for record in records if of in record.values)
    held = [signature.split("|") for signature in signatures]
    vocabularies = {next((part for part in parts if part.startswith("vocab:")), KNOWN) for parts in held}
    others = zip_longest(*([part for part in parts if not part.startswith("vocab:")] for parts in held), fillvalue="-")
    apart = [sorted(set(part)) for part in (*others, vocabularies) if len(set(part)) > 1]
    if not apart:
        return ""
    size = all(part[0].startswith(SIZES) for part in apart)
    advice = "eval.samples=N, or a file of as many lines" if size else "gentext score RUNS computes them one way"
    if len(vocabularies) > 1 and figures.column(of).metric in ("HeldOutLikelihood", "PaddedLikelihood"):
        advice = "bits_per_char, which spells unknown words and compares any vocabularies"
    return f"{name} is not shown: {'; '.join(map(' or '.join, apart))}. To rank such rows: {advice}"


def _cell(values: Sequence[Value], over: str) -> Cell | None:
    """The mean over seeds.

    Its error is over seeds, and over sentences too where all seeds were judged on the same; of one seed it is over
    sentences, and where others show their spread over seeds (or it is a cost) there is no interval.
    """
    if not values:
        return None
    first = values[0]
    if len(values) == 1:
        interval = first.interval if over == "sentences" else None
        signature = _signed(first.signature, first.interval_kind if interval else "")
        return Cell(first.value, interval, first.exactness, 1, error=standard_error(first), signature=signature)
    seen = np.array([value.value for value in values], dtype=np.float64)
    k, mean = len(seen), float(np.add.reduce(seen) / len(seen))  # the ufuncs alone: mean() and var() take far longer
    spread = math.nan
    if math.isfinite(mean):
        spread = float(np.add.reduce(np.square(seen - mean))) / (k - 1) / k
    of_sentences = [standard_error(value) for value in values] if first.paired else [math.nan]
    text = float(np.mean(np.square(of_sentences))) if not np.isnan(of_sentences).any() else 0.0
    error = math.sqrt(spread + text)
    df = (spread + text) ** 2 / (spread**2 / (k - 1)) if spread else math.inf if text else k - 1.0
    reach = t_quantile(0.975, df) * error if math.isfinite(error) else math.nan
    interval = (mean - reach, mean + reach) if over and k > 2 and math.isfinite(reach) else None
    signature = _signed(first.signature, f"t:{k}-seeds" + "+sentences" * bool(text) if interval else "")
    return Cell(mean, interval, first.exactness, k, error=error, df=df, signature=signature)


def _signed(signature: str, interval: str) -> str:
    """A figure's signature, and how the interval beside it was made."""
    return f"{signature}|interval:{interval}" if interval else signature


def standard_error(value: Value) -> float:
    """The standard error that an interval was made from; NaN without one."""
    if value.interval is None:
        return math.nan
    half = (value.interval[1] - value.interval[0]) / (2 * Z)
    return half if math.isfinite(half) else math.nan


def _mark(rows: Sequence[Row], about: Mapping[str, Column], over: str, notes: list[str]) -> list[Row]:
    """The rows with the best cell of every column marked, and those not significantly worse.

    Human text is no rival, and a row alone in its column is best of nothing. A bound can win or tie only where it
    points the right way: its figure is then at least as good as it shows. What has no error is not tested; where
    best is to be near a value it is no rival of what has one: it rests on too few texts. Where others have several
    seeds a figure of one is no rival: its luck is not known.
    """
    cells = [dict(row.cells) for row in rows]
    without: dict[str, list[str]] = {}
    few: dict[str, list[str]] = {}
    once: dict[str, list[str]] = {}
    for name, column in about.items():
        if column.target == "none":
            continue
        aims, reason = _aims(rows, name, column)
        if aims is None:
            without.setdefault(reason, []).append(column.title)
            continue
        held_by = [row for row in rows if name in row.cells and not row.human]
        for row in held_by if over == "seeds" and len(held_by) > 1 else ():
            if row.cells[name].seeds == 1 < len(row.seeds):
                once.setdefault(row.family, []).append(column.title)
        rivals = [i for i, row in enumerate(rows) if _may_win(row, name, column, over) and aims[i] is not None]
        if not rivals or len(held_by) < 2:
            continue
        near = column.target in ("human", "truth")  # where two texts may come near by luck
        sure = [i for i in rivals if math.isfinite(rows[i].cells[name].error)] if near else rivals
        for i in set(rivals) - set(sure) if sure else ():
            few.setdefault(rows[i].family, []).append(column.title)
        rivals = sure or rivals
        held = [rows[i].cells[name] for i in rivals]
        values = np.array([cell.value for cell in held])
        aim = np.array([aims[i][0] for i in rivals])  # type: ignore[index]
        scores = values if column.target == "higher" else -values if column.target == "lower" else -np.abs(values - aim)
        errors, df = np.array([cell.error for cell in held]), np.array([cell.df for cell in held])
        top = scores.max()
        equal = scores == top
        tested = np.isfinite(errors)
        if tested[equal].any():
            kept, back = np.unique(np.stack([scores, errors, df], 1)[tested], axis=0, return_inverse=True)
            equal[np.flatnonzero(tested)[not_worse(*kept.T)[back.ravel()]]] = True  # a model's own figure counts once
        if column.target in ("human", "truth"):  # what cannot be told from its target is not worse than the nearest
            within = Z * np.hypot(errors, np.array([aims[i][1] for i in rivals]))  # type: ignore[index]
            equal |= tested & (np.abs(values - aim) <= within)
        for i, score, same in zip(rivals, scores, equal, strict=True):
            cells[i][name] = replace(cells[i][name], best=bool(score == top), equal=bool(same and score != top))
    if any(cell.exactness == "pseudo" for row in cells for cell in row.values()):
        what = "a pseudo-likelihood, every token given all others, or a difference of bounds"
        notes.append(f"~ rests on {what}, with which no likelihood compares")
    notes += [f"no best is marked in {', '.join(names)}: {reason}" for reason, names in without.items()]
    notes += [
        f"not ranked in {', '.join(dict.fromkeys(names))}, which have no interval: {family}"
        for family, names in few.items()
    ]
    notes += [
        f"not ranked in {', '.join(dict.fromkeys(names))}, which one of its seeds alone holds: {family}"
        for family, names in once.items()
    ]
    alone = sorted({row.family for row in rows if over == "seeds" and len(row.seeds) == 1 and not row.human})
    notes += [f"not ranked, for want of a second seed: {', '.join(alone)}"] if alone else []
    return [replace(row, cells=marked) for row, marked in zip(rows, cells, strict=True)]


def _may_win(row: Row, name: str, column: Column, over: str) -> bool:
    cell = row.cells.get(name)
    if row.human or cell is None or math.isnan(cell.value) or (over == "seeds" and cell.seeds == 1):
        return False
    good = {"higher": ("exact", "lower"), "lower": ("exact", "upper")}.get(column.target, ("exact",))
    return cell.exactness in good


def _aims(rows: Sequence[Row], name: str, column: Column) -> tuple[list[tuple[float, float] | None] | None, str]:
    """For every row the value that is best in a column, and its standard error; None, and why, where none is known."""
    if column.target in ("higher", "lower"):
        return [(0.0, 0.0) for _ in rows], ""
    if column.target == "truth":
        aims = [_true_value(row, column.truth) for row in rows]
        if any(aim is not None for aim in aims):
            return aims, ""
        return None, f"best is nearest to the truth's own value ({column.truth}), which these records do not hold"
    people = next((row for row in rows if row.human and name in row.cells), None)
    if people is None:
        return None, "best is nearest to human text, and no row with family=human stands here"
    if column.unseen and _is_training_text(people):
        return None, "best is nearest to held-out human text, and the human row here is training text"
    cell = people.cells[name]
    return [(cell.value, 0.0 if math.isnan(cell.error) else cell.error) for _ in rows], ""


def _true_value(row: Row, truth: str) -> tuple[float, float] | None:
    if truth not in figures.COLUMNS:
        return float(truth), 0.0
    held = [record.values[truth] for record in row.records if truth in record.values]
    errors = [0.0 if math.isnan(error := standard_error(value)) else error for value in held]
    return (float(np.mean([value.value for value in held])), float(np.mean(errors))) if held else None


def _is_training_text(row: Row) -> bool:
    values = row.records[0].values
    return "verbatim" in values and values["verbatim"].value > 0.99


def _ties(rows: Sequence[Row], about: Mapping[str, Column]) -> list[str]:
    """Which families share a best to the last digit, column by column; settings of one model that do are no tie."""
    found = []
    for name in about:
        best = list(dict.fromkeys(row.family for row in rows if name in row.cells and row.cells[name].best))
        if len(best) > 1:
            found.append(f"{name}: {', '.join(best)} are exactly equal")
    return found


def _older(rows: Sequence[Row]) -> list[str]:
    """Which rows hold figures that a later gentext calls otherwise, and what they are called now."""
    found: dict[tuple[str, str], list[str]] = {}
    closed = sorted(name for name in recorded(rows) if name.startswith("closed_"))
    for row in rows if closed else ():
        renamed = [name for name in closed if any(name in record.values for record in row.records)]
        if renamed:
            version = row.records[0].versions.get("gentext", "an older version")
            found.setdefault((version, ", ".join(renamed)), []).append(row.family)
    return [
        f"made by gentext {version} and renamed since, for unknown words cost nothing in them: {renamed} of "
        + ("all rows" if len(families) == len(rows) else ", ".join(dict.fromkeys(families)))
        for (version, renamed), families in found.items()
    ]


def _processors(rows: Sequence[Row]) -> list[str]:
    """Which rows of a track of equal time were trained on unlike processors: the faster one learns more in it."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for record in row.records:
            if (record.config.get("track") or {}).get("core_seconds") and not row.human:
                device = record.versions.get("device", "cpu")
                kind = record.versions.get("cpu") if device == "cpu" else device
                found.setdefault(kind or "an unknown processor", []).append(row.family)
    if len(found) < 2:
        return []
    kinds = "; ".join(f"{kind}: {', '.join(dict.fromkeys(families))}" for kind, families in found.items())
    return [f"trained for equal time on unlike processors, of which the faster learns more in it: {kinds}"]


def recorded(rows: Sequence[Row]) -> set[str]:
    """The figures that any record of these rows holds."""
    return set().union(*(record.values for row in rows for record in row.records))


def _doubled(row: Row) -> str:
    seed = next(seed for seed in row.seeds if row.seeds.count(seed) > 1)
    return (
        f"holds seed {seed} {row.seeds.count(seed)} times, as if it were so many seeds: copies of one run. "
        "Give gentext board one folder of them"
    )


def text(cell: Cell | None) -> str:
    """A cell in words: bounds carry their sign, intervals their half-width."""
    return "-" if cell is None else SIGNS[cell.exactness] + digits(cell.value, cell.interval)


def digits(value: float, interval: tuple[float, float] | None) -> str:
    """A figure with the digits that its interval supports, and half of that interval.

    >>> digits(0.61234, (0.610, 0.614)), digits(3.0009818e12, None), digits(2.34567e-7, None)
    ('0.612±0.002', '3.001e+12', '2.346e-07')
    """
    if not math.isfinite(value):
        return f"{value}"
    half = (interval[1] - interval[0]) / 2 if interval else None
    if abs(value) >= LONG or (0 < abs(value) < SHORT and (half or 0) < SHORT / 100):
        return f"{value:.3e}" + (f"±{half:.0e}" if half is not None else "")
    if half is not None and half <= 1e-9 * abs(value):  # the same in every seed, but for rounding
        return f"{value:.{_digits(value, None)}f}±0"
    count = _digits(value, half)
    return f"{value:.{count}f}" + (f"±{half:.{count}f}" if half is not None else "")


def _digits(value: float, half: float | None) -> int:
    """Decimals worth showing: one significant digit of the half-width, or four of the value."""
    if half and math.isfinite(half):
        return max(0, min(6, -math.floor(math.log10(half))))
    return max(0, min(4, 3 - math.floor(math.log10(abs(value))))) if value else 0


def head(board: Board, name: str) -> str:
    """A column's title, and which way is up in it."""
    return board.about[name].title + ARROWS[board.about[name].target]


def table(board: Board) -> list[list[str]]:
    """Header and rows as plain strings."""
    header = ["family", "decode", "seeds", *(head(board, name) for name in board.columns)]
    body = [
        [
            row.family + " †" * row.adaptive + " ✓" * bool(row.verified),
            row.setting,
            str(len(row.seeds)),
            *(text(row.cells.get(name)) for name in board.columns),
        ]
        for row in board.rows
    ]
    return [header, *body]


def configurations(board: Board) -> list[tuple[str, str]]:
    """By family what its runs changed in the defaults, beside what all rows share and what its rows' names say."""
    found: dict[str, list[str]] = {}
    for row in board.rows:
        for record in row.records[:1]:
            named = {*row.family.split(), *board.shared}
            hidden = [token for token in record.variant.split() if token not in named]
            key = row.family if record.config.get("name") else record.family
            found.setdefault(key, []).extend(token for token in hidden if token not in found.get(key, []))
    return [(name, " ".join(changed)) for name, changed in found.items() if changed]
