"""What the commands of `gentext` take, and how they say so."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from gentext import __version__

Act = Callable[[argparse.Namespace], None]

DESCRIPTION = "Train every family of text generator on the same tokens, judge all alike, rank them on one board."
TABLES = ("terminal", "markdown", "csv", "json")
EPILOG = """examples:
  gentext run                                   an n-gram on the embedded captions
  gentext run -m 'family=glob(*)' seed=0,1,2    every family, three seeds
  gentext run data=text data.path=my.txt family=lstm
  gentext board runs                            the leaderboard of what has been run
  gentext sample runs/captions/ngram-... --prompt "a man" -n 5

`gentext run --help` shows the configuration, `gentext list` every option of every group."""


def parser(acts: Mapping[str, Act]) -> argparse.ArgumentParser:
    """The parser of everything but what Hydra reads itself; `acts` carry out the commands, by their names."""
    top = argparse.ArgumentParser(
        "gentext", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"gentext {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    commands.add_parser(
        "run", help="train, sample and judge; key=value replaces any line of the configuration, -m sweeps"
    )

    sample = commands.add_parser("sample", help="draw from a trained run")
    sample.add_argument("run", help="a run's folder")
    sample.add_argument("-n", type=int, help="how many texts (1); of a beam, its best")
    sample.add_argument("--prompt", help="text to go on from, or a source to translate")
    sample.add_argument("--infill", metavar="TEXT", help="fill its blanks: ___ is one word, ___* any number (HMMs)")
    sample.add_argument("--contains", action="append", default=[], metavar="WORDS", help="say this somewhere (HMMs)")
    sample.add_argument("--length", type=int, help="exactly so many words (HMMs)")
    sample.add_argument("--decode", help="greedy, top_p, beam, ...: an option of the decode group (ancestral)")
    sample.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this is said")
    latent = sample.add_mutually_exclusive_group()  # of a VAE, written greedily unless --decode says otherwise
    latent.add_argument("--reconstruct", metavar="TEXT", help="what comes back from its place in z (VAEs)")
    latent.add_argument("--interpolate", nargs=2, metavar=("FROM", "TO"), help="the way from text to text (VAEs)")
    latent.add_argument(
        "--analogy", nargs=3, metavar=("A", "B", "C"), help="what is to C as B is to A: z of B - A + C (VAEs)"
    )
    latent.add_argument("--neighbours", metavar="TEXT", help="the N training texts nearest in z (VAEs)")
    sample.add_argument("--steps", type=int, help="texts of an interpolation, both ends included (7)")
    sample.add_argument("--path", choices=("line", "sphere"), help="of an interpolation (the posterior's own)")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument(
        "pairs",
        nargs="*",
        metavar="SETTING",
        help="temperature=0.7, top_k=40, width=10, ...: the decoder's own",
    )
    sample.add_argument(
        "--trust", action="append", default=[], metavar="MODULE", help="a module of your own that the run may name"
    )
    sample.set_defaults(act=acts["sample"])

    inspect = commands.add_parser(
        "inspect", help="what a trained run shows of its inside: states, attention, latent maps"
    )
    inspect.add_argument("run", help="a run's folder")
    inspect.set_defaults(act=acts["inspect"])

    score = commands.add_parser(
        "score", help="recompute metrics from stored samples, or judge anyone's file, with no model"
    )
    score.add_argument("runs", nargs="*", help="folders of runs whose metrics are recomputed")
    score.add_argument("--samples", help="a file, one sample a line, or a table (JSONL, CSV, TSV, Parquet); .gz")
    score.add_argument("--column", default="text", help="the column of a table that holds them: a name, or a number")
    score.add_argument("--references", nargs="+", metavar="KEY=VALUE", help="what to judge it against, e.g. data=coco")
    score.add_argument("--name", help="how the row is called on the board (the file's name)")
    score.add_argument("--out", default="runs", help="where its record goes (runs)")
    score.add_argument(
        "--eval",
        nargs="+",
        default=["default"],
        metavar=("OPTION", "KEY=VALUE"),
        help="the metrics: an option of the eval group (default), and what to change in it",
    )
    score.add_argument(
        "--trust", action="append", default=[], metavar="MODULE", help="a module of your own that the run may name"
    )
    score.set_defaults(act=acts["score"])

    board = commands.add_parser("board", help="the leaderboard of a folder of runs")
    board.add_argument("runs", nargs="+", help="folders of runs")
    board.add_argument(
        "--format",
        choices=("terminal", "markdown", "csv", "json", "latex", "jsonl"),
        default="terminal",
        help="jsonl: the records themselves, a line each, as experiments/ keeps them",
    )
    board.add_argument("--merge", action="store_true", help="refuse a run that stands twice, and corpora that differ")
    board.add_argument("--publish", metavar="FOLDER", help="write the board as static files, ready to be served")
    board.add_argument("--columns", help="comma-separated metrics, in this order; bleu4/parameters: per unit of a cost")
    board.add_argument("--signatures", action="store_true", help="how each column was computed (CSV and JSON hold it)")
    board.add_argument("--sort", help="the metric to rank by; best first")
    board.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="data=coco, family=lstm, decode=..."
    )
    board.add_argument("--group", metavar="KEYS", help="a board for each decode, family, ...: comma-separated")
    board.add_argument("--samples", type=int, default=0, metavar="N", help="show N samples of every row below")
    board.set_defaults(act=acts["board"])

    compare = commands.add_parser(
        "compare", help="do two runs differ? metric by metric, tested over sentences and seeds"
    )
    compare.add_argument("first", help="a run's folder; with --among, a family as the board calls it")
    compare.add_argument("second", help="likewise")
    compare.add_argument("--among", nargs="+", metavar="RUNS", help="folders of runs: all seeds of both are compared")
    compare.add_argument("--decode", help="of several decode settings the one to compare, as the board calls it")
    compare.add_argument("--test", choices=("bootstrap", "randomisation"), default="bootstrap")
    compare.add_argument("--format", choices=TABLES, default="terminal")
    compare.set_defaults(act=acts["compare"])

    explain = commands.add_parser("explain", help="what a figure is, or how a run's value of it came about")
    explain.add_argument("words", nargs="+", metavar="[RUN] FIGURE", help="bleu4; or a run's folder and a figure")
    explain.add_argument("--decode", help="of several decode settings the one to explain, as the board calls it")
    explain.set_defaults(act=acts["explain"])

    frontier = commands.add_parser(
        "frontier", help="what each family's decode settings trade: hypervolume, matched quality"
    )
    frontier.add_argument("runs", nargs="+", help="folders of runs")
    frontier.add_argument("--quality", default="bleu4", help="a metric (bleu4)")
    frontier.add_argument("--diversity", default="selfbleu4", help="another (selfbleu4)")
    frontier.add_argument("--at", type=float, help="the diversity to read quality at: where all families can be read")
    frontier.add_argument("--format", choices=TABLES, default="terminal")
    frontier.set_defaults(act=acts["frontier"])

    report = commands.add_parser(
        "report", help="a folder of runs as one page: HTML, Markdown with pictures, or LaTeX tables"
    )
    report.add_argument(
        "runs", nargs="+", help="folders of runs; with --check or --update Markdown files, or folders of them"
    )
    report.add_argument("-o", "--out", default="report.html", help="report.html, report.md or report.tex (report.html)")
    report.add_argument(
        "--check", action="store_true", help="prove that committed tables are what the records beside them say"
    )
    report.add_argument(
        "--update", action="store_true", help="write committed tables and pictures anew from the records beside them"
    )
    report.set_defaults(act=acts["report"])

    data = commands.add_parser("data", help="the corpora: list | show NAME | fetch NAME")
    data.add_argument("verb", choices=("list", "show", "fetch"))
    data.add_argument("name", nargs="?")
    data.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="e.g. data.path=my.txt")
    data.set_defaults(act=acts["data"])

    options = commands.add_parser("list", help="every group's options, a line each")
    options.add_argument("group", nargs="?")
    options.set_defaults(act=acts["list"])
    return top
