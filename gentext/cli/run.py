"""`gentext run`: the configuration is checked before anything starts, then Hydra runs the job or the sweep."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from gentext import config
from gentext.api import command_line, run_job, spelled
from gentext.checks import at_least, out_of_memory
from gentext.cli.parser import COMMANDS, refuse
from gentext.display import Sweep
from gentext.files import read_jsonl
from gentext.results import record as store
from gentext.trackers import SWEEP

log = logging.getLogger("gentext")
SHOWN_SO_FAR = 16  # jobs of a sweep, after each of which the board so far is shown
KILLED = "its process was killed, perhaps for want of memory, or went down with one that was"
SEARCH = "hydra/sweeper=search"  # what makes a sweep a search
COMPLETIONS = [f"{verb}={shell}" for verb in ("install", "uninstall", "query") for shell in ("bash", "zsh", "fish")]
_unwritten: list[dict[str, Any]] = []  # how jobs ended for which there was no room on the disk


def launch(argv: Sequence[str]) -> int:
    """Run or sweep; the exit code of the worst job."""
    if "--from" in argv:
        return _again(argv)
    args = _arguments(argv)
    if args.config_name or args.config_path:
        raise ValueError(
            "--config-name and --config-path name no configuration of gentext's; give your own options by "
            "--config-dir FOLDER"
        )
    if args.shell_completion and not (len(args.overrides) == 1 and args.overrides[0] in COMPLETIONS):
        given = " ".join(args.overrides) or "nothing"
        raise ValueError(f"-sc is given {given}; it must be one of {', '.join(COMPLETIONS)}")
    if (args.package or args.resolve) and not args.cfg:
        raise ValueError("--package and --resolve are of --cfg; add --cfg job, or leave them out")
    if args.experimental_rerun:
        raise ValueError("--experimental-rerun is Hydra's; give --from the file of a record, which a run always leaves")
    with config.searching(args.config_dir):
        if args.help:
            print(help_text(args.overrides))
            return 0
        flags = list(_flags(argv, args.overrides))
        if args.cfg:
            composed = config.compose(next(config.expand(config.completed(args.overrides))), with_hydra=True)
            if args.package not in (None, "_global_") and OmegaConf.select(composed, args.package) is None:
                raise ValueError(f"--package is {args.package}, which holds nothing; give a node, such as family")
        if any((args.hydra_help, args.info, args.cfg, args.shell_completion)):
            # the completion that Hydra installs is of one word, the program
            program = "gentext" if args.shell_completion else "gentext run"
            with _command_line([program, *flags, *config.completed(args.overrides)]) as start:
                start()
            return 0
        return _launch(flags, args.overrides, sweep=args.multirun)[1]


def sweep(*overrides: str, config_dir: str | Path | None = None, **keys: Any) -> Sweep:
    """Run every combination of values, as `gentext run -m` does, launchers and sweepers included.

    Prints what the command prints: each job's progress, the leaderboard, where the report lies. One job's failure does
    not end the others; see `failures` of what is returned.

    Args:
        *overrides: as on the command line, such as `"family=ngram,lstm"`, `"seed=range(3)"`.
        config_dir: a folder of options of your own.
        **keys: keys of the root, such as `seed="0,1"`, `out="runs"`.

    Raises: ValueError with advice for a wrong key or value, before any work begins.

    Example:
        >>> import gentext
        >>> small = ["data.train=60", "data.valid=10", "data.test=20", "eval.samples=10"]
        >>> done = gentext.sweep("family.order=2,3", *small)  # doctest: +ELLIPSIS
        captions...
        >>> len(done), len(done.failures)
        (2, 0)
    """
    with config.searching(config_dir):
        jobs, _ = _launch(["-m"], spelled(overrides, keys), sweep=True)
    done = [Path(job["folder"]) for job in jobs if job["code"] == 0]
    return Sweep(store.find(done), [job for job in jobs if job["code"] != 0])


def _again(argv: Sequence[str]) -> int:
    """`--from RECORD [KEY=VALUE ...]`: the run of a record's file, from the configuration that it holds."""
    from gentext.reproduce import run_again
    from gentext.trackers import show_log

    words = list(argv)
    at = words.index("--from")
    if len(words) == at + 1 or any(word.startswith("-") for word in (*words[:at], *words[at + 1 :])):
        raise ValueError("--from takes a record's file and stands beside out=, device=, resume= and name= alone")
    path = words.pop(at + 1)
    words.pop(at)
    show_log()
    folder, _ = run_again(path, words)
    _show(folder)
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Hydra's own flags, which may stand between overrides. Raises ValueError for what is neither."""
    known = get_args_parser()
    known.error = partial(refuse, "gentext run")
    return known.parse_intermixed_args(list(argv))


@contextmanager
def _command_line(words: Sequence[str]) -> Iterator[Callable[[], None]]:
    """What starts Hydra as if these words were the command line."""
    config.register()
    shell, sys.argv = sys.argv, list(words)
    try:
        yield hydra.main(version_base="1.3", config_path=str(config.folder()), config_name="config")(_job)
    finally:
        sys.argv = shell


class _Checked(Hydra):
    """Hydra, which runs a configuration that is composed already: each of its own compositions takes as long."""

    def __init__(self, task_name: str, config_loader: ConfigLoader, cfg: DictConfig) -> None:
        super().__init__(task_name, config_loader)
        self.cfg = cfg

    def compose_config(self, *_: Any, **__: Any) -> DictConfig:
        return self.cfg


def _start(cfg: DictConfig) -> None:
    """Let Hydra run a configuration with its node."""
    _set_up()
    _Checked("run", config.loader(), cfg).run("config", _job, [])


def _start_sweep(overrides: Sequence[str]) -> None:
    _set_up()
    Hydra("run", config.loader()).multirun("config", _job, [*overrides, "hydra.mode=MULTIRUN"])


def _set_up() -> None:
    """What Hydra's own command does before a run."""
    config.register()
    version.setbase("1.3")


def _launch(flags: Sequence[str], overrides: Sequence[str], *, sweep: bool) -> tuple[list[dict[str, Any]], int]:
    """Check a run or a sweep, and let Hydra run it; how each job ended, and the exit code of the worst."""
    given, sweep = overrides, sweep or config.is_sweep(overrides)
    overrides = config.completed(overrides if SEARCH in overrides else config.late(overrides, sweep=sweep))
    idle = 0 if SEARCH in overrides else 1  # a search may have had all its trials before
    cfg = check(overrides, sweep=sweep)
    if cfg.hydra.mode == RunMode.MULTIRUN and not sweep:  # an option of the user's own says so
        return _launch(flags, given, sweep=True)
    out = Path(cfg.out)
    name = f"sweep-{config.fingerprint(sorted([*flags, *overrides]))}-" * sweep
    ended = Path(os.environ.setdefault(SWEEP, str(out.resolve() / f".jobs-{name}{os.getpid()}.jsonl")))
    code = 0
    try:
        if sweep:
            try:  # a job on another machine inherits no environment from here
                _start_sweep([*overrides, f"+hydra.job.env_set.{SWEEP}={json.dumps(str(ended))}"])
            except Exception as error:
                summarise(out, _jobs(ended))  # Hydra calls none at the end of a sweep that it did not bring to one
                print(f"gentext: {_broken(error)}", file=sys.stderr)
                code = 2
        else:
            _start(cfg)
        jobs = _jobs(ended)
        write_seed_summaries(jobs)
        return jobs, max(code, max((job["code"] for job in jobs), default=idle))
    finally:
        _unwritten.clear()
        del os.environ[SWEEP]
        ended.unlink(missing_ok=True)
        with suppress(OSError):  # a refused run leaves no empty folder either
            out.rmdir()


def suggest(argv: Sequence[str]) -> int:
    """Print what may stand where the cursor is in the COMP_LINE of a shell: a command, or an override of `run`."""
    words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) == 2:
        print(" ".join(COMMANDS))
    elif words[1:2] == ["run"]:
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])  # as if the program were `gentext run`
        return launch(argv)
    return 0


def _flags(argv: Sequence[str], overrides: Sequence[str]) -> Iterator[str]:
    """What is left for Hydra to read beside the overrides: all but --config-dir, which `config.searching` tells it."""
    words = iter(argv)
    for word in words:
        if word in ("--config-dir", "-cd"):
            next(words)
        elif word not in overrides and not word.startswith("--config-dir="):
            yield word


FLAGS = """
  -m, --multirun          every combination of values: seed=0,1,2 'family=glob(*)'
  --config-dir FOLDER     options of your own: family/, data/, eval/, ... of YAML, and the Python modules they name
  --from RECORD           do the run of a record's file again; with out=, device= alone
  --cfg job               print the configuration, run nothing
  -sc install=bash        complete keys and options in bash (zsh, fish) """


def help_text(overrides: Sequence[str]) -> str:
    """What `gentext run --help` prints: flags, options, and the configuration as the overrides compose it."""
    listed = "\n".join(f"  {group}: {', '.join(options)}" for group, options in config.groups().items())
    composed = OmegaConf.to_yaml(config.compose(config.completed(overrides)))
    return (
        f"usage: gentext run [FLAG ...] [KEY=VALUE ...]\n\nTrain, sample and judge.\n{FLAGS}\n\n"
        f"Groups and their options; `gentext list GROUP` describes each:\n{listed}\n\n"
        f"The configuration, every key of which KEY=VALUE replaces (family=lstm family.width=512):\n\n{composed}"
    ).rstrip()


def check(overrides: Sequence[str], *, sweep: bool = False) -> DictConfig:
    """The last job's configuration as composed, Hydra's node included, once every job's nodes are bound.

    Raises ValueError with advice before anything starts.
    """
    composed = cache(lambda *job: config.compose(job, with_hydra=True))
    jobs = config.jobs(overrides, sweep=sweep, composed=composed)
    config.check_known((composed(*job), job) for job in jobs)
    for job in jobs:
        cfg = config.settle(composed(*job), job)
        with open_dict(cfg):
            del cfg["hydra"]
        config.check_run(cfg)
    if SEARCH in overrides:
        from gentext import tuning

        given = composed(*job).hydra.sweeper
        params = [f"{key}={value}" for key, value in (given.params or {}).items()]
        tuning.plan([*params, *(word for word in overrides if not word.startswith("hydra"))])
        tuning.check_figures(given.figures, cfg)
        at_least(1, **{f"hydra.sweeper.{name}": given[name] for name in ("trials", "jobs")})
    out = Path(cfg.out)
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out))
    return composed(*job)


def _job(cfg: DictConfig) -> float | None:
    """One run; how it ended is written down, and an error of one job never ends the others."""
    from gentext.trackers import Pruned, show_log

    show_log()
    context = HydraConfig.get()
    folder = Path(context.runtime.output_dir)
    overrides = list(context.overrides.task)
    config_dir = config.config_dir(context.runtime.config_sources)
    with config.searching(config_dir):
        command = command_line(config.taken(cfg, overrides), config_dir)
    ended: dict[str, Any] = {"folder": str(folder), "command": command, "code": 0, "reason": ""}
    if context.mode == RunMode.MULTIRUN:
        log.info("job %s: %s", context.job.num, " ".join(overrides))
    _note({**ended, "code": 2, "reason": KILLED})  # until it says otherwise
    try:
        shared = [f"{key}={value}" for key, value in (context.sweeper.get("params") or {}).items()]
        choices = context.runtime.choices
        records = run_job(cfg, folder, choices, overrides, shared=shared, config_dir=config_dir)
        if context.mode == RunMode.RUN:
            _show(folder)
        return objective(records)
    except Pruned as end:
        log.info("%s", end)
        ended |= {"pruned": True, "reason": str(end)}
        return None
    except (ValueError, OSError, MemoryError) as error:
        ended |= {"code": 2, "reason": explain(error)}
    except Exception as error:  # a defect, ours or a user's family's: the other jobs of a sweep go on
        ended |= {"code": 1, "reason": _defect(error, folder)}
    except KeyboardInterrupt:
        ended |= {"code": 130, "reason": "interrupted"}
        raise
    finally:
        _note(ended)
    print(f"gentext: {ended['reason']}", file=sys.stderr)
    return None


def _defect(error: Exception, folder: Path) -> str:
    """What is shown of an error that is none of the user's; in full it stands in the run's folder, if that is left."""
    path = folder / "traceback.txt"
    return f"{type(error).__name__}: {error}" + (f" (see {path})" if path.exists() else "")


def _note(job: dict[str, Any]) -> None:
    """Write down how a job stands; the last line of each counts."""
    try:
        with open(os.environ[SWEEP], "a", encoding="utf-8") as file:
            file.write(json.dumps(job) + "\n")
    except OSError:  # a full disk: it is still known to this process
        _unwritten.append(job)


def _broken(error: Exception) -> str:
    """What ended a sweep before its jobs, such as a worker process that was killed, and what to do."""
    if "object_store_memory must not be provided" in str(error):  # Ray's, of what hydra/launcher=ray sets
        return "a Ray cluster runs already, and hydra/launcher=ray starts its own: write hydra/launcher=ray_cluster"
    lines = explain(error).splitlines()
    reason = explain(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {lines[0]}"
    return f"the sweep ended before its jobs did ({reason}). The same command goes on with those that are not done"


def write_seed_summaries(jobs: Sequence[dict[str, Any]]) -> None:
    """Figures over seeds into the records of what ran, and of what ran before beside it."""
    from gentext.results import seeds

    seeds.write_seed_summaries(sorted({Path(job["folder"]).parent for job in jobs}))


def objective(records: Sequence[Any]) -> float | None:
    """What an optimising sweeper minimises: bits per character where there is a likelihood."""
    values = records[0].values if records else {}
    return values["bits_per_char"].value if "bits_per_char" in values else None


class SweepSummary(Callback):
    """At the end of a sweep: the leaderboard of what it ran, a report, and each failure with its reason and command.

    Before each of its first jobs the rows so far, where there are new ones, so that the first board does not wait for
    the last family.
    """

    _shown = 0  # jobs whose rows a board so far has held

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        from gentext.results import board, record, render_board

        several = HydraConfig.get().mode == RunMode.MULTIRUN and "trials" not in config.hydra.sweeper
        if not several or config.hydra.job.num >= SHOWN_SO_FAR:
            return
        done = [Path(job["folder"]) for job in _jobs(Path(os.environ[SWEEP])) if job["code"] == 0]
        if len(done) > self._shown:
            self._shown = len(done)
            with suppress(ValueError, OSError):  # what cannot be read is told at the end of the sweep
                render_board.show(board.rank(record.find(done)), brief=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        search = "trials" in config.hydra.sweeper  # which has shown its trials
        jobs = _jobs(Path(os.environ[SWEEP]))
        summarise(Path(config.out), jobs, samples=config.show_samples, board=not search)


def summarise(out: Path, jobs: Sequence[dict[str, Any]], *, samples: int = 0, board: bool = True) -> None:
    """Print the board of the jobs of a sweep, so many samples of each row, and what failed; write the report."""
    from gentext.report import write

    done = [Path(job["folder"]) for job in jobs if job["code"] == 0 and not job.get("pruned")]
    failed = [job for job in jobs if job["code"] != 0]
    try:
        if done:
            if board:
                _show(*done, samples=samples)
            for path in write.write(done, out / "report.html", failures=failed):
                print(f"Report: {path}")
    except (ValueError, OSError, MemoryError) as error:  # such as a full disk: what failed is still shown
        print(f"gentext: the sweep has no report: {explain(error)}", file=sys.stderr)
    if failed:
        print(f"\n{len(failed)} of {len(jobs)} jobs failed:", file=sys.stderr)
    for job in failed:
        print(f"  {job['reason']}\n    again: {job['command']}", file=sys.stderr)


def _show(*folders: Path, samples: int = 0) -> None:
    """The board of these run folders, so many samples of each row, and where everything lies."""
    from gentext.results import board, record, render_board

    ranked = board.rank(record.find(folders))
    render_board.show(ranked)
    if samples:
        render_board.show_samples(ranked, samples)
    print(f"Records, samples, models and logs: {os.path.commonpath([*map(str, folders)])}")


def _jobs(ended: Path) -> list[dict[str, Any]]:
    """How each job of the sweep stands that has begun."""
    written = [node for _, node in read_jsonl(ended)] if ended.exists() else []
    return list({job["command"]: job for job in [*written, *_unwritten]}.values())


def outcomes() -> dict[str, dict[str, Any]]:
    """How each job of the sweep that runs has ended so far, by its folder."""
    return {job["folder"]: job for job in _jobs(Path(os.environ[SWEEP]))}


def explain(error: BaseException) -> str:
    """An error in one sentence: what was given, what is needed, what to do."""
    if isinstance(error, OSError) and error.strerror:
        hints = {
            28: "Free some space; what is written already stays valid",
            17: "A file stands where a folder is to be; give another name",
            21: "A folder stands where a file is to be; give another name",
            13: "Name a folder that you may write to: out=...",
        }
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. {hints.get(error.errno or 0, '')}".strip()
    if out_of_memory(error):
        reason = str(error).splitlines()[:1] or ["MemoryError"]
        return f"memory is not enough ({reason[0]}). Lower max_len, train.batch_size, eval.samples or the family's size"
    return str(error) or f"an error without words: {type(error).__name__}"
