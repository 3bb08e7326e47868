"""Checkpoints: files that are whole at any instant, what they hold, and how a run resumes to the same numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model

from gentext.files import ANEW, atomic, read_json, remove, sha256, write_json
from gentext.language_model import LanguageModel
from gentext.train.base import TrainingError, TrainState
from gentext.train.distributed import gather_tree, shard_like
from gentext.train.progress import Progress
from gentext.types import map_state

log = logging.getLogger("gentext")

POINTER = "checkpoint.json"
NAMES, DIGESTS = "files", "sha256"  # what it holds
WEIGHTS, STATE, BEST = "weights.safetensors", "state.pt", "best.safetensors"
FORMAT_1 = {"place": "progress", "feed": "loader", "average": "ema"}  # what state.pt called its parts before

Writer = Callable[[Path | None], None]


class Checkpoint:
    """A folder of files that belong together.

    Every file of a save has a new name; the pointer, replaced atomically, says which names are meant, and their sha256.
    A process killed at any instant leaves the old set or the new one, and perhaps files that nobody names, which the
    next save removes.

    >>> import tempfile
    >>> held = Checkpoint(Path(tempfile.mkdtemp()))
    >>> held.save(7, {"note.txt": lambda path: path.write_text("seven")})
    >>> held.files["note.txt"].name
    '7-note.txt'
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def files(self) -> dict[str, Path] | None:
        """The files of the last save by what they hold; None where there is none.

        Raises: TrainingError where one is not as it was written.
        """
        found = self._read()
        if found is None:
            return None
        for name, digest in found[DIGESTS].items():
            path = self.folder / name
            if not path.is_file() or sha256(path) != digest:
                raise _damaged(path)
        return {what: self.folder / name for what, name in found[NAMES].items()}

    def _read(self) -> dict[str, dict[str, str]] | None:
        """The pointer: names by what the files hold, and sha256 by names; None where there is no save."""
        pointer = self.folder / POINTER
        if not pointer.exists():
            return None
        try:
            found = read_json(pointer)
        except (ValueError, OSError) as error:
            raise _damaged(pointer) from error
        if isinstance(found, dict) and all(isinstance(name, str) for name in found.values()):
            return {NAMES: found, DIGESTS: {}}  # of an older gentext
        if not (isinstance(found, dict) and all(isinstance(found.get(key), dict) for key in (NAMES, DIGESTS))):
            raise _damaged(pointer)
        return found

    def save(self, step: int, writers: Mapping[str, Callable[[Path], object]]) -> None:
        """Write files durably, each by its writer; what else the last save held stays.

        Args:
            step: begins the new files' names.
            writers: by what the file holds, which ends in the file's suffix.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self._read() or {NAMES: {}, DIGESTS: {}}
        named, digests = dict(before[NAMES]), before[DIGESTS]
        for what, write in writers.items():
            named[what] = f"{step}-{what}"
            with atomic(self.folder / named[what], durable=True) as draft:
                write(draft)
                digests[named[what]] = sha256(draft)
        digests = {name: digests[name] for name in named.values() if name in digests}
        write_json({NAMES: named, DIGESTS: digests}, self.folder / POINTER, durable=True, digest=True)
        for path in self.folder.iterdir():
            if path.name not in (*named.values(), POINTER):
                remove(path)

    def clear(self) -> None:
        """Remove the last save."""
        if self.folder.exists():
            remove(self.folder / POINTER)  # first: without it the others mean nothing
            for path in self.folder.iterdir():
                remove(path)


def _damaged(path: Path) -> TrainingError:
    return TrainingError(f"{path} is damaged: it is not what the run wrote. {ANEW}")


def save(state: TrainState, *, best: bool = False) -> None:
    """Write a checkpoint of a training; `best`: the averaged weights are the best on valid so far."""
    rest = state_dict(state)
    writers: dict[str, Writer] = {STATE: lambda path: torch.save(rest, cast(Path, path))}
    if best:
        writers[BEST] = lambda path: _save_averaged(state, path)
    writers[WEIGHTS] = lambda path: _save_weights(state, path)
    if state.group.leads:
        _of(state).save(state.budget.progress.step, writers)
    else:  # sharded weights are gathered from all, in the order in which the leading process writes them
        for what in list(writers)[1:]:
            writers[what](None)
    state.budget.saved()


def state_dict(state: TrainState) -> dict[str, Any]:
    """All that decides how a training continues, but for the weights."""
    carried = state.family.carried if isinstance(state.family, LanguageModel) else {}
    mine = {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(state.device) if state.device.type == "cuda" else None,
        "carried": map_state(carried, torch.Tensor.cpu),
    }
    return {
        "progress": asdict(state.budget.progress),
        "loader": None if state.loader is None else state.loader.state_dict(),
        "optimizers": [gather_tree(optimizer.state_dict()) for optimizer in state.optimizers],
        "ema": gather_tree(state.ema.weights),
        "streams": state.streams.state_dict(),
        "processes": state.group.gather(mine),
    }


def restore(state: TrainState) -> bool:
    """Continue from the folder's checkpoint; whether there is one.

    Only the leading process reads it: the folder of another machine need not hold it.

    Raises:
        TrainingError: it is of another model or of other options.
    """
    held = state.group.broadcast_object(_read(state) if state.group.leads else None)
    if held is None:
        return False
    state.group.broadcast_weights(state.shell)
    _scatter(state)
    for optimizer, values in zip(state.optimizers, held["optimizers"], strict=True):
        optimizer.load_state_dict(values)
        _shard(optimizer)
    for weight, value in zip(state.ema.weights, held["ema"], strict=True):
        weight.copy_(shard_like(value, weight))
    state.streams.load_state_dict(held["streams"])
    if state.loader is not None:
        state.loader.load_state_dict(held["loader"])
    state.budget.restore(Progress(**held["progress"]))
    _restore_own(state, held["processes"])
    log.info("going on from step %d of %s", state.budget.progress.step, state.monitor.folder)
    return True


def finish(state: TrainState) -> None:
    """Leave the weights that were best on valid in the family, or in its shell where it is sharded."""
    files = _of(state).files
    if state.group.leads and files is not None and BEST in files:
        load_model(state.shell, files[BEST], device=str(state.device))
    state.group.broadcast_weights(state.shell)
    state.shell.eval()


def _of(state: TrainState) -> Checkpoint:
    return Checkpoint(state.monitor.folder / "checkpoint")


def _read(state: TrainState) -> dict[str, Any] | None:
    """What the last save holds, its weights put into the shell; None where there is none."""
    files = _of(state).files
    if files is None:
        return None
    try:
        stored: dict[str, Any] = torch.load(files[STATE], map_location="cpu", weights_only=True)
        held = {FORMAT_1.get(key, key): value for key, value in stored.items()}
        if WEIGHTS in files:
            load_model(state.shell, files[WEIGHTS], device=str(state.device))
        else:
            held = _of_em_in_format_1(state, held)
    except (RuntimeError, ValueError, KeyError, OSError, EOFError, SafetensorError, UnpicklingError) as error:
        raise TrainingError(
            f"{_of(state).folder} holds a checkpoint of another model or of other options ({error}); "
            "start anew with resume=false, or train into another folder"
        ) from error
    return held


def _of_em_in_format_1(state: TrainState, held: dict[str, Any]) -> dict[str, Any]:
    """What EM saved before, as it is saved today: its weights were tensors beside the rest, its figure a likelihood."""
    if held["best"] is not None:
        state.shell.load_state_dict(held["best"])
        _of(state).save(held["progress"]["iteration"], {BEST: lambda path: _save_weights(state, path)})
    state.shell.load_state_dict(held["family"])
    progress = dict(held["progress"])
    progress |= {"step": progress.pop("iteration"), "best": -progress["best"]}
    return {"progress": progress, "streams": held["streams"], "optimizers": [], "ema": [], "processes": None}


def _gather(state: TrainState) -> None:
    """Put the whole weights into the shell; every process has to."""
    if state.shell is not state.family:
        state.shell.load_state_dict(gather_tree(state.family.state_dict()))


@torch.no_grad()
def _scatter(state: TrainState) -> None:
    """Put the shell's weights into the family."""
    if state.shell is not state.family:
        held = state.shell.state_dict()
        for name, tensor in state.family.state_dict().items():
            tensor.copy_(shard_like(held[name], tensor))


def _save_weights(state: TrainState, path: Path | None) -> None:
    _gather(state)
    if path is not None:
        save_model(state.shell, str(path))


def _save_averaged(state: TrainState, path: Path | None) -> None:
    with state.ema.applied():
        _save_weights(state, path)


def _shard(optimizer: torch.optim.Optimizer) -> None:
    """Divide a loaded optimiser's moments over the processes as its parameters are."""
    for parameter, held in optimizer.state.items():
        for name, value in held.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                held[name] = shard_like(value, parameter)


def _restore_own(state: TrainState, processes: list[dict[str, Any]] | None) -> None:
    """What each process has to itself: torch's global generators and its rows' carried states."""
    if processes is None:
        return
    if len(processes) != state.group.world:
        log.warning(
            "the checkpoint is of %d processes and this run has %d: its numbers will differ from an unbroken run's",
            len(processes),
            state.group.world,
        )
        return
    mine = processes[state.group.rank]
    torch.set_rng_state(mine["torch"])
    if mine["cuda"] is not None and state.device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], state.device)
    if mine["carried"]:
        state.family.carried = map_state(mine["carried"], lambda tensor: tensor.to(state.device))
