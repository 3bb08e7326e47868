"""A command of gentext in a forked process: it may be killed, run out of memory or time, and leaves no state behind."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import gentext.cli.run
import gentext.report.write
import gentext.run_pipeline
import gentext.score_pipeline  # noqa: F401
from gentext import adversarial, data, decode, metrics, models, train, truth
from gentext.cli import main

SECONDS = 300  # after which a command hangs
PACKAGES = (adversarial, data, decode, metrics, models, train, truth)
LOADED = [getattr(package, name) for package in PACKAGES for name in package.__all__]  # once, before any fork


@dataclass
class Outcome:
    """How a command ended."""

    code: int | None  # its exit code; None where it was killed
    out: str
    err: str
    said: dict[str, str]  # what the process noted by `note`
    seconds: float
    processor: float  # seconds of it, which a busy machine does not lengthen

    @property
    def killed(self) -> bool:
        return self.code is None

    @property
    def traceback(self) -> bool:
        return self.code not in (0, 2, None) or "Traceback (most recent call last)" in self.err


_notes: list[int] = []  # the pipe of this process


def note(**said: str) -> None:
    """Tell the parent process something that it knows even if this one is killed next."""
    if _notes:
        os.write(_notes[0], (json.dumps(said) + "\n").encode())


def command(
    argv: Sequence[str],
    *,
    cwd: Path,
    cache: Path,
    before: Callable[[], object] = lambda: None,
    seconds: float = SECONDS,
) -> Outcome:
    """How `gentext ARGV` ends in a process of its own, which calls `before` first and is ended after `seconds`."""
    begun = time.perf_counter()
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _notes.append(writer)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _child(argv, cwd, cache, before)
        os.close(writer)
        said, status, processor = _await(pid, reader, seconds)
        out.seek(0)
        err.seek(0)
        texts = [file.read().decode(errors="replace") for file in (out, err)]
    code = os.waitstatus_to_exitcode(status)
    return Outcome(code if code >= 0 else None, *texts, said, time.perf_counter() - begun, processor)


def _child(argv: Sequence[str], cwd: Path, cache: Path, before: Callable[[], object]) -> None:
    code = 1
    torch.set_num_threads(1)  # others do not survive a fork
    try:
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", encoding="utf-8", buffering=1) for n in (1, 2))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(cwd)
        os.environ["GENTEXT_CACHE"] = str(cache)
        before()
        code = main(list(argv))
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _await(pid: int, reader: int, seconds: float) -> tuple[dict[str, str], int, float]:
    """What the process noted, its status, and its seconds of a processor; it is killed after so many seconds."""
    held, end = b"", time.monotonic() + seconds
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            os.kill(pid, signal.SIGKILL)
            held += b'{"hangs": "yes"}\n'
            break
        read = os.read(reader, 65536)
        if not read:
            break
        held += read
    os.close(reader)
    said: dict[str, str] = {}
    for line in held.decode().splitlines():
        said |= json.loads(line)
    _, status, used = os.wait4(pid, 0)
    return said, status, used.ru_utime + used.ru_stime


class Tally:
    """How many cases of each kind were tried, and what was found wrong."""

    def __init__(self, what: str) -> None:
        self.what, self.kinds, self.faults = what, {}, []
        self.begun = time.perf_counter()

    def count(self, kind: str, faults: Sequence[str] = ()) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        for fault in faults:
            self.faults.append(fault)
            print(f"FAULT {fault}", flush=True)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(self.kinds.items()))
        total, seconds = sum(self.kinds.values()), time.perf_counter() - self.begun
        return f"{self.what}: {total} tried ({kinds}), {len(self.faults)} faults, {seconds:.0f} s"
