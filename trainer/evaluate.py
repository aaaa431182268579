"""Judge a checkpoint on published days, before and after calibration, and beside the truth where it is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from headrace.errors import InputError
from trainer.checkpoint import Checkpoint, day_facts, load_checkpoint
from trainer.fitting import training_pieces
from trainer.published import PublishedDay, find_days
from trainer.rows import day_columns
from trainer.scoring import Progress, TaskReport, report_tasks, score_days
from trainer.tasks import ANY, Plan

__all__ = ["Evaluation", "check_schema", "evaluate", "judge"]


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on some days.

    Attributes
    ----------
    days : list of dict
        Days with version and content hash.
    seen_in_training : list of str
        Those of them that the model was trained on: its metrics there flatter it.
    plan : Plan
        Tasks, rates, and whether calibration corrects anything.
    tasks : list of TaskReport
    """

    days: list[dict[str, Any]]
    seen_in_training: list[str]
    plan: Plan
    tasks: list[TaskReport]


def evaluate(
    checkpoint: Path,
    *,
    root: str,
    days: Sequence[date],
    truth: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score published days with a checkpoint.

    Parameters
    ----------
    checkpoint : Path
        Folder written by `train`.
    root : str
        Path or URI of the tables.
    days : dates
        Published days.
    truth : Path, optional
        Folder of true probabilities, see trainer.truth.
    progress : callable (stage, rows done, rows in all, text), optional

    Raises
    ------
    InputError
        A day is not published or empty, the checkpoint is damaged, or a day's features are no longer those that the
        checkpoint was trained on; the last before any row is read.
    """
    loaded = load_checkpoint(Path(checkpoint))
    chosen = find_days(root, list(dict.fromkeys(days)))
    for day in chosen:
        check_schema(loaded, day, root=root)
    return judge(loaded, chosen, root=root, truth=truth, progress=progress)


def judge(
    checkpoint: Checkpoint,
    days: Sequence[PublishedDay],
    *,
    root: str,
    truth: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Metrics of a model in memory on days whose schema was checked; raises InputError where a day is empty."""
    pieces = training_pieces(root, days)
    rows = score_days(checkpoint, root=root, days=days, pieces=pieces, truth=truth, progress=progress)
    trained = {day["ds"] for day in checkpoint.days}
    return Evaluation(
        days=day_facts(days),
        seen_in_training=[str(day.ds) for day in days if str(day.ds) in trained],
        plan=checkpoint.plan,
        tasks=report_tasks(checkpoint, rows),
    )


def check_schema(checkpoint: Checkpoint, day: PublishedDay, *, root: str) -> None:
    """Raise InputError unless the day has every input and label that the checkpoint needs, with the same type and unit.

    Features that came later are no harm: the model does not look at them.
    """
    now = {f.name: (f.type, f.unit) for f in day.features}
    changed = [
        f"{name} is gone" if name not in now else f"{name} is {_said(*now[name])}, was {_said(kind, unit)}"
        for name, kind, unit in checkpoint.encoder.features
        if now.get(name) != (kind, unit)
    ]
    present = day_columns(root, ds=day.ds, version=day.version)
    plan = checkpoint.plan
    labels = [f"label_{a}" for a in (*plan.tasks, *(plan.positive if ANY in plan.heads else ()))]
    changed += [f"{name} is no column" for name in [*checkpoint.encoder.columns, *labels] if name not in present]
    if changed:
        raise InputError(
            f"training_set {day.ds}: features",
            found="; ".join(changed[:5]) + (f" ({len(changed) - 5} more)" if len(changed) > 5 else ""),
            wanted="the features that the checkpoint was trained on",
            remedy="train again on days of this config, or evaluate days that were built with the checkpoint's",
        )


def _said(kind: str, unit: str) -> str:
    return f"{kind} [{unit}]" if unit else kind
