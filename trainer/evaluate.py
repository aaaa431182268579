"""Judge a checkpoint on published days, before and after calibration, and beside the truth where it is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from headrace.errors import InputError
from trainer.checkpoint import Checkpoint, day_facts, load_checkpoint
from trainer.device import device_of
from trainer.encode import schema_changes
from trainer.fitting import training_pieces
from trainer.published import PublishedDay, find_days
from trainer.reporting import FusedReport, TaskReport, WatchReport, report_fused, report_tasks, report_watch
from trainer.rowchecks import check_rows
from trainer.rows import Piece, day_columns, split_pieces
from trainer.scoring import Progress, Scored, score_days
from trainer.tasks import Plan, labels_of

__all__ = ["Evaluation", "check_schema", "evaluate", "judged"]


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
        Heads that are probabilities or ratios.
    watch : WatchReport or None
    fused : FusedReport or None
    """

    days: list[dict[str, Any]]
    seen_in_training: list[str]
    plan: Plan
    tasks: list[TaskReport]
    watch: WatchReport | None
    fused: FusedReport | None


def evaluate(
    checkpoint: Path,
    *,
    root: str,
    days: Sequence[date],
    split: str | None = None,
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
    split : str, optional
        Only the rows of this split (train, validation, test).
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
    pieces = training_pieces(root, chosen)
    if split is not None:
        pieces = _of_split(root, pieces, split=split)
    check_rows(root, pieces, labels=labels_of(loaded.plan))
    loaded.model.to(device_of(loaded.config))
    scored = score_days(loaded, root=root, days=chosen, pieces=pieces, truth=truth, progress=progress)
    return judged(loaded, scored, days=chosen, held_out=split not in (None, "train"))


def _of_split(root: str, pieces: Sequence[Piece], *, split: str) -> list[Piece]:
    splits = split_pieces(root, pieces)
    if split not in splits:
        raise InputError(
            "split of the days to evaluate",
            found=f"rows of {', '.join(splits)} only" if splits else "rows that stand in no split",
            wanted=f"rows of the split {split}",
            remedy="name days that hold it, or leave --split out",
        )
    return splits[split]


def judged(
    checkpoint: Checkpoint, scored: Scored, *, days: Sequence[PublishedDay], held_out: bool = False
) -> Evaluation:
    """Metrics of rows that were scored; `held_out`: rows of a split that was not learnt from, whatever their day."""
    trained = set() if held_out else {day["ds"] for day in checkpoint.days}
    return Evaluation(
        days=day_facts(days),
        seen_in_training=[str(day.ds) for day in days if str(day.ds) in trained],
        plan=checkpoint.plan,
        tasks=report_tasks(checkpoint, scored),
        watch=report_watch(checkpoint, scored),
        fused=report_fused(checkpoint, scored),
    )


def check_schema(checkpoint: Checkpoint, day: PublishedDay, *, root: str) -> None:
    """Raise InputError unless the day has every input and label that the checkpoint needs, with the same type and unit.

    Features that came later are no harm: the model does not look at them.
    """
    present = day_columns(root, ds=day.ds, version=day.version)
    plan = checkpoint.plan
    labels = labels_of(plan)
    changed = schema_changes(checkpoint.encoder, day.features, present=present)
    changed += [f"{name} is no column" for name in labels if name not in present]
    if changed:
        raise InputError(
            f"training_set {day.ds}: features",
            found="; ".join(changed[:5]) + (f" ({len(changed) - 5} more)" if len(changed) > 5 else ""),
            wanted="the features that the checkpoint was trained on",
            remedy="train again on days of this config, or evaluate days that were built with the checkpoint's",
        )
