"""`gentext COMMAND`, one of those that `gentext --help` lists: bad input ends in one line and exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gentext.checks import out_of_memory
from gentext.cli.commands import HANDLERS
from gentext.cli.parser import parser, refuse


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 a failure of ours, 2 bad input, 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if argv[:1] == ["run"]:  # Hydra parses its own arguments
            from gentext.cli.run import launch

            return launch(argv[1:])
        if argv[:1] == ["-sc"]:  # what `gentext run -sc install=bash` installs asks so
            from gentext.cli.run import suggest

            return suggest(argv)
        return act(argv)
    except KeyboardInterrupt:
        again = " The same command goes on where this one stopped." if argv[:1] in (["run"], ["tune"]) else ""
        print(f"\ngentext: interrupted.{again}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `gentext board runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from gentext.cli.run import explain

        if not (isinstance(error, ValueError | OSError) or out_of_memory(error)):
            raise
        print(f"gentext: {explain(error)}", file=sys.stderr)
        return 2


def act(argv: Sequence[str]) -> int:
    """Carry out any command but run. KEY=VALUE words may stand between the flags."""
    known = parser(HANDLERS)
    args, rest = known.parse_known_args(argv)
    if any("=" not in word or word.startswith("-") for word in rest) or (rest and not hasattr(args, "pairs")):
        refuse(f"{known.prog} {argv[0]}", f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.pairs += rest
    from gentext import config

    with config.searching(args.config_dir):
        return args.act(args) or 0
