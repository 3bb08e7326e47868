"""What each command but `run` does, given its arguments."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any


def _sample(args: argparse.Namespace) -> None:
    import gentext
    from gentext import config

    settings, mode = config.settings(args.pairs), next(filter(partial(_given, args), LATENT), None)
    if mode != "interpolate" and (_given(args, "steps") or _given(args, "path")):
        raise ValueError("--steps and --path are of an interpolation; add --interpolate FROM TO, or leave them out")
    if mode is not None:
        for line in _latent(args, mode, settings):
            print(_shown(line))
        return
    n, decode = 1 if args.n is None else args.n, args.decode or "ancestral"
    given = {key: getattr(args, key) for key in ("prompt", "infill", "contains", "length", "stop", "seed")}
    weights = {"weights": str(settings.pop("weights"))} if "weights" in settings else {}
    model = gentext.load(args.run, trusted=args.trust, **weights)
    for text in model.sample(n, decoder=decode, **given, **settings):
        print(_shown(text))


def _shown(text: str) -> str:
    """A text for standard output: a terminal is shown its control characters and not sent them; a file has all."""
    from gentext.results.render_board import inert

    return "\n".join(map(inert, text.split("\n"))) if sys.stdout.isatty() else text


LATENT = ("reconstruct", "interpolate", "analogy", "neighbours")


def _given(args: argparse.Namespace, flag: str) -> bool:
    return getattr(args, flag) not in (None, [])


def _latent(args: argparse.Namespace, mode: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """What was asked of a VAE's latent space, line by line."""
    import gentext
    from gentext.results.run_folder import Manifest, check_data
    from gentext.run_pipeline import open_corpus

    unused = ["prompt", "infill", "contains", "length", "stop", *(["decode"] if mode == "neighbours" else ["n"])]
    ignored = ["-n" if flag == "n" else f"--{flag}" for flag in unused if _given(args, flag)]
    ignored += settings if mode == "neighbours" else ()
    if ignored:
        raise ValueError(f"--{mode} has no use for {', '.join(ignored)}; leave it out")
    model = gentext.load(args.run, trusted=args.trust)
    if mode == "neighbours":
        corpus = open_corpus(model.config, model.tokenizer, trusted=args.trust)
        manifest = Manifest.read(model.folder)
        if manifest is not None:
            check_data(model.folder, manifest.fingerprints, corpus.fingerprint())
        for text, distance in model.space.neighbours(
            args.neighbours, corpus.lines("train"), 1 if args.n is None else args.n
        ):
            yield f"{distance:.3f}  {text}"
        return
    how = {"decoder": args.decode or ("ancestral" if settings else "greedy"), "seed": args.seed, **settings}
    if mode == "reconstruct":
        yield from model.space.reconstruct([args.reconstruct], **how)
    elif mode == "analogy":
        yield model.space.analogy(*args.analogy, **how)
    else:
        steps = 7 if args.steps is None else args.steps
        yield from model.space.interpolate(*args.interpolate, steps=steps, path=args.path, **how)


def _inspect(args: argparse.Namespace) -> None:
    from gentext.results.render_table import show_panels

    show_panels(args.run)


def _export(args: argparse.Namespace) -> None:
    import gentext
    from gentext.models import NGram

    model = gentext.load(args.run, trusted=args.trust)
    if not isinstance(model.family, NGram):
        raise ValueError(f"{args.run} is a {type(model.family).__name__}; an ARPA file holds an n-gram: family=ngram")
    blanks = str.maketrans({" ": "▁", "\n": "\\n", "\t": "\\t", "\r": "\\r"})  # ARPA separates tokens by them
    tokenizer = model.tokenizer
    tokens = [tokenizer.model.id_to_token(i).translate(blanks) for i in range(tokenizer.vocab_size)]
    model.family.export_arpa(args.out, tokens)
    print(args.out)


def _score(args: argparse.Namespace) -> None:
    from gentext.results import board, render_board
    from gentext.score_pipeline import external, stored

    if bool(args.samples) == bool(args.runs):
        raise ValueError("gentext score takes either folders of runs, or --samples FILE --references data=NAME")
    if args.runs:
        made = stored(args.runs, args.eval, args.trust)
    elif args.references:
        given = (args.samples, args.references, args.name, args.eval, args.out, args.column)
        made = [external(*given, config_dir=args.config_dir)]
    else:
        raise ValueError("--samples needs --references to be judged against, such as --references data=coco")
    render_board.show(board.rank(made))


def _board(args: argparse.Namespace) -> None:
    from gentext.results import board, merge, record, render_board

    found = (merge.merge if args.merge else record.find)(args.runs)
    if args.publish:
        from gentext.report import write

        for path in write.publish(found, args.publish, trusted=args.trust):
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
    render_board.show(rows, args.format, whole=bool(args.columns), signatures=args.signatures)
    if args.samples:
        render_board.show_samples(rows, args.samples)


def _compare(args: argparse.Namespace) -> None:
    from gentext.results import compare, render_table

    first, second = compare.find(args.first, args.second, args.among, args.decode)
    render_table.show(compare.comparison_table(first, second, test=args.test), args.format)


def _explain(args: argparse.Namespace) -> None:
    from gentext.results import explain, record

    *run, figure = args.words
    if len(run) > 1:
        raise ValueError(f"gentext explain takes a figure, or a run and a figure; got {' '.join(args.words)}")
    print(explain.value(record.find(run), figure, args.decode) if run else explain.figure(figure))


def _frontier(args: argparse.Namespace) -> None:
    from gentext.results import board, frontier, record, render_table

    ranked = board.rank(record.find(args.runs), columns=[args.quality, args.diversity])
    for table in frontier.tables(ranked, args.quality, args.diversity, x=args.at):
        render_table.show(table, args.format)


def _report(args: argparse.Namespace) -> None:
    from gentext.report import write
    from gentext.report.check import check, update

    act = (
        check if args.check else update if args.update else lambda runs: write.write(runs, args.out, trusted=args.trust)
    )
    for path in act(args.runs):
        print(f"{path}: its tables are what the records say" if args.check else path)


def _data(args: argparse.Namespace) -> None:
    from gentext import config

    known = config.groups()["data"]
    if args.verb == "list":
        _table(known)
        return
    from gentext.data.corpus import Corpus
    from gentext.data.source import describe

    if not args.name:
        raise ValueError(f"gentext data {args.verb} needs a name. Known: {', '.join(known)}")
    cfg = config.compose([f"data={args.name}", *args.pairs])
    source = config.build(cfg.data)
    if args.verb == "fetch":
        for path in source.fetch():
            print(path)
        return
    facts = describe(source)
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


HANDLERS = {
    "sample": _sample,
    "inspect": _inspect,
    "export": _export,
    "score": _score,
    "board": _board,
    "compare": _compare,
    "explain": _explain,
    "frontier": _frontier,
    "report": _report,
    "data": _data,
    "list": _list,
}
