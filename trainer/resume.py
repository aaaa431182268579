"""A training run that goes on where it was cut off: the folder `<out>.resume` beside the checkpoint that it will become.

It holds a checkpoint of the weights so far and `state.pt`, tensors and plain numbers that torch.load reads with
weights_only: the optimiser, the random state, the best weights, and the number of the next batch. Written whole or not
at all, at the end of each epoch and every `checkpoint_batches` batches; removed when the run is done.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises for a file that is none of its own; nothing is unpickled
from typing import Any

import torch
from torch import Tensor

from headrace.config.training import TrainConfig
from headrace.errors import ConfigError, InputError

__all__ = ["RunState", "forget_run", "resume_folder", "run_key", "saved_run", "state_of"]

# What may differ between a run and its continuation: it changes no batch and no weight.
_FREE = {"workers", "worker_kind", "checkpoint_batches", "device", "patience", "segments", "tune", "fusion", "on_top"}


@dataclass
class RunState:
    """Where a run is.

    Attributes
    ----------
    key : str
        Of the days and the settings; see `run_key`.
    epoch, batch : int
        The next batch; epochs count from 0.
    rows : int
        Done in this epoch.
    sums : (T,) float64
        Losses of this epoch, summed over rows.
    epochs : list of dict
        Finished epochs, as the result shows them.
    best : float
        Lowest validation loss so far, infinite without one.
    kept : dict of str to Tensor, or None
        Weights of the best epoch, on the CPU.
    """

    key: str
    epoch: int = 0
    batch: int = 0
    rows: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best: float = float("inf")
    kept: dict[str, Tensor] | None = None


def resume_folder(out: Path) -> Path:
    """Where the state of the run that makes `out` is kept."""
    return out.with_name(out.name + ".resume")


def run_key(config: TrainConfig, *, days: Sequence[Mapping[str, Any]], valid: Sequence[Mapping[str, Any]]) -> str:
    """Hash of all that decides on batches and weights: settings, and the days' content."""
    free = _FREE if config.decay else _FREE | {"epochs"}  # a rate that falls must know where it ends
    settings = {k: v for k, v in config.model_dump(mode="json").items() if k not in free}
    return hashlib.sha256(json.dumps([settings, list(days), list(valid)], sort_keys=True).encode()).hexdigest()


def state_of(state: RunState, *, optimiser: Mapping[str, Any]) -> dict[str, Any]:
    """Everything beside the weights, for torch.save: tensors, numbers and texts only."""
    return {
        "key": state.key,
        "place": [state.epoch, state.batch, state.rows],
        "sums": state.sums,
        "epochs": json.dumps(state.epochs),
        "best": state.best,
        "kept": state.kept,
        "optimiser": optimiser,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def saved_run(folder: Path, *, key: str) -> tuple[RunState, dict[str, Any]]:
    """The state in `folder` and what the optimiser and the random generators need.

    Raises
    ------
    InputError
        There is none, or it is damaged.
    ConfigError
        It belongs to a run of other days or settings.
    """
    try:
        found = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        epoch, batch, rows = found["place"]
        state = RunState(found["key"], epoch, batch, rows, found["sums"], json.loads(found["epochs"]), found["best"])
        state.kept = found["kept"]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, EOFError, UnpicklingError) as error:
        raise InputError(
            str(folder),
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            wanted="the state of a training run that was cut off",
            remedy="train without --resume, from the start",
        ) from None
    if state.key != key:
        raise ConfigError(
            str(folder),
            found="the state of a run of other days or settings",
            wanted="the days (and their published content) and settings that it began with",
            remedy="give the same --ds, --days and configuration, or train without --resume, from the start",
        )
    return state, found


def forget_run(out: Path) -> None:
    """Remove the state of a run that is done."""
    shutil.rmtree(resume_folder(out), ignore_errors=True)
