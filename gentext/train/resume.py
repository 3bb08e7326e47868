"""What a checkpoint of a training holds, and how a run goes on from it to the numbers of one never stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model

from gentext.train.base import TrainingError, TrainState
from gentext.train.checkpoint import Checkpoint
from gentext.train.distributed import gather_tree, shard_like
from gentext.train.progress import Progress
from gentext.types import map_state

log = logging.getLogger("gentext")

Writer = Callable[[Path | None], None]

WEIGHTS, STATE, BEST = "weights.safetensors", "state.pt", "best.safetensors"


def checkpoint(training: TrainState) -> Checkpoint:
    """Where a run in this folder keeps its state."""
    return Checkpoint(training.monitor.folder / "checkpoint")


def save(training: TrainState, *, best: bool = False) -> None:
    """Write a checkpoint; `best`: the averaged weights are the best on valid so far."""
    state = state_dict(training)
    writers: dict[str, Writer] = {STATE: lambda path: torch.save(state, path)}
    if best:
        writers[BEST] = lambda path: _save_averaged(training, path)
    writers[WEIGHTS] = lambda path: _save_weights(training, path)
    if training.group.leads:
        checkpoint(training).save(training.course.place.step, writers)
    else:  # sharded weights are gathered from all, in the order in which the leading process writes them
        for what in list(writers)[1:]:
            writers[what](None)
    training.course.saved()


def state_dict(training: TrainState) -> dict[str, Any]:
    """All that decides how the run goes on, but for the weights."""
    mine = {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(training.device) if training.device.type == "cuda" else None,
        "carried": map_state(training.family.carried, torch.Tensor.cpu),
    }
    return {
        "place": asdict(training.course.place),
        "feed": training.feed.state_dict(),
        "optimizers": [gather_tree(optimizer.state_dict()) for optimizer in training.optimizers],
        "average": gather_tree(training.average.weights),
        "streams": training.streams.state_dict(),
        "processes": training.group.gather(mine),
    }


def restore(training: TrainState) -> bool:
    """Go on from the folder's checkpoint, and say if there is one. Raises: TrainingError where it is of another model.

    Only the leading process reads it: the folder of another machine need not hold it.
    """
    state = training.group.tell(_read(training) if training.group.leads else None)
    if state is None:
        return False
    training.group.broadcast(training.shell)
    _scatter(training)
    for optimizer, held in zip(training.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(held)
        _divide(optimizer)
    for weight, held in zip(training.average.weights, state["average"], strict=True):
        weight.copy_(shard_like(held, weight))
    training.streams.load_state_dict(state["streams"])
    training.feed.load_state_dict(state["feed"])
    training.course.go_on_from(Progress(**state["place"]))
    _restore_own(training, state["processes"])
    log.info("going on from step %d of %s", training.course.place.step, training.monitor.folder)
    return True


def _read(training: TrainState) -> dict[str, Any] | None:
    """What the last save holds, its weights put into the shell; None where there is none."""
    files = checkpoint(training).files
    if files is None:
        return None
    try:
        load_model(training.shell, files[WEIGHTS], device=str(next(training.shell.parameters()).device))
        state = torch.load(files[STATE], map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{files[WEIGHTS].parent} holds a checkpoint of another model or recipe ({error}); "
            "start anew with resume=false, or train into another folder"
        ) from error
    return state


def finish(training: TrainState) -> None:
    """Leave the weights that were best on valid in the family, or in its shell where it is sharded."""
    files = checkpoint(training).files
    if training.group.leads and files is not None and BEST in files:
        load_model(training.shell, files[BEST], device=str(next(training.shell.parameters()).device))
    training.group.broadcast(training.shell)
    training.shell.eval()


def _gather(training: TrainState) -> None:
    """Put the whole weights into the shell; every process has to."""
    if training.shell is not training.family:
        training.shell.load_state_dict(gather_tree(training.family.state_dict()))


@torch.no_grad()
def _scatter(training: TrainState) -> None:
    """Put the shell's weights into the family."""
    if training.shell is not training.family:
        held = training.shell.state_dict()
        for name, tensor in training.family.state_dict().items():
            tensor.copy_(shard_like(held[name], tensor))


def _save_weights(training: TrainState, path: Path | None) -> None:
    _gather(training)
    if path is not None:
        save_model(training.shell, str(path))


def _save_averaged(training: TrainState, path: Path | None) -> None:
    with training.average.applied():
        _save_weights(training, path)


def _divide(optimizer: torch.optim.Optimizer) -> None:
    """Divide a loaded optimiser's moments over the processes as its parameters are."""
    for parameter, held in optimizer.state.items():
        for name, value in held.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                held[name] = shard_like(value, parameter)


def _restore_own(training: TrainState, processes: list[dict[str, Any]]) -> None:
    """What each process has to itself: torch's global generators and its rows' carried states."""
    if len(processes) != training.group.world:
        log.warning(
            "the checkpoint is of %d processes and this run has %d: its numbers will differ from an unbroken run's",
            len(processes),
            training.group.world,
        )
        return
    mine = processes[training.group.rank]
    torch.set_rng_state(mine["torch"])
    if mine["cuda"] is not None and training.device.type == "cuda":
        torch.cuda.set_rng_state(mine["cuda"], training.device)
    if mine["carried"]:
        training.family.carried = map_state(mine["carried"], lambda tensor: tensor.to(training.device))
