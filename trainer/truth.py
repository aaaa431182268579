"""Known true probabilities of a simulated world, looked up by impression, and how near a model comes to them.

Files are <truth>/ds=YYYY-MM-DD/*.parquet with impression_id and p_<task>: the probability of the label given the
impression, of the traffic (not of the sample).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.errors import InputError
from trainer.metrics import auc, correlation, log_loss

__all__ = ["TruthReport", "compare_with_truth", "true_probabilities"]

_LATE_DAYS = 7  # an impression that landed late has its truth under the day when it was shown


@dataclass(frozen=True)
class TruthReport:
    """One task beside the truth; all weighted by sample weight, on the rows whose truth is known.

    Attributes
    ----------
    rows : int
    correlation : float
        Pearson, calibrated prediction with true probability.
    log_loss_gap : float
        Nats: log loss of the calibrated prediction minus that of the true probability. 0 is perfect.
    auc_model, auc_bound : float
        AUC on these rows of the prediction, and of the true probability itself: no model can do better but by luck.
    mean_ratio : float
        Mean calibrated prediction / mean true probability.
    """

    rows: int
    correlation: float
    log_loss_gap: float
    auc_model: float
    auc_bound: float
    mean_ratio: float


def true_probabilities(
    truth: Path, ds: date, *, impression_ids: npt.NDArray[np.int64], tasks: Sequence[str]
) -> npt.NDArray[np.float64]:
    """(B, tasks) true probabilities of one day's impressions; NaN where the truth has none.

    Raises
    ------
    InputError
        There is no truth of that day, or a file lacks a column.
    """
    found = np.full((len(impression_ids), len(tasks)), np.nan)
    folders = [truth / f"ds={ds - timedelta(days=back)}" for back in range(_LATE_DAYS + 1)]
    if not folders[0].is_dir():
        raise InputError(
            str(folders[0]),
            found="no such folder",
            wanted="true probabilities of the day, as headrace simulate writes them",
            remedy="check the path of the truth, or evaluate without it",
        )
    for folder in folders:
        if folder.is_dir() and np.isnan(found[:, 0]).any():
            for file in sorted(folder.glob("*.parquet")):
                _look_up(found, file, impression_ids=impression_ids, tasks=tasks)
    return found


def _look_up(
    found: npt.NDArray[np.float64], file: Path, *, impression_ids: npt.NDArray[np.int64], tasks: Sequence[str]
) -> None:
    """Fill the rows of `found` whose impression stands in `file`."""
    names = ["impression_id", *(f"p_{task}" for task in tasks)]
    try:
        with pq.ParquetFile(file) as source:
            table = source.read(columns=[n for n in names if n in source.schema_arrow.names])
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(file), found=str(error), wanted="a Parquet file", remedy="simulate again") from None
    if missing := [n for n in names if n not in table.column_names]:
        raise InputError(
            str(file), found=f"no column {', '.join(missing)}", wanted=", ".join(names), remedy="simulate again"
        )
    if not pa.types.is_integer(table["impression_id"].type):
        raise InputError(
            str(file),
            found=f"impression_id of type {table['impression_id'].type}",
            wanted="whole numbers, as in the training set",
            remedy="simulate with whole-number ids (id_kind bigint); text ids were hashed at ingest",
        )
    places = pc.index_in(pa.array(impression_ids), value_set=table["impression_id"].cast(pa.int64()))
    known = places.is_valid().to_numpy(zero_copy_only=False)
    at = places.drop_null().to_numpy()
    for i, name in enumerate(names[1:]):
        found[known, i] = table[name].to_numpy()[at]


def compare_with_truth(
    labels: npt.NDArray, predicted: npt.NDArray, *, true: npt.NDArray, weights: npt.NDArray
) -> TruthReport:
    """One task: labels, calibrated predictions, true probabilities (NaN where unknown) and sample weights, each (N,)."""
    known = ~np.isnan(true)
    y, p, q, w = labels[known], predicted[known], true[known], weights[known]
    mean = float(np.dot(w, q))
    return TruthReport(
        rows=int(known.sum()),
        correlation=correlation(p, q, weights=w),
        log_loss_gap=log_loss(y, p, weights=w) - log_loss(y, q, weights=w),
        auc_model=auc(y, p, weights=w),
        auc_bound=auc(y, q, weights=w),
        mean_ratio=float(np.dot(w, p)) / mean if mean > 0 else float("nan"),
    )
