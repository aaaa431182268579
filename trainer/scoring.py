"""A model over whole days: scores and labels of every row, and the metrics of each task before and after calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from trainer.batches import Rows, encoded_rows
from trainer.checkpoint import Checkpoint
from trainer.metrics import Gauc, auc, gauc, log_loss, pcoc
from trainer.published import PublishedDay
from trainer.rows import Piece
from trainer.tasks import calibrated
from trainer.truth import TruthReport, compare_with_truth, true_probabilities

__all__ = ["Scores", "TaskReport", "report_tasks", "score_days"]

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Scores:
    """Metrics of one task's scores against one population; NaN where undefined (one class)."""

    auc: float
    gauc: Gauc
    log_loss: float
    pcoc: float


@dataclass(frozen=True)
class TaskReport:
    """One task, before and after calibration.

    Attributes
    ----------
    task : str
    rows, positives : int
        Of the sample.
    traffic_rate : float
        Share of positives in the traffic, estimated with sample weights.
    raw_sample, raw_traffic, calibrated_traffic : Scores
        The network's sigmoid against the sampled rows as they are, the same against the traffic (weighted by
        sample_weight), and the calibrated probability against the traffic.
    truth : TruthReport or None
    """

    task: str
    rows: int
    positives: int
    traffic_rate: float
    raw_sample: Scores
    raw_traffic: Scores
    calibrated_traffic: Scores
    truth: TruthReport | None


def score_days(
    checkpoint: Checkpoint,
    *,
    root: str,
    days: Sequence[PublishedDay],
    pieces: Sequence[Piece],
    truth: Path | None = None,
    progress: Progress | None = None,
) -> Rows:
    """Logits and labels of every row, in the order of the days.

    Returns
    -------
    dict of arrays of one length N: logits (N, heads) float32, labels (N, heads) int8, weight (N,) float64, user_id (N,)
    int64, and, with `truth`, true (N, tasks) float64. Some 50 bytes a row; features are not kept.
    """
    checkpoint.model.eval()
    by_day = {day.ds: day for day in days}
    kept: list[Rows] = []
    done, total = 0, sum(piece.rows for piece in pieces)
    also = ["user_id", "impression_id"]
    for piece in pieces:
        stream = encoded_rows(root, [piece], days=by_day, encoder=checkpoint.encoder, plan=checkpoint.plan, also=also)
        scored = [_scored(checkpoint, rows) for rows in stream]
        part = {name: np.concatenate([rows[name] for rows in scored]) for name in scored[0]}
        ids = part.pop("impression_id")
        if truth is not None:
            part["true"] = true_probabilities(truth, piece.ds, impression_ids=ids, tasks=checkpoint.plan.tasks)
        kept.append(part)
        done += len(ids)
        if progress:
            progress("score", done, total, str(piece.ds))
    return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}


def _scored(checkpoint: Checkpoint, rows: Rows) -> Rows:
    with torch.inference_mode():
        logits = checkpoint.model(torch.from_numpy(rows["ids"]), torch.from_numpy(rows["dense"])).numpy()
    labels = rows["labels"].astype(np.int8)
    return {"logits": logits, "labels": labels} | {n: rows[n] for n in ("weight", "user_id", "impression_id")}


def report_tasks(checkpoint: Checkpoint, rows: Rows) -> list[TaskReport]:
    """Metrics of each task from what `score_days` returned."""
    raw = 1 / (1 + np.exp(-np.clip(rows["logits"].astype(np.float64), -700, 700)))  # (N, heads)
    corrected = calibrated(checkpoint.plan, raw)  # (N, tasks)
    weight, users = rows["weight"], rows["user_id"]
    reports = []
    for i, task in enumerate(checkpoint.plan.tasks):
        y, before, after = rows["labels"][:, i], raw[:, i], corrected[:, i]
        against = None
        if "true" in rows:
            against = compare_with_truth(y, after, true=rows["true"][:, i], weights=weight)
        reports.append(
            TaskReport(
                task=task,
                rows=len(y),
                positives=int(y.sum()),
                traffic_rate=float(np.average(y, weights=weight)),
                raw_sample=_scores(y, before, users=users, weights=None),
                raw_traffic=_scores(y, before, users=users, weights=weight),
                calibrated_traffic=_scores(y, after, users=users, weights=weight),
                truth=against,
            )
        )
    return reports


def _scores(labels: npt.NDArray, scores: npt.NDArray, *, users: npt.NDArray, weights: npt.NDArray | None) -> Scores:
    return Scores(
        auc=auc(labels, scores, weights=weights),
        gauc=gauc(labels, scores, groups=users, weights=weights),
        log_loss=log_loss(labels, scores, weights=weights),
        pcoc=pcoc(labels, scores, weights=weights),
    )
