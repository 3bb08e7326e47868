"""Sampling and scoring in several processes, each with the trained model: the results are those of one process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from gentext.data.corpus import Corpus
from gentext.decode.chunks import join
from gentext.evaluation import scoring
from gentext.language_model import Decoder, LanguageModel
from gentext.seeding import Streams
from gentext.train.base import device_of
from gentext.types import Batch

SHARD = 10_000  # texts of a draw that come from one random stream, and from one process


def log_prob(family: LanguageModel, corpus: Corpus, split: str, processes: int) -> Float[Tensor, " n"]:
    """Nats per sequence of a split of lines, float64: every process scores its share of the same batches."""
    jobs = [(corpus, split, first, processes) for first in range(processes)]
    shares = _in_processes(family, _scored, jobs, processes)
    batches: list[Any] = [None] * sum(map(len, shares))
    for first, share in enumerate(shares):
        batches[first::processes] = share
    return torch.cat([torch.from_numpy(batch) for batch in batches])


def _scored(family: LanguageModel, job: tuple[Corpus, str, int, int]) -> list[Float[ndarray, " n"]]:
    corpus, split, first, step = job
    batches = corpus.whole(split, scoring.SCORED_AT_ONCE)
    return [scoring.log_prob(family, [batch]).numpy() for batch in islice(batches, first, None, step)]


def sample(
    family: LanguageModel,
    n: int,
    max_len: int,
    *,
    decoder: Decoder,
    seed: int,
    name: str,
    prompt: Int[Tensor, "n p"] | None = None,
    processes: int = 1,
) -> Batch:
    """A draw of `n` sequences on the CPU, in shards of SHARD, which the processes share out.

    Args:
        family: in evaluation mode, on its device.
        n: sequences.
        max_len: tokens of a sequence at most.
        decoder: the decode setting.
        seed: of the run.
        name: of the random stream of the first shard; that of the next is called `name/1`, and so on.
        prompt: of each sequence, on the CPU.
        processes: how many; they change nothing in the result.
    """
    jobs = []
    for k, at in enumerate(range(0, max(n, 1), SHARD)):
        given = None if prompt is None else prompt[at : at + SHARD]
        stream = f"{name}/{k}" if k else name
        jobs.append((min(SHARD, n - at), max_len, decoder, seed, stream, given))
    parts = _in_processes(family, _drawn, jobs, processes)
    return join([torch.from_numpy(part) for part in parts], prompt)


def _drawn(family: LanguageModel, job: tuple[int, int, Decoder, int, str, Tensor | None]) -> Int[ndarray, "n t"]:
    n, max_len, decoder, seed, name, prompt = job
    device = device_of(family)
    rng = Streams(seed)(name, device)
    given = None if prompt is None else prompt.to(device)
    with torch.inference_mode():
        return family.sample(n, max_len, decoder=decoder, rng=rng, prompt=given).tokens.cpu().numpy()


def _in_processes(
    family: LanguageModel, act: Callable[[LanguageModel, Any], Any], jobs: Sequence[Any], processes: int
) -> list[Any]:
    """What `act` gives for each job, in order; one job, or those of one process, are done here."""
    workers = min(processes, len(jobs))
    if workers == 1:
        return [act(family, job) for job in jobs]
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "family.pkl"
        path.write_bytes(pickle.dumps(copy.deepcopy(family).cpu()))
        given = (path, torch.get_num_threads(), device_of(family).type, context.Value("i", 0))
        with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=given) as pool:
            return list(pool.map(partial(_act, act), jobs))


_family: LanguageModel | None = None  # of this process, one of several


def _begin(path: Path, threads: int, device: str, begun: Synchronized[int]) -> None:
    """Load the family: on the next GPU where it is on one."""
    global _family
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # as in the run that began this process: see denormals_as_zero
    with begun.get_lock():
        number = begun.value
        begun.value += 1
    where = f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device
    _family = pickle.loads(path.read_bytes()).to(where)


def _act(act: Callable[[LanguageModel, Any], Any], job: Any) -> Any:
    assert _family is not None
    return act(_family, job)
