"""What there is to say of scored rows: every head before and after correction, by decile and segment, and the fused order."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.after import Outputs, corrected, fused_score
from trainer.checkpoint import Checkpoint
from trainer.fusion import describe
from trainer.metrics import (
    BinaryMetrics,
    Ndcg,
    ScoreBin,
    SegmentRow,
    WatchMetrics,
    binary_metrics,
    ndcg_at_k,
    pcoc_by_segment,
    reliability,
    watch_metrics,
)
from trainer.scoring import Scored
from trainer.truth import TruthReport, compare_with_truth

__all__ = ["FusedReport", "TaskReport", "WatchReport", "report_fused", "report_tasks", "report_watch"]

_TOP = 3  # positions of a request that the fused order is judged by, where no utility names another number


@dataclass(frozen=True)
class TaskReport:
    """A probability or a ratio, before and after correction.

    Attributes
    ----------
    task : str
        Name of the head.
    kind : "binary" or "ratio"
    raw_sample, raw_traffic, calibrated_traffic : BinaryMetrics
        What the network says against the sampled rows as they are, the same against the traffic (weighted by
        sample_weight), and what is made of it against the traffic.
    bins : list of ScoreBin
        Deciles of the corrected score, of equal weight.
    segments : dict of str to list of SegmentRow
        By the values of each declared column.
    truth : TruthReport or None
    """

    task: str
    kind: str
    raw_sample: BinaryMetrics
    raw_traffic: BinaryMetrics
    calibrated_traffic: BinaryMetrics
    bins: list[ScoreBin]
    segments: dict[str, list[SegmentRow]]
    truth: TruthReport | None

    @property
    def rows(self) -> int:
        """Rows of the sample to which the label applies."""
        return self.raw_sample.rows

    @property
    def positives(self) -> float:
        """Sum of their labels."""
        return self.raw_sample.positives

    @property
    def traffic_rate(self) -> float:
        """Mean label in the traffic, estimated with sample weights."""
        return self.raw_traffic.rate


@dataclass(frozen=True)
class WatchReport:
    """Seconds watched: `traffic` against the traffic, on the rows that can be watched, and by segment (ratio as pcoc)."""

    traffic: WatchMetrics
    bins: list[tuple[float, float, float]]


@dataclass(frozen=True)
class FusedReport:
    """The fused order within requests.

    Attributes
    ----------
    formula : str
    top : int
        k of NDCG@k.
    gain : str
        What a row is worth, in words.
    ndcg : dict of str to Ndcg
        Of the fused score, and of each task's own for comparison.
    """

    formula: str
    top: int
    gain: str
    ndcg: dict[str, Ndcg]


def report_tasks(checkpoint: Checkpoint, scored: Scored) -> list[TaskReport]:
    """Every head that is a probability or a ratio, in the order of the heads."""
    raw, final = corrected(checkpoint.plan, checkpoint.after, logits=scored.logits)
    found = []
    for i, head in enumerate(checkpoint.plan.heads):
        if head.name in raw and head.kind != "watch":
            y = np.clip(scored.labels[:, i], 0.0, 1.0)
            true = scored.true[:, i] if scored.true is not None and head.name in checkpoint.plan.tasks else None
            found.append(
                _task(head.name, head.kind, y=y, scores=(raw[head.name], final[head.name]), of=scored, true=true)
            )
    return found


def _task(
    name: str,
    kind: str,
    *,
    y: npt.NDArray[np.float32],
    scores: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    of: Scored,
    true: npt.NDArray[np.float64] | None,
) -> TaskReport:
    before, after = scores
    groups = {"users": of.users, "requests": of.requests}
    known = ~np.isnan(y)
    by = {
        column: pcoc_by_segment(y, after, segments=codes, names=names, weights=of.weight)
        for column, (codes, names) in of.segments.items()
    }
    return TaskReport(
        task=name,
        kind=kind,
        raw_sample=binary_metrics(y, before, **groups),
        raw_traffic=binary_metrics(y, before, weights=of.weight, **groups),
        calibrated_traffic=binary_metrics(y, after, weights=of.weight, **groups),
        bins=reliability(y, after, weights=of.weight),
        segments=by,
        truth=None
        if true is None
        else compare_with_truth(y[known], after[known], true=true[known], weights=of.weight[known]),
    )


def report_watch(checkpoint: Checkpoint, scored: Scored) -> WatchReport | None:
    """Seconds watched, where there is such a head."""
    names = checkpoint.plan.names
    if "watch" not in names:
        return None
    _, final = corrected(checkpoint.plan, checkpoint.after, logits=scored.logits)
    seconds, estimate = scored.labels[:, names.index("watch")].astype(np.float64), final["watch"]
    metrics = watch_metrics(seconds, estimate, weights=scored.weight, users=scored.users)
    return WatchReport(metrics, _watch_bins(seconds, estimate, weight=scored.weight))


def _watch_bins(
    seconds: npt.NDArray[np.float64],
    estimate: npt.NDArray[np.float64],
    *,
    weight: npt.NDArray[np.float64],
    bins: int = 10,
) -> list[tuple[float, float, float]]:
    """(weight, mean predicted, mean actual) in bins of equal weight, by ascending estimate."""
    known = np.flatnonzero(~np.isnan(seconds))
    order = known[np.argsort(estimate[known], kind="stable")]
    w = weight[order]
    if not w.sum() > 0:
        return []
    codes = np.minimum(((np.cumsum(w) - w / 2) / w.sum() * bins).astype(int), bins - 1)
    sums = [np.bincount(codes, c, minlength=bins) for c in (w, w * estimate[order], w * seconds[order])]
    return [(float(a), float(p / a), float(t / a)) for a, p, t in zip(*sums, strict=True) if a > 0]


def report_fused(checkpoint: Checkpoint, scored: Scored) -> FusedReport | None:
    """NDCG of the fused score, and of each task's own, where a fusion is declared."""
    after, tune = checkpoint.after, checkpoint.config.tune
    if after.fusion is None:
        return None
    _, final = corrected(checkpoint.plan, after, logits=scored.logits)
    score = fused_score(after, final, columns=scored.columns, requests=scored.requests, weights=scored.weight)
    worth: Mapping[str, float] = tune.utility if tune else dict.fromkeys(checkpoint.plan.tasks, 1.0)
    gains = gains_of(checkpoint, scored, worth=worth)
    top = tune.top if tune else _TOP
    orders: Outputs = {"fused": score} | {task: final[task] for task in checkpoint.plan.tasks}
    ndcg = {
        name: ndcg_at_k(gains, s, requests=scored.requests, k=top, weights=scored.weight) for name, s in orders.items()
    }
    said = " + ".join(f"{value:g} {name}" for name, value in worth.items())
    return FusedReport(describe(after.fusion), top, said, ndcg)


def gains_of(checkpoint: Checkpoint, scored: Scored, *, worth: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """What each row brought, (N,): labels by their worth, never below 0; a label that does not apply brings nothing."""
    names = checkpoint.plan.names
    total = np.zeros(len(scored.weight))
    for name, value in worth.items():
        if name in names:
            total += value * np.nan_to_num(scored.labels[:, names.index(name)].astype(np.float64), nan=0.0)
    return np.maximum(total, 0.0)
