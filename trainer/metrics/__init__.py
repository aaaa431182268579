"""Exact metrics over whole arrays, all with optional sample weights: ranking, calibration, watch time, fused ranking.

With weights = `sample_weight` a metric estimates what it would be on the mature traffic; without, it speaks of the
rows as they are, and a weight of 2 counts as the row twice. Undefined values (one class only, no rows) are NaN, never 0
or 0.5. A row whose label is NaN has no such label: it is left out before anything else is looked at, and what returns
more than a number says how many there were. Nothing here is an average over batches: `Accumulator` keeps the rows.
"""

from trainer.metrics.accumulator import Accumulator
from trainer.metrics.calibration import correlation, log_loss, normalised_entropy, pcoc
from trainer.metrics.ndcg import Ndcg, ndcg_at_k
from trainer.metrics.ranking import Gauc, auc, gauc
from trainer.metrics.reliability import ScoreBin, SegmentRow, pcoc_by_segment, reliability
from trainer.metrics.summary import BinaryMetrics, WatchMetrics, binary_metrics, watch_metrics
from trainer.metrics.watch import gxauc, mae, mean_ratio, xauc

__all__ = [
    "Accumulator",
    "BinaryMetrics",
    "Gauc",
    "Ndcg",
    "ScoreBin",
    "SegmentRow",
    "WatchMetrics",
    "auc",
    "binary_metrics",
    "correlation",
    "gauc",
    "gxauc",
    "log_loss",
    "mae",
    "mean_ratio",
    "ndcg_at_k",
    "normalised_entropy",
    "pcoc",
    "pcoc_by_segment",
    "reliability",
    "watch_metrics",
    "xauc",
]
