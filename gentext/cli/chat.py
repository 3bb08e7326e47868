"""`gentext chat` and `gentext sample --interactive`: a line is read, the model's answer is written as it is drawn."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gentext.language_model import Decoder
    from gentext.trained import TrainedModel

ASKED = "> "


def chat(
    model: TrainedModel,
    *,
    decoder: Decoder,
    seed: int,
    stop: Sequence[str],
    shown: Callable[[str], str] = str,
) -> None:
    """Answer each line of standard input until it ends; of a dialogue given the turns before it.

    Ctrl-C ends an answer, and between two answers the chat. On a terminal a blank line begins a new dialogue.

    Args:
        model: that answers.
        decoder: that draws the answers.
        seed: each answer has a random stream of its own.
        stop: strings before which an answer ends.
        shown: what is written of a piece of text.
    """
    from gentext.seeding import Streams

    asked, turns, join = sys.stdin.isatty(), [], model.joined_turns
    if asked:
        with suppress(ImportError):
            import readline  # noqa: F401 - gives `input` line editing and a history
        blank = "" if join is None else "; a blank line begins a new dialogue"
        print(f"{model.expects}. Ctrl-C stops an answer, Ctrl-D ends{blank}.", file=sys.stderr)

    def show(piece: str) -> None:
        print(shown(piece), end="", flush=True)

    for i in itertools.count():
        try:
            line = input(ASKED if asked else "").strip()
        except (EOFError, KeyboardInterrupt):
            if asked:
                print()
            return
        if not line:
            turns = []
            continue
        turns = [*([] if join is None else turns), line]
        while len(turns) > 1 and not model.reads((join or "").join(turns)):
            turns = turns[1:]  # what it cannot read any more, it forgets
        prompt = (join or "").join(turns)
        try:
            own = Streams(seed).derive(f"chat/{i}")
            turns += model.sample(1, prompt=prompt, stream=show, decoder=decoder, seed=own, stop=stop)
        except ValueError as error:
            print(f"gentext: {error}", file=sys.stderr)
            turns = turns[:-1]
            continue
        except KeyboardInterrupt:
            turns = turns[:-1]
        print(flush=True)
