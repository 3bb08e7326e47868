"""Several processes that train one model, started from inside the job by torch's elastic launcher."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import tempfile
import threading
import traceback
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
import torch.distributed as dist
from safetensors.torch import load_model, save_model
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from gentext.data.corpus import Corpus
from gentext.language_model import LanguageModel
from gentext.seeding import Streams
from gentext.train.base import Monitor, NullMonitor, ProgressBar, TrainingError, device_of
from gentext.train.distributed import ProcessGroup
from gentext.train.fit import fit
from gentext.train.gradient_state import GradientOptions, GradientState


@runtime_checkable
class LaunchOptions(GradientOptions, Protocol):
    """What `GradientTrainer` holds of the processes that it starts; it says what each is."""

    processes: int
    sharded: bool
    nodes: int
    rendezvous: str


@dataclass(frozen=True)
class WorkerJob:
    """All that a process needs; it is pickled."""

    options: LaunchOptions
    family: LanguageModel
    corpus: Corpus
    streams: Streams
    folder: Path
    resume: bool
    threads: int


def train_together(
    options: LaunchOptions, family: LanguageModel, corpus: Corpus, streams: Streams, monitor: Monitor
) -> None:
    """Trains `family` in place, in `options.processes` processes on each of `options.nodes` machines.

    Ctrl-C, or the death of a process, leaves the last checkpoint, from which resume=true continues.
    Raises: TrainingError where a process fails.
    """
    device = device_of(family)
    threads = max(1, torch.get_num_threads() // options.processes)
    job = WorkerJob(options, family.cpu(), corpus, streams, monitor.folder, monitor.resume, threads)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "job.pkl").write_bytes(pickle.dumps(job))
        with _relayed(monitor) as reports:
            _launch(options, Path(scratch), reports, device.type)
        load_model(family.to(device), Path(scratch) / "trained.safetensors", device=str(device))
    family.eval()


def _launch(options: LaunchOptions, scratch: Path, reports: Connection, device: str) -> None:
    config = LaunchConfig(
        min_nodes=options.nodes,
        max_nodes=options.nodes,
        nproc_per_node=options.processes,
        run_id="gentext" if options.nodes > 1 else str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint=options.rendezvous,
        local_addr="localhost" if options.nodes == 1 else None,
        start_method="spawn",
        max_restarts=0,
    )
    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they print tracebacks: TrainingError says it
    try:
        elastic_launch(config, _work)(scratch, reports, device)
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        raise
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        reason = next((path.read_text(encoding="utf-8") for path in sorted(scratch.glob("failed-*"))), None)
        raise TrainingError(
            reason
            or f"process {rank} of those that train died (exit code {failure.exitcode}); "
            "resume=true continues from the last checkpoint"
        ) from error


def _work(scratch: Path, reports: Connection, device: str) -> None:
    """One process: the same loop as in a single one, but that it computes its own rows of every batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the launcher's is the one that counts
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        _train(scratch, reports, device)
    except Exception as error:
        if isinstance(error, ValueError | OSError):
            (scratch / f"failed-{dist.get_rank()}").write_text(str(error), encoding="utf-8")
        else:
            traceback.print_exc()
        os._exit(1)  # at once: an orderly end may wait for processes that wait for this one
    dist.barrier()  # one that has ended resets connections which others may still read the last weights from
    gc.collect()  # a reducer that outlives the group may wait in its destructor for a thread that waits for it
    dist.destroy_process_group()


def _train(scratch: Path, reports: Connection, device: str) -> None:
    job: WorkerJob = pickle.loads((scratch / "job.pkl").read_bytes())
    torch.set_num_threads(job.threads)
    torch.set_flush_denormal(True)  # as in the run that began this process: see denormals_as_zero
    warnings.filterwarnings("ignore", ".*find_unused_parameters=True")  # said where a step happens to use all
    group = ProcessGroup(dist.get_rank(), dist.get_world_size(), job.options.sharded)
    place = (job.folder, job.resume)
    monitor = PipeMonitor(*place, reports=reports) if group.leads else NullMonitor(*place)
    state = GradientState(job.options, job.family.to(device), job.corpus, job.streams, monitor, group)
    fit(state)
    if os.environ["LOCAL_RANK"] == "0":
        save_model(state.shell, str(scratch / "trained.safetensors"))


@dataclass
class PipeMonitor(NullMonitor):
    """A Monitor in another process: it sends what it is given to the job's own, which alone keeps weights."""

    reports: Connection = field(kw_only=True)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.reports.send(("log", (step, dict(values))))

    @contextmanager
    def progress(self, total: float | None, description: str, unit: str) -> Iterator[ProgressBar]:
        self.reports.send(("progress", (total, description, unit)))
        yield self
        self.reports.send(("end", ()))

    def book(self, steps: int, seconds: float, tokens: int, core_seconds: float, flops: float) -> None:
        self.reports.send(("book", (steps, seconds, tokens, core_seconds, flops)))

    def update(self, n: float = 1, **shown: float | str) -> None:
        self.reports.send(("update", (n, shown)))


@contextmanager
def _relayed(monitor: Monitor) -> Iterator[Connection]:
    """The end of a pipe that a PipeMonitor writes to; a thread gives the monitor what comes out of it."""
    reader, writer = Pipe(duplex=False)
    thread = threading.Thread(target=_listen, args=(reader, monitor), daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        writer.close()  # the last one open: the reader comes to its end
        thread.join()


def _listen(reader: Connection, monitor: Monitor) -> None:
    try:
        while True:
            kind, values = reader.recv()
            if kind == "log":
                monitor.log(*values)
            elif kind == "book":
                monitor.book(*values)
            elif kind == "progress":
                with monitor.progress(*values) as bar:
                    while (report := reader.recv())[0] != "end":
                        if report[0] == "log":
                            monitor.log(*report[1])
                        elif report[0] == "book":
                            monitor.book(*report[1])
                        else:
                            bar.update(report[1][0], **report[1][1])
    except EOFError:
        return
