"""`gentext COMMAND`, one of those that `gentext --help` lists: bad input ends in one line and exit code 2."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

DESCRIPTION = "Train every family of text generator on the same tokens, judge all alike, rank them on one board."
TABLES = ("terminal", "markdown", "csv", "json")
EPILOG = """examples:
  gentext run                                   an n-gram on the embedded captions
  gentext run -m 'family=glob(*)' seed=0,1,2    every family, three seeds
  gentext run data=text data.path=my.txt family=lstm
  gentext board runs                            the leaderboard of what has been run
  gentext sample runs/captions/ngram-... --prompt "a man" -n 5

`gentext run --help` shows the configuration, `gentext list` every option of every group."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a failure of ours, 2 bad input, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if argv[:1] == ["run"]:  # Hydra parses its own arguments
            from gentext.launch import launch

            return launch(argv[1:])
        return act(argv)
    except KeyboardInterrupt:
        print("\ngentext: interrupted. The same command goes on where this one stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `gentext board runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, MemoryError) as error:
        from gentext.launch import explain

        print(f"gentext: {explain(error)}", file=sys.stderr)
        return 2


def act(argv: Sequence[str]) -> int:
    """Carry out any command but run. KEY=VALUE words may stand between the flags."""
    known = parser()
    args, rest = known.parse_known_args(argv)
    if any("=" not in word or word.startswith("-") for word in rest) or (rest and not hasattr(args, "pairs")):
        known.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.pairs += rest
    args.act(args)
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "gentext", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    from gentext import __version__

    top.add_argument("--version", action="version", version=f"gentext {__version__}")
    acts = top.add_subparsers(metavar="COMMAND", required=True)
    acts.add_parser("run", help="train, sample and judge; key=value replaces any line of the configuration, -m sweeps")

    sample = acts.add_parser("sample", help="draw from a trained run")
    sample.add_argument("run", help="a run's folder")
    sample.add_argument("-n", type=int, default=1, help="how many texts (1)")
    sample.add_argument("--prompt", help="text to go on from, or a source to translate")
    sample.add_argument("--infill", metavar="TEXT", help="fill its blanks: ___ is one word, ___* any number (HMMs)")
    sample.add_argument("--contains", action="append", default=[], metavar="WORDS", help="say this somewhere (HMMs)")
    sample.add_argument("--length", type=int, help="exactly so many words (HMMs)")
    sample.add_argument(
        "--decode", default="ancestral", help="greedy, nucleus, beam, ...: an option of the decode group (ancestral)"
    )
    sample.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this is said")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument(
        "pairs",
        nargs="*",
        metavar="SETTING",
        help="temperature=0.7, top_k=40, width=10, ...: the decoder's own",
    )
    sample.set_defaults(act=_sample)

    inspect = acts.add_parser("inspect", help="what a trained run shows of its inside: states, attention, latent maps")
    inspect.add_argument("run", help="a run's folder")
    inspect.set_defaults(act=_inspect)

    score = acts.add_parser(
        "score", help="recompute metrics from stored samples, or judge anyone's file, with no model"
    )
    score.add_argument("runs", nargs="*", help="folders of runs whose metrics are recomputed")
    score.add_argument("--samples", help="a text file, one sample a line")
    score.add_argument("--references", nargs="+", metavar="KEY=VALUE", help="what to judge it against, e.g. data=coco")
    score.add_argument("--name", help="how the row is called on the board")
    score.add_argument("--out", default="runs", help="where its record goes (runs)")
    score.add_argument("--eval", default="default", help="the metrics: an option of the eval group (default)")
    score.set_defaults(act=_score)

    board = acts.add_parser("board", help="the leaderboard of a folder of runs")
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
    board.add_argument("--sort", help="the metric to rank by; best first")
    board.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="data=coco, family=lstm, decode=..."
    )
    board.add_argument("--group", metavar="KEYS", help="a board for each decode, family, ...: comma-separated")
    board.add_argument("--samples", type=int, default=0, metavar="N", help="show N samples of every row below")
    board.set_defaults(act=_board)

    compare = acts.add_parser("compare", help="do two runs differ? metric by metric, tested over sentences and seeds")
    compare.add_argument("first", help="a run's folder; with --among, a family as the board calls it")
    compare.add_argument("second", help="likewise")
    compare.add_argument("--among", nargs="+", metavar="RUNS", help="folders of runs: all seeds of both are compared")
    compare.add_argument("--decode", help="of several decode settings the one to compare, as the board calls it")
    compare.add_argument("--test", choices=("bootstrap", "randomisation"), default="bootstrap")
    compare.add_argument("--format", choices=TABLES, default="terminal")
    compare.set_defaults(act=_compare)

    report = acts.add_parser(
        "report", help="a folder of runs as one page: HTML, Markdown with pictures, or LaTeX tables"
    )
    report.add_argument("runs", nargs="+", help="folders of runs")
    report.add_argument("-o", "--out", default="report.html", help="report.html, report.md or report.tex (report.html)")
    report.set_defaults(act=_report)

    data = acts.add_parser("data", help="the corpora: list | show NAME | fetch NAME")
    data.add_argument("verb", choices=("list", "show", "fetch"))
    data.add_argument("name", nargs="?")
    data.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="e.g. data.path=my.txt")
    data.set_defaults(act=_data)

    options = acts.add_parser("list", help="every group's options, a line each")
    options.add_argument("group", nargs="?")
    options.set_defaults(act=_list)
    return top


def _sample(args: argparse.Namespace) -> None:
    import gentext
    from gentext import config

    settings = config.settings(args.pairs)
    given = {key: getattr(args, key) for key in ("prompt", "infill", "contains", "length", "stop", "seed")}
    for text in gentext.load(args.run).sample(args.n, decoder=args.decode, **given, **settings):
        print(text)


def _inspect(args: argparse.Namespace) -> None:
    from gentext.results import inside

    inside.show(args.run)


def _score(args: argparse.Namespace) -> None:
    from gentext import rescore
    from gentext.results import board, forms

    if bool(args.samples) == bool(args.runs):
        raise ValueError("gentext score takes either folders of runs, or --samples FILE --references data=NAME")
    if args.runs:
        made = rescore.stored(args.runs, args.eval)
    elif args.references:
        made = [rescore.external(args.samples, args.references, args.name, args.eval, args.out)]
    else:
        raise ValueError("--samples needs --references to be judged against, such as --references data=coco")
    forms.show(board.rank(made))


def _board(args: argparse.Namespace) -> None:
    from gentext.results import board, forms, merge, record

    found = (merge.merge if args.merge else record.find)(args.runs)
    if args.publish:
        from gentext import reporting

        for path in reporting.publish(found, args.publish):
            print(path)
        return
    if args.format == "jsonl":
        for one in found:
            print(json.dumps(record.plain(one), ensure_ascii=False))
        return
    rows = board.rank(
        found,
        columns=args.columns.split(",") if args.columns else None,
        sort=args.sort,
        where=dict(pair.partition("=")[::2] for pair in args.where),
        group=args.group.split(",") if args.group else (),
    )
    forms.show(rows, args.format)
    if args.samples:
        forms.show_samples(rows, args.samples)


def _compare(args: argparse.Namespace) -> None:
    from gentext.results import comparison, tables

    first, second = comparison.find(args.first, args.second, args.among, args.decode)
    tables.show(comparison.told(first, second, test=args.test), args.format)


def _report(args: argparse.Namespace) -> None:
    from gentext import reporting

    for path in reporting.write(args.runs, args.out):
        print(path)


def _data(args: argparse.Namespace) -> None:
    from gentext import config

    known = config.groups()["data"]
    if args.verb == "list":
        _table(known)
        return
    from gentext.text import sources
    from gentext.text.corpus import Corpus

    if not args.name:
        raise ValueError(f"gentext data {args.verb} needs a name. Known: {', '.join(known)}")
    cfg = config.compose([f"data={args.name}", *args.pairs])
    source = config.build(cfg.data)
    if args.verb == "fetch":
        for path in source.fetch():
            print(path)
        return
    facts = sources.describe(source)
    corpus = Corpus.open(source, config.build(cfg.tokenizer), max_len=cfg.max_len)
    facts |= {"tokenizer": corpus.tokenizer.signature(), "max_len": corpus.max_len}
    for split, said in corpus.fingerprint()["splits"].items():
        facts[split] = ", ".join(f"{key} {value}" for key, value in said.items())
        facts[f"{split} begins"] = "\n".join(corpus.lines(split)[:3])
    for key, value in facts.items():
        print(f"{key:13} " + str(value).replace("\n", "\n" + " " * 14))


def _list(args: argparse.Namespace) -> None:
    from gentext import config

    found = config.groups()
    if args.group and args.group not in found:
        raise ValueError(f"{args.group} is no group. {config.near(args.group, found, 'groups')}")
    for group in [args.group] if args.group else found:
        print(group)
        _table(found[group], indent="  ")


def _table(rows: dict[str, str], indent: str = "") -> None:
    width = max(map(len, rows), default=0)
    for name, line in rows.items():
        print(f"{indent}{name:{width}}  {line}")
