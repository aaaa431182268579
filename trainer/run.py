"""A training run: its epochs, when it stops, what it saves on the way, and which weights it keeps."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headrace.config.training import TrainConfig
from headrace.errors import ConfigError
from trainer.checkpoint import Checkpoint, day_facts, packed, write_checkpoint
from trainer.device import device_of
from trainer.inputs import Inputs, orders_of, training_loader
from trainer.learning import Learner, learner_for, run_epoch
from trainer.loader import Loader
from trainer.material import Material
from trainer.resume import RunState, resume_folder, state_of
from trainer.scoring import Progress, validation_loss

__all__ = ["Run", "kept", "learn", "make_run", "restore"]

Log = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Run:
    """What stays the same through a run."""

    root: str
    material: Material
    bundle: Checkpoint
    learner: Learner
    inputs: Inputs
    out: Path
    progress: Progress
    log: Log


def make_run(root: str, bundle: Checkpoint, *, material: Material, out: Path, told: tuple[Progress, Log]) -> Run:
    """Everything in place for `bundle` to learn."""
    device = device_of(bundle.config)
    bundle.model.to(device)
    rows, config = sum(piece.rows for piece in material.pieces), bundle.config
    steps = config.epochs * -(-rows // config.batch_size)
    learner = learner_for(
        bundle.model, bundle.plan, facts=bundle.facts, config=config, device=device, total_steps=steps
    )
    inputs = Inputs(root, orders_of(material.days), bundle.encoder, bundle.plan)
    return Run(root, material, bundle, learner, inputs, out, *told)


def restore(run: Run, saved: dict[str, Any]) -> None:
    """Give optimiser and random generators the state that was saved, if any was."""
    if not saved:
        return
    run.learner.optimiser.load_state_dict(saved["optimiser"])
    torch.set_rng_state(saved["random"])
    if run.learner.device == "cuda" and saved["random_cuda"]:
        torch.cuda.set_rng_state_all(saved["random_cuda"])


def learn(run: Run, state: RunState) -> None:
    """Run the epochs that are left; leaves the best weights in the state."""
    config = run.bundle.config
    loader = training_loader(run.inputs, run.material.pieces, config=config, device=run.learner.device)
    total = sum(piece.rows for piece in run.material.pieces)
    if not state.epochs and not state.batch:
        facts = {"rows": total, "heads": run.bundle.plan.names, "dropped": run.bundle.plan.dropped}
        run.log({"event": "start", "days": run.bundle.days, "device": run.learner.device} | facts)
    with closing(loader):
        while state.epoch < config.epochs and not _has_stopped(state, config):
            _run_epoch(run, state, loader=loader, total=total)


def _run_epoch(run: Run, state: RunState, *, loader: Loader, total: int) -> None:
    if not state.batch:
        state.sums = torch.zeros(len(run.bundle.plan.heads), dtype=torch.float64)
    began, before = time.monotonic(), state.rows
    losses = run_epoch(
        run.learner,
        loader.epoch(state.epoch, start=state.batch),
        state=state,
        notice=lambda now: _notice(run, now, total=total),
        save=lambda now: _save(run, now),
        save_every=run.bundle.config.checkpoint_batches,
    )
    seconds = time.monotonic() - began
    _end_epoch(run, state, losses=losses, speed=(state.rows - before) / max(seconds, 1e-9))


def _has_stopped(state: RunState, config: TrainConfig) -> bool:
    """Whether the last `patience` epochs brought nothing better on the validation day."""
    losses = [epoch["valid_loss"] for epoch in state.epochs]
    if config.patience is None or not losses or losses[-1] is None:
        return False
    return len(losses) - 1 - int(np.argmin(losses)) >= config.patience


def _end_epoch(run: Run, state: RunState, *, losses: dict[str, float], speed: float) -> None:
    if not all(math.isfinite(loss) for loss in losses.values()):
        raise ConfigError(
            "train.learning_rate",
            found=f"losses that are no numbers after epoch {state.epoch + 1}: the weights have run away",
            wanted="a run that converges",
            remedy="lower train.learning_rate and train.embedding_learning_rate, or set train.clip_norm",
        )
    judged = validation_loss(run.bundle, run.material, root=run.root, progress=run.progress)
    ended = {"epoch": state.epoch + 1, "losses": losses, "rows": state.rows, "rows_per_s": round(speed)}
    state.epochs.append(ended | {"valid_loss": judged})
    if judged is not None and judged < state.best:
        state.best = judged
        state.kept = {name: value.to("cpu", copy=True) for name, value in run.bundle.model.state_dict().items()}
    state.epoch, state.batch, state.rows = state.epoch + 1, 0, 0
    state.sums = torch.zeros_like(state.sums)
    run.log({"event": "epoch"} | state.epochs[-1])
    _save(run, state)


def _notice(run: Run, state: RunState, *, total: int) -> None:
    text = f"loss {state.sums.sum().item() / max(state.rows, 1):.4f}"
    run.progress(f"train {state.epoch + 1}/{run.bundle.config.epochs}", state.rows, total, text)


def _save(run: Run, state: RunState) -> None:
    beside = {"state.pt": packed(state_of(state, optimiser=run.learner.optimiser.state_dict()))}
    write_checkpoint(run.bundle, resume_folder(run.out), beside=beside)


def kept(run: Run, state: RunState) -> Checkpoint:
    """The bundle with the weights to keep, on the CPU, and its history."""
    model = run.bundle.model.cpu()
    best = len(state.epochs)
    if state.kept is not None:
        model.load_state_dict(state.kept)
        best = 1 + int(np.argmin([epoch["valid_loss"] for epoch in state.epochs]))
    history = {"epochs": state.epochs, "kept_epoch": best, "valid_days": day_facts(run.material.valid_days)}
    return replace(run.bundle, history=run.bundle.history | history)
