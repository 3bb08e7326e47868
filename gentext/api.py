"""What the commands of `gentext` do, as functions: `gentext.run`, `sweep`, `tune`, `score`, `board`, `compare`, ...

What they return prints as a table in a terminal, is one in a notebook, and becomes a pandas frame by `.frame()`.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from gentext import config
from gentext.display import Boards, Explanation, Inspection, Measurements, Results, Run, Tables, Tabular
from gentext.panels import Panel, Table
from gentext.results import board as boards
from gentext.results import compare as comparisons
from gentext.results import explain as explanations
from gentext.results import frontier as frontiers
from gentext.results import merge as merging
from gentext.results import record as store
from gentext.results import render_table, run_folder
from gentext.results.record import Record

if TYPE_CHECKING:
    from gentext.text_scores import TextScores
    from gentext.tuning import Search


def run(*overrides: str, config_dir: str | Path | None = None, **keys: Any) -> Run:
    """Train, sample and judge, as `gentext run` does; what the run's folder already holds is not done again.

    Args:
        *overrides: as on the command line, such as `"family=lstm"`, `"train.lr=0.001"`.
        config_dir: a folder of options of your own.
        **keys: keys of the root, such as `seed=1`, `out="runs"`.

    Raises: ValueError with advice for a wrong key or value, before any work begins.

    Example:
        >>> import gentext
        >>> small = ["data.train=60", "data.valid=10", "data.test=20", "eval.samples=10"]
        >>> done = gentext.run("family=ngram", *small, seed=1)
        >>> done.figures()["bits_per_char"] < 2
        True
        >>> len(done.load().sample(3, prompt="a"))
        3
    """
    with config.searching(config_dir):
        words = config.completed(spelled(overrides, keys))
        cfg = config.compose(words, with_hydra=True)
        if cfg.hydra.mode == RunMode.MULTIRUN:
            named = cfg.hydra.runtime.choices.experiment
            raise ValueError(f"experiment={named} is a sweep; gentext.sweep(...) runs it, or give hydra.mode=RUN")
        choices, folder = cfg.hydra.runtime.choices, Path(cfg.hydra.run.dir)
        config.check_known([(cfg, words)])
        with open_dict(cfg):
            del cfg["hydra"]
        config.check_run(config.settle(cfg, words))
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Run(run_job(cfg, folder, choices, words, config_dir=config_dir), folder)


def run_job(
    cfg: DictConfig,
    folder: Path,
    choices: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    shared: Collection[str] = (),
    config_dir: str | Path | None = None,
) -> list[Record]:
    """The records of one run, a sweep's job or not, in its folder, which an older version may have named otherwise.

    Args:
        cfg: as composed, without Hydra's own node.
        folder: of the run.
        choices: the option of each group.
        overrides: what the user gave, for the run's label and command.
        shared: those that an experiment gives to all its jobs, which therefore label none.
        config_dir: a folder of options of the user's own.
    """
    from gentext import tuning
    from gentext.run_pipeline import Label
    from gentext.run_pipeline import run as pipeline

    with config.searching(config_dir):  # a worker process of a sweep has not entered it
        given = config.taken(cfg, overrides)
        name = label([override for override in given if override not in shared], choices["family"])
        former = [Path(cfg.out) / each for each in config.former_names(cfg, choices, overrides)]
        run_folder.adopt(folder, former)
        label_of = Label(*name, command_line(given, config_dir))
        return pipeline(config.settle(cfg, overrides), folder, label_of, tuning.pruners())


def command_line(overrides: Sequence[str], config_dir: str | Path | None = None) -> str:
    """The command of a run.

    Example:
        >>> command_line(["family=lstm", "title=my run"])
        "gentext run family=lstm 'title=my run'"
    """
    where = [] if config_dir is None else ["--config-dir", str(config_dir)]
    return shlex.join(["gentext", "run", *where, *overrides])


class Tuned(Tabular):
    """What a search has found: `winner`, the overrides that are best, and every trial as a table."""

    def __init__(self, search: Search) -> None:
        super().__init__(search.table())
        self.winner = list(search.winners[0].overrides) if search.winners else []
        self.folder = search.folder


def tune(
    *overrides: str,
    trials: int = 20,
    figures: str | Sequence[str] = "bits_per_char",
    prune: bool = True,
    config_dir: str | Path | None = None,
    **keys: Any,
) -> Tuned:
    """Search for the settings that are best on valid, as `gentext tune` does, trial after trial in this process.

    Args:
        *overrides: as on the command line; those of several values are searched.
        trials: how many, those of an earlier call of the same search included.
        figures: of the record, as `"bits_per_char"`, `"bleu4:max"` or `"selfbleu4:0.3"`; several: a front.
        prune: end trials whose curve on valid is above the median of the others'.
        config_dir: a folder of options of your own.
        **keys: keys of the root, such as `seed=1`, `out="runs"`.

    Raises: ValueError with advice for a wrong key or value, before any work begins.

    Example:
        >>> import gentext
        >>> small = ["data.train=200", "data.valid=20", "data.test=50", "eval.samples=20"]
        >>> gentext.tune("family=ngram", "family.order=1,3", *small, trials=2).winner
        ['family.order=3']
    """
    from gentext import tuning
    from gentext.trackers import Pruned

    wanted = [figures] if isinstance(figures, str) else list(figures)
    with config.searching(config_dir):
        words = spelled(overrides, keys)
        for job in config.jobs(config.completed(words), sweep=True):
            cfg = config.compose(job, with_hydra=True)
            config.check_run(config.settle(cfg, job))
        params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
        shared, space = tuning.plan([*params, *words])
        tuning.check_figures(wanted, cfg)
        folder = tuning.folder_of(cfg, cfg.hydra.runtime.choices["family"], [*params, *words], wanted)
        search = tuning.Search(folder, shared, space, wanted, trials=trials, seed=cfg.seed, prune=prune)
    while asked := search.ask(1):
        done, reason, pruned = None, "", False
        try:
            with tuning.running(search, asked[0]):
                done = run(*shared, *asked[0].overrides, config_dir=config_dir)[0]
        except (ValueError, OSError, MemoryError) as error:
            reason, pruned = str(error), isinstance(error, Pruned)
        search.tell(asked[0], done, reason, pruned=pruned)
        search.write()
    return Tuned(search)


IN_LABEL = ("family", "train", "loss", "tokenizer", "max_len", "model")


def label(overrides: Sequence[str], family: str) -> tuple[str, str]:
    """The family's option, and what the overrides changed in it, in the order given.

    A mapping that is replaced, by ~key and +key=value, is said once.
    """
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    changed = []
    for override in overrides:
        plain = override.lstrip("+~")
        key = plain.partition("=")[0]
        replaced = override.startswith("~") and key in given
        if key != "family" and key.split(".")[0].split("@")[0] in IN_LABEL and not replaced:
            changed.append(plain.removeprefix("family."))
    return family, " ".join(changed)


def score(
    texts: Sequence[str] | str | Path,
    *,
    references: str | Sequence[str],
    name: str | None = None,
    eval: str | Sequence[str] = "default",
    out: str | Path = "runs",
    column: str = "text",
    config_dir: str | Path | None = None,
) -> Results:
    """Judge anyone's texts, as `gentext score --samples` does; no model is needed.

    Args:
        texts: the texts, or the path of a file with one a line, or of a table (JSONL, CSV, TSV, Parquet).
        references: what to judge them against, such as `"data=coco"`, or several such words.
        name: how the row is called on the board (texts, or the file's name).
        eval: an option of the eval group, or that and changes in it.
        out: where its record goes.
        column: of a table, the one that holds them: a name, or a number from 0.
        config_dir: a folder of options of your own.

    Example:
        >>> import gentext
        >>> small = ["data=captions", "data.train=200", "data.valid=20", "data.test=50"]
        >>> made = gentext.score(["a man rides a horse .", "a dog sits ."], references=small, name="mine")
        >>> made[0].family, 0 <= made.figures()["bleu2"] <= 1
        ('mine', True)
    """
    from gentext.score_pipeline import external

    words = [references] if isinstance(references, str) else list(references)
    judged = [eval] if isinstance(eval, str) else list(eval)
    with config.searching(config_dir), tempfile.TemporaryDirectory() as folder:
        if isinstance(texts, str | Path):
            return Results([external(str(texts), words, name, judged, str(out), column, config_dir=config_dir)])
        path = Path(folder) / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        made = external(str(path), words, name, judged, str(out), config_dir=config_dir, temporary=True)
        return Results([made])


def score_text(
    run: str | Path, texts: str | Path | Sequence[str], *, column: str = "text", trusted: Collection[str] = ()
) -> TextScores:
    """How likely a trained run finds any text, as `gentext score RUN --text FILE`: perplexity, bits a byte, by line.

    Args:
        run: a folder that `gentext run` wrote.
        texts: a file (a text a line, or a table), or the texts themselves.
        column: of a table.
        trusted: modules of your own that the run may name.

    Raises: ValueError where the run gives texts no likelihood, or where its corpus is another now.

    Example:
        >>> import gentext
        >>> done = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> found = gentext.score_text(done.folder, ["a man sits .", "a dog runs ."])
        >>> sorted(found.values)[:2], len(found.lines.rows)
        (['bits_per_byte', 'bits_per_char'], 2)
    """
    from gentext.text_scores import score_text as scored
    from gentext.trained import load

    model = load(run, trusted=trusted)
    corpus = training_corpus(model, trusted=trusted)
    if isinstance(texts, str | Path):
        return scored(model, corpus, Path(texts), column)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return scored(model, corpus, path)


def rescore(
    *runs: str | Path,
    eval: str | Sequence[str] = "default",
    trusted: Collection[str] = (),
    config_dir: str | Path | None = None,
) -> Results:
    """Recompute the metrics of stored samples, as `gentext score RUNS` does; no model is needed.

    Args:
        *runs: folders of runs.
        eval: an option of the eval group, or that and changes in it.
        trusted: modules of your own that the runs may name.
        config_dir: a folder of options of your own.

    Example:
        >>> import gentext
        >>> done = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> gentext.rescore(done.folder).figures()["bleu4"] == done.figures()["bleu4"]
        True
    """
    from gentext.score_pipeline import stored

    with config.searching(config_dir):
        return Results(stored(_paths(runs), [eval] if isinstance(eval, str) else list(eval), trusted))


def records(*runs: str | Path, merge: bool = False) -> Results:
    """The records of folders of runs; `.board()`, `.frame()`, `.save(path)` and `.publish(folder)` go on from there.

    Args:
        *runs: folders of runs, or a records.jsonl.
        merge: refuse a run that stands twice, and corpora of one name that differ, as `gentext board --merge`.

    Example:
        >>> import gentext
        >>> _ = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> kept = gentext.records("runs").save("records.jsonl")
        >>> [record.family for record in gentext.records(kept, merge=True)]
        ['ngram']
    """
    return Results((merging.merge if merge else store.find)(_paths(runs)))


def board(
    *runs: str | Path,
    columns: str | Sequence[str] | None = None,
    sort: str | None = None,
    where: Mapping[str, str] | None = None,
    group: str | Sequence[str] = (),
    merge: bool = False,
) -> Boards:
    """The leaderboards of folders of runs, as `gentext board`.

    Args:
        *runs: folders of runs, or a records.jsonl.
        columns: figures to show, in this order; None: those of the track.
        sort: the figure to rank by, which is shown, too.
        where: which records, such as `{"family": "lstm"}`.
        group: a board for each of these, such as `["decode"]`.
        merge: refuse a run that stands twice, and corpora of one name that differ.

    Raises: ValueError where there is nothing to rank.

    Example:
        >>> import gentext
        >>> _ = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> [row.family for row in gentext.board("runs", columns=["bits_per_char"])[0].rows]
        ['ngram']
    """
    return records(*runs, merge=merge).board(columns=columns, sort=sort, where=where, group=group)


def compare(
    first: str | Path,
    second: str | Path,
    *,
    among: Sequence[str | Path] | None = None,
    decode: str | Sequence[str] | None = None,
    test: str = "bootstrap",
) -> Tabular:
    """Two rows tested against each other, metric by metric, as `gentext compare`.

    Args:
        first: a run's folder; with `among`, a family as the board calls it.
        second: likewise.
        among: folders of runs, all seeds of which are compared.
        decode: of several decode settings the one to compare; of two rows that differ in it, both.
        test: bootstrap or randomisation.

    Example:
        >>> import gentext
        >>> small = ["data.train=60", "data.valid=10", "data.test=20", "eval.samples=10"]
        >>> first, second = (gentext.run(*small, f"family.order={order}") for order in (2, 3))
        >>> gentext.compare(first.folder, second.folder).table.columns[0]
        'metric'
    """
    settings = [decode] if isinstance(decode, str) else decode or ()
    rows = comparisons.find(str(first), str(second), None if among is None else _paths(among), settings)
    return Tabular(comparisons.comparison_table(*rows, test=test))


def frontier(
    *runs: str | Path, quality: str = "bleu4", diversity: str = "selfbleu4", at: float | None = None
) -> Tables:
    """What each family's decode settings trade, a table per corpus, as `gentext frontier`.

    Args:
        *runs: folders of runs.
        quality: a figure.
        diversity: another.
        at: the diversity to read quality at; None: where all families can be read.

    Raises: ValueError where a corpus holds no family with both figures.

    Example:
        >>> import gentext
        >>> small = ["data.train=60", "data.valid=10", "data.test=20", "eval.samples=10"]
        >>> _ = gentext.run(*small, "decode=temperatures")
        >>> len(gentext.frontier("runs"))
        1
    """
    ranked = boards.rank(store.find(_paths(runs)), columns=[quality, diversity])
    return Tables(list(frontiers.tables(ranked, quality, diversity, x=at)))


def explain(figure: str, run: str | Path | None = None, *, decode: str | None = None) -> Explanation:
    """What a figure is, or how a run's value of it came about, as `gentext explain`.

    Args:
        figure: its name, such as `"bleu4"`.
        run: a run's folder.
        decode: of several decode settings the one to explain.

    Raises: ValueError for an unknown figure, and for one that the run does not hold, with the reason.

    Example:
        >>> import gentext
        >>> print(gentext.explain("bits_per_char").splitlines()[0])
        bits_per_char: bits a character
    """
    if run is None:
        return Explanation(explanations.figure(figure))
    if Path(figure).exists() and not Path(run).exists():
        raise ValueError(f"{figure} is no figure; the figure comes first: gentext explain {run} {figure}")
    return Explanation(explanations.value(store.find([run]), figure, decode))


def inspect(
    run: str | Path,
    text: str | None = None,
    *,
    prompt: str | None = None,
    beam: int | None = None,
    device: str = "cpu",
    trusted: Collection[str] = (),
) -> Tables:
    """What a trained run shows of its inside, or how it read a text, as `gentext inspect`.

    Args:
        run: a folder that `gentext run` wrote.
        text: any text: the probability and rank of each token, attributions, attention, hidden states, what an n-gram
            backed off to, neighbours in latent space. None: the panels of its parameters.
        prompt: what the text, or a beam, goes on from; of a corpus of pairs the source.
        beam: the width of a beam search whose tree is shown.
        device: where the model computes.
        trusted: modules of your own that the run may name.

    Returns: tables; of a text an Inspection, which prints with colours and has `.save("inside.html")`.

    Raises: ValueError where its family shows nothing.

    Example:
        >>> import gentext
        >>> small = ["data.train=60", "data.valid=10", "data.test=20", "eval.samples=10"]
        >>> done = gentext.run("family=hmm", *small, "family.states=4", "train.iterations=2")
        >>> gentext.inspect(done.folder)[0].frame is not None
        True
        >>> [table.table.title for table in gentext.inspect(done.folder, "a man sits .")][:2]
        ['Surprise, token by token', 'Viterbi path']
    """
    if text is None and beam is None:
        if prompt is not None:
            raise ValueError("a prompt was given, and nothing to inspect after it; give a text, or the width of a beam")
        return Tables(render_table.panels_of(run))
    from gentext.inspection.text import beam_panel, text_panels
    from gentext.language_model import SupportsLatent
    from gentext.trained import load

    model = load(run, device=device, trusted=trusted)
    found: list[Panel] = []
    if text is not None:
        training = None
        if isinstance(model.family, SupportsLatent):
            training = training_corpus(model, trusted=trusted).lines("train")
        found += text_panels(model, text, prompt=prompt, training=training)
    if beam is not None:
        found.append(beam_panel(model, beam, prompt=prompt))
    return Inspection(found)


def export_model(
    run: str | Path, out: str | Path, *, compress: str | None = None, trusted: Collection[str] = ()
) -> Path:
    r"""Write a trained run for other programs, as `gentext export`: ARPA, hmmlearn's arrays, a model of transformers.

    Args:
        run: a folder that `gentext run` wrote.
        out: of an n-gram the file, such as model.arpa; of an HMM model.npz; else a new folder.
        compress: write a smaller run for gentext itself: bf16 or int8 of a neural family; count=2, prune=1e-6 or
            bits=8 of an n-gram.
        trusted: modules of your own that the run may name.

    Raises: ValueError where nothing else reads the family, or it has no such smaller form.

    Example:
        >>> import gentext
        >>> done = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> print(gentext.export_model(done.folder, "model.arpa").read_text().split()[0])
        \data\
        >>> small = gentext.load(gentext.export_model(done.folder, "small", compress="bits=8"))
        >>> len(small.sample(2))
        2
    """
    from gentext.trained import load

    model = load(run, trusted=trusted)
    if compress is None:
        from gentext.export import export

        return export(model, Path(out))
    from gentext import compression

    return compression.save(model, compression.Form.parse(compress), Path(out))


def bench(
    *runs: str | Path,
    forms: Sequence[str] = (),
    texts: int = 200,
    device: str = "cpu",
    trusted: Collection[str] = (),
) -> Measurements:
    """What each form of trained runs costs, and the quality that it has, as `gentext bench`; `.save("bench.html")`.

    Args:
        *runs: folders of trained runs; all are judged on the test text of the first.
        forms: fp32, bf16, int8, int8_weights, int8_dynamic; of n-grams count=N, prune=T, bits=B; none: all of them.
        texts: of the test split that are scored.
        device: where the models compute.
        trusted: modules of your own that the runs may name.

    Raises: ValueError for an unknown form, or a run that gives texts no likelihood.
    """
    from gentext import benchmark

    return Measurements(*benchmark.bench(runs, forms=forms, texts=texts, device=device, trusted=trusted))


def training_corpus(model: Any, *, trusted: Collection[str] = ()) -> Any:
    """The corpus that a loaded model was trained on, with its tokenizer.

    Args:
        model: what `gentext.load` gives.
        trusted: modules of your own that the run may name.

    Raises: ValueError where the text is another now, or cannot be found.

    Example:
        >>> import gentext
        >>> done = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> len(gentext.training_corpus(done.load()).lines("train"))
        60
    """
    from gentext.run_pipeline import open_corpus

    corpus = open_corpus(model.config, model.tokenizer, trusted=trusted)
    manifest = run_folder.Manifest.read(model.folder)
    if manifest is not None:
        run_folder.check_data(model.folder, manifest.fingerprints, corpus.fingerprint())
    return corpus


def write_report(*runs: str | Path, out: str | Path = "report.html", trusted: Collection[str] = ()) -> list[Path]:
    """The files of a report on folders of runs, as `gentext report`.

    Args:
        *runs: folders of runs.
        out: ends in .html, .md or .tex.
        trusted: modules of your own that the runs may name.

    Example:
        >>> import gentext
        >>> _ = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> gentext.write_report("runs", out="page.html")[0].name
        'page.html'
    """
    from gentext.report import write

    return write.write(_paths(runs), out, trusted=trusted)


def check_report(*files: str | Path) -> list[Path]:
    """Prove that committed tables are what the records beside them say, as `gentext report --check`; the files.

    Args:
        *files: Markdown files, or folders of them.

    Raises: ValueError, naming the first part that its records do not make.

    Example:
        >>> import gentext
        >>> _ = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> _ = gentext.records("runs").save("records.jsonl")
        >>> marks = "<!-- gentext: captions | board | bleu4 | . -->", "", "<!-- end -->", ""
        >>> _ = Path("page.md").write_text(chr(10).join(marks))
        >>> _ = gentext.update_report("page.md")
        >>> [path.name for path in gentext.check_report("page.md")]
        ['page.md']
    """
    from gentext.report.check import check

    return check(files)


def update_report(*files: str | Path) -> list[Path]:
    """Write committed tables and pictures anew from the records beside them, as `gentext report --update`; the files.

    Args:
        *files: Markdown files, or folders of them.

    Example:
        >>> import gentext
        >>> _ = gentext.run("data.train=60", "data.valid=10", "data.test=20", "eval.samples=10")
        >>> _ = gentext.records("runs").save("records.jsonl")
        >>> marks = "<!-- gentext: captions | board | bleu4 | . -->", "", "<!-- end -->", ""
        >>> _ = Path("page.md").write_text(chr(10).join(marks))
        >>> "ngram" in gentext.update_report("page.md")[0].read_text()
        True
    """
    from gentext.report.check import update

    return update(files)


def options(group: str | None = None, *, config_dir: str | Path | None = None) -> Tabular:
    """Every option of a group, or of all, with a line on each, as `gentext list`; `options("data")` are the corpora.

    Raises: ValueError for an unknown group.

    Example:
        >>> import gentext
        >>> print(gentext.options("tokenizer").text("csv").splitlines()[1][:14])
        tokenizer,bpe,
    """
    with config.searching(config_dir):
        found = config.groups()
    if group and group not in found:
        raise ValueError(f"{group} is no group. {config.near(group, found, 'groups')}")
    chosen = [group] if group else list(found)
    rows = [[each, name, line] for each in chosen for name, line in found[each].items()]
    return Tabular(Table("Options", "", ["group", "option", "what it is"], rows))


def describe_data(name: str, *overrides: str, config_dir: str | Path | None = None) -> Tabular:
    """What a corpus is: origin, licence, splits, sizes, how they begin; as `gentext data show NAME`.

    Args:
        name: an option of the data group.
        *overrides: such as `"data.path=my.txt"`.
        config_dir: a folder of options of your own.

    Example:
        >>> import gentext
        >>> shown = gentext.describe_data("captions", "data.train=60", "data.valid=10", "data.test=20")
        >>> dict(shown.table.rows)["train"].split(",")[0]
        'lines 60'
    """
    from gentext.data.corpus import Corpus
    from gentext.data.source import describe

    with config.searching(config_dir):
        cfg = config.compose([f"data={name}", *overrides])
        source = config.build(cfg.data)
        facts = describe(source)
        corpus = Corpus.open(source, config.build(cfg.tokenizer), max_len=cfg.max_len)
    facts |= {"tokenizer": corpus.tokenizer.signature(), "max_len": corpus.max_len}
    for split, known in corpus.fingerprint()["splits"].items():
        facts[split] = ", ".join(f"{key} {value}" for key, value in known.items())
        first, sources = corpus.lines(split)[:3], corpus.prompts(split)
        shown = first if sources is None else [f"{a} -> {b}" for a, b in zip(sources[:3], first, strict=True)]
        facts[f"{split} begins"] = "\n".join(shown)
    return Tabular(Table(name, "", ["fact", "value"], [[key, str(value)] for key, value in facts.items()]))


def fetch_data(name: str, *overrides: str, config_dir: str | Path | None = None) -> list[Path]:
    """The files of a corpus, downloaded where they are not there, and verified; as `gentext data fetch NAME`.

    Example:
        >>> import gentext
        >>> gentext.fetch_data("captions")  # it is drawn, and rests on no file
        []
    """
    with config.searching(config_dir):
        return config.build(config.compose([f"data={name}", *overrides]).data).fetch()


def spelled(overrides: Sequence[str], keys: Mapping[str, Any]) -> list[str]:
    """Overrides, and keys with values of Python as overrides spell them.

    Example:
        >>> spelled(["family=lstm"], {"seed": 1, "resume": False})
        ['family=lstm', 'seed=1', 'resume=false']
    """
    for each in overrides:
        if not isinstance(each, str):
            raise ValueError(f"{each!r} is no override; give each as a text of its own: 'family=lstm', 'seed=1'")
    return [*overrides, *(f"{key}={_spelled(value)}" for key, value in keys.items())]


def _paths(runs: Sequence[str | Path]) -> list[str]:
    for path in runs:
        if not isinstance(path, str | Path):
            raise ValueError(f"{path!r} is no folder; give each by itself, such as gentext.board('runs', 'more')")
    return [str(path) for path in runs]


def _spelled(value: Any) -> str:
    """A value of Python as an override spells it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
