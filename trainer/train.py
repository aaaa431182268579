"""Train on published days: fit the encoder, choose the heads, learn, and leave a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch

from headrace.config.training import TrainConfig
from headrace.errors import ConfigError, InputError
from trainer.after import After
from trainer.checkpoint import (
    Checkpoint,
    day_facts,
    fresh_model,
    load_checkpoint,
    recover_folder,
    refuse_foreign_folder,
    write_checkpoint,
)
from trainer.evaluate import Evaluation, check_schema
from trainer.facts import Facts
from trainer.finishing import finished, with_fusion
from trainer.fitting import Fitted, check_same_schema, fit_days, training_pieces
from trainer.learning import start_at_base_rates
from trainer.material import Material
from trainer.published import find_days
from trainer.resume import RunState, forget_run, resume_folder, run_key, saved_run
from trainer.rowchecks import check_rows
from trainer.rows import split_pieces
from trainer.run import Log, kept, learn, make_run, restore
from trainer.scoring import Progress
from trainer.tasks import Plan, labels_of, plan_heads

__all__ = ["TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """What was trained and where it is.

    Attributes
    ----------
    out : Path
        The checkpoint's folder.
    checkpoint : Checkpoint
        As written.
    valid : Evaluation or None
        The kept weights on the validation day.
    """

    out: Path
    checkpoint: Checkpoint
    valid: Evaluation | None

    @property
    def plan(self) -> Plan:
        """Tasks, heads, rates and dropped heads."""
        return self.checkpoint.plan

    @property
    def facts(self) -> Facts:
        """Rows, positives and broken cells of the training days."""
        return self.checkpoint.facts

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """Each pass: epoch (from 1), losses by head (nats), rows, seconds, and valid_loss, None without a validation day."""
        return self.checkpoint.history["epochs"]

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights were kept: the best on the validation day, the last without one."""
        return self.checkpoint.history["kept_epoch"]


def train(
    root: str,
    *,
    days: Sequence[date],
    valid_day: date | None,
    config: TrainConfig,
    out: Path,
    resume: bool = False,
    progress: Progress | None = None,
    log: Log | None = None,
) -> TrainResult:
    """Train on published days and write a checkpoint.

    Parameters
    ----------
    root : str
        Path or URI of the tables.
    days : dates
        Published days to learn from; the encoder is fitted on them only.
    valid_day : date or None
        Published day that is judged after each epoch; the best epoch's weights are kept (mean log loss of the tasks,
        calibrated, against the traffic), and what is fitted on top, and the fusion's weights, are found on it.
    config : TrainConfig
    out : Path
        Folder to write; an older checkpoint there is replaced.
    resume : bool
        Go on with a run that was cut off; see trainer.resume. The result is that of the uninterrupted run.
    progress : callable (stage, rows done, rows in all, text), optional
    log : callable (dict of plain values), optional
        Hears of the run's start, each epoch and its end.

    Returns
    -------
    TrainResult. The same inputs, seed and number of threads give the same weights on a CPU.

    Raises
    ------
    InputError
        A day is not published, empty or of another schema; no task has both classes; a cell is broken; rates differ
        between rows and weights are switched off. All before the first batch.
    ConfigError
        The validation day is a training day, a day is named twice, or `out` is something else.
    """
    out, say = Path(out), progress or _silent
    _check_days(days, valid_day)
    refuse_foreign_folder(out)
    material = _material(root, days=days, valid_day=valid_day, config=config)
    key = run_key(config, days=day_facts(material.days), valid=day_facts(material.valid_days))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed % 2**63)
        recover_folder(resume_folder(out))
        if resume and not resume_folder(out).exists():
            say("nothing to go on from: training from the start", 0, 0, "")
        if resume and resume_folder(out).exists():
            state, saved = saved_run(resume_folder(out), key=key)
            bundle = replace(load_checkpoint(resume_folder(out)), config=config)
        else:
            state, saved = RunState(key), {}
            bundle = _begun(root, material, config=config, progress=say)
        for day in material.valid_days:
            check_schema(bundle, day, root=root)
        bundle = with_fusion(bundle, days=[*material.days, *material.valid_days])
        check_rows(root, material.valid_pieces, labels=labels_of(bundle.plan))
        run = make_run(root, bundle, material=material, out=out, told=(say, log or _unlogged))
        restore(run, saved)
        learn(run, state)
        final, judged = finished(kept(run, state), root=root, material=material, progress=say)
    write_checkpoint(final, out)
    forget_run(out)
    run.log({"event": "done", "kept_epoch": final.history["kept_epoch"], "out": str(out)})
    return TrainResult(out, final, judged)


def _check_days(days: Sequence[date], valid_day: date | None) -> None:
    named = [*days, *([valid_day] if valid_day else [])]
    repeated = sorted({str(d) for d in named if named.count(d) > 1})
    if repeated:
        raise ConfigError(
            "days to train on",
            found=f"{', '.join(repeated)} named twice, or also the validation day",
            wanted="each day once, and a validation day that is not learnt from",
            remedy="name other days",
        )


def _material(root: str, *, days: Sequence[date], valid_day: date | None, config: TrainConfig) -> Material:
    """What to learn from and what to validate on: by the rows' own splits where they have any, else by days."""
    chosen = find_days(root, [*days, *([valid_day] if valid_day else [])])
    check_same_schema(chosen[: len(days)])
    pieces = training_pieces(root, chosen)
    splits = split_pieces(root, pieces)
    if splits:
        material = Material(
            chosen, splits.get("train", []), chosen if "validation" in splits else [], splits.get("validation", [])
        )
        check_same_schema(chosen)
    else:
        learnt, valid = chosen[: len(days)], chosen[len(days) :]
        named = {day.ds for day in valid}
        material = Material(
            learnt, [p for p in pieces if p.ds not in named], valid, [p for p in pieces if p.ds in named]
        )
    _check_material(material, splits=sorted(splits), config=config)
    return material


def _check_material(material: Material, *, splits: Sequence[str], config: TrainConfig) -> None:
    if not material.pieces:
        raise InputError(
            "split of the training days",
            found=f"rows of {', '.join(splits)} only",
            wanted="rows of the split train",
            remedy="name days that the declared split (config key split) counts among the training days",
        )
    if not material.valid_pieces and config.tune:
        raise ConfigError(
            "train.tune",
            found="nothing to validate on",
            wanted="three days or more, of which the last one validates, or rows of the split validation",
            remedy="train on more days (--days), or set it to null",
        )


def _begun(root: str, material: Material, *, config: TrainConfig, progress: Progress) -> Checkpoint:
    """A fresh model for what the days hold."""
    days, pieces = material.days, material.pieces
    total = sum(piece.rows for piece in pieces)
    fitted = fit_days(
        root,
        days,
        pieces=pieces,
        config=config,
        progress=lambda done: progress("fit", done, total, f"{len(days)} days"),
    )
    _check_cells(fitted, config)
    facts = fitted.facts
    weighted = not facts.one_rate_a_class if config.weighted == "auto" else config.weighted
    rates = facts.lowest_rates(weighted=weighted)
    plan = plan_heads(days[0].labels, config=config.heads, found=facts, rates=rates, weighted=weighted)
    model = fresh_model(fitted.encoder, plan, config=config)
    start_at_base_rates(model, plan, facts=facts)
    after = After(durations={head: f for head, f in fitted.durations.items() if head in plan.names})
    history = {"state_order": [feature.name for feature in days[-1].features]}
    return Checkpoint(model, fitted.encoder, plan, config, days[0].labels, facts, day_facts(days), after, history)


def _check_cells(fitted: Fitted, config: TrainConfig) -> None:
    broken = {name: cells for name, cells in fitted.facts.broken.items() if cells}
    if broken and config.broken == "refuse":
        named = ", ".join(f"{name} {cells}" for name, cells in sorted(broken.items(), key=lambda kv: -kv[1])[:5])
        raise InputError(
            "training_set: features",
            found=f"{sum(broken.values())} NaN or infinite cells in {len(broken)} columns: {named}",
            wanted="numbers, or null",
            remedy="mend the source, drop the columns (train.encoders), or train with --set train.broken=missing",
        )


def _silent(stage: str, done: int, total: int, text: str) -> None:
    """Progress that nobody hears."""


def _unlogged(entry: dict[str, Any]) -> None:
    """A log that nobody keeps."""
